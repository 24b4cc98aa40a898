//! What is kept of index files in memory, for all tenants together: the headers of indexes, and
//! pages of postings and series. Used by `block` and `pages`.
//!
//! Parts are known by the number of their object, which belongs to one block of one tenant, so
//! that no tenant can be answered with the bytes of another. The parts of a block that is gone
//! are pushed out in time.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::header::IndexHeader;
use crate::lru::Lru;
use crate::metrics::CacheMetrics;

/// The number of an index file among all that this process has seen.
pub(crate) type ObjectId = u64;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    object: ObjectId,
    part: Part,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Header,
    Page(u32),
}

#[derive(Clone)]
enum Value {
    Header(Arc<IndexHeader>),
    Page(Bytes),
}

/// Parts of index files, bounded in bytes.
pub(crate) struct IndexCache {
    parts: Mutex<Lru<Key, Value>>,
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

    /// The header of an index.
    pub(crate) fn header(&self, object: ObjectId) -> Option<Arc<IndexHeader>> {
        let found = match self.parts.lock().get(Key { object, part: Part::Header }) {
            Some(Value::Header(header)) => Some(header),
            _ => None,
        };
        self.metrics.headers.asked(1, u64::from(found.is_some()));
        found
    }

    /// Keeps the header of an index, if there is room for it.
    pub(crate) fn put_header(&self, object: ObjectId, header: &Arc<IndexHeader>) {
        let value = Value::Header(Arc::clone(header));
        let key = Key { object, part: Part::Header };
        let gone = self.parts.lock().put(key, value, header.memory_bytes());
        self.count_unloads(&gone);
    }

    /// The pages with these numbers, each where it is there.
    pub(crate) fn pages(&self, object: ObjectId, numbers: &[u32]) -> Vec<Option<Bytes>> {
        let mut parts = self.parts.lock();
        let get = |&number: &u32| match parts.get(Key { object, part: Part::Page(number) }) {
            Some(Value::Page(page)) => Some(page),
            _ => None,
        };
        let pages: Vec<Option<Bytes>> = numbers.iter().map(get).collect();
        drop(parts);
        let hits = pages.iter().flatten().count() as u64;
        self.metrics.pages.asked(numbers.len() as u64, hits);
        pages
    }

    /// Keeps pages. Each must have memory of its own: a slice of a larger buffer would hold all
    /// of it.
    pub(crate) fn put_pages(&self, object: ObjectId, pages: &[(u32, Bytes)]) {
        let mut gone = Vec::new();
        let mut parts = self.parts.lock();
        for (number, page) in pages {
            let key = Key { object, part: Part::Page(*number) };
            gone.extend(parts.put(key, Value::Page(page.clone()), page.len() as u64));
        }
        drop(parts);
        self.count_unloads(&gone);
    }

    fn count_unloads(&self, gone: &[Value]) {
        let headers = gone.iter().filter(|value| matches!(value, Value::Header(_))).count();
        self.metrics.header_unloads.inc_by(headers as u64);
    }
}
