//! What a single value cannot show: bounds and contradictions between options. Messages are
//! Mimir's where Mimir has the check. Called at the end of `resolve` and for every override.

mod object_storage;

use model::TenantId;

use crate::Config;
use crate::directories;
use crate::modules;
use crate::options::{
    BlocksStorageConfig, BucketStoreConfig, CacheBackend, CompactorConfig, IndexCacheBackend,
    IngesterRingConfig, KvBackend, KvStoreConfig, Limits, RetryAfterConfig, TsdbConfig, WalFsync,
};
use crate::value::{GoDuration, PromDuration};

type Check = Result<(), String>;

/// Checks a whole configuration.
pub(crate) fn config(config: &Config) -> Check {
    modules::check_target(&config.target.0)?;
    TenantId::new(&config.no_auth_tenant)
        .map_err(|error| format!("-auth.no-auth-tenant: {error}"))?;
    prefixes(config)?;
    retry_after(&config.distributor.retry_after_header)?;
    rings(config)?;
    clients(config)?;
    blocks_storage(&config.blocks_storage)?;
    compactor(&config.compactor)?;
    queries(config)?;
    directories::check_apart(&config.data_directories())?;
    if config.blocks_storage.tsdb.early_head_compaction_min_in_memory_series > 0
        && !config.ingester.active_series_metrics_enabled
    {
        return fail("early compaction requires -ingester.active-series-metrics-enabled");
    }
    limits(&config.limits, config.querier.query_store_after)
}

/// Checks the limits of one tenant, or the default ones.
pub(crate) fn limits(limits: &Limits, query_store_after: GoDuration) -> Check {
    let within = limits.query_ingesters_within.nanos();
    let after = query_store_after.nanos();
    if within != 0 && after != 0 && within <= after {
        return fail(
            "the -querier.query-ingesters-within setting must be greater than \
             -querier.query-store-after otherwise queries might return partial results",
        );
    }
    let multiplier = limits.max_estimated_fetched_chunks_per_query_multiplier;
    if multiplier != 0.0 && multiplier < 1.0 {
        return fail(
            "invalid value for -querier.max-estimated-fetched-chunks-per-query-multiplier: \
             must be 0 or greater than or equal to 1",
        );
    }
    if limits.ingestion_burst_factor != 0.0 && limits.ingestion_burst_factor < 1.0 {
        return fail(
            "invalid value for -distributor.ingestion-burst-factor: \
             must be 0 or greater than or equal to 1",
        );
    }
    let trackers = limits.active_series_additional_custom_trackers.0.len() as u64;
    let most = limits.max_active_series_additional_custom_trackers;
    if most != 0 && trackers > most {
        return Err(format!(
            "active_series_additional_custom_trackers validation failed: the number of custom \
             trackers [{trackers}] exceeds the configured limit [{most}]"
        ));
    }
    ha_tracker(limits)?;
    for (flag, rate) in [
        ("distributor.ingestion-rate-limit", limits.ingestion_rate),
        ("distributor.request-rate-limit", limits.request_rate),
    ] {
        if rate < 0.0 {
            return Err(format!("invalid value for -{flag}: must not be negative"));
        }
    }
    Ok(())
}

fn fail(message: &str) -> Check {
    Err(message.to_owned())
}

fn prefixes(config: &Config) -> Check {
    let prefixes = [
        ("http.prometheus-http-prefix", &config.api.prometheus_http_prefix),
        ("server.path-prefix", &config.server.http_path_prefix),
    ];
    for (flag, prefix) in prefixes {
        if !prefix.is_empty() && !prefix.starts_with('/') {
            return Err(format!("-{flag}: HTTP prefix should be empty or start with /"));
        }
    }
    Ok(())
}

fn retry_after(retry: &RetryAfterConfig) -> Check {
    let second = GoDuration::from_secs(1);
    if retry.min_backoff < second {
        return fail("retry min backoff duration should be greater than or equal to 1s");
    }
    if retry.max_backoff < second {
        return fail("retry max backoff duration should be greater than or equal to 1s");
    }
    Ok(())
}

/// A replica must have had the time to show up before another one is elected.
fn ha_tracker(limits: &Limits) -> Check {
    let (update, failover) = (limits.ha_tracker_update_timeout, limits.ha_tracker_failover_timeout);
    let jitter = limits.ha_tracker_update_timeout_jitter_max;
    if update.millis() <= 0 && failover.millis() <= 0 {
        return Ok(());
    }
    let least = update.millis() + jitter.millis() + 1000;
    if failover.millis() < least {
        return Err(format!(
            "HA Tracker failover timeout ({failover}) must be at least 1s greater than update \
             timeout - max jitter ({})",
            PromDuration::from_millis(least)
        ));
    }
    Ok(())
}

