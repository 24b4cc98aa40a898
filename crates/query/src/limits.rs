//! The read limits of a tenant: what a request may ask for, and what a query may use.

use std::time::Duration;

use config::Limits;
use model::{QueryLimits, TimestampMs};

use crate::error::ApiError;
use crate::source::TimeBounds;

/// Bounds on what one query uses.
pub(crate) fn query_limits(limits: &Limits, timeout: Duration) -> QueryLimits {
    QueryLimits {
        max_series: limits.max_fetched_series_per_query,
        max_chunks: limits.max_fetched_chunks_per_query,
        max_estimated_chunks: estimated_chunks(limits),
        max_chunk_bytes: limits.max_fetched_chunk_bytes_per_query,
        max_memory_bytes: limits.max_estimated_memory_consumption_per_query,
        timeout: Some(timeout),
    }
}

/// A multiple of the limit of chunks; 0 is no limit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number; what is too large is no bound"
)]
fn estimated_chunks(limits: &Limits) -> u64 {
    let multiplier = limits.max_estimated_fetched_chunks_per_query_multiplier;
    (multiplier * limits.max_fetched_chunks_per_query as f64) as u64
}

/// Refuses an expression that is too long.
pub(crate) fn check_expression_size(query: &str, limits: &Limits) -> Result<(), ApiError> {
    let limit = limits.max_query_expression_size_bytes;
    if limit == 0 || query.len() as u64 <= limit {
        return Ok(());
    }
    Err(ApiError::bad_data(format!(
        "the raw query size in bytes exceeds the limit (query size: {}, limit: {limit}) \
         (err-mimir-max-query-expression-size-bytes). To adjust the related per-tenant limit, \
         configure -query-frontend.max-query-expression-size-bytes, or contact your service \
         administrator.",
        query.len()
    )))
}

/// Refuses a query over too long a time.
pub(crate) fn check_length(
    start_ms: TimestampMs,
    end_ms: TimestampMs,
    limits: &Limits,
) -> Result<(), ApiError> {
    let (length_ms, limit) = (end_ms.saturating_sub(start_ms), limits.max_total_query_length);
    if !limit.is_positive() || length_ms <= limit.millis() {
        return Ok(());
    }
    Err(ApiError::bad_data(format!(
        "the total query time range exceeds the limit (query length: {}, limit: {}) \
         (err-mimir-max-total-query-length). To adjust the related per-tenant limit, configure \
         -query-frontend.max-total-query-length, or contact your service administrator.",
        config::GoDuration::from_millis(length_ms),
        config::GoDuration::from_millis(limit.millis()),
    )))
}

/// What is said of a selector that reads over too long a time. Queries are not split here, so
/// that a part of a query is the whole.
pub(crate) fn too_long(length_ms: i64, limit_ms: i64) -> String {
    format!(
        "the query time range exceeds the limit (query length: {}, limit: {}) \
         (err-mimir-max-query-length). To adjust the related per-tenant limit, configure \
         -querier.max-partial-query-length, or contact your service administrator.",
        config::GoDuration::from_millis(length_ms),
        config::GoDuration::from_millis(limit_ms),
    )
}

/// The bounds on what a query reads.
pub(crate) fn time_bounds(now_ms: TimestampMs, limits: &Limits) -> TimeBounds {
    TimeBounds {
        earliest_ms: earliest_start(now_ms, limits),
        max_length_ms: limits.max_partial_query_length.millis().max(0),
    }
}

/// The earliest start that a query may have: `max_query_lookback` before now, or the retention of
/// blocks where that is less. What is older than the retention is about to be deleted, and not all
/// of it at the same time.
pub(crate) fn earliest_start(now_ms: TimestampMs, limits: &Limits) -> Option<TimestampMs> {
    let lookbacks = [limits.max_query_lookback, limits.compactor_blocks_retention_period];
    let lookbacks = lookbacks.iter().filter(|lookback| lookback.is_positive());
    let shortest_ms = lookbacks.map(|lookback| lookback.millis()).min()?;
    Some(now_ms.saturating_sub(shortest_ms))
}

