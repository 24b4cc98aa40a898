//! The index cache: in this process, elsewhere, lying, gone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bucket::cache::{
    Cache, CacheKey, CacheMetrics, MemcachedCache, MemcachedOptions, MemoryCache,
    MemoryCacheOptions, SharedCache,
};
use bucket::testing::Memcached;
use bytes::Bytes;
use model::env::{ManualClock, SeededRandom};
use model::{Matcher, SelectHints};
use rt::Metrics;

use super::queries::{add_blocks, random_blocks};
use crate::testing::{ALL_TIME, Data, World, to_data};

const HOUR: Duration = Duration::from_secs(3600);

fn asked(world: &World) -> Data {
    let job = [Matcher::equal("job", "job-3")];
    to_data(world.select(ALL_TIME, &job, &SelectHints::default()).unwrap())
}

/// How often the bucket is read for the second of two equal questions, and the answer.
fn asked_again(world: &World, operations: impl Fn() -> u64) -> (u64, Data) {
    let first = asked(world);
    let before = operations();
    assert_eq!(asked(world), first);
    (operations() - before, first)
}

/// A world with blocks of several pages, whose operations are counted.
fn world() -> World {
    let world = World::new();
    add_blocks(&world, &random_blocks(&SeededRandom::new(9), 3000), 120);
    world
}

#[test]
fn the_cache_in_this_process_answers_again_and_keeps_its_bound() {
    let blocks = random_blocks(&SeededRandom::new(9), 3000);
    let reads = [64 << 20, 400_000].map(|max_size_bytes: u64| {
        let world =
            World::configured(|config| config.index_cache.inmemory.max_size_bytes = max_size_bytes);
        add_blocks(&world, &blocks, 120);
        let (reads, _) = asked_again(&world, || world.operations("get_range"));
        let bytes = world.metric("thanos_store_index_cache_total_size_bytes", &[]);
        assert!(0.0 < bytes && bytes <= max_size_bytes as f64, "{bytes}");
        let metric = |name: &str| world.metric(&format!("thanos_store_index_cache_{name}"), &[]);
        assert_eq!(metric("max_size_bytes"), max_size_bytes as f64);
        let left = metric("items_added_total") - metric("items_evicted_total");
        assert_eq!(metric("items"), left);
        assert!(metric("hits_total") > 0.0 && metric("hits_total") < metric("requests_total"));
        reads
    });
    // With room enough only chunks are read again.
    assert!(reads[0] < reads[1], "{reads:?}");
}

fn memory() -> SharedCache {
    let bounds = MemoryCacheOptions { max_bytes: 1 << 30, max_items: 10_000, fill_ttl: HOUR };
    Arc::new(MemoryCache::new("test", bounds, Arc::new(ManualClock::new(0)), &Metrics::new()))
}

/// A cache that answers as `answer` says.
struct Lying(SharedCache, Lie);

/// What comes of the value at a place among those that were asked for.
type Lie = fn(usize, Option<Bytes>) -> Option<Bytes>;

#[async_trait]
impl Cache for Lying {
    fn name(&self) -> &str {
        "lying"
    }

    async fn get_multi(&self, keys: &[CacheKey]) -> Vec<Option<Bytes>> {
        let found = self.0.get_multi(keys).await;
        found.into_iter().enumerate().map(|(i, value)| self.1(i, value)).collect()
    }

    fn set(&self, key: &CacheKey, value: Bytes, ttl: Duration) {
        self.0.set(key, value, ttl);
    }

    async fn delete(&self, key: &CacheKey) {
        self.0.delete(key).await;
    }
}

#[test]
fn a_cache_elsewhere_saves_reads_and_its_lies_are_not_believed() {
    let first = world();
    let right = asked(&first);
    let cache = memory();
    let count = || first.operations("get_range");
    let shared = Arc::clone(&cache);
    let (with_cache, answer) = asked_again(&first.with_index_cache(move || shared), count);
    assert_eq!(answer, right);
    // A process that starts later finds what the one before has put there.
    let shared = Arc::clone(&cache);
    let (later, _) = asked_again(&first.with_index_cache(move || shared), count);
    assert_eq!(later, with_cache);
    let lies: [Lie; 4] = [
        |_, _| None,
        |i, value| value.filter(|_| i > 0),
        |_, value| Some(value?.slice(1..)),
        |_, value| Some([&value?[..], b"more"].concat().into()),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let lying = Lying(Arc::clone(&cache), lie);
        let (reads, answer) = asked_again(&first.with_index_cache(move || Arc::new(lying)), count);
        assert_eq!(answer, right, "lie {number}");
        assert!(reads > with_cache, "lie {number}");
    }
}

fn memcached_cache(address: String) -> SharedCache {
    let long = Duration::from_secs(20);
    let options = MemcachedOptions {
        addresses: vec![address],
        timeout: long,
        connect_timeout: long,
        max_idle_connections: 10,
        max_async_concurrency: 4,
        max_async_buffer_size: 1000,
        max_get_multi_concurrency: 10,
        max_get_multi_batch_size: 100,
        max_item_size: 1 << 20,
        tls: None,
    };
    let metrics = CacheMetrics::new(&Metrics::new(), "index-cache", "store-gateway", "memcached");
    let clock = Arc::new(ManualClock::new(0));
    Arc::new(MemcachedCache::start("index-cache", options, clock, metrics))
}

#[test]
fn a_real_memcached_saves_reads_until_it_is_killed() {
    let first = world();
    let (of_chunks, right) = asked_again(&first, || first.operations("get_range"));
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = first.run(Memcached::start(dir.path(), None)) else {
        eprintln!("SKIPPED: the program memcached is not installed");
        return;
    };
    let address = server.address();
    let world = first.with_index_cache(move || memcached_cache(address));
    assert_eq!(asked(&world), right);
    let reads_now = || {
        let before = first.operations("get_range");
        assert_eq!(asked(&world), right);
        first.operations("get_range") - before
    };
    // Writes take their time; afterwards chunks alone are read.
    assert!((0..2000).any(|_| reads_now() == of_chunks));
    assert_eq!(reads_now(), of_chunks);
    first.run(server.kill());
    assert!(reads_now() > of_chunks);
}
