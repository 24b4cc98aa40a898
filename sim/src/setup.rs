//! The simulated cluster's shape and options: Mimir's defaults with all times divided by sixty,
//! about, so that half an hour holds what half a day does.

use std::sync::Arc;

use config::{Config, Limits, Overrides, WalFsync};
use config::{DurationList, GoDuration, PromDuration};
use model::TenantId;

use crate::truth::SeriesKey;
use crate::world::World;

/// How many tenants write.
pub(crate) const TENANTS: usize = 4;
/// The tenant whose samples come from two replicas of a sender, of which one is elected.
pub(crate) const HA_TENANT: usize = 3;
/// The tenant whose samples may come late.
pub(crate) const LATE_TENANT: usize = 2;
/// Series of each tenant.
pub(crate) const SERIES: usize = 8;
/// The series from this one on are native histograms.
pub(crate) const FIRST_HISTOGRAM: usize = 6;
/// So long must the elected replica have been silent before another one is elected, ms.
pub(crate) const HA_FAILOVER_MS: i64 = 20_000;
/// How old the time at which it was seen may become before the store is told, ms.
pub(crate) const HA_UPDATE_MS: i64 = 3_000;
/// The zones.
pub(crate) const ZONES: [&str; 3] = ["a", "b", "c"];
/// Between two syncs of a write-ahead log, ms.
pub(crate) const FSYNC_INTERVAL_MS: i64 = 1_000;
/// What was written within this time before a machine died may not have been synced: syncs come at
/// an interval, and some may have failed, ms.
pub(crate) const UNSYNCED_MS: i64 = 10 * FSYNC_INTERVAL_MS;
/// The age up to which ingesters are asked, ms.
pub(crate) const INGESTERS_WITHIN_MS: i64 = 720_000;

/// The age up to which samples are asked of ingesters alone, ms.
pub(crate) const INGESTERS_ONLY_MS: i64 = 360_000;

/// What a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Distributor,
    Ingester,
    Querier,
    Gateway,
    Compactor,
}

impl Kind {
    /// The first part of its nodes' names.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Distributor => "distributor",
            Self::Ingester => "ingester",
            Self::Querier => "querier",
            Self::Gateway => "gateway",
            Self::Compactor => "compactor",
        }
    }
}

/// The nodes that a simulation begins with.
pub(crate) fn nodes() -> Vec<(Kind, String)> {
    let of = |kind: Kind, names: &[&str]| {
        let names = names.iter().map(|name| (kind, format!("{}-{name}", kind.word())));
        names.collect::<Vec<_>>()
    };
    [
        of(Kind::Ingester, &["a-1", "b-1", "c-1", "a-2", "b-2", "c-2"]),
        of(Kind::Distributor, &["a-1", "b-1"]),
        of(Kind::Querier, &["b-1", "c-1"]),
        of(Kind::Gateway, &["a-1", "b-1", "c-1", "a-2"]),
        of(Kind::Compactor, &["a-1", "c-1"]),
    ]
    .concat()
}

/// The tenant with this number.
pub(crate) fn tenant(number: usize) -> TenantId {
    TenantId::new(&format!("team-{number}")).expect("the name of a tenant is valid")
}

/// Another tenant.
pub(crate) fn other_tenant(of: &TenantId) -> TenantId {
    (0..TENANTS).map(tenant).find(|other| other != of).unwrap_or_else(|| of.clone())
}

/// The metric that a series is of.
pub(crate) fn metric_of(series: usize) -> &'static str {
    if series < FIRST_HISTOGRAM { "sim_metric" } else { "sim_histogram" }
}

/// The labels of a series, sorted by name.
pub(crate) fn labels((tenant, series): SeriesKey) -> [(&'static str, String); 4] {
    [
        ("__name__", metric_of(series).to_owned()),
        ("grp", format!("g{}", group_of(series))),
        ("series", series.to_string()),
        ("tenant", format!("team-{tenant}")),
    ]
}

/// The group that a series is aggregated in.
pub(crate) fn group_of(series: usize) -> usize {
    series % 2
}

/// The series with these labels.
pub(crate) fn series_key<'a>(
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<SeriesKey> {
    let (mut tenant, mut series) = (None, None);
    for (name, value) in labels {
        match name {
            "tenant" => tenant = value.strip_prefix("team-").and_then(|n| n.parse().ok()),
            "series" => series = value.parse().ok(),
            _ => {}
        }
    }
    Some((tenant?, series?))
}

/// How this seed's cluster differs from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    /// Whether every write is synced: then the death of a machine loses nothing.
    pub(crate) syncs_always: bool,
    pub(crate) snapshots: bool,
    pub(crate) flushes_at_shutdown: bool,
    pub(crate) unregisters: bool,
    pub(crate) compresses_wal: bool,
    pub(crate) minimizes_requests: bool,
    pub(crate) splits_blocks: bool,
    /// Whether the rings are kept by gossip, not in a store that all share.
    pub(crate) gossips: bool,
}

impl Variant {
    /// The variant of a seed.
    pub(crate) fn of(world: &World) -> Self {
        Self {
            syncs_always: world.chance(400),
            snapshots: world.chance(300),
            flushes_at_shutdown: world.chance(200),
            unregisters: world.chance(300),
            compresses_wal: world.chance(300),
            minimizes_requests: world.chance(700),
            splits_blocks: world.chance(300),
            gossips: world.chance(100),
        }
    }
}

