//! The store-gateway as `urd` builds it: the tenants of the bucket, the answers over their blocks,
//! and the work in the background that keeps both up to date.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bucket::cache::SharedCache;
use bucket::{IndexLoader, TenantBucket};
use config::{AllowedTenants, BucketStoreConfig};
use futures::StreamExt as _;
use hashbrown::{HashMap, HashSet};
use model::{Clock, StorageError, TenantId};
use parking_lot::Mutex;
use rt::service::{RunService, TimerService};
use rt::{BlockingHandle, ComputePool, Metrics, Service};
use tsdb::fs::{SharedFs, read_dir_if_exists};

use crate::budget::Budget;
use crate::cache::IndexCache;
use crate::gate::Gate;
use crate::hashes::SeriesHashes;
use crate::hedging::Hedging;
use crate::metrics::StoreMetrics;
use crate::sharding::{BlockOwner, BlockSharding};
use crate::store::{Store, StoreOptions};
use crate::tenant::Tenant;

/// From so many tenants on those without blocks are forgotten at once: names of tenants that do
/// not exist must not fill the memory.
const MANY_TENANTS: usize = 10_000;
/// The sync never comes more often than this.
const MIN_SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked whether the process has come into its ring.
const RING_WAIT: Duration = Duration::from_millis(200);
/// How often it is looked which index-headers are idle.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// No tenant: Mimir keeps something of its own there.
const RESERVED_DIR: &str = "__mimir_cluster";

/// What the store-gateway is built from.
pub struct Dependencies {
    /// `-blocks-storage.bucket-store.*`.
    pub config: BucketStoreConfig,
    /// Bounds that have no option yet.
    pub options: StoreOptions,
    /// Where parts of indexes are kept; `None` keeps them in this process.
    pub index_cache: Option<SharedCache>,
    /// Tenants that it answers for.
    pub allowed: AllowedTenants,
    /// Whose index-headers it keeps.
    pub sharding: Arc<dyn BlockSharding>,
    /// Reads the bucket indexes of the blocks' bucket.
    pub indexes: Arc<IndexLoader>,
    /// The local disk.
    pub fs: SharedFs,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waits on compute threads for the bucket.
    pub blocking: BlockingHandle,
    /// Threads for the work in the background.
    pub pool: ComputePool,
    /// The registry.
    pub metrics: Metrics,
}

/// Answers queries over the blocks of the bucket. Clones share everything.
///
/// What it returns must be used on threads that may block, never on those of the runtime.
#[derive(Clone)]
pub struct StoreGateway {
    pub(crate) store: Arc<Store>,
    tenants: Arc<Mutex<Tenants>>,
    pub(crate) allowed: Arc<AllowedTenants>,
    sharding: Arc<dyn BlockSharding>,
    pool: ComputePool,
}

type Tenants = HashMap<TenantId, Arc<Tenant>>;

impl StoreGateway {
    /// A store-gateway that knows no tenant yet.
    pub fn new(dependencies: Dependencies) -> Self {
        let Dependencies { config, options, fs, clock, blocking, pool, metrics, .. } = dependencies;
        let (indexes, sharding) = (dependencies.indexes, dependencies.sharding);
        let allowed = Arc::new(dependencies.allowed);
        let store_metrics = StoreMetrics::new(&metrics);
        let cache = match dependencies.index_cache {
            Some(shared) => IndexCache::shared(shared, store_metrics.cache.clone()),
            None => {
                let capacity_bytes = config.index_cache.inmemory.max_size_bytes;
                IndexCache::in_memory(capacity_bytes, store_metrics.cache.clone())
            }
        };
        let gate = |what, label, bounds| {
            Gate::new(what, bounds, Arc::clone(&clock), store_metrics.gates.with(&[label]))
        };
        let queries = (config.max_concurrent, config.max_concurrent_queue_timeout.std());
        let header = &config.index_header;
        let loads =
            (header.lazy_loading_concurrency, header.lazy_loading_concurrency_queue_timeout.std());
        let store = Arc::new(Store {
            bucket: indexes.bucket().clone(),
            indexes,
            requests: gate("a request", "query", queries),
            header_loads: gate("loading an index-header", "index_header", loads),
            hashes: SeriesHashes::new(config.series_hash_cache_max_size_bytes, &metrics),
            hedging: Arc::new(Hedging::new(config.hedged_requests_after.std(), &metrics)),
            budget: Budget::new(config.max_inflight_memory_bytes),
            config,
            options,
            clock,
            blocking,
            fs,
            cache,
            metrics: store_metrics,
            objects: AtomicU64::new(0),
        });
        register_gauges(&metrics, &store);
        Self { store, tenants: Arc::default(), allowed, sharding, pool }
    }

