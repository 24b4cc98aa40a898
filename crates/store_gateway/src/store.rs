//! What all tenants and queries share: the bucket, the cache, the clock, the bounds, the counters.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bucket::{Bucket, IndexLoader};
use config::BucketStoreConfig;
use model::Clock;
use rt::BlockingHandle;
use tsdb::fs::SharedFs;

use crate::budget::Budget;
use crate::cache::{IndexCache, ObjectId};
use crate::gate::Gate;
use crate::hashes::SeriesHashes;
use crate::header::LoadOptions;
use crate::hedging::Hedging;
use crate::metrics::StoreMetrics;

/// Bounds that have no option yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// The most memory for chunks that one selection fetches ahead, for all its blocks together,
    /// bytes. Each block fetches one series at least, however large.
    pub select_chunk_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { select_chunk_bytes: 32 << 20 }
    }
}

/// The parts of the store-gateway that everything else is handed.
pub(crate) struct Store {
    pub(crate) bucket: Bucket,
    pub(crate) indexes: Arc<IndexLoader>,
    pub(crate) config: BucketStoreConfig,
    pub(crate) options: StoreOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) blocking: BlockingHandle,
    pub(crate) fs: SharedFs,
    pub(crate) cache: IndexCache,
    pub(crate) hashes: SeriesHashes,
    pub(crate) hedging: Arc<Hedging>,
    pub(crate) budget: Budget,
    pub(crate) requests: Gate,
    pub(crate) header_loads: Gate,
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

    /// How index-headers are loaded.
    pub(crate) fn load_options(&self) -> LoadOptions {
        LoadOptions {
            verify: self.config.index_header.verify_on_load,
            sampling: self.config.postings_offsets_in_mem_sampling.max(1),
        }
    }

    /// Where index-headers are kept.
    pub(crate) fn sync_dir(&self) -> PathBuf {
        PathBuf::from(&self.config.sync_dir)
    }
}