fn secs(seconds: i64) -> GoDuration {
    GoDuration::from_secs(seconds)
}

/// The options that all nodes share.
pub(crate) fn config(variant: Variant) -> Config {
    let mut config = Config::default();
    let tsdb = &mut config.blocks_storage.tsdb;
    tsdb.dir = "/tsdb".to_owned();
    tsdb.block_ranges_period = DurationList(vec![secs(180)]);
    tsdb.retention_period = secs(780);
    tsdb.ship_interval = secs(15);
    tsdb.head_compaction_interval = secs(30);
    tsdb.head_compaction_idle_timeout = secs(150);
    tsdb.stripe_size = 1;
    tsdb.wal_segment_size_bytes = 64 << 10;
    tsdb.out_of_order_capacity_max = 8;
    tsdb.wal_compression_enabled = variant.compresses_wal;
    tsdb.memory_snapshot_on_shutdown = variant.snapshots;
    tsdb.flush_blocks_on_shutdown = variant.flushes_at_shutdown;
    tsdb.wal_fsync = if variant.syncs_always { WalFsync::Always } else { WalFsync::Interval };
    tsdb.wal_fsync_interval = GoDuration::from_millis(FSYNC_INTERVAL_MS);
    let store = &mut config.blocks_storage.bucket_store;
    store.sync_dir = "/sync".to_owned();
    store.sync_interval = secs(60);
    store.ignore_deletion_mark_delay = secs(150);
    store.ignore_deletion_mark_while_querying_delay = secs(120);
    store.ignore_blocks_within = secs(0);
    store.bucket_index.max_stale_period = secs(240);
    store.bucket_index.update_on_error_interval = secs(10);
    config.querier.query_store_after = GoDuration::from_millis(INGESTERS_ONLY_MS);
    config.querier.timeout = secs(60);
    config.querier.lookback_delta = secs(60);
    config.querier.minimize_ingester_requests = variant.minimizes_requests;
    config.querier.minimize_ingester_requests_hedging_delay = secs(1);
    config.compactor.data_dir = "/compact".to_owned();
    config.compactor.block_ranges = DurationList(vec![secs(180), secs(360), secs(720)]);
    config.compactor.compaction_interval = secs(60);
    config.compactor.cleanup_interval = secs(45);
    config.compactor.first_level_compaction_wait_period = secs(60);
    config.compactor.deletion_delay = secs(400);
    config.distributor.remote_timeout = secs(2);
    config.distributor.ha_tracker.enable_ha_tracker = true;
    config.limits.ha_tracker_update_timeout = PromDuration::from_millis(HA_UPDATE_MS);
    config.limits.ha_tracker_update_timeout_jitter_max = PromDuration::from_millis(1_000);
    config.limits.ha_tracker_failover_timeout = PromDuration::from_millis(HA_FAILOVER_MS);
    let ring = &mut config.ingester.ring;
    ring.zone_awareness_enabled = true;
    ring.num_tokens = 24;
    ring.heartbeat_period = secs(10);
    ring.heartbeat_timeout = secs(40);
    ring.unregister_on_shutdown = variant.unregisters;
    let ring = &mut config.store_gateway.sharding_ring;
    ring.zone_awareness_enabled = true;
    ring.num_tokens = 24;
    ring.heartbeat_period = secs(10);
    ring.heartbeat_timeout = secs(40);
    let ring = &mut config.compactor.sharding_ring;
    ring.heartbeat_period = secs(10);
    ring.heartbeat_timeout = secs(40);
    config.limits.query_ingesters_within = PromDuration::from_millis(INGESTERS_WITHIN_MS);
    config
}

/// The options of one node.
pub(crate) fn config_of(shared: &Config, name: &str) -> Config {
    let mut config = shared.clone();
    let zone = format!("zone-{}", crate::truth::zone_of(name));
    let ring = &mut config.ingester.ring;
    (ring.instance_id, ring.instance_addr) = (name.to_owned(), name.to_owned());
    ring.instance_availability_zone.clone_from(&zone);
    let ring = &mut config.store_gateway.sharding_ring;
    (ring.instance_id, ring.instance_addr) = (name.to_owned(), name.to_owned());
    ring.instance_availability_zone = zone;
    let ring = &mut config.compactor.sharding_ring;
    (ring.instance_id, ring.instance_addr) = (name.to_owned(), name.to_owned());
    config
}

/// The tenants' limits: one has a shard of the ingesters, one may write late, one has replicas.
pub(crate) fn overrides(config: &Config, variant: Variant) -> Arc<Overrides> {
    let shards = if variant.splits_blocks { 2 } else { 0 };
    let of_shard = Limits {
        ingestion_tenant_shard_size: 3,
        store_gateway_tenant_shard_size: 3,
        compactor_split_and_merge_shards: shards,
        ..config.limits.clone()
    };
    let late =
        Limits { out_of_order_time_window: PromDuration::from_secs(120), ..config.limits.clone() };
    let ha = Limits { accept_ha_samples: true, ..config.limits.clone() };
    let tenants = [(1, of_shard), (LATE_TENANT, late), (HA_TENANT, ha)];
    let named = tenants.into_iter().map(|(number, limits)| (tenant(number).to_string(), limits));
    Arc::new(Overrides::new(config).with_tenants(named))
}
