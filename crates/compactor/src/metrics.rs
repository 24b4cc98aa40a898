//! The metrics of the compactor, under Mimir's names.

mod progress;

use model::{TenantId, TimestampMs};
use rt::Metrics;
use rt::metrics::{Counter, CounterVec, Gauge, GaugeF64, GaugeF64Vec, GaugeVec, Histogram};

use tsdb::meta::BlockMeta;

use bucket::NoCompactReason;
use progress::ProgressMetrics;

use crate::catalog::Catalog;
use crate::progress::Backlog;

const SYNC_SECONDS: &[f64] = &[0.1, 1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0];
const JOB_SECONDS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];
const DELTA_SECONDS: &[f64] =
    &[3600.0, 7200.0, 14_400.0, 28_800.0, 43_200.0, 64_800.0, 86_400.0, 129_600.0, 172_800.0];

/// Reasons for which blocks are marked here.
const SET_REASONS: [NoCompactReason; 4] = [
    NoCompactReason::BlockIndexOutOfOrderChunk,
    NoCompactReason::Critical,
    NoCompactReason::IndexSizeExceeding,
    NoCompactReason::PostingsOffsetTableTooLarge,
];

/// Counters of one compactor.
pub(crate) struct CompactorMetrics {
    pub(crate) cleaner: CleanerMetrics,
    pub(crate) runs: RunMetrics,
    pub(crate) jobs: JobMetrics,
    pub(crate) uploads: UploadMetrics,
    progress: ProgressMetrics,
    marked_no_compact: CounterVec,
    marked: CounterVec,
    syncs: Counter,
    sync_failures: Counter,
    sync_seconds: Histogram,
    blocks: GaugeVec,
    marked_blocks: GaugeVec,
    no_compact_blocks: GaugeVec,
    partial_blocks: GaugeVec,
    index_updated: GaugeF64Vec,
}

/// Counters of the cleaner.
pub(crate) struct CleanerMetrics {
    pub(crate) started: Counter,
    pub(crate) completed: Counter,
    pub(crate) failed: Counter,
    pub(crate) last_success: GaugeF64,
    pub(crate) blocks_deleted: Counter,
    pub(crate) block_failures: Counter,
}

/// Counters of rounds over all tenants.
pub(crate) struct RunMetrics {
    pub(crate) started: Counter,
    pub(crate) completed: Counter,
    failed: CounterVec,
    pub(crate) last_success: GaugeF64,
    discovered: Gauge,
    skipped: Gauge,
    succeeded: Gauge,
    processing_failed: Gauge,
}

/// Counters of jobs.
pub(crate) struct JobMetrics {
    pub(crate) started: Counter,
    pub(crate) completed: Counter,
    failures: Counter,
    disk_full: Counter,
    pub(crate) seconds: Histogram,
    pub(crate) max_time_delta: Histogram,
}

/// Counters of blocks that clients have uploaded.
pub(crate) struct UploadMetrics {
    blocks: CounterVec,
    bytes: CounterVec,
    files: CounterVec,
}

impl UploadMetrics {
    fn new(metrics: &Metrics) -> Self {
        let of_tenants = |name: &str, help: &str| metrics.counter_vec(name, help, &["user"]);
        Self {
            blocks: of_tenants(
                "cortex_block_upload_api_blocks_total",
                "Blocks that were uploaded and validated.",
            ),
            bytes: of_tenants("cortex_block_upload_api_bytes_total", "Bytes of these blocks."),
            files: of_tenants("cortex_block_upload_api_files_total", "Files of these blocks."),
        }
    }

    /// A block has been completed.
    pub(crate) fn completed(&self, tenant: &TenantId, meta: &BlockMeta) {
        let files = meta.thanos.as_ref().map_or(&[][..], |thanos| &thanos.files);
        let user = &[tenant.as_str()];
        self.blocks.with(user).inc();
        self.bytes.with(user).inc_by(files.iter().map(|file| file.size_bytes).sum());
        self.files.with(user).inc_by(files.len() as u64);
    }
}

