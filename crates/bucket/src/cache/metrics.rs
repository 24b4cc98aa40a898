//! What a cache over the network counts, under the names that Mimir's dashboards know.

use std::time::Duration;

use rt::Metrics;
use rt::metrics::{Counter, CounterVec, Histogram, HistogramVec};

const NAME_LABELS: &[&str] = &["name", "component", "backend"];
const OPERATION_LABELS: &[&str] = &["name", "component", "backend", "operation"];
const REASON_LABELS: &[&str] = &["name", "component", "backend", "operation", "reason"];
const SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 6.0, 10.0];
const SIZES: &[f64] = &[
    32.0,
    256.0,
    512.0,
    1024.0,
    32.0 * 1024.0,
    256.0 * 1024.0,
    512.0 * 1024.0,
    1024.0 * 1024.0,
    32.0 * 1024.0 * 1024.0,
    256.0 * 1024.0 * 1024.0,
    512.0 * 1024.0 * 1024.0,
];

/// Metrics of one cache of one component.
#[derive(Clone)]
pub struct CacheMetrics {
    labels: [&'static str; 3],
    /// Items asked for.
    pub(super) requests: Counter,
    /// Items found.
    pub(super) hits: Counter,
    operations: CounterVec,
    failures: CounterVec,
    skipped: CounterVec,
    seconds: HistogramVec,
    sizes: HistogramVec,
    /// How often a server was given up for a time.
    pub(super) circuits_opened: Counter,
}

impl CacheMetrics {
    /// Metrics of the cache `name` (for example `chunks-cache`) of `component`, kept in `backend`.
    pub fn new(
        metrics: &Metrics,
        name: &'static str,
        component: &'static str,
        backend: &'static str,
    ) -> Self {
        let labels = [name, component, backend];
        let count =
            |metric: &str, help| metrics.counter_vec(metric, help, NAME_LABELS).with(&labels);
        let by_reason = |metric: &str, help| metrics.counter_vec(metric, help, REASON_LABELS);
        let spread = |metric: &str, help, buckets| {
            metrics.histogram_vec(metric, help, OPERATION_LABELS, buckets)
        };
        Self {
            labels,
            requests: count("thanos_cache_requests_total", "Items asked for in a cache."),
            hits: count("thanos_cache_hits_total", "Items found in a cache."),
            operations: metrics.counter_vec(
                "thanos_cache_operations_total",
                "Operations on a cache.",
                OPERATION_LABELS,
            ),
            failures: by_reason(
                "thanos_cache_operation_failures_total",
                "Operations on a cache that failed.",
            ),
            skipped: by_reason(
                "thanos_cache_operation_skipped_total",
                "Operations on a cache that were left out.",
            ),
            seconds: spread(
                "thanos_cache_operation_duration_seconds",
                "How long operations on a cache took.",
                SECONDS,
            ),
            sizes: spread(
                "thanos_cache_operation_data_size_bytes",
                "How large the values written to and read from a cache are.",
                SIZES,
            ),
            circuits_opened: count(
                "urd_cache_circuits_opened_total",
                "How often a server of a cache was left alone for a time because it did not answer.",
            ),
        }
    }

    pub(super) fn started(&self, operation: &str) {
        self.operations.with(&self.with([operation])).inc();
    }

    pub(super) fn took(&self, operation: &str, time: Duration) {
        self.histogram(&self.seconds, operation).observe(time.as_secs_f64());
    }

    pub(super) fn moved(&self, operation: &str, bytes: usize) {
        self.histogram(&self.sizes, operation).observe(bytes as f64);
    }

    pub(super) fn failed(&self, operation: &str, reason: &str) {
        self.failures.with(&self.with([operation, reason])).inc();
    }

    pub(super) fn skipped(&self, operation: &str, reason: &str) {
        self.skipped.with(&self.with([operation, reason])).inc();
    }

    fn histogram(&self, of: &HistogramVec, operation: &str) -> Histogram {
        of.with(&self.with([operation]))
    }

    fn with<'a, const N: usize>(&self, more: [&'a str; N]) -> Vec<&'a str> {
        let labels = self.labels.iter().map(|label| -> &'a str { label });
        labels.chain(more).collect()
    }
}
