//! The hashes by which series belong to shards, for all tenants together: a query over one shard
//! skips the series of the others without looking at their labels. Used by `series`.
//!
//! Hashes of one block stand in pages of [`PAGE_SLOTS`] series numbers. A number belongs to the
//! same series for ever; a block that is gone leaves pages that are pushed out in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rt::Metrics;
use rt::metrics::Counter;

use crate::cache::ObjectId;
use crate::lru::Lru;

/// Numbers of series on one page. Series begin at every 16th byte at most, so that a page covers
/// 64 KiB of an index.
const PAGE_SLOTS: u32 = 4096;

/// A hash by series number; 0 where it is not known.
type Page = Arc<[AtomicU64]>;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    object: ObjectId,
    page: u32,
}

/// Hashes of series, bounded in bytes.
pub(crate) struct SeriesHashes {
    pages: Mutex<Lru<Key, Page>>,
    requests: Counter,
    hits: Counter,
}

/// The page that was used last: series are mostly asked for in their order.
#[derive(Default)]
pub(crate) struct PageMemo(Option<(Key, Page)>);

impl SeriesHashes {
    /// No hashes yet; at most `capacity_bytes` of them.
    pub(crate) fn new(capacity_bytes: u64, metrics: &Metrics) -> Self {
        Self {
            pages: Mutex::new(Lru::new(capacity_bytes)),
            requests: metrics.counter(
                "cortex_bucket_store_series_hash_cache_requests_total",
                "Series whose hash was looked for.",
            ),
            hits: metrics.counter(
                "cortex_bucket_store_series_hash_cache_hits_total",
                "Series whose hash was known.",
            ),
        }
    }

    /// The hash of a series of an index; `hash` tells it where it is not known.
    pub(crate) fn get_or<E>(
        &self,
        memo: &mut PageMemo,
        (object, series): (ObjectId, u32),
        hash: impl FnOnce() -> Result<u64, E>,
    ) -> Result<u64, E> {
        let key = Key { object, page: series / PAGE_SLOTS };
        let page = match &memo.0 {
            Some((at, page)) if *at == key => page,
            _ => &memo.0.insert((key, self.page(key))).1,
        };
        let slot = &page[(series % PAGE_SLOTS) as usize];
        self.requests.inc();
        let known = slot.load(Ordering::Relaxed);
        if known != 0 {
            self.hits.inc();
            return Ok(known);
        }
        let hash = hash()?;
        slot.store(hash, Ordering::Relaxed);
        Ok(hash)
    }

    fn page(&self, key: Key) -> Page {
        let mut pages = self.pages.lock();
        if let Some(page) = pages.get(key) {
            return page;
        }
        let page: Page = (0..PAGE_SLOTS).map(|_| AtomicU64::new(0)).collect();
        pages.put(key, Arc::clone(&page), size_of_val(&*page) as u64);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_asked_for_once_unless_it_was_pushed_out() {
        let metrics = Metrics::new();
        // Room for two pages.
        let hashes = SeriesHashes::new(2 * 33_000, &metrics);
        let ask = |object, series| {
            let (mut memo, mut asked) = (PageMemo::default(), false);
            let hash = || {
                asked = true;
                Ok::<u64, ()>(object * 1_000_000 + u64::from(series) + 1)
            };
            let found = hashes.get_or(&mut memo, (object, series), hash).unwrap();
            assert_eq!(found, object * 1_000_000 + u64::from(series) + 1);
            asked
        };
        assert_eq!([(1, 0), (2, 0), (1, 1)].map(|(o, s)| ask(o, s)), [true; 3]);
        assert_eq!([(1, 0), (2, 0), (1, 1)].map(|(o, s)| ask(o, s)), [false; 3]);
        assert!(ask(1, PAGE_SLOTS));
        // The page that was not used for longest made room.
        assert_eq!([(1, 1), (2, 0)].map(|(o, s)| ask(o, s)), [false, true]);
        assert_eq!((hashes.requests.get(), hashes.hits.get()), (9, 4));
    }
}