    /// The services that keep everything up to date.
    pub fn services(&self) -> Vec<Arc<dyn Service>> {
        let (gateway, period) = (self.clone(), self.store.config.sync_interval.std());
        let sync = RunService::new("store-gateway", move |stop| {
            let gateway = gateway.clone();
            async move {
                loop {
                    let is_known = gateway.sharding.is_known();
                    let wait = if is_known { period.max(MIN_SYNC_INTERVAL) } else { RING_WAIT };
                    if is_known {
                        gateway.run_in_background(Self::sync).await?;
                    }
                    let next = rt::time::timeout(wait, stop.cancelled());
                    if next.await.is_ok() {
                        return Ok(());
                    }
                }
            }
        });
        let gateway = self.clone();
        let idle = TimerService::new("store-gateway-headers", IDLE_CHECK_INTERVAL, move || {
            let gateway = gateway.clone();
            async move { gateway.run_in_background(Self::unload_idle).await }
        });
        vec![Arc::new(sync), Arc::new(idle), self.store.indexes.service()]
    }

    async fn run_in_background(&self, job: fn(&Self)) -> Result<(), rt::service::BoxError> {
        let gateway = self.clone();
        if let Err(error) = self.pool.run(move || job(&gateway)).await {
            // The next round may do better.
            tracing::warn!(%error, "the store-gateway could not do its work in the background");
        }
        Ok(())
    }

    /// Brings the tenants that belong to this process up to date. What fails is logged. Blocks.
    pub fn sync(&self) {
        let start = self.store.clock.monotonic();
        let result = self.store.blocking.block_on(self.sync_tenants());
        let seconds = self.store.seconds_since(start);
        let is_ok = match result {
            Ok(failed) => failed == 0,
            Err(error) => {
                tracing::warn!(%error, "could not list the tenants of the bucket");
                false
            }
        };
        self.store.metrics.lists.synced(seconds, is_ok, self.store.clock.now_ms());
    }

    /// How many tenants could not be brought up to date.
    async fn sync_tenants(&self) -> Result<usize, bucket::BucketError> {
        let ids = self.bucket_tenants().await?;
        self.store.metrics.lists.discovered.set(ids.len() as i64);
        let share = |id| self.sharding.share(id).map(|owns| (self.tenant(id), owns));
        let shares: Vec<_> = ids.iter().filter_map(share).collect();
        let syncs: Vec<_> =
            shares.iter().map(|(tenant, owns)| self.sync_tenant(tenant, owns)).collect();
        let concurrency = self.store.config.tenant_sync_concurrency.max(1);
        let results = futures::stream::iter(syncs).buffer_unordered(concurrency);
        let failed = results.filter(|is_ok| std::future::ready(!is_ok)).count().await;
        let own = shares.iter().map(|(tenant, _)| tenant.id().clone());
        self.forget_all_but(&own.collect());
        Ok(failed)
    }

    /// The tenants of the bucket.
    pub(crate) async fn bucket_tenants(&self) -> Result<Vec<TenantId>, bucket::BucketError> {
        let names = self.store.bucket.list_dirs("").await?;
        if names.is_empty() {
            self.store.bucket.check_reachable().await?;
        }
        let is_ours = |name: &&String| *name != RESERVED_DIR && self.allowed.allows(name);
        let names = names.iter().filter(is_ours);
        Ok(names.filter_map(|name| TenantId::new(name.as_str()).ok()).collect())
    }