/// Mimir takes any name for store-gateways, and then every call fails.
fn clients(config: &Config) -> Check {
    let clients = [
        ("ingester_client", &config.ingester_client.grpc_client_config),
        ("querier.store_gateway_client", &config.querier.store_gateway_client.grpc),
    ];
    for (name, client) in clients {
        let wanted = client.grpc_compression.as_str();
        if !["", "gzip", "snappy", "s2"].contains(&wanted) {
            return Err(format!("invalid {name} config: unsupported compression type: {wanted:?}"));
        }
    }
    Ok(())
}

fn rings(config: &Config) -> Check {
    let ha_tracker = &config.distributor.ha_tracker;
    if ha_tracker.enable_ha_tracker && config.runs("distributor") {
        ring_store("distributor.ha-tracker", &ha_tracker.kvstore.kvstore())?;
    }
    let stores = [
        ("ingester", "ingester.ring", &config.ingester.ring.kvstore),
        ("distributor", "distributor.ring", &config.distributor.ring.kvstore),
        (
            "store-gateway",
            "store-gateway.sharding-ring",
            &config.store_gateway.sharding_ring.kvstore,
        ),
        ("compactor", "compactor.ring", &config.compactor.sharding_ring.kvstore),
    ];
    for (_, prefix, kvstore) in stores.iter().filter(|(ring, ..)| config.uses_ring(ring)) {
        ring_store(prefix, kvstore)?;
    }
    if config.runs("ingester") {
        ingester_tokens(&config.ingester.ring)?;
    }
    let timeouts = [
        config.ingester.ring.heartbeat_timeout,
        config.distributor.ring.heartbeat_timeout,
        config.store_gateway.sharding_ring.heartbeat_timeout,
        config.compactor.sharding_ring.heartbeat_timeout,
    ];
    if timeouts.iter().any(|timeout| !timeout.is_positive()) {
        return fail("heartbeat timeout must be greater than 0");
    }
    if config.ingester.ring.replication_factor == 0 {
        return fail("-ingester.ring.replication-factor must be greater than 0");
    }
    if config.store_gateway.sharding_ring.replication_factor == 0 {
        return fail("-store-gateway.sharding-ring.replication-factor must be greater than 0");
    }
    let dynamic = &config.store_gateway.dynamic_replication;
    if dynamic.enabled && dynamic.max_time_threshold.millis() < 3_600_000 {
        return fail(
            "invalid dynamic replication max time threshold, the value must be at least one hour",
        );
    }
    if dynamic.enabled && dynamic.multiple < 2 {
        return fail("invalid dynamic replication factor, the value must be at least 2");
    }
    Ok(())
}

fn ingester_tokens(ring: &IngesterRingConfig) -> Check {
    if ring.num_tokens == 0 {
        return fail("ring tokens can only be disabled when gRPC push is disabled");
    }
    if ring.token_generation_strategy == "random" && ring.spread_minimizing_join_ring_in_order {
        return fail(
            "\"spread-minimizing-join-ring-in-order\" must be false when using \
             \"random\" token generation strategy",
        );
    }
    Ok(())
}

fn ring_store(prefix: &str, kvstore: &KvStoreConfig) -> Check {
    let multi = &kvstore.multi;
    match kvstore.store {
        KvBackend::Consul => Err(format!("-{prefix}.store: the store consul is not built yet")),
        KvBackend::Etcd if kvstore.etcd.endpoints.0.is_empty() => {
            Err(format!("-{prefix}.etcd.endpoints must not be empty"))
        }
        KvBackend::Multi if multi.primary.is_empty() || multi.secondary.is_empty() => {
            Err(format!("-{prefix}.multi.primary and -{prefix}.multi.secondary must be set"))
        }
        KvBackend::Multi if multi.primary == multi.secondary => {
            Err(format!("-{prefix}.multi.primary and -{prefix}.multi.secondary must differ"))
        }
        _ => Ok(()),
    }
}

fn blocks_storage(storage: &BlocksStorageConfig) -> Check {
    let bucket = &storage.bucket;
    object_storage::bucket("blocks-storage", bucket)?;
    bucket_store(&storage.bucket_store)?;
    if !bucket.storage_prefix.chars().all(|c| c.is_ascii_alphanumeric()) {
        return fail(
            "storage prefix contains invalid characters, it may only contain digits and English \
             alphabet letters",
        );
    }
    tsdb(&storage.tsdb)
}

fn bucket_store(store: &BucketStoreConfig) -> Check {
    if store.postings_offsets_in_mem_sampling == 0 {
        return fail(
            "-blocks-storage.bucket-store.posting-offsets-in-mem-sampling must be positive",
        );
    }
    if !(store.series_fetch_preference > 0.0 && store.series_fetch_preference.is_finite()) {
        return fail("-blocks-storage.bucket-store.series-fetch-preference must be positive");
    }
    caches(store)
}