/// The range of a label or series query: clamped to the lookback, and shortened to
/// `max_labels_query_length` from its end.
pub(crate) fn labels_range(
    (start_ms, end_ms): (TimestampMs, TimestampMs),
    now_ms: TimestampMs,
    limits: &Limits,
) -> (TimestampMs, TimestampMs) {
    let mut start_ms = earliest_start(now_ms, limits).map_or(start_ms, |e| start_ms.max(e));
    let max_length = limits.max_labels_query_length;
    if max_length.is_positive() {
        let end_ms = end_ms.min(now_ms);
        start_ms = start_ms.max(end_ms.saturating_sub(max_length.millis()));
    }
    (start_ms, end_ms)
}

/// The text of the warning where a result was cut as the client wants it.
const TRUNCATED: &str = "results truncated due to limit";

/// How many items a list may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResultLimit {
    /// So many; 0 = any number.
    pub(crate) limit: usize,
    /// What is said where the list was longer.
    pub(crate) warning: String,
}

impl ResultLimit {
    /// What the client asked for (0 = all), under the tenant's limit of the option `flag`.
    pub(crate) fn new(asked: usize, allowed: u64, flag: &str) -> Self {
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        if allowed == 0 || (asked != 0 && asked <= allowed) {
            return Self { limit: asked, warning: TRUNCATED.to_owned() };
        }
        let warning = format!(
            "results may be truncated due to {flag} (requested limit: {asked}, enforced: {allowed})"
        );
        Self { limit: allowed, warning }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
        let mut limits = config::Config::default().limits;
        change(&mut limits);
        limits
    }

    #[test]
    fn queries_that_are_too_long_say_which_limit() {
        let hour = config::PromDuration::from_secs(3600);
        let total = limits(|l| l.max_total_query_length = hour);
        assert!(check_length(0, HOUR_MS, &total).is_ok());
        let error = check_length(0, HOUR_MS + 1000, &total).unwrap_err();
        assert!(error.message.starts_with(
            "the total query time range exceeds the limit (query length: 1h0m1s, limit: 1h0m0s) \
             (err-mimir-max-total-query-length)"
        ));
        assert!(check_length(0, i64::MAX, &limits(|_| {})).is_ok());
    }

    #[test]
    fn queries_see_no_further_than_the_retention_of_blocks() {
        for (lookback_h, retention_h, want_h) in [
            (0, 0, None),
            (10, 0, Some(90)),
            (0, 10, Some(90)),
            (5, 10, Some(95)),
            (10, 5, Some(95)),
        ] {
            let limits = limits(|l| {
                l.max_query_lookback = config::PromDuration::from_secs(lookback_h * 3600);
                l.compactor_blocks_retention_period =
                    config::PromDuration::from_secs(retention_h * 3600);
            });
            let want = want_h.map(|hour| hour * HOUR_MS);
            assert_eq!(earliest_start(100 * HOUR_MS, &limits), want);
            assert_eq!(time_bounds(100 * HOUR_MS, &limits).earliest_ms, want);
        }
    }

    #[test]
    fn label_queries_are_shortened_from_their_end() {
        let now = 100 * HOUR_MS;
        let limits = limits(|l| {
            l.max_query_lookback = config::PromDuration::from_secs(10 * 3600);
            l.max_labels_query_length = config::PromDuration::from_secs(2 * 3600);
        });
        let all = labels_range((i64::MIN / 4, i64::MAX / 4), now, &limits);
        assert_eq!(all, (98 * HOUR_MS, i64::MAX / 4));
        let old = labels_range((80 * HOUR_MS, 91 * HOUR_MS), now, &limits);
        assert_eq!(old, (90 * HOUR_MS, 91 * HOUR_MS));
    }

    #[test]
    fn the_smaller_limit_counts_and_zero_is_none() {
        for (asked, allowed, want, is_clients) in [
            (0, 0, 0, true),
            (5, 0, 5, true),
            (0, 7, 7, false),
            (5, 7, 5, true),
            (7, 7, 7, true),
            (9, 7, 7, false),
        ] {
            let limit = ResultLimit::new(asked, allowed, "querier.max-x");
            assert_eq!((limit.limit, limit.warning == TRUNCATED), (want, is_clients));
        }
        assert_eq!(
            ResultLimit::new(9, 7, "querier.max-x").warning,
            "results may be truncated due to querier.max-x (requested limit: 9, enforced: 7)"
        );
    }
}
