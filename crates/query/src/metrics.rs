//! The metrics of the read path, under Mimir's names where it has them.

use std::time::Duration;

use config::QuerierConfig;
use model::context::QueryUsage;
use model::{LimitError, LimitKind, TenantId};
use rt::Metrics;
use rt::metrics::{
    CounterF64Vec, CounterVec, Gauge, Histogram, HistogramVec, REQUEST_SECONDS_BUCKETS,
};

use crate::error::ApiError;

const USER: &[&str] = &["user"];
const BYTES_BUCKETS: &[f64] =
    &[64.0, 256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];
const MEMORY_BUCKETS: &[f64] = &[
    1024.0,
    8192.0,
    65_536.0,
    524_288.0,
    4_194_304.0,
    33_554_432.0,
    268_435_456.0,
    2_147_483_648.0,
];

/// Counters of one querier.
pub(crate) struct QueryMetrics {
    inflight: Gauge,
    queries: CounterVec,
    seconds: CounterF64Vec,
    series: CounterVec,
    chunks: CounterVec,
    chunk_bytes: CounterVec,
    samples: CounterVec,
    expression_bytes: HistogramVec,
    memory_bytes: Histogram,
    failures: CounterVec,
    rejected: CounterVec,
    durations: HistogramVec,
    /// Of requests over HTTP, by method, route and status.
    pub(crate) request_seconds: HistogramVec,
}

/// The limits that a query can go over, as Mimir names them where it counts them.
const REJECTIONS: &[(LimitKind, &str)] = &[
    (LimitKind::Series, "max-fetched-series-per-query"),
    (LimitKind::ChunkBytes, "max-fetched-chunk-bytes-per-query"),
    (LimitKind::Chunks, "max-fetched-chunks-per-query"),
    (LimitKind::EstimatedChunks, "max-estimated-fetched-chunks-per-query"),
    (LimitKind::Memory, "max-estimated-memory-consumption-per-query"),
];

/// Counts a query as under way until it is dropped.
pub(crate) struct Inflight(Gauge);

impl Drop for Inflight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl QueryMetrics {
    pub(crate) fn new(metrics: &Metrics, config: &QuerierConfig) -> Self {
        let concurrent =
            metrics.gauge("cortex_querier_queries_max_concurrent", "Queries that may run at once.");
        concurrent.set(i64::try_from(config.max_concurrent).unwrap_or(i64::MAX));
        let by_user = |name: &str, help: &str| metrics.counter_vec(name, help, USER);
        let rejected = metrics.counter_vec(
            "cortex_querier_queries_rejected_total",
            "Queries that went over a limit.",
            &["reason"],
        );
        // Shown from the start, so that a rate sees the first one.
        REJECTIONS.iter().for_each(|(_, reason)| _ = rejected.with(&[reason]));
        Self {
            rejected,
            inflight: metrics.gauge("cortex_querier_inflight_requests", "Queries under way."),
            queries: by_user("cortex_query_frontend_queries_total", "Queries that ended."),
            seconds: metrics.counter_f64_vec(
                "cortex_query_seconds_total",
                "Time that queries took.",
                USER,
            ),
            series: by_user("cortex_query_fetched_series_total", "Series fetched."),
            chunks: by_user("cortex_query_fetched_chunks_total", "Chunks fetched."),
            chunk_bytes: by_user("cortex_query_fetched_chunk_bytes_total", "Bytes of chunks."),
            samples: by_user("cortex_query_samples_processed_total", "Samples looked at."),
            expression_bytes: metrics.histogram_vec(
                "cortex_query_frontend_queries_expression_bytes",
                "Length of query expressions.",
                USER,
                BYTES_BUCKETS,
            ),
            memory_bytes: metrics.histogram(
                "cortex_mimir_query_engine_estimated_query_peak_memory_consumption",
                "The most memory that a query held at one time, bytes.",
                MEMORY_BUCKETS,
            ),
            failures: metrics.counter_vec(
                "urd_query_failures_total",
                "Queries that failed, by error type.",
                &["error_type"],
            ),
            request_seconds: metrics.histogram_vec(
                "cortex_querier_request_duration_seconds",
                "Time that requests to the querier took, seconds.",
                &["method", "route", "status_code", "ws"],
                REQUEST_SECONDS_BUCKETS,
            ),
            durations: metrics.histogram_vec(
                "urd_query_duration_seconds",
                "How long queries took.",
                &["outcome"],
                REQUEST_SECONDS_BUCKETS,
            ),
        }
    }

    /// Counts a query as under way.
    pub(crate) fn enter(&self) -> Inflight {
        self.inflight.inc();
        Inflight(self.inflight.clone())
    }

