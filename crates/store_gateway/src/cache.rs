//! What is kept of index files in memory, for all tenants together: pages of postings and series.
//! Used by `pages`.
//!
//! Parts are known by the number of their object, which belongs to one block of one tenant, so
//! that no tenant can be answered with the bytes of another. The parts of a block that is gone
//! are pushed out in time.

use bytes::Bytes;
use parking_lot::Mutex;

use crate::lru::Lru;
use crate::metrics::CacheMetrics;

/// The number of an index file among all that this process has seen.
pub(crate) type ObjectId = u64;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    object: ObjectId,
    page: u32,
}

/// Parts of index files, bounded in bytes.
pub(crate) struct IndexCache {
    parts: Mutex<Lru<Key, Bytes>>,
    metrics: CacheMetrics,
}

impl IndexCache {
    /// A cache of at most `capacity_bytes`.
    pub(crate) fn new(capacity_bytes: u64, metrics: CacheMetrics) -> Self {
        Self { parts: Mutex::new(Lru::new(capacity_bytes)), metrics }
    }

    /// What is held, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.lock().bytes()
    }

    /// The pages with these numbers, each where it is there.
    pub(crate) fn pages(&self, object: ObjectId, numbers: &[u32]) -> Vec<Option<Bytes>> {
        let mut parts = self.parts.lock();
        let get = |&page: &u32| parts.get(Key { object, page });
        let pages: Vec<Option<Bytes>> = numbers.iter().map(get).collect();
        drop(parts);
        let hits = pages.iter().flatten().count() as u64;
        self.metrics.pages.asked(numbers.len() as u64, hits);
        pages
    }

    /// Keeps pages. Each must have memory of its own: a slice of a larger buffer would hold all
    /// of it.
    pub(crate) fn put_pages(&self, object: ObjectId, pages: &[(u32, Bytes)]) {
        let mut parts = self.parts.lock();
        for &(page, ref bytes) in pages {
            parts.put(Key { object, page }, bytes.clone(), bytes.len() as u64);
        }
    }
}