    async fn sync_tenant(&self, tenant: &Arc<Tenant>, owns: &BlockOwner) -> bool {
        let result = tenant.sync(&self.store, owns).await;
        if let Err(error) = &result {
            tracing::warn!(user = %tenant.id(), %error, "could not bring the blocks up to date");
        }
        result.is_ok()
    }

    /// Forgets tenants that the bucket does not have any more or that belong to others, on local
    /// disk too.
    fn forget_all_but(&self, ids: &HashSet<TenantId>) {
        let mut tenants = self.tenants.lock();
        tenants.retain(|id, _| {
            let is_there = ids.contains(id);
            if !is_there {
                self.store.metrics.lists.tenant_size(id.as_str(), None);
            }
            is_there
        });
        self.store.metrics.lists.tenants.set(tenants.len() as i64);
        drop(tenants);
        let (fs, dir) = (&self.store.fs, self.store.sync_dir());
        for entry in read_dir_if_exists(&**fs, &dir).unwrap_or_default() {
            let is_gone = TenantId::new(entry.name.as_str()).is_ok_and(|id| !ids.contains(&id));
            if !entry.metadata.is_dir || !is_gone {
                continue;
            }
            if let Err(error) = fs.remove_dir_all(&dir.join(&entry.name)) {
                tracing::warn!(user = entry.name, %error, "could not remove index-headers");
            }
        }
    }

    /// Unloads idle index-headers and notes which are loaded.
    pub fn unload_idle(&self) {
        let timeout_ms = self.store.config.index_header.lazy_loading_idle_timeout.millis();
        let is_lazy = self.store.config.index_header.lazy_loading_enabled;
        let now_ms = self.store.clock.now_ms();
        let used_since_ms = (is_lazy && timeout_ms > 0).then(|| now_ms - timeout_ms);
        let tenants: Vec<Arc<Tenant>> = self.tenants.lock().values().cloned().collect();
        for tenant in tenants {
            tenant.unload_idle(&self.store, used_since_ms);
        }
    }

    pub(crate) fn tenant(&self, id: &TenantId) -> Arc<Tenant> {
        let mut tenants = self.tenants.lock();
        if tenants.len() >= MANY_TENANTS && !tenants.contains_key(id) {
            tenants.retain(|_, tenant| !tenant.is_empty());
        }
        let new =
            || Arc::new(Tenant::new(TenantBucket::new(self.store.bucket.clone(), id.clone())));
        let tenant = Arc::clone(tenants.entry(id.clone()).or_insert_with(new));
        self.store.metrics.lists.tenants.set(tenants.len() as i64);
        tenant
    }
}

impl Store {
    /// A file that cannot be read is an error that another store-gateway may not have.
    pub(crate) fn is_elsewhere(error: &StorageError) -> bool {
        matches!(error, StorageError::Unavailable(_))
    }
}

fn register_gauges(metrics: &Metrics, store: &Arc<Store>) {
    let gauge = |name, help, value: fn(&Store) -> f64| {
        // The registry must not keep the store alive.
        let weak: Weak<Store> = Arc::downgrade(store);
        metrics.gauge_fn(name, help, move || weak.upgrade().map_or(0.0, |store| value(&store)));
    };
    gauge(
        "thanos_store_index_cache_total_size_bytes",
        "Memory of the parts of indexes that are kept in this process.",
        |store| store.cache.bytes() as f64,
    );
    gauge(
        "thanos_store_index_cache_items",
        "Parts of indexes that are kept in this process.",
        |store| store.cache.items() as f64,
    );
    gauge(
        "urd_store_gateway_request_memory_bytes",
        "Memory that requests have taken for what they read",
        |store| store.budget.used_bytes() as f64,
    );
}
