//! One tenant: its list of blocks, and keeping it up to date. Of several queries that find no list
//! one makes it, and the others wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bucket::{BucketError, TenantBucket};
use model::{StorageError, TenantId, TimestampMs};
use parking_lot::RwLock;

use crate::listing::BlockList;
use crate::store::Store;
use crate::sync::find_blocks;

/// A list is used for so many sync intervals, though at least for [`MIN_LIST_AGE_MS`]. Then the
/// periodic syncs must have failed, and a query makes a list itself or fails.
const MAX_LIST_AGE_INTERVALS: i64 = 3;
/// As long as Mimir uses a bucket index.
const MIN_LIST_AGE_MS: i64 = 60 * 60 * 1000;

/// What is known about one tenant.
pub(crate) struct Tenant {
    bucket: TenantBucket,
    list: RwLock<Option<Arc<BlockList>>>,
    syncing: tokio::sync::Mutex<()>,
    last_used_ms: AtomicI64,
}

impl Tenant {
    pub(crate) fn new(bucket: TenantBucket) -> Self {
        let (list, syncing) = (RwLock::default(), tokio::sync::Mutex::default());
        Self { bucket, list, syncing, last_used_ms: AtomicI64::new(0) }
    }

    pub(crate) fn id(&self) -> &TenantId {
        self.bucket.tenant()
    }

    /// Notes that the tenant was asked for.
    pub(crate) fn touch(&self, now_ms: TimestampMs) {
        self.last_used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When the tenant was last asked for.
    pub(crate) fn last_used_ms(&self) -> TimestampMs {
        self.last_used_ms.load(Ordering::Relaxed)
    }

    /// The last list, however old; `None` when there never was one.
    pub(crate) fn last_list(&self) -> Option<Arc<BlockList>> {
        self.list.read().clone()
    }

    /// The list, if queries may be answered from it.
    pub(crate) fn current_list(&self, store: &Store) -> Option<Arc<BlockList>> {
        let list = self.last_list()?;
        let interval_ms = store.config.sync_interval.millis();
        let max_age_ms = interval_ms.saturating_mul(MAX_LIST_AGE_INTERVALS).max(MIN_LIST_AGE_MS);
        let age_ms = store.clock.now_ms().saturating_sub(list.synced_at_ms);
        let is_good = age_ms <= max_age_ms && !list.needed.iter().any(|block| block.is_gone());
        is_good.then_some(list)
    }

    /// The list for a query; made now where there is none.
    pub(crate) async fn list(&self, store: &Store) -> Result<Arc<BlockList>, StorageError> {
        if let Some(list) = self.current_list(store) {
            return Ok(list);
        }
        let _one_at_a_time = self.syncing.lock().await;
        if let Some(list) = self.current_list(store) {
            return Ok(list);
        }
        self.sync_locked(store).await.map_err(|error| {
            StorageError::Unavailable(format!("list the blocks of the bucket: {error}"))
        })
    }

    /// Makes a new list. When it fails the old one stays.
    pub(crate) async fn sync(&self, store: &Store) -> Result<(), BucketError> {
        let _one_at_a_time = self.syncing.lock().await;
        self.sync_locked(store).await.map(drop)
    }

    async fn sync_locked(&self, store: &Store) -> Result<Arc<BlockList>, BucketError> {
        let previous = self.last_list().unwrap_or_default();
        let start = store.clock.monotonic();
        let now_ms = store.clock.now_ms();
        let found = find_blocks(store, &self.bucket, &previous.found).await;
        store.metrics.lists.made(store.seconds_since(start), found.is_ok());
        let list = Arc::new(BlockList::new(found?, now_ms));
        store.metrics.lists.changed(&previous, &list);
        *self.list.write() = Some(Arc::clone(&list));
        Ok(list)
    }
}
