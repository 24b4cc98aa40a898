//! The end of a query, told once: one log line with what was asked, what it took and how it
//! ended, and the metrics. A query that nobody waits for any more is told of as well.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use config::FrontendConfig;
use model::context::QueryUsage;
use model::{QueryContext, TenantId, TimestampMs};
use promql::QueryKind;

use crate::QueryService;
use crate::error::{ApiError, ErrorType};
use crate::run::QueryRequest;

/// Longer queries are cut in the log.
const MAX_QUERY_BYTES: usize = 4096;

/// What a query has taken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueryCost {
    /// From the question to the end of the evaluation.
    pub(crate) took: Duration,
    /// Of it, waiting for a thread.
    pub(crate) queued: Duration,
    /// What was read.
    pub(crate) usage: QueryUsage,
}

impl QueryCost {
    /// The header `Server-Timing`, with Mimir's names; with `details` all that it tells when it is
    /// asked to.
    pub(crate) fn server_timing(&self, details: bool) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let (took, queued, usage) = (self.took, self.queued, self.usage);
        let evaluation = took.saturating_sub(queued);
        let mut text = format!(
            "querier_wall_time;dur={}, response_time;dur={}, bytes_processed;val={}, \
             samples_processed;val={}",
            ms(evaluation),
            ms(took),
            usage.chunk_bytes,
            usage.samples,
        );
        if details {
            text += &format!(
                ", fetched_chunk_bytes;val={}, fetched_chunks_count;val={}, \
                 fetched_series_count;val={}, query_wall_time_seconds;dur={}, \
                 queue_time_seconds;dur={}, sharded_queries;val=0, split_queries;val=0",
                usage.chunk_bytes,
                usage.chunks,
                usage.series,
                evaluation.as_secs_f64(),
                queued.as_secs_f64(),
            );
        }
        text
    }
}

/// A query that is under way.
pub(crate) struct QueryLog {
    service: Arc<QueryService>,
    context: Arc<QueryContext>,
    tenant: TenantId,
    query: String,
    query_bytes: usize,
    kind: QueryKind,
    headers: String,
    asked: Duration,
    started: Arc<OnceLock<Duration>>,
    is_told: bool,
}

impl QueryLog {
    /// A query that is asked now.
    pub(crate) fn new(
        service: &Arc<QueryService>,
        context: &Arc<QueryContext>,
        tenant: &TenantId,
        request: &QueryRequest,
    ) -> Self {
        let mut end = request.query.len().min(MAX_QUERY_BYTES);
        while !request.query.is_char_boundary(end) {
            end -= 1;
        }
        Self {
            service: Arc::clone(service),
            context: Arc::clone(context),
            tenant: tenant.clone(),
            query: request.query[..end].to_owned(),
            query_bytes: request.query.len(),
            kind: request.kind,
            headers: request.logged_headers.clone(),
            asked: service.clock().monotonic(),
            started: Arc::default(),
            is_told: false,
        }
    }

    /// When it was asked, on the monotonic clock.
    pub(crate) fn asked(&self) -> Duration {
        self.asked
    }

    /// Where the moment is noted at which a thread takes it.
    pub(crate) fn started(&self) -> Arc<OnceLock<Duration>> {
        Arc::clone(&self.started)
    }

    /// It has ended.
    pub(crate) fn finish(mut self, error: Option<&ApiError>) -> QueryCost {
        self.tell(error)
    }

    fn tell(&mut self, error: Option<&ApiError>) -> QueryCost {
        self.is_told = true;
        let now = self.service.clock().monotonic();
        let took = now.saturating_sub(self.asked);
        let started = self.started.get().copied().unwrap_or(now);
        let queued = started.saturating_sub(self.asked);
        let cost = QueryCost { took, queued, usage: self.context.usage() };
        self.service.metrics().finished((&self.tenant, self.query_bytes), took, error);
        self.write(&self.service.frontend, &cost, error);
        cost
    }

