//! Metrics that are read off the open TSDBs at every scrape.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use config::Overrides;
use model::TenantId;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rt::Metrics;
use tsdb::db::DbStats;
use tsdb::head::ExemplarStats;

use super::active::encode_active;
use crate::rate::EwmaRate;
use crate::tenant::Tenant;
use crate::tenants::Tenants;

/// What the collector reads. It holds the TSDBs weakly: a registry must not keep them open.
pub(crate) struct Sources {
    pub(crate) tenants: Weak<Tenants>,
    pub(crate) overrides: Arc<Overrides>,
    pub(crate) ingestion: Arc<EwmaRate>,
    /// Counters of TSDBs that were closed.
    pub(crate) retired: Arc<Mutex<WalTotals>>,
}

/// Counters of write-ahead logs, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WalTotals {
    truncations: u64,
    failed_truncations: u64,
    failed_writes: u64,
    syncs: u64,
    failed_syncs: u64,
    completed_pages: u64,
    checkpoints: u64,
    failed_checkpoints: u64,
    checkpoint_deletions: u64,
    failed_checkpoint_deletions: u64,
    head_truncations: u64,
    failed_head_truncations: u64,
    shortenings: u64,
    shortening_micros: u64,
}

impl WalTotals {
    /// Adds the counters of a tenant's log.
    pub(crate) fn add(&mut self, tenant: &Tenant) {
        let maintenance = tenant.db().maintenance();
        self.head_truncations += maintenance.head_truncations.load(Relaxed);
        self.failed_head_truncations += maintenance.failed_head_truncations.load(Relaxed);
        self.shortenings += maintenance.log_shortenings.load(Relaxed);
        self.shortening_micros += maintenance.log_shortening_micros.load(Relaxed);
        let Some(wal) = tenant.db().wal() else { return };
        let stats = wal.stats();
        self.truncations += stats.truncations.load(Relaxed);
        self.failed_truncations += stats.failed_truncations.load(Relaxed);
        self.failed_writes += stats.failed_writes.load(Relaxed);
        self.syncs += stats.syncs.load(Relaxed);
        self.failed_syncs += stats.failed_syncs.load(Relaxed);
        self.completed_pages += stats.completed_pages.load(Relaxed);
        self.checkpoints += stats.checkpoints.load(Relaxed);
        self.failed_checkpoints += stats.failed_checkpoints.load(Relaxed);
        self.checkpoint_deletions += stats.checkpoint_deletions.load(Relaxed);
        self.failed_checkpoint_deletions += stats.failed_checkpoint_deletions.load(Relaxed);
    }
}

/// Registers everything that is read off the TSDBs.
pub(crate) fn register_collector(metrics: &Metrics, sources: Sources) {
    metrics.collector(Box::new(TsdbCollector(sources)));
}

struct TsdbCollector(Sources);

impl fmt::Debug for TsdbCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TsdbCollector")
    }
}

/// What one scrape reads of one tenant.
struct TenantFigures {
    id: TenantId,
    stats: DbStats,
    exemplars: ExemplarStats,
    blocks_bytes: u64,
    oldest_unshipped_ms: Option<i64>,
    max_series: u64,
}

impl TenantFigures {
    fn read(tenant: &Tenant, overrides: &Overrides) -> Self {
        Self {
            id: tenant.id().clone(),
            stats: tenant.db().stats(),
            exemplars: tenant.db().head().exemplar_stats(),
            blocks_bytes: tenant.blocks_bytes(),
            oldest_unshipped_ms: tenant.oldest_unshipped_ms(),
            max_series: overrides.limits(tenant.id()).max_global_series_per_user,
        }
    }
}

/// A family with one metric a tenant. Names of counters are without `_total`: the encoder adds it.
struct ByUser {
    name: &'static str,
    help: &'static str,
    is_counter: bool,
    value: fn(&TenantFigures) -> f64,
}

