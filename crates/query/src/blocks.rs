//! Old samples: which blocks of the bucket a query needs, asking the store-gateways that own them
//! for exactly those, and the check that every one of them was looked at.
//!
//! ```text
//! finder (bucket index -> blocks)   querier -- asking -- tracker (what is missing, asked again)
//!                                                     -- parents (what young blocks were made of)
//! ```
//!
//! The contract: a block that can hold samples of the query's range was read, or the query fails.
//! Two kinds of blocks may be missing that were uploaded so recently that no store-gateway need know
//! them yet: those of ingesters, which still have the samples (as in Mimir), and those of compactors
//! where all blocks that they were made of were read in their place.

mod asking;
mod finder;
mod metrics;
mod parents;
mod querier;
mod tracker;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bucket::IndexLoader;
use config::BucketStoreConfig;
use model::{Clock, Executor, Querier, QueryContext, Queryable, StorageError, TenantId, TimeRange};
use rt::{BlockingHandle, Metrics};
use wire::client::{BlockStore, StoreGateways};

use asking::Asking;
use finder::Finder;
use metrics::BlocksMetrics;
use querier::BlocksQuerier;

/// How often a query that waits for the bucket looks whether it should stop.
const CHECK_PERIOD: Duration = Duration::from_millis(100);

/// What the way to the blocks is made of.
pub struct BlocksDependencies {
    /// `-blocks-storage.bucket-store.*`.
    pub config: BucketStoreConfig,
    /// Reads the bucket indexes.
    pub indexes: Arc<IndexLoader>,
    /// Who has the blocks.
    pub gateways: Arc<dyn StoreGateways>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Asks several store-gateways at the same time.
    pub executor: Arc<dyn Executor>,
    /// Waits on compute threads for the bucket.
    pub blocking: BlockingHandle,
    /// The registry.
    pub metrics: Metrics,
}

/// The blocks of all tenants. Clones share everything.
#[derive(Clone)]
pub struct Blocks {
    shared: Arc<Shared>,
}

/// What all queries share.
struct Shared {
    finder: Finder,
    gateways: Arc<dyn StoreGateways>,
    executor: Arc<dyn Executor>,
    blocking: BlockingHandle,
    metrics: BlocksMetrics,
}

struct TenantBlocks {
    shared: Arc<Shared>,
    tenant: TenantId,
}

impl Blocks {
    /// Asks nobody before it is asked.
    pub fn new(dependencies: BlocksDependencies) -> Self {
        let BlocksDependencies { config, indexes, gateways, clock, executor, blocking, metrics } =
            dependencies;
        let metrics = BlocksMetrics::new(&metrics);
        let finder = Finder::new(&config, indexes, clock);
        Self { shared: Arc::new(Shared { finder, gateways, executor, blocking, metrics }) }
    }
}

impl BlockStore for Blocks {
    fn queryable(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        let (shared, tenant) = (Arc::clone(&self.shared), tenant.clone());
        Ok(Some(Arc::new(TenantBlocks { shared, tenant })))
    }
}

impl Queryable for TenantBlocks {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        let shared = &self.shared;
        let blocks = shared.wait(context, shared.finder.find(&self.tenant, range))?;
        shared.metrics.found.inc_by(blocks.len() as u64);
        let (shared, tenant, context) =
            (Arc::clone(shared), self.tenant.clone(), Arc::clone(context));
        let asking = Asking { shared, tenant, range, context };
        Ok(Box::new(BlocksQuerier { asking, blocks }))
    }
}

impl Shared {
    /// Blocks until `future` is ready, or fails soon after the query has been stopped.
    fn wait<T>(
        &self,
        context: &QueryContext,
        future: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        context.check()?;
        self.blocking.block_on(async {
            let mut future = pin!(future);
            loop {
                match rt::time::timeout(CHECK_PERIOD, future.as_mut()).await {
                    Ok(result) => return result,
                    Err(_) => context.check()?,
                }
            }
        })
    }
}
