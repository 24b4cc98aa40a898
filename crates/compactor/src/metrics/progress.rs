//! Whether the compactor keeps up, for each tenant. The estimate of jobs has Mimir's name; the other
//! two have no counterpart there.

use model::TenantId;
use rt::Metrics;
use rt::metrics::{GaugeF64Vec, GaugeVec};

use crate::progress::Backlog;

/// What is left to do.
pub(super) struct ProgressMetrics {
    jobs: GaugeVec,
    blocks: GaugeVec,
    oldest: GaugeF64Vec,
}

impl ProgressMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        // The estimate is made of what was read already and cannot fail; the dashboards show it
        // only where this stands beside it.
        metrics.counter(
            "cortex_bucket_index_estimated_compaction_jobs_errors_total",
            "Estimates of compaction jobs that failed.",
        );
        Self {
            jobs: metrics.gauge_vec(
                "cortex_bucket_index_estimated_compaction_jobs",
                "Compaction jobs that can run now.",
                &["user", "type"],
            ),
            blocks: metrics.gauge_vec(
                "urd_compactor_backlog_blocks",
                "Blocks that wait in compaction jobs that can run now.",
                &["user"],
            ),
            oldest: metrics.gauge_f64_vec(
                "urd_compactor_oldest_job_wait_seconds",
                "How long the job that waits longest could have run, seconds; 0 when none waits.",
                &["user"],
            ),
        }
    }

    pub(super) fn set(&self, user: &TenantId, backlog: &Backlog) {
        let user = user.as_str();
        self.jobs.with(&[user, "split"]).set(backlog.split_jobs as i64);
        self.jobs.with(&[user, "merge"]).set(backlog.merge_jobs as i64);
        self.blocks.with(&[user]).set(backlog.blocks as i64);
        self.oldest.with(&[user]).set(backlog.oldest_wait_ms.unwrap_or(0) as f64 / 1000.0);
    }

    pub(super) fn remove(&self, user: &TenantId) {
        let user = user.as_str();
        self.jobs.remove(&[user, "split"]);
        self.jobs.remove(&[user, "merge"]);
        self.blocks.remove(&[user]);
        self.oldest.remove(&[user]);
    }
}