const BY_USER: &[ByUser] = &[
    ByUser {
        name: "cortex_ingester_memory_series_created",
        help: "Series that were created since the TSDB was opened",
        is_counter: true,
        value: |t| t.stats.created_series as f64,
    },
    ByUser {
        name: "cortex_ingester_memory_series_removed",
        help: "Series that were removed since the TSDB was opened",
        is_counter: true,
        value: |t| t.stats.removed_series as f64,
    },
    ByUser {
        name: "cortex_ingester_owned_series",
        help: "Series that this process owns",
        is_counter: false,
        value: |t| t.stats.series as f64,
    },
    ByUser {
        name: "cortex_ingester_tsdb_out_of_order_samples_appended",
        help: "Samples that came out of order and were stored since the TSDB was opened",
        is_counter: true,
        value: |t| t.stats.out_of_order_samples as f64,
    },
    ByUser {
        name: "cortex_ingester_tsdb_storage_blocks_bytes",
        help: "Bytes of the blocks on the local disk",
        is_counter: false,
        value: |t| t.blocks_bytes as f64,
    },
    ByUser {
        name: "cortex_ingester_tsdb_wal_storage_size_bytes",
        help: "Bytes of the write-ahead log on the local disk",
        is_counter: false,
        value: |t| t.stats.wal_bytes as f64,
    },
    ByUser {
        name: "cortex_ingester_tsdb_exemplar_exemplars_appended",
        help: "Exemplars that were stored since the TSDB was opened",
        is_counter: true,
        value: |t| t.exemplars.appended as f64,
    },
    ByUser {
        name: "cortex_ingester_tsdb_exemplar_series_with_exemplars_in_storage",
        help: "Series that have exemplars in memory",
        is_counter: false,
        value: |t| t.exemplars.series as f64,
    },
    ByUser {
        name: "cortex_ingester_tsdb_exemplar_last_exemplars_timestamp_seconds",
        help: "Time of the exemplar that came in first of those in memory",
        is_counter: false,
        value: |t| t.exemplars.oldest_ms as f64 / 1000.0,
    },
];

impl Collector for TsdbCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(tenants) = self.0.tenants.upgrade() else { return Ok(()) };
        let all = tenants.all();
        let figures: Vec<TenantFigures> =
            all.iter().map(|tenant| TenantFigures::read(tenant, &self.0.overrides)).collect();
        encode_sums(&mut encoder, &figures, self.0.ingestion.per_second())?;
        let totals = self.wal_totals(&all);
        encode_wal(&mut encoder, totals)?;
        encode_maintenance(&mut encoder, totals)?;
        if figures.is_empty() {
            return Ok(());
        }
        for family in BY_USER {
            encode_by_user(&mut encoder, family, &figures)?;
        }
        encode_limits(&mut encoder, &figures)?;
        let active: Vec<_> = all.iter().map(|tenant| (tenant.id(), tenant.active())).collect();
        encode_active(&mut encoder, &active)
    }
}

impl TsdbCollector {
    fn wal_totals(&self, tenants: &[Arc<Tenant>]) -> WalTotals {
        let mut totals = *self.0.retired.lock();
        tenants.iter().for_each(|tenant| totals.add(tenant));
        totals
    }
}

fn encode_sums(
    encoder: &mut DescriptorEncoder<'_>,
    figures: &[TenantFigures],
    ingestion_rate: f64,
) -> fmt::Result {
    let seconds = |ms: Option<i64>| ms.map_or(0.0, |ms| ms as f64 / 1000.0);
    let series: u64 = figures.iter().map(|t| t.stats.series).sum();
    let exemplars: u64 = figures.iter().map(|t| t.exemplars.stored).sum();
    let oldest_unshipped = figures.iter().filter_map(|t| t.oldest_unshipped_ms).min();
    let newest = figures.iter().filter_map(|t| t.stats.max_time_ms).max();
    for (name, help, value) in [
        ("cortex_ingester_memory_series", "Series in memory", series as f64),
        ("cortex_ingester_memory_users", "Tenants with an open TSDB", figures.len() as f64),
        (
            "cortex_ingester_oldest_unshipped_block_timestamp_seconds",
            "When the oldest block was made that is not in the bucket; 0 is none",
            seconds(oldest_unshipped),
        ),
        (
            "cortex_ingester_tsdb_head_max_timestamp_seconds",
            "Time of the newest sample in memory",
            seconds(newest),
        ),
        (
            "cortex_ingester_tsdb_exemplar_exemplars_in_storage",
            "Exemplars in memory",
            exemplars as f64,
        ),
        (
            "cortex_ingester_ingestion_rate_samples_per_second",
            "Samples a second, as a moving average",
            ingestion_rate,
        ),
    ] {
        let gauge = ConstGauge::new(value);
        gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    }
    Ok(())
}

