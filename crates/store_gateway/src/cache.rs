//! What is kept of index files, for all tenants together: pages of postings and series, in this
//! process or in memcached (`-blocks-storage.bucket-store.index-cache.backend`). Used by `pages`.
//!
//! In this process pages are known by the number of their object, which belongs to one block of
//! one tenant; in memcached by tenant, block and number, and they are sealed: no tenant can be
//! answered with the bytes of another. Index files never change, so that a page that was right
//! once stays right. The pages of a block that is gone are pushed out in time.

use std::time::Duration;

use bucket::cache::{CacheKey, SharedCache, sealed};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::block::Block;
use crate::lru::SegmentedLru;
use crate::metrics::CacheMetrics;

/// How long pages stay in memcached.
const TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// The number of an index file among all that this process has seen.
pub(crate) type ObjectId = u64;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    object: ObjectId,
    page: u32,
}

/// Parts of index files.
pub(crate) struct IndexCache {
    place: Place,
    metrics: CacheMetrics,
}

enum Place {
    Memory(Mutex<SegmentedLru<Key, Bytes>>),
    Shared(SharedCache),
}

impl IndexCache {
    /// A cache in this process, of at most `capacity_bytes`.
    pub(crate) fn in_memory(capacity_bytes: u64, metrics: CacheMetrics) -> Self {
        metrics.max_size_bytes.set(i64::try_from(capacity_bytes).unwrap_or(i64::MAX));
        Self { place: Place::Memory(Mutex::new(SegmentedLru::new(capacity_bytes))), metrics }
    }

    /// A cache that other processes see too.
    pub(crate) fn shared(cache: SharedCache, metrics: CacheMetrics) -> Self {
        Self { place: Place::Shared(cache), metrics }
    }

    /// Whether pages come from elsewhere, over a network that has to be waited for.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.place, Place::Shared(_))
    }

    /// What is held in this process, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.place {
            Place::Memory(pages) => pages.lock().bytes(),
            Place::Shared(_) => 0,
        }
    }

    /// How many pages are held in this process.
    pub(crate) fn items(&self) -> usize {
        match &self.place {
            Place::Memory(pages) => pages.lock().len(),
            Place::Shared(_) => 0,
        }
    }

    /// The pages of a block's index with these numbers, each where it is there. Waits only where
    /// the cache [`Self::is_shared`].
    pub(crate) async fn pages(&self, block: &Block, numbers: &[u32]) -> Vec<Option<Bytes>> {
        let pages = match &self.place {
            Place::Memory(_) => return self.pages_in_memory(block, numbers),
            Place::Shared(cache) => {
                let keys: Vec<CacheKey> = numbers.iter().map(|&page| key(block, page)).collect();
                let found = cache.get_multi(&keys).await;
                let open = |(key, value): (&CacheKey, Option<Bytes>)| sealed::open(key, &value?);
                let mut pages: Vec<Option<Bytes>> = keys.iter().zip(found).map(open).collect();
                pages.resize(numbers.len(), None);
                pages
            }
        };
        self.metrics.asked(numbers.len(), pages.iter().flatten().count());
        pages
    }

    /// The same; none where pages come from elsewhere.
    pub(crate) fn pages_in_memory(&self, block: &Block, numbers: &[u32]) -> Vec<Option<Bytes>> {
        let Place::Memory(pages) = &self.place else { return vec![None; numbers.len()] };
        let mut pages = pages.lock();
        let get = |&page: &u32| pages.get(Key { object: block.object, page });
        let found: Vec<Option<Bytes>> = numbers.iter().map(get).collect();
        drop(pages);
        self.metrics.asked(numbers.len(), found.iter().flatten().count());
        found
    }

    /// Keeps pages. Each must have memory of its own: a slice of a larger buffer would hold all
    /// of it.
    pub(crate) fn put_pages(&self, block: &Block, pages: &[(u32, Bytes)]) {
        match &self.place {
            Place::Memory(held) => {
                let (mut held, mut evicted) = (held.lock(), 0);
                for &(page, ref bytes) in pages {
                    let key = Key { object: block.object, page };
                    evicted += held.put(key, bytes.clone(), bytes.len() as u64);
                }
                drop(held);
                self.metrics.put(pages.len(), evicted);
            }
            Place::Shared(cache) => {
                for (page, bytes) in pages {
                    sealed::put(cache, &key(block, *page), bytes, TTL);
                }
                self.metrics.put(pages.len(), 0);
            }
        }
    }
}

/// What a page is called where other processes see it.
fn key(block: &Block, page: u32) -> CacheKey {
    CacheKey::new("index-page", &format!("{}/{}/{page}", block.tenant(), block.id()))
}
