//! The metrics of the read path, under Mimir's names.

use std::time::Duration;

use config::QuerierConfig;
use model::context::QueryUsage;
use rt::Metrics;
use rt::metrics::{Counter, CounterVec, Gauge, Histogram, HistogramVec, REQUEST_SECONDS_BUCKETS};

use crate::error::ApiError;

const COUNT_BUCKETS: &[f64] =
    &[1.0, 8.0, 64.0, 512.0, 4096.0, 32_768.0, 262_144.0, 2_097_152.0, 16_777_216.0];
const BYTES_BUCKETS: &[f64] = &[
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
    seconds: HistogramVec,
    failures: CounterVec,
    series: Histogram,
    chunks: Histogram,
    chunk_bytes: Histogram,
    memory_bytes: Histogram,
    samples: Counter,
}

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
        Self {
            inflight: metrics.gauge("cortex_querier_inflight_requests", "Queries under way."),
            seconds: metrics.histogram_vec(
                "cortex_query_frontend_queries_duration_seconds",
                "How long queries took.",
                &["outcome"],
                REQUEST_SECONDS_BUCKETS,
            ),
            failures: metrics.counter_vec(
                "cortex_query_failures_total",
                "Queries that failed, by error type.",
                &["error_type"],
            ),
            series: metrics.histogram(
                "cortex_ingester_queried_series",
                "Series that a query fetched.",
                COUNT_BUCKETS,
            ),
            chunks: metrics.histogram(
                "cortex_query_fetched_chunks",
                "Chunks that a query fetched.",
                COUNT_BUCKETS,
            ),
            chunk_bytes: metrics.histogram(
                "cortex_query_fetched_chunk_bytes",
                "Bytes of chunks that a query fetched.",
                BYTES_BUCKETS,
            ),
            memory_bytes: metrics.histogram(
                "cortex_mimir_query_engine_estimated_query_peak_memory_consumption",
                "The most memory that a query held at one time, bytes.",
                BYTES_BUCKETS,
            ),
            samples: metrics
                .counter("cortex_query_samples_processed_total", "Samples that queries looked at."),
        }
    }

    /// Counts a query as under way.
    pub(crate) fn enter(&self) -> Inflight {
        self.inflight.inc();
        Inflight(self.inflight.clone())
    }

    pub(crate) fn finished(&self, took: Duration, error: Option<&ApiError>) {
        let outcome = if error.is_none() { "success" } else { "error" };
        self.seconds.with(&[outcome]).observe(took.as_secs_f64());
        if let Some(error) = error {
            self.failures.with(&[error.error_type.as_str()]).inc();
        }
    }

    pub(crate) fn used(&self, usage: &QueryUsage) {
        self.series.observe(usage.series as f64);
        self.chunks.observe(usage.chunks as f64);
        self.chunk_bytes.observe(usage.chunk_bytes as f64);
        self.memory_bytes.observe(usage.peak_memory_bytes as f64);
        self.samples.inc_by(usage.samples);
    }
}