    /// Counts a query that has ended.
    pub(crate) fn finished(
        &self,
        (tenant, query_bytes): (&TenantId, usize),
        took: Duration,
        error: Option<&ApiError>,
    ) {
        let user = &[tenant.as_str()];
        self.queries.with(user).inc();
        self.seconds.with(user).inc_by(took.as_secs_f64());
        self.expression_bytes.with(user).observe(query_bytes as f64);
        let outcome = if error.is_none() { "success" } else { "error" };
        self.durations.with(&[outcome]).observe(took.as_secs_f64());
        if let Some(error) = error {
            self.failures.with(&[error.error_type.as_str()]).inc();
            // An error of the API has the limit in its text alone.
            let limit = LimitError::from_text(&error.message).map(|error| error.kind);
            if let Some((_, reason)) = REJECTIONS.iter().find(|(kind, _)| Some(*kind) == limit) {
                self.rejected.with(&[reason]).inc();
            }
        }
    }

    /// Counts what a query has used.
    pub(crate) fn used(&self, tenant: &TenantId, usage: &QueryUsage) {
        let user = &[tenant.as_str()];
        self.series.with(user).inc_by(usage.series);
        self.chunks.with(user).inc_by(usage.chunks);
        self.chunk_bytes.with(user).inc_by(usage.chunk_bytes);
        self.samples.with(user).inc_by(usage.samples);
        self.memory_bytes.observe(usage.peak_memory_bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/mixin-metrics.tsv");

    /// Of processes, caches and checks that a querier inside of one process does not have.
    const NOT_YET: &[&str] = &[
        "cortex_query_frontend_querier_ring_calculated_maximum_supported_query_plan_version",
        "cortex_query_frontend_queries_consistency_total",
        "cortex_query_frontend_queue_duration_seconds",
        "cortex_query_frontend_queue_length",
        "cortex_query_frontend_retries",
    ];

    #[test]
    fn queries_that_go_over_a_limit_are_counted_by_it() {
        let metrics = Metrics::new();
        let own = QueryMetrics::new(&metrics, &config::Config::default().querier);
        let tenant = TenantId::new("team").unwrap();
        let over = |kind| {
            let text = LimitError { kind, limit: 3 }.to_string();
            let error = ApiError::new(crate::error::ErrorType::Execution, text);
            own.finished((&tenant, 10), Duration::from_secs(1), Some(&error));
        };
        over(LimitKind::Chunks);
        over(LimitKind::Chunks);
        over(LimitKind::Memory);
        own.finished((&tenant, 10), Duration::from_secs(1), Some(&ApiError::bad_data("limit: 3")));
        let gathered = metrics.gather().unwrap();
        let name = "cortex_querier_queries_rejected_total";
        let counts = gathered.samples.iter().filter(|sample| sample.name == name);
        let mut counts: Vec<_> =
            counts.map(|sample| (sample.labels[0].1.as_str(), sample.value)).collect();
        counts.sort_by(|a, b| a.0.cmp(b.0));
        let want = [
            ("max-estimated-fetched-chunks-per-query", 0.0),
            ("max-estimated-memory-consumption-per-query", 1.0),
            ("max-fetched-chunk-bytes-per-query", 0.0),
            ("max-fetched-chunks-per-query", 2.0),
            ("max-fetched-series-per-query", 0.0),
        ];
        assert_eq!(counts, want);
    }

    #[test]
    fn the_dashboards_find_what_they_ask_for() {
        let Ok(table) = std::fs::read_to_string(TABLE) else {
            eprintln!("SKIPPED: {TABLE} is missing");
            return;
        };
        let metrics = Metrics::new();
        let own = QueryMetrics::new(&metrics, &config::Config::default().querier);
        let tenant = TenantId::new("team").unwrap();
        own.finished((&tenant, 10), Duration::from_secs(1), None);
        let gathered = metrics.gather().unwrap();
        let names = table.lines().filter_map(|line| line.split('\t').next());
        let of_queries = names.filter(|name| name.starts_with("cortex_query_frontend_"));
        for name in of_queries.filter(|name| {
            let is_part = ["_bucket", "_sum", "_count"].iter().any(|part| name.ends_with(part));
            !is_part && !NOT_YET.contains(name)
        }) {
            let is_it =
                |sample: &str| sample == name || sample.strip_prefix(name) == Some("_count");
            let sample = gathered.samples.iter().find(|sample| is_it(&sample.name));
            let sample = sample.unwrap_or_else(|| panic!("{name} is missing"));
            assert!(sample.labels.contains(&("user".to_owned(), "team".to_owned())), "{name}");
        }
    }
}