fn caches(store: &BucketStoreConfig) -> Check {
    let (index, chunks, metadata) =
        (&store.index_cache, &store.chunks_cache, &store.metadata_cache);
    let caches = [
        ("index", index.backend == IndexCacheBackend::Memcached, &index.memcached),
        ("chunks", chunks.backend == CacheBackend::Memcached, &chunks.memcached),
        ("metadata", metadata.backend == CacheBackend::Memcached, &metadata.memcached),
    ];
    for (name, is_used, memcached) in caches {
        let flags = format!("-blocks-storage.bucket-store.{name}-cache.memcached");
        if !is_used {
            continue;
        }
        if memcached.addresses.0.is_empty() {
            return Err(format!("no memcached addresses provided: set {flags}.addresses"));
        }
        if memcached.max_async_concurrency == 0 {
            return Err(format!("{flags}.max-async-concurrency must be positive"));
        }
        if !memcached.timeout.is_positive() || !memcached.connect_timeout.is_positive() {
            return Err(format!("{flags}.timeout and {flags}.connect-timeout must be positive"));
        }
    }
    Ok(())
}

fn compactor(compactor: &CompactorConfig) -> Check {
    let ranges = &compactor.block_ranges.0;
    if ranges.is_empty() || ranges.iter().any(|range| range.millis() <= 0) {
        return fail("-compactor.block-ranges must be positive");
    }
    for pair in ranges.windows(2) {
        if pair[1].millis() % pair[0].millis() != 0 {
            return Err(format!(
                "compactor block range periods should be divisible by the previous one, but {} \
                 is not divisible by {}",
                pair[1], pair[0]
            ));
        }
    }
    Ok(())
}

fn tsdb(tsdb: &TsdbConfig) -> Check {
    let fifteen_minutes = GoDuration::from_secs(15 * 60);
    if tsdb.dir.is_empty() {
        return fail("-blocks-storage.tsdb.dir must not be empty");
    }
    if tsdb.ship_interval.is_positive() && tsdb.ship_concurrency == 0 {
        return fail("invalid TSDB ship concurrency");
    }
    if !tsdb.head_compaction_interval.is_positive()
        || fifteen_minutes < tsdb.head_compaction_interval
    {
        return fail("invalid TSDB compaction interval");
    }
    if tsdb.head_compaction_concurrency == 0 {
        return fail("invalid TSDB compaction concurrency");
    }
    if tsdb.stripe_size <= 1 || !tsdb.stripe_size.is_power_of_two() {
        return fail("invalid TSDB stripe size");
    }
    if tsdb.wal_segment_size_bytes == 0 {
        return fail("invalid TSDB WAL segment size bytes");
    }
    if !(1..=255).contains(&tsdb.out_of_order_capacity_max) {
        return fail("invalid TSDB OOO chunks capacity, it must be between 1 and 255");
    }
    let percentage = tsdb.early_head_compaction_min_estimated_series_reduction_percentage;
    if percentage > 100 {
        return fail(
            "early compaction minimum series reduction percentage must be a value between 0 and \
             100 (included)",
        );
    }
    if tsdb.wal_fsync == WalFsync::Interval && !tsdb.wal_fsync_interval.is_positive() {
        return fail("-blocks-storage.tsdb.wal-fsync-interval must be greater than 0");
    }
    if tsdb.st_storage && !tsdb.xor2_encoding {
        return fail("-blocks-storage.tsdb.st-storage needs -blocks-storage.tsdb.xor2-encoding");
    }
    block_ranges(tsdb)
}

/// Each range is a multiple of the one before, and of a whole number of milliseconds.
fn block_ranges(tsdb: &TsdbConfig) -> Check {
    let ranges = &tsdb.block_ranges_period.0;
    if ranges.is_empty() {
        return fail("empty block ranges for TSDB");
    }
    let mut previous = GoDuration::from_millis(1);
    for range in ranges {
        if range.nanos() < previous.nanos() || range.nanos() % previous.nanos() != 0 {
            return Err(format!(
                "block range {range} is not a multiple of the one before ({previous})"
            ));
        }
        previous = *range;
    }
    Ok(())
}

fn queries(config: &Config) -> Check {
    let querier = &config.querier;
    if querier.max_concurrent == 0 {
        return fail("-querier.max-concurrent must be greater than 0");
    }
    let durations = [
        ("querier.timeout", querier.timeout),
        ("querier.lookback-delta", querier.lookback_delta),
        ("querier.default-evaluation-interval", querier.default_evaluation_interval),
        ("runtime-config.reload-period", config.runtime_config.period),
    ];
    for (flag, duration) in durations {
        if !duration.is_positive() {
            return Err(format!("-{flag} must be greater than 0"));
        }
    }
    Ok(())
}
