//! The metrics of the ingester, its TSDBs and its shipper, under Mimir's names: what happened is
//! counted here, what is there is asked for at every scrape (`collector.rs`).

mod active;
mod collector;

use std::sync::Arc;
use std::time::Duration;

use config::IngesterInstanceLimits;
use model::TenantId;
use rt::Metrics;
use rt::metrics::{Counter, CounterF64, CounterVec, Gauge, GaugeF64, Histogram};
use tsdb::head::{AppendOutcome, ExemplarOutcome, RejectionKind, ReplayReport};

use crate::errors::{InstanceLimit, discard_reason};
use crate::inflight::Inflight;
use crate::metadata::MetadataOutcome;

pub(crate) use collector::{Sources, WalTotals, register_collector};

const USER: &[&str] = &["user"];
/// Powers of two from 1 s, as in Prometheus' TSDB.
const COMPACTION_SECONDS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];
const QUERIED_SERIES: &[f64] = &[10.0, 80.0, 640.0, 5_120.0, 40_960.0, 327_680.0];
const QUERIED_EXEMPLARS: &[f64] = &[10.0, 50.0, 250.0, 1_250.0, 6_250.0];
const QUERIED_SAMPLES: &[f64] =
    &[10.0, 80.0, 640.0, 5_120.0, 40_960.0, 327_680.0, 2_621_440.0, 20_971_520.0];

/// Counters of one ingester.
pub(crate) struct IngesterMetrics {
    ingested_samples: CounterVec,
    ingested_samples_failures: CounterVec,
    exemplars: ExemplarMetrics,
    ingested_metadata: Counter,
    ingested_metadata_failures: Counter,
    metadata_created: CounterVec,
    metadata_removed: CounterVec,
    discarded_samples: CounterVec,
    discarded_metadata: CounterVec,
    instance_rejected: CounterVec,
    wal_corruptions: Counter,
    head_chunk_corruptions: Counter,
    snapshot_errors: Counter,
    unknown_refs: CounterVec,
    /// Seconds that the opening of all TSDBs took at the start.
    pub(crate) open_seconds: CounterF64,
    idle_checks: CounterVec,
    /// 1 while a shutdown is prepared.
    pub(crate) shutdown_prepared: Gauge,
    pub(crate) queries: QueryMetrics,
    pub(crate) compaction: CompactionMetrics,
    pub(crate) shipper: ShipperMetrics,
}

fn idle_checks(metrics: &Metrics) -> CounterVec {
    metrics.counter_vec(
        "cortex_ingester_idle_tsdb_checks_total",
        "Looks at TSDBs that may be idle, by what was found.",
        &["result"],
    )
}

fn shutdown_prepared(metrics: &Metrics) -> Gauge {
    let help = "1 when the next end was asked to flush and to unregister.";
    metrics.gauge("cortex_ingester_prepare_shutdown_requested", help)
}

/// A tenant's own counters; looked up once, when its TSDB is opened.
pub(crate) struct TenantCounters {
    ingested_samples: Counter,
    ingested_samples_failures: Counter,
}

/// Counters of queries.
#[derive(Clone)]
pub(crate) struct QueryMetrics {
    pub(crate) series: Histogram,
    pub(crate) samples: Histogram,
    pub(crate) exemplars: Histogram,
}

/// Counters of cutting heads.
pub(crate) struct CompactionMetrics {
    triggered: Counter,
    written: Counter,
    failed: Counter,
    seconds: Histogram,
    /// How many heads are being cut for another reason than that they are wide.
    pub(crate) forced_in_progress: Gauge,
    /// Heads that were cut early because their tenant had too many series.
    pub(crate) early_of_tenant: Counter,
}

/// Counters of uploads.
pub(crate) struct ShipperMetrics {
    pub(crate) uploads: Counter,
    pub(crate) upload_failures: Counter,
    pub(crate) dir_syncs: Counter,
    pub(crate) dir_sync_failures: Counter,
    pub(crate) last_successful_upload: GaugeF64,
}

/// Counters of exemplars.
struct ExemplarMetrics {
    ingested: Counter,
    failures: Counter,
}

impl ExemplarMetrics {
    fn new(metrics: &Metrics) -> Self {
        let (ok, failed) = (
            "cortex_ingester_ingested_exemplars_total",
            "cortex_ingester_ingested_exemplars_failures_total",
        );
        Self {
            ingested: metrics.counter(ok, "Exemplars that were stored."),
            failures: metrics.counter(failed, "Exemplars that were not stored."),
        }
    }
}