fn encode_wal(encoder: &mut DescriptorEncoder<'_>, totals: WalTotals) -> fmt::Result {
    for (name, help, value) in [
        ("truncations", "Truncations of write-ahead logs", totals.truncations),
        ("truncations_failed", "Truncations that failed", totals.failed_truncations),
        ("writes_failed", "Writes to write-ahead logs that failed", totals.failed_writes),
        ("fsyncs", "Syncs of write-ahead logs", totals.syncs),
        ("fsyncs_failed", "Syncs of write-ahead logs that failed", totals.failed_syncs),
        ("completed_pages", "Pages of write-ahead logs that were filled", totals.completed_pages),
    ] {
        let name = format!("cortex_ingester_tsdb_wal_{name}");
        let counter = ConstCounter::new(value);
        counter.encode(encoder.encode_descriptor(&name, help, None, MetricType::Counter)?)?;
    }
    Ok(())
}

fn encode_maintenance(encoder: &mut DescriptorEncoder<'_>, totals: WalTotals) -> fmt::Result {
    for (name, help, value) in [
        ("checkpoint_creations", "Checkpoints of logs that were begun", totals.checkpoints),
        ("checkpoint_creations_failed", "Checkpoints that failed", totals.failed_checkpoints),
        (
            "checkpoint_deletions",
            "Times that checkpoints were deleted",
            totals.checkpoint_deletions,
        ),
        (
            "checkpoint_deletions_failed",
            "Times that checkpoints could not be deleted",
            totals.failed_checkpoint_deletions,
        ),
        ("head_truncations", "Truncations of heads", totals.head_truncations),
        (
            "head_truncations_failed",
            "Truncations of heads that failed",
            totals.failed_head_truncations,
        ),
    ] {
        let name = format!("cortex_ingester_tsdb_{name}");
        let counter = ConstCounter::new(value);
        counter.encode(encoder.encode_descriptor(&name, help, None, MetricType::Counter)?)?;
    }
    let name = "cortex_ingester_tsdb_wal_truncate_duration_seconds";
    let help = "How long it took to shorten write-ahead logs";
    // A summary for Mimir; sum and count are what a histogram has as well.
    let mut histogram = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    let (seconds, count) = (totals.shortening_micros as f64 / 1e6, totals.shortenings);
    histogram.encode_histogram::<NoLabelSet>(seconds, count, &[(f64::MAX, count)], None)
}

fn encode_by_user(
    encoder: &mut DescriptorEncoder<'_>,
    family: &ByUser,
    figures: &[TenantFigures],
) -> fmt::Result {
    let kind = if family.is_counter { MetricType::Counter } else { MetricType::Gauge };
    let mut metrics = encoder.encode_descriptor(family.name, family.help, None, kind)?;
    for tenant in figures {
        let labels = [("user", tenant.id.as_str())];
        let mut metric = metrics.encode_family(&labels)?;
        let value = (family.value)(tenant);
        if family.is_counter {
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        } else {
            metric.encode_gauge(&value)?;
        }
    }
    Ok(())
}

/// The limits of each tenant in this process: with one ingester the global ones.
fn encode_limits(encoder: &mut DescriptorEncoder<'_>, figures: &[TenantFigures]) -> fmt::Result {
    let mut metrics = encoder.encode_descriptor(
        "cortex_ingester_local_limits",
        "Limits of a tenant in this process",
        None,
        MetricType::Gauge,
    )?;
    for tenant in figures {
        let labels = [("limit", "max_global_series_per_user"), ("user", tenant.id.as_str())];
        metrics.encode_family(&labels)?.encode_gauge(&(tenant.max_series as f64))?;
    }
    Ok(())
}