impl CompactorMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let of_tenants = |name: &str, help: &str| metrics.gauge_vec(name, help, &["user"]);
        let marked_no_compact = metrics.counter_vec(
            "cortex_compactor_blocks_marked_for_no_compaction_total",
            "Blocks that were marked not to be compacted.",
            &["reason"],
        );
        for reason in SET_REASONS {
            marked_no_compact.with(&[reason.as_str()]).inc_by(0);
        }
        Self {
            progress: ProgressMetrics::new(metrics),
            marked_no_compact,
            cleaner: CleanerMetrics::new(metrics),
            runs: RunMetrics::new(metrics),
            jobs: JobMetrics::new(metrics),
            uploads: UploadMetrics::new(metrics),
            marked: metrics.counter_vec(
                "cortex_compactor_blocks_marked_for_deletion_total",
                "Blocks that were marked for deletion.",
                &["reason"],
            ),
            syncs: metrics.counter(
                "cortex_compactor_meta_syncs_total",
                "Looks at what stands in the bucket.",
            ),
            sync_failures: metrics.counter(
                "cortex_compactor_meta_sync_failures_total",
                "Looks at the bucket that failed.",
            ),
            sync_seconds: metrics.histogram(
                "cortex_compactor_meta_sync_duration_seconds",
                "How long a look at the bucket took.",
                SYNC_SECONDS,
            ),
            blocks: of_tenants("cortex_bucket_blocks_count", "Complete blocks in the bucket."),
            marked_blocks: of_tenants(
                "cortex_bucket_blocks_marked_for_deletion_count",
                "Blocks in the bucket that are marked for deletion.",
            ),
            no_compact_blocks: of_tenants(
                "cortex_bucket_blocks_marked_for_no_compaction_count",
                "Blocks in the bucket that are marked not to be compacted.",
            ),
            partial_blocks: of_tenants(
                "cortex_bucket_blocks_partials_count",
                "Blocks in the bucket without meta.json.",
            ),
            index_updated: metrics.gauge_f64_vec(
                "cortex_bucket_index_last_successful_update_timestamp_seconds",
                "When the bucket index was last written, seconds since the epoch.",
                &["user"],
            ),
        }
    }

    /// A look at the bucket has ended.
    pub(crate) fn synced(&self, seconds: f64, is_ok: bool) {
        self.syncs.inc();
        self.sync_seconds.observe(seconds);
        if !is_ok {
            self.sync_failures.inc();
        }
    }

    /// A block was marked.
    pub(crate) fn marked_for_deletion(&self, reason: &str) {
        self.marked.with(&[reason]).inc();
    }

    /// A block was marked not to be compacted.
    pub(crate) fn marked_for_no_compaction(&self, reason: NoCompactReason) {
        self.marked_no_compact.with(&[reason.as_str()]).inc();
    }

    /// What is left to do for a tenant.
    pub(crate) fn progressed(&self, user: &TenantId, backlog: &Backlog) {
        self.progress.set(user, backlog);
    }

    /// A tenant's index was written.
    pub(crate) fn tenant_cleaned(&self, user: &TenantId, catalog: &Catalog, now_ms: TimestampMs) {
        let user = &[user.as_str()];
        self.blocks.with(user).set(catalog.blocks.len() as i64);
        self.marked_blocks.with(user).set(catalog.deletion_marks.len() as i64);
        self.no_compact_blocks.with(user).set(catalog.no_compact_marks.len() as i64);
        self.partial_blocks.with(user).set(catalog.partial.len() as i64);
        self.index_updated.with(user).set(now_ms as f64 / 1000.0);
    }

    /// A tenant has nothing in the bucket any more.
    pub(crate) fn tenant_gone(&self, user: &TenantId) {
        self.progress.remove(user);
        let user = &[user.as_str()];
        self.no_compact_blocks.remove(user);
        self.blocks.remove(user);
        self.marked_blocks.remove(user);
        self.partial_blocks.remove(user);
        self.index_updated.remove(user);
    }
}