impl IngesterMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let by_user = |name: &str, help: &str| metrics.counter_vec(name, help, USER);
        let failures = "cortex_ingester_ingested_metadata_failures_total";
        Self {
            ingested_samples: by_user(
                "cortex_ingester_ingested_samples_total",
                "Samples that were stored.",
            ),
            ingested_samples_failures: by_user(
                "cortex_ingester_ingested_samples_failures_total",
                "Samples that were not stored.",
            ),
            exemplars: ExemplarMetrics::new(metrics),
            ingested_metadata: metrics
                .counter("cortex_ingester_ingested_metadata_total", "Metadata that were taken in."),
            ingested_metadata_failures: metrics.counter(failures, "Metadata that were refused."),
            metadata_created: by_user(
                "cortex_ingester_memory_metadata_created_total",
                "Metadata that were new in memory.",
            ),
            metadata_removed: by_user(
                "cortex_ingester_memory_metadata_removed_total",
                "Metadata that were removed from memory.",
            ),
            discarded_samples: metrics.counter_vec(
                "cortex_discarded_samples_total",
                "Samples that were discarded.",
                &["reason", "user", "group"],
            ),
            discarded_metadata: metrics.counter_vec(
                "cortex_discarded_metadata_total",
                "Metadata that were discarded.",
                &["reason", "user"],
            ),
            instance_rejected: metrics.counter_vec(
                "cortex_ingester_instance_rejected_requests_total",
                "Requests refused because a limit of this process was reached.",
                &["reason"],
            ),
            wal_corruptions: metrics.counter(
                "cortex_ingester_tsdb_wal_corruptions_total",
                "Damage of a log that was met when a TSDB was opened.",
            ),
            head_chunk_corruptions: metrics.counter(
                "cortex_ingester_tsdb_mmap_chunk_corruptions_total",
                "Damage of head chunk files that was met when a TSDB was opened.",
            ),
            snapshot_errors: metrics.counter(
                "cortex_ingester_tsdb_snapshot_replay_error_total",
                "Snapshots of heads that could not be used when a TSDB was opened.",
            ),
            unknown_refs: metrics.counter_vec(
                "cortex_ingester_tsdb_wal_replay_unknown_refs_total",
                "Records of a log that belong to no series.",
                &["user", "type"],
            ),
            open_seconds: metrics.counter_f64(
                "cortex_ingester_tsdb_open_duration_seconds_total",
                "How long it took to open all TSDBs at the start.",
            ),
            shutdown_prepared: shutdown_prepared(metrics),
            idle_checks: idle_checks(metrics),
            queries: QueryMetrics::new(metrics),
            compaction: CompactionMetrics::new(metrics),
            shipper: ShipperMetrics::new(metrics),
        }
    }

    /// Counts what was met when a TSDB was opened.
    pub(crate) fn opened(&self, id: &TenantId, report: &ReplayReport) {
        let elsewhere = report.corrupt_head_chunks + report.corrupt_snapshots;
        self.wal_corruptions.inc_by((report.damage.len() as u64).saturating_sub(elsewhere));
        self.head_chunk_corruptions.inc_by(report.corrupt_head_chunks);
        self.snapshot_errors.inc_by(report.corrupt_snapshots);
        if report.unknown_series_samples > 0 {
            let labels = &[id.as_str(), "samples"];
            self.unknown_refs.with(labels).inc_by(report.unknown_series_samples);
        }
    }

    /// The counters of a tenant.
    pub(crate) fn tenant(&self, id: &TenantId) -> TenantCounters {
        let user = &[id.as_str()];
        TenantCounters {
            ingested_samples: self.ingested_samples.with(user),
            ingested_samples_failures: self.ingested_samples_failures.with(user),
        }
    }

    /// Forgets the counters of a tenant whose TSDB is gone.
    pub(crate) fn forget_tenant(&self, id: &TenantId) {
        let user = &[id.as_str()];
        self.ingested_samples.remove(user);
        self.ingested_samples_failures.remove(user);
    }

    /// Counts the samples that an append refused.
    pub(crate) fn discarded(&self, id: &TenantId, outcome: &AppendOutcome) {
        for kind in RejectionKind::ALL {
            let count = outcome.rejected(kind);
            if count > 0 {
                let labels = &[discard_reason(kind), id.as_str(), ""];
                self.discarded_samples.with(labels).inc_by(count);
            }
        }
    }

    /// Counts what became of the exemplars of a request.
    pub(crate) fn exemplars(&self, outcome: &ExemplarOutcome) {
        self.exemplars.ingested.inc_by(outcome.accepted);
        self.exemplars.failures.inc_by(outcome.failed);
    }

    /// Counts what became of the metadata of a request.
    pub(crate) fn metadata(&self, id: &TenantId, outcome: &MetadataOutcome) {
        self.ingested_metadata.inc_by(outcome.accepted);
        self.ingested_metadata_failures
            .inc_by(outcome.refused_per_user + outcome.refused_per_metric);
        if outcome.created > 0 {
            self.metadata_created.with(&[id.as_str()]).inc_by(outcome.created);
        }
        for (reason, count) in [
            ("per_user_metadata_limit", outcome.refused_per_user),
            ("per_metric_metadata_limit", outcome.refused_per_metric),
        ] {
            if count > 0 {
                self.discarded_metadata.with(&[reason, id.as_str()]).inc_by(count);
            }
        }
    }

    /// Counts metadata that were forgotten.
    pub(crate) fn metadata_removed(&self, id: &TenantId, count: usize) {
        if count > 0 {
            self.metadata_removed.with(&[id.as_str()]).inc_by(count as u64);
        }
    }

    /// Counts a look at a TSDB that may be idle.
    pub(crate) fn idle_check(&self, result: &str) {
        self.idle_checks.with(&[result]).inc();
    }

    /// Counts a request that a limit of the process refused.
    pub(crate) fn rejected(&self, limit: InstanceLimit) {
        self.instance_rejected.with(&[limit.reason()]).inc();
    }
}

