//! Counts and times of bucket operations, under the names that Mimir's dashboards know.

use std::time::Duration;

use rt::Metrics;
use rt::metrics::{CounterVec, GaugeF64Vec, HistogramVec};

const LABELS: &[&str] = &["operation", "component"];
const SECONDS: &[f64] = &[0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0];

/// Metrics of the operations of one component.
#[derive(Clone)]
pub struct BucketMetrics {
    component: &'static str,
    operations: CounterVec,
    failures: CounterVec,
    seconds: HistogramVec,
    fetched: CounterVec,
    last_upload: GaugeF64Vec,
}

impl BucketMetrics {
    /// Metrics with the label `component`.
    pub fn new(metrics: &Metrics, component: &'static str) -> Self {
        Self {
            component,
            operations: metrics.counter_vec(
                "thanos_objstore_bucket_operations_total",
                "Bucket operations.",
                LABELS,
            ),
            failures: metrics.counter_vec(
                "thanos_objstore_bucket_operation_failures_total",
                "Bucket operations that failed.",
                LABELS,
            ),
            seconds: metrics.histogram_vec(
                "thanos_objstore_bucket_operation_duration_seconds",
                "How long bucket operations took.",
                LABELS,
                SECONDS,
            ),
            fetched: metrics.counter_vec(
                "thanos_objstore_bucket_operation_fetched_bytes_total",
                "Bytes that came from the bucket.",
                LABELS,
            ),
            last_upload: metrics.gauge_f64_vec(
                "thanos_objstore_bucket_last_successful_upload_time",
                "When something was last uploaded, seconds since the epoch.",
                &["component"],
            ),
        }
    }

    pub(crate) fn observe(&self, operation: &str, took: Duration, is_failure: bool) {
        let labels = &[operation, self.component];
        self.operations.with(labels).inc();
        if is_failure {
            self.failures.with(labels).inc();
        }
        self.seconds.with(labels).observe(took.as_secs_f64());
    }

    pub(crate) fn fetched(&self, operation: &str, bytes: usize) {
        self.fetched.with(&[operation, self.component]).inc_by(bytes as u64);
    }

    pub(crate) fn uploaded(&self, now_ms: i64) {
        self.last_upload.with(&[self.component]).set(now_ms as f64 / 1000.0);
    }
}