impl CleanerMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            started: metrics.counter(
                "cortex_compactor_block_cleanup_started_total",
                "Rounds of the cleaner that began.",
            ),
            completed: metrics.counter(
                "cortex_compactor_block_cleanup_completed_total",
                "Rounds of the cleaner without a failure.",
            ),
            failed: metrics.counter(
                "cortex_compactor_block_cleanup_failed_total",
                "Rounds of the cleaner with a failure.",
            ),
            last_success: metrics.gauge_f64(
                "cortex_compactor_block_cleanup_last_successful_run_timestamp_seconds",
                "When a round of the cleaner last ended well, seconds since the epoch.",
            ),
            blocks_deleted: metrics
                .counter("cortex_compactor_blocks_cleaned_total", "Blocks that were deleted."),
            block_failures: metrics.counter(
                "cortex_compactor_block_cleanup_failures_total",
                "Blocks that could not be deleted.",
            ),
        }
    }
}

impl RunMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            started: metrics.counter("cortex_compactor_runs_started_total", "Rounds that began."),
            completed: metrics
                .counter("cortex_compactor_runs_completed_total", "Rounds without a failure."),
            failed: metrics.counter_vec(
                "cortex_compactor_runs_failed_total",
                "Rounds with a failure, and those that the end of the process cut off.",
                &["reason"],
            ),
            last_success: metrics.gauge_f64(
                "cortex_compactor_last_successful_run_timestamp_seconds",
                "When a round last ended well, seconds since the epoch.",
            ),
            discovered: metrics
                .gauge("cortex_compactor_tenants_discovered", "Tenants of the current round."),
            skipped: metrics.gauge(
                "cortex_compactor_tenants_skipped",
                "Tenants of the current round that belong to others.",
            ),
            succeeded: metrics.gauge(
                "cortex_compactor_tenants_processing_succeeded",
                "Tenants of the current round that are done.",
            ),
            processing_failed: metrics.gauge(
                "cortex_compactor_tenants_processing_failed",
                "Tenants of the current round that failed.",
            ),
        }
    }

    pub(crate) fn failed(&self, reason: &str) {
        self.failed.with(&[reason]).inc();
    }

    /// A round over so many tenants begins.
    pub(crate) fn discovered(&self, tenants: usize) {
        self.discovered.set(tenants as i64);
        self.skipped.set(0);
        self.processed(0, 0);
    }

    pub(crate) fn processed(&self, succeeded: usize, failed: usize) {
        self.succeeded.set(succeeded as i64);
        self.processing_failed.set(failed as i64);
    }
}

impl JobMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            started: metrics.counter(
                "cortex_compactor_group_compaction_runs_started_total",
                "Jobs that began.",
            ),
            completed: metrics.counter(
                "cortex_compactor_group_compaction_runs_completed_total",
                "Jobs that ended well.",
            ),
            failures: metrics
                .counter("cortex_compactor_group_compactions_failures_total", "Jobs that failed."),
            disk_full: metrics.counter(
                "cortex_compactor_disk_out_of_space_errors_total",
                "Jobs for which there was no room on the disk.",
            ),
            seconds: metrics.histogram(
                "prometheus_tsdb_compaction_duration_seconds",
                "How long compactions took.",
                JOB_SECONDS,
            ),
            max_time_delta: metrics.histogram(
                "cortex_compactor_block_max_time_delta_seconds",
                "From the newest sample of a block that was written to the time of writing it.",
                DELTA_SECONDS,
            ),
        }
    }

    pub(crate) fn failed(&self, is_disk_full: bool) {
        self.failures.inc();
        if is_disk_full {
            self.disk_full.inc();
        }
    }
}
