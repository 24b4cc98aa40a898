//! What all tenants and queries share: the bucket, the cache, the clock, the counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bucket::Bucket;
use config::BucketStoreConfig;
use model::Clock;
use rt::BlockingHandle;

use crate::cache::{IndexCache, ObjectId};
use crate::metrics::StoreMetrics;

/// Bounds that have no option yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// The most memory for parts of indexes, for all tenants together, bytes.
    pub index_cache_bytes: u64,
    /// The most memory for chunks that one selection fetches ahead, for all its blocks together,
    /// bytes. Each block fetches one series at least, however large.
    pub select_chunk_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { index_cache_bytes: 256 << 20, select_chunk_bytes: 32 << 20 }
    }
}

/// The parts of the store-gateway that everything else is handed.
pub(crate) struct Store {
    pub(crate) bucket: Bucket,
    pub(crate) config: BucketStoreConfig,
    pub(crate) options: StoreOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) blocking: BlockingHandle,
    pub(crate) cache: IndexCache,
    pub(crate) metrics: StoreMetrics,
    pub(crate) objects: AtomicU64,
}

impl Store {
    /// A number that no index file had before.
    pub(crate) fn next_object(&self) -> ObjectId {
        self.objects.fetch_add(1, Ordering::Relaxed)
    }

    /// Seconds since `start`, a time of the monotonic clock.
    pub(crate) fn seconds_since(&self, start: std::time::Duration) -> f64 {
        self.clock.monotonic().saturating_sub(start).as_secs_f64()
    }
}
