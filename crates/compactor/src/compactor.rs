//! The compactor as `urd` builds it: what it holds, its two services, and which tenants are its
//! own.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bucket::{Bucket, BucketError, TenantBucket};
use config::{AllowedTenants, CompactorConfig, Overrides};
use futures::FutureExt as _;
use hashbrown::HashMap;
use model::{Clock, Random, TenantId};
use parking_lot::Mutex;
use rt::service::BoxError;
use rt::{BoxFuture, CancellationToken, ComputePool, Metrics, Service, TaskGroup};
use tsdb::fs::SharedFs;

use crate::catalog::Catalog;
use crate::metrics::CompactorMetrics;
use crate::sharding::JobSharding;

/// A directory of the bucket that is no tenant's.
const CLUSTER_DIR: &str = "__mimir_cluster";

/// What the compactor is built from.
pub struct Dependencies {
    /// `-compactor.*`.
    pub config: CompactorConfig,
    /// Limits of the tenants.
    pub overrides: Arc<Overrides>,
    /// The blocks' bucket.
    pub bucket: Bucket,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of new blocks.
    pub random: Arc<dyn Random>,
    /// Threads for compactions.
    pub pool: ComputePool,
    /// The local disk.
    pub fs: SharedFs,
    /// The registry.
    pub metrics: Metrics,
    /// Whose blocks it cleans, and which jobs it runs.
    pub sharding: Arc<dyn JobSharding>,
}

/// Cleans and compacts the blocks of all tenants.
pub struct Compactor {
    pub(crate) config: CompactorConfig,
    pub(crate) overrides: Arc<Overrides>,
    pub(crate) bucket: Bucket,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) pool: ComputePool,
    pub(crate) fs: SharedFs,
    pub(crate) metrics: CompactorMetrics,
    /// What was last seen of each tenant.
    pub(crate) catalogs: Mutex<HashMap<TenantId, Arc<Catalog>>>,
    /// Who writes a tenant's bucket index in this process, one at a time.
    pub(crate) turns: Mutex<HashMap<TenantId, Arc<tokio::sync::Mutex<()>>>>,
    /// Validations of uploaded blocks that run.
    pub(crate) validations: AtomicU64,
    /// What goes on beside requests.
    pub(crate) tasks: TaskGroup,
    pub(crate) sharding: Arc<dyn JobSharding>,
}

impl Compactor {
    /// A compactor that does nothing before its services run.
    pub fn new(dependencies: Dependencies) -> Arc<Self> {
        let Dependencies { config, overrides, bucket, clock, random, pool, fs, metrics, sharding } =
            dependencies;
        let metrics = CompactorMetrics::new(&metrics);
        Arc::new(Self {
            config,
            overrides,
            bucket,
            clock,
            random,
            pool,
            fs,
            metrics,
            catalogs: Mutex::default(),
            turns: Mutex::default(),
            validations: AtomicU64::new(0),
            tasks: TaskGroup::new(&CancellationToken::new()),
            sharding,
        })
    }

    /// The two loops.
    pub fn services(self: &Arc<Self>) -> [Arc<dyn Service>; 2] {
        let cleaner = Loop { compactor: Arc::clone(self), work: Work::Clean };
        let jobs = Loop { compactor: Arc::clone(self), work: Work::Compact };
        [Arc::new(cleaner), Arc::new(jobs)]
    }

    /// The tenants of the bucket that are not excluded by configuration.
    pub(crate) async fn tenants(&self) -> Result<Vec<TenantId>, BucketError> {
        let allowed =
            AllowedTenants::new(&self.config.enabled_tenants, &self.config.disabled_tenants);
        let names = self.bucket.list_dirs("").await?;
        let is_ours = |name: &&String| *name != CLUSTER_DIR && allowed.allows(name);
        Ok(names.iter().filter(is_ours).filter_map(|name| TenantId::new(name).ok()).collect())
    }

    pub(crate) fn tenant_bucket(&self, tenant: &TenantId) -> TenantBucket {
        TenantBucket::new(self.bucket.clone(), tenant.clone())
    }
}

#[derive(Clone, Copy)]
enum Work {
    Clean,
    Compact,
}

/// One of the two loops as a service.
struct Loop {
    compactor: Arc<Compactor>,
    work: Work,
}

impl Loop {
    fn period(&self) -> Duration {
        let config = &self.compactor.config;
        let period = match self.work {
            Work::Clean => config.cleanup_interval,
            Work::Compact => config.compaction_interval,
        };
        period.std().max(Duration::from_secs(1))
    }
}

impl Service for Loop {
    fn name(&self) -> &'static str {
        match self.work {
            Work::Clean => "blocks-cleaner",
            Work::Compact => "compactor",
        }
    }

    /// The first round begins at once: a compactor that is restarted often must get on.
    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            let mut ticks = rt::time::interval(self.period());
            loop {
                match self.work {
                    // What is cut off here is taken up again by the next process.
                    Work::Clean => {
                        let _ = stop.run_until_cancelled(self.compactor.clean_all()).await;
                    }
                    Work::Compact => self.compactor.compact_all(&stop).await,
                }
                if stop.run_until_cancelled(ticks.tick()).await.is_none() {
                    return Ok(());
                }
            }
        }
        .boxed()
    }
}