    /// Logs the query as the options want it: all with their statistics, or those that were slow.
    fn write(&self, config: &FrontendConfig, cost: &QueryCost, error: Option<&ApiError>) {
        let threshold = config.log_queries_longer_than;
        let is_slow =
            !threshold.is_zero() && (!threshold.is_positive() || cost.took > threshold.std());
        if !is_slow && !config.query_stats_enabled {
            return;
        }
        let message = if is_slow { "slow query detected" } else { "query stats" };
        let times = LoggedTimes::of(self.kind);
        let usage = cost.usage;
        tracing::info!(
            component = "query-frontend",
            response_time = ?cost.took,
            query_wall_time_seconds = cost.took.saturating_sub(cost.queued).as_secs_f64(),
            queue_time_seconds = cost.queued.as_secs_f64(),
            fetched_series_count = usage.series,
            fetched_chunks_count = usage.chunks,
            fetched_chunk_bytes = usage.chunk_bytes,
            samples_processed = usage.samples,
            peak_memory_bytes = usage.peak_memory_bytes,
            param_query = %self.query,
            param_time = times.time,
            param_start = times.start,
            param_end = times.end,
            param_step = times.step_ms,
            headers = (!self.headers.is_empty()).then_some(self.headers.as_str()),
            status = status_of(error),
            err = error.map(|error| error.message.as_str()),
            "{message}"
        );
    }
}

/// When a query was asked for, as Mimir writes it; what a kind of query does not have is left out.
#[derive(Debug, Default, PartialEq, Eq)]
struct LoggedTimes {
    time: Option<String>,
    start: Option<String>,
    end: Option<String>,
    step_ms: Option<i64>,
}

impl LoggedTimes {
    fn of(kind: QueryKind) -> Self {
        match kind {
            QueryKind::Instant { time_ms } => {
                Self { time: Some(date_of(time_ms)), ..Self::default() }
            }
            QueryKind::Range { start_ms, end_ms, step_ms } => Self {
                time: None,
                start: Some(date_of(start_ms)),
                end: Some(date_of(end_ms)),
                step_ms: Some(step_ms),
            },
        }
    }
}

/// RFC 3339; the number where no calendar reaches.
fn date_of(time_ms: TimestampMs) -> String {
    let date = jiff::Timestamp::from_millisecond(time_ms);
    date.map_or_else(|_| time_ms.to_string(), |date| date.to_string())
}

fn status_of(error: Option<&ApiError>) -> &'static str {
    match error.map(|error| error.error_type) {
        None => "success",
        Some(ErrorType::Canceled) => "canceled",
        Some(_) => "failed",
    }
}

impl Drop for QueryLog {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(Some(&ApiError::new(ErrorType::Canceled, "context canceled")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_names_of_mimir() {
        let usage =
            QueryUsage { series: 2, chunks: 3, chunk_bytes: 40, samples: 5, ..Default::default() };
        let (took, queued) = (Duration::from_millis(12), Duration::from_millis(2));
        let cost = QueryCost { took, queued, usage };
        let short = "querier_wall_time;dur=10, response_time;dur=12, bytes_processed;val=40, \
                     samples_processed;val=5";
        assert_eq!(cost.server_timing(false), short);
        let long = cost.server_timing(true);
        assert!(long.starts_with(short));
        for part in [
            "fetched_chunks_count;val=3",
            "fetched_series_count;val=2",
            "queue_time_seconds;dur=0.002",
        ] {
            assert!(long.contains(part), "{long}");
        }
    }

    #[test]
    fn times_are_written_as_mimir_writes_them() {
        let times = LoggedTimes::of(QueryKind::Instant { time_ms: 1_500 });
        let time = Some("1970-01-01T00:00:01.5Z".to_owned());
        assert_eq!(times, LoggedTimes { time, ..LoggedTimes::default() });
        let range = QueryKind::Range { start_ms: 1_795_346_175_000, end_ms: i64::MAX, step_ms: 5 };
        let LoggedTimes { time, start, end, step_ms } = LoggedTimes::of(range);
        assert_eq!((time, step_ms), (None, Some(5)));
        assert_eq!(start.as_deref(), Some("2026-11-22T11:16:15Z"));
        assert_eq!(end, Some(i64::MAX.to_string()));
    }

    #[test]
    fn the_status_says_who_ended_it() {
        let error = |error_type| ApiError::new(error_type, "");
        assert_eq!(status_of(None), "success");
        assert_eq!(status_of(Some(&error(ErrorType::Canceled))), "canceled");
        assert_eq!(status_of(Some(&error(ErrorType::Timeout))), "failed");
    }
}
