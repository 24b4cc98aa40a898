//! A cache in this process, bounded in bytes. Alone it is an index cache; in front of memcached it
//! saves round trips for small values that are asked for all the time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::Clock;
use parking_lot::Mutex;
use rt::Metrics;
use rt::metrics::Counter;

use super::lru::Lru;
use super::{Cache, CacheKey, SharedCache};

/// Bounds of a [`MemoryCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryCacheOptions {
    /// The most that keys and values may take together, bytes.
    pub max_bytes: u64,
    /// The most values.
    pub max_items: usize,
    /// How long values that came from the cache behind this one are kept at most.
    pub fill_ttl: Duration,
}

/// Values in memory, and perhaps a slower cache behind them.
pub struct MemoryCache {
    name: &'static str,
    options: MemoryCacheOptions,
    clock: Arc<dyn Clock>,
    values: Arc<Mutex<Lru>>,
    behind: Option<SharedCache>,
    requests: Counter,
    hits: Counter,
}

impl MemoryCache {
    /// An empty cache.
    pub fn new(
        name: &'static str,
        options: MemoryCacheOptions,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Self {
        let values = Arc::new(Mutex::new(Lru::new(options.max_bytes, options.max_items)));
        let count = |metric: &str, help| metrics.counter_vec(metric, help, &["name"]).with(&[name]);
        let requests =
            count("cortex_cache_memory_requests_total", "Items asked for in the in-memory cache.");
        let hits = count("cortex_cache_memory_hits_total", "Items found in the in-memory cache.");
        Self { name, options, clock, values, behind: None, requests, hits }
    }

    /// The same in front of another cache, which everything is also written to.
    pub fn in_front_of(mut self, behind: SharedCache) -> Self {
        self.behind = Some(behind);
        self
    }

    /// What is held, bytes.
    pub fn bytes(&self) -> u64 {
        self.values.lock().bytes()
    }

    /// How many values are held.
    pub fn items(&self) -> usize {
        self.values.lock().len()
    }

    fn keep(&self, key: &CacheKey, value: &Bytes, ttl: Duration) {
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let expires_ms = self.clock.now_ms().saturating_add(ttl_ms);
        // A copy: a slice of a larger buffer would hold all of it.
        self.values.lock().put(key, Bytes::copy_from_slice(value), expires_ms);
    }

    async fn fill_from(
        &self,
        behind: &SharedCache,
        keys: &[CacheKey],
        values: &mut [Option<Bytes>],
    ) {
        let missing: Vec<usize> = (0..keys.len()).filter(|&i| values[i].is_none()).collect();
        if missing.is_empty() {
            return;
        }
        let asked: Vec<CacheKey> = missing.iter().map(|&i| keys[i].clone()).collect();
        let found = behind.get_multi(&asked).await;
        for (i, value) in missing.into_iter().zip(found) {
            if let Some(value) = &value {
                self.keep(&keys[i], value, self.options.fill_ttl);
            }
            values[i] = value;
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    fn name(&self) -> &str {
        self.name
    }

    async fn get_multi(&self, keys: &[CacheKey]) -> Vec<Option<Bytes>> {
        let now_ms = self.clock.now_ms();
        let mut values: Vec<Option<Bytes>> = {
            let mut held = self.values.lock();
            keys.iter().map(|key| held.get(key, now_ms)).collect()
        };
        self.requests.inc_by(keys.len() as u64);
        self.hits.inc_by(values.iter().flatten().count() as u64);
        if let Some(behind) = &self.behind {
            self.fill_from(behind, keys, &mut values).await;
        }
        values
    }

    fn set(&self, key: &CacheKey, value: Bytes, ttl: Duration) {
        if ttl.is_zero() {
            return;
        }
        self.keep(key, &value, ttl);
        if let Some(behind) = &self.behind {
            behind.set(key, value, ttl);
        }
    }

    async fn delete(&self, key: &CacheKey) {
        self.values.lock().remove(key);
        if let Some(behind) = &self.behind {
            behind.delete(key).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::env::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    fn cache(clock: &Arc<ManualClock>, max_items: usize) -> MemoryCache {
        let options = MemoryCacheOptions { max_bytes: 1 << 20, max_items, fill_ttl: SECOND };
        MemoryCache::new("test", options, Arc::clone(clock) as Arc<dyn Clock>, &Metrics::new())
    }

    fn key(name: &str) -> CacheKey {
        CacheKey::new("k", name)
    }

    #[tokio::test]
    async fn values_are_there_until_their_time_is_up_or_they_are_deleted() {
        let clock = Arc::new(ManualClock::new(0));
        let cache = cache(&clock, 10);
        cache.set(&key("a"), Bytes::from_static(b"1"), SECOND);
        cache.set(&key("b"), Bytes::from_static(b"2"), 2 * SECOND);
        cache.set(&key("never"), Bytes::from_static(b"3"), Duration::ZERO);
        let keys = ["a", "never", "b"].map(key);
        let got = cache.get_multi(&keys).await;
        assert_eq!(got, [Some(Bytes::from_static(b"1")), None, Some(Bytes::from_static(b"2"))]);
        clock.advance(1000);
        assert_eq!(cache.get_multi(&keys).await, [None, None, Some(Bytes::from_static(b"2"))]);
        cache.delete(&key("b")).await;
        assert_eq!(cache.get(&key("b")).await, None);
        assert_eq!((cache.bytes(), cache.items()), (0, 0));
    }

    #[tokio::test]
    async fn what_the_cache_behind_has_is_kept_in_front() {
        let clock = Arc::new(ManualClock::new(0));
        let behind = Arc::new(cache(&clock, 10));
        let front = cache(&clock, 1).in_front_of(Arc::clone(&behind) as SharedCache);
        front.set(&key("a"), Bytes::from_static(b"1"), 60 * SECOND);
        front.set(&key("b"), Bytes::from_static(b"2"), 60 * SECOND);
        assert_eq!((front.items(), behind.items()), (1, 2));
        assert_eq!(front.get(&key("a")).await.as_deref(), Some(&b"1"[..]));
        front.delete(&key("a")).await;
        assert_eq!(behind.get(&key("a")).await, None);
        behind.set(&key("c"), Bytes::from_static(b"3"), 60 * SECOND);
        assert!(front.get(&key("c")).await.is_some());
        behind.delete(&key("c")).await;
        assert!(front.get(&key("c")).await.is_some(), "held for the time of a filled value");
        clock.advance(1000);
        assert_eq!(front.get(&key("c")).await, None);
    }
}