impl TenantCounters {
    /// Counts samples.
    pub(crate) fn pushed(&self, stored: u64, failed: u64) {
        self.ingested_samples.inc_by(stored);
        if failed > 0 {
            self.ingested_samples_failures.inc_by(failed);
        }
    }
}

impl QueryMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            series: metrics.histogram(
                "cortex_ingester_queried_series",
                "Series that a selection returned.",
                QUERIED_SERIES,
            ),
            samples: metrics.histogram(
                "cortex_ingester_queried_samples",
                "Samples that a selection returned.",
                QUERIED_SAMPLES,
            ),
            exemplars: metrics.histogram(
                "cortex_ingester_queried_exemplars",
                "Exemplars that a query returned.",
                QUERIED_EXEMPLARS,
            ),
        }
    }
}

impl CompactionMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            triggered: metrics.counter(
                "cortex_ingester_tsdb_compactions_triggered_total",
                "Heads that were looked at, to be cut where that is due.",
            ),
            written: metrics.counter(
                "cortex_ingester_tsdb_compactions_total",
                "Blocks that were cut from heads.",
            ),
            failed: metrics.counter(
                "cortex_ingester_tsdb_compactions_failed_total",
                "Attempts to cut a head that failed.",
            ),
            seconds: metrics.histogram(
                "cortex_ingester_tsdb_compaction_duration_seconds",
                "How long it took to cut the blocks of a head.",
                COMPACTION_SECONDS,
            ),
            forced_in_progress: metrics.gauge(
                "cortex_ingester_tsdb_forced_compactions_in_progress",
                "How many heads are being cut before their time at this moment.",
            ),
            early_of_tenant: metrics.counter(
                "cortex_ingester_tsdb_per_tenant_early_compactions_triggered_total",
                "Heads that were cut early because their tenant had too many series.",
            ),
        }
    }

    /// Counts a head that is looked at.
    pub(crate) fn triggered(&self) {
        self.triggered.inc();
    }

    /// Counts an attempt; `blocks` is `None` when it failed.
    pub(crate) fn ended(&self, took: Duration, blocks: Option<usize>) {
        match blocks {
            None => _ = self.failed.inc(),
            Some(0) => {}
            Some(blocks) => {
                self.written.inc_by(blocks as u64);
                self.seconds.observe(took.as_secs_f64());
            }
        }
    }
}

impl ShipperMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            uploads: metrics
                .counter("cortex_ingester_shipper_uploads_total", "Blocks that were uploaded."),
            upload_failures: metrics.counter(
                "cortex_ingester_shipper_upload_failures_total",
                "Uploads of a block that failed.",
            ),
            dir_syncs: metrics.counter(
                "cortex_ingester_shipper_dir_syncs_total",
                "Searches for blocks to upload.",
            ),
            dir_sync_failures: metrics.counter(
                "cortex_ingester_shipper_dir_sync_failures_total",
                "Searches for blocks to upload that failed.",
            ),
            last_successful_upload: metrics.gauge_f64(
                "cortex_ingester_shipper_last_successful_upload_timestamp_seconds",
                "When a block was last uploaded.",
            ),
        }
    }
}

/// Registers what is under way and the limits of this process.
pub(crate) fn register_instance(
    metrics: &Metrics,
    inflight: &Arc<Inflight>,
    limits: impl Fn() -> IngesterInstanceLimits + Send + Sync + 'static,
) {
    let (requests, bytes) = (Arc::clone(inflight), Arc::clone(inflight));
    metrics.gauge_fn(
        "cortex_ingester_inflight_push_requests",
        "Push requests under way.",
        move || requests.requests() as f64,
    );
    metrics.gauge_fn(
        "cortex_ingester_inflight_push_requests_bytes",
        "Bytes of push requests under way, where they are limited.",
        move || bytes.bytes() as f64,
    );
    metrics.gauges_fn(
        "cortex_ingester_instance_limits",
        "Limits of this process; 0 is none.",
        "limit",
        move || {
            let limits = limits();
            vec![
                ("max_ingestion_rate", limits.max_ingestion_rate),
                ("max_tenants", limits.max_tenants as f64),
                ("max_series", limits.max_series as f64),
                ("max_inflight_push_requests", limits.max_inflight_push_requests as f64),
                (
                    "max_inflight_push_requests_bytes",
                    limits.max_inflight_push_requests_bytes as f64,
                ),
            ]
        },
    );
}
