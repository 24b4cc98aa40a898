//! The store-gateway as `urd` builds it: the tenants that were queried, and their periodic sync.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bucket::{Bucket, TenantBucket};
use config::BucketStoreConfig;
use futures::StreamExt as _;
use hashbrown::HashMap;
use model::{Clock, Queryable, StorageError, TenantId};
use parking_lot::Mutex;
use rt::service::TimerService;
use rt::{BlockingHandle, Metrics, Service};
use wire::client::BlockStore;

use crate::cache::IndexCache;
use crate::listing::BlockList;
use crate::metrics::StoreMetrics;
use crate::querier::TenantQueryable;
use crate::store::{Store, StoreOptions};
use crate::tenant::Tenant;

/// A tenant that was not asked for so long is forgotten until it is asked for again.
const IDLE_TENANT_MS: i64 = 60 * 60 * 1000;
/// From so many tenants on those without blocks are forgotten at once: names of tenants that do
/// not exist must not fill the memory.
const MANY_TENANTS: usize = 10_000;
/// So many tenants are synced at the same time.
const CONCURRENT_SYNCS: usize = 4;
/// The sync never comes more often than this.
const MIN_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// What the store-gateway is built from.
pub struct Dependencies {
    /// `-blocks-storage.bucket-store.*`.
    pub config: BucketStoreConfig,
    /// Bounds that have no option yet.
    pub options: StoreOptions,
    /// The blocks' bucket.
    pub bucket: Bucket,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waits on compute threads for the bucket.
    pub blocking: BlockingHandle,
    /// The registry.
    pub metrics: Metrics,
}

/// Answers queries over the blocks of the bucket. Clones share everything.
///
/// What it returns must be used on threads that may block, never on those of the runtime.
#[derive(Clone)]
pub struct StoreGateway {
    store: Arc<Store>,
    tenants: Arc<Mutex<Tenants>>,
}

type Tenants = HashMap<TenantId, Arc<Tenant>>;

impl StoreGateway {
    /// A store-gateway that knows no tenant yet; it does nothing before it is asked.
    pub fn new(dependencies: Dependencies) -> Self {
        let Dependencies { config, options, bucket, clock, blocking, metrics } = dependencies;
        let store_metrics = StoreMetrics::new(&metrics);
        let cache = IndexCache::new(options.index_cache_bytes, store_metrics.cache.clone());
        let store = Arc::new(Store {
            bucket,
            config,
            options,
            clock,
            blocking,
            cache,
            metrics: store_metrics,
            objects: AtomicU64::new(0),
        });
        register_gauges(&metrics, &store);
        Self { store, tenants: Arc::default() }
    }

    /// The parts that are shared, for tests of single parts.
    #[cfg(test)]
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The service that brings the lists of blocks up to date, again and again.
    pub fn service(&self) -> Arc<dyn Service> {
        let gateway = self.clone();
        let period = self.store.config.sync_interval.std().max(MIN_SYNC_INTERVAL);
        Arc::new(TimerService::new("store-gateway", period, move || {
            let gateway = gateway.clone();
            async move {
                gateway.sync().await;
                Ok(())
            }
        }))
    }

    /// Brings the lists of all tenants that are in use up to date, and forgets the others. What
    /// fails is logged; the old list stays in use for a while.
    pub async fn sync(&self) {
        self.forget_idle();
        let tenants: Vec<Arc<Tenant>> = self.tenants.lock().values().cloned().collect();
        let syncs = tenants.into_iter().map(|tenant| self.sync_tenant(tenant));
        let results = futures::stream::iter(syncs).buffer_unordered(CONCURRENT_SYNCS);
        let failed = results.filter(|is_ok| std::future::ready(!is_ok)).count().await;
        if failed == 0 {
            self.store.metrics.lists.all_synced(self.store.clock.now_ms());
        }
    }

    async fn sync_tenant(&self, tenant: Arc<Tenant>) -> bool {
        let result = tenant.sync(&self.store).await;
        if let Err(error) = &result {
            tracing::warn!(user = %tenant.id(), %error, "could not list the blocks of the bucket");
        }
        result.is_ok()
    }

    fn tenant(&self, id: &TenantId) -> Arc<Tenant> {
        let now_ms = self.store.clock.now_ms();
        let mut tenants = self.tenants.lock();
        if tenants.len() >= MANY_TENANTS && !tenants.contains_key(id) {
            tenants.retain(|_, tenant| !is_empty(tenant));
        }
        let new =
            || Arc::new(Tenant::new(TenantBucket::new(self.store.bucket.clone(), id.clone())));
        let tenant = Arc::clone(tenants.entry(id.clone()).or_insert_with(new));
        self.store.metrics.lists.tenants.set(tenants.len() as i64);
        drop(tenants);
        tenant.touch(now_ms);
        tenant
    }

    fn forget_idle(&self) {
        let used_since_ms = self.store.clock.now_ms().saturating_sub(IDLE_TENANT_MS);
        let mut tenants = self.tenants.lock();
        let idle: Vec<Arc<Tenant>> = tenants
            .extract_if(|_, tenant| tenant.last_used_ms() < used_since_ms)
            .map(|(_, tenant)| tenant)
            .collect();
        self.store.metrics.lists.tenants.set(tenants.len() as i64);
        drop(tenants);
        for list in idle.iter().filter_map(|tenant| tenant.last_list()) {
            self.store.metrics.lists.changed(&list, &BlockList::default());
        }
    }
}

fn is_empty(tenant: &Tenant) -> bool {
    tenant.last_list().is_some_and(|list| list.found.blocks.is_empty())
}

/// The registry must not keep the store alive.
fn register_gauges(metrics: &Metrics, store: &Arc<Store>) {
    let store: Weak<Store> = Arc::downgrade(store);
    metrics.gauge_fn(
        "urd_store_gateway_index_cache_bytes",
        "Memory of the parts of indexes that are kept",
        move || store.upgrade().map_or(0.0, |store| store.cache.bytes() as f64),
    );
}

impl BlockStore for StoreGateway {
    fn queryable(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        let tenant = self.tenant(tenant);
        if tenant.current_list(&self.store).is_some_and(|list| list.needed.is_empty()) {
            return Ok(None);
        }
        Ok(Some(Arc::new(TenantQueryable { store: Arc::clone(&self.store), tenant })))
    }
}
