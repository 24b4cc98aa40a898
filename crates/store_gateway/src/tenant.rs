//! One tenant: the blocks that its bucket index lists, and their index-headers on local disk.

use std::sync::Arc;

use bucket::{BucketIndex, IndexedBlock, TenantBucket};
use futures::StreamExt as _;
use hashbrown::{HashMap, HashSet};
use model::{StorageError, TenantId, TimestampMs};
use parking_lot::RwLock;
use tsdb::fs::read_dir_if_exists;
use ulid::Ulid;

use crate::block::Block;
use crate::sharding::BlockOwner;
use crate::snapshot;
use crate::store::Store;

type Blocks = HashMap<Ulid, Arc<Block>>;

/// What is known about one tenant.
pub(crate) struct Tenant {
    bucket: TenantBucket,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// The index that the blocks are of.
    index: Option<Arc<BucketIndex>>,
    blocks: Blocks,
}

impl Tenant {
    pub(crate) fn new(bucket: TenantBucket) -> Self {
        Self { bucket, known: RwLock::default() }
    }

    pub(crate) fn id(&self) -> &TenantId {
        self.bucket.tenant()
    }

    /// The blocks with these ids that the tenant has.
    pub(crate) async fn blocks(
        &self,
        store: &Store,
        ids: &[Ulid],
    ) -> Result<Vec<Arc<Block>>, StorageError> {
        let get = |known: &Known| -> Vec<Arc<Block>> {
            ids.iter().filter_map(|id| known.blocks.get(id)).cloned().collect()
        };
        let found = get(&self.known.read());
        if found.len() == ids.len() {
            return Ok(found);
        }
        // The one who asks knows a newer index than the one that is known here, however new that
        // is: a block that a compactor has just written is excused by nobody.
        let index = store.indexes.refreshed(self.id()).await;
        let index = index.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        self.take(store, index);
        Ok(get(&self.known.read()))
    }

    /// Takes over the blocks of an index. What is known about those that were there stays.
    pub(crate) fn take(&self, store: &Store, index: Arc<BucketIndex>) {
        let mut known = self.known.write();
        if known.index.as_ref().is_some_and(|have| Arc::ptr_eq(have, &index)) {
            return;
        }
        let unused = unused(&index, store);
        let (mut blocks, mut loads) = (Blocks::with_capacity(index.blocks.len()), 0);
        for entry in index.blocks.iter().filter(|entry| !unused.contains(&entry.id)) {
            let block = known.blocks.remove(&entry.id).unwrap_or_else(|| {
                loads += 1;
                Arc::new(Block::new(self.bucket.clone(), entry.clone(), store))
            });
            blocks.insert(entry.id, block);
        }
        store.metrics.lists.changed(loads, known.blocks.len() as u64);
        *known = Known { index: Some(index), blocks };
    }

    /// All blocks, in order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<Block>> {
        let mut all: Vec<Arc<Block>> = self.known.read().blocks.values().cloned().collect();
        all.sort_by_key(|block| block.id());
        all
    }

    /// Whether any block is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.read().blocks.is_empty()
    }

    /// Brings the blocks up to date and the index-headers of those that `owns` names to local disk.
    /// Those that were loaded when the process before ended are loaded.
    pub(crate) async fn sync(&self, store: &Store, owns: &BlockOwner) -> Result<(), StorageError> {
        let index = store.indexes.refreshed(self.id()).await;
        let index = index.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let is_first = self.known.read().index.is_none();
        self.take(store, index);
        self.remove_other_dirs(store, owns);
        let mut blocks = self.all();
        blocks.retain(|block| block.belongs_to(owns));
        let old = blocks.iter().filter(|block| !is_young(&block.entry, store));
        let fetches: Vec<_> = old.map(|block| self.fetch(store, block)).collect();
        let concurrency = store.config.block_sync_concurrency.max(1);
        let fetches = futures::stream::iter(fetches).buffer_unordered(concurrency);
        fetches.collect::<()>().await;
        if is_first {
            self.preload(store, &blocks).await;
        }
        let local_bytes = blocks.iter().map(|block| block.local_bytes(store)).sum();
        store.metrics.lists.tenant_size(self.id().as_str(), Some(local_bytes));
        Ok(())
    }

    /// A failure is only logged: a query that needs the block tries again, and fails then.
    async fn fetch(&self, store: &Store, block: &Arc<Block>) {
        let result = match store.config.index_header.lazy_loading_enabled {
            true => block.fetch_header(store).await,
            false => block.header(store).await.map(drop),
        };
        if let Err(error) = result {
            tracing::warn!(user = %self.id(), %error, "could not fetch an index-header");
        }
    }

    async fn preload(&self, store: &Store, blocks: &[Arc<Block>]) {
        let loaded = snapshot::read(store, self.id());
        for block in blocks.iter().filter(|block| loaded.contains(&block.id())) {
            if let Err(error) = block.header(store).await {
                tracing::warn!(user = %self.id(), %error, "could not load an index-header");
            }
        }
    }

    /// Removes what is kept of blocks that are no longer there, or that are others' and that no
    /// query needs now.
    fn remove_other_dirs(&self, store: &Store, owns: &BlockOwner) {
        let dir = store.sync_dir().join(self.id().as_str());
        let blocks = self.all();
        let kept = blocks.iter().filter(|b| b.belongs_to(owns) || b.loaded_and_used_ms().is_some());
        let known: HashSet<Ulid> = kept.map(|block| block.id()).collect();
        for entry in read_dir_if_exists(&*store.fs, &dir).unwrap_or_default() {
            let is_gone = Ulid::from_string(&entry.name).is_ok_and(|id| !known.contains(&id));
            if !is_gone || !entry.metadata.is_dir {
                continue;
            }
            if let Err(error) = store.fs.remove_dir_all(&dir.join(&entry.name)) {
                tracing::warn!(user = %self.id(), %error, "could not remove an index-header");
            }
        }
    }

    /// Unloads the index-headers that no query needed since then, and notes which are loaded.
    pub(crate) fn unload_idle(&self, store: &Store, used_since_ms: Option<TimestampMs>) {
        let mut loaded = Vec::new();
        for block in self.all() {
            if used_since_ms.is_some_and(|since_ms| block.unload_unless_used(since_ms)) {
                store.metrics.headers.unloads.inc();
            }
            loaded.extend(block.loaded_and_used_ms().map(|used_ms| (block.id(), used_ms)));
        }
        snapshot::write(store, self.id(), &loaded);
    }
}

/// Blocks that nobody asks for any more: they were marked for deletion long ago.
fn unused(index: &BucketIndex, store: &Store) -> HashSet<Ulid> {
    let now_ms = store.clock.now_ms();
    let delay_ms = store.config.ignore_deletion_mark_delay.millis();
    let marks = index.block_deletion_marks.iter();
    let old = marks.filter(|mark| now_ms - mark.deletion_time.saturating_mul(1000) > delay_ms);
    old.map(|mark| mark.id).collect()
}

fn is_young(block: &IndexedBlock, store: &Store) -> bool {
    let within_ms = store.config.ignore_blocks_within.millis();
    within_ms > 0 && block.min_time_ms > store.clock.now_ms().saturating_sub(within_ms)
}
