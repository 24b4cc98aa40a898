//! Tests of cached buckets: what they answer is what the bucket answers, whatever the caches do.

use std::sync::Arc;

use async_trait::async_trait;
use model::env::{ManualClock, SeededRandom};
use model::{Clock, Random, TenantId};
use object_store::memory::InMemory;
use parking_lot::Mutex;
use ulid::Ulid;

use super::*;
use crate::cache::{Cache, MemoryCache, MemoryCacheOptions};
use crate::testing::{Fault, FaultyStore, Operation};
use crate::{BucketMetrics, DeletionMark, TenantBucket};

const HOUR: Duration = Duration::from_secs(3600);

fn ttls() -> MetadataTtls {
    MetadataTtls {
        tenants_list: HOUR,
        tenant_blocks_list: HOUR,
        metafile_exists: HOUR,
        metafile_doesnt_exist: HOUR,
        metafile_content: HOUR,
        metafile_max_bytes: 100,
        metafile_attributes: HOUR,
        block_index_attributes: HOUR,
        bucket_index_content: HOUR,
        bucket_index_max_bytes: 1000,
    }
}

fn chunks(max_get_range_requests: usize) -> ChunksCaching {
    ChunksCaching { subrange_ttl: HOUR, attributes_ttl: HOUR, max_get_range_requests }
}

struct World {
    clock: Arc<ManualClock>,
    store: Arc<FaultyStore>,
    plain: Bucket,
    cached: Bucket,
}

impl World {
    fn new(
        make: impl Fn(SharedCache) -> SharedCache,
        ttls: MetadataTtls,
        chunks: ChunksCaching,
    ) -> Self {
        let (clock, metrics) = (Arc::new(ManualClock::new(0)), Metrics::new());
        let shared_clock = || Arc::clone(&clock) as Arc<dyn Clock>;
        let bounds = MemoryCacheOptions { max_bytes: 1 << 30, max_items: 10_000, fill_ttl: HOUR };
        let memory = MemoryCache::new("test", bounds, shared_clock(), &metrics);
        let cache = make(Arc::new(memory));
        let store = Arc::new(FaultyStore::over(Arc::new(InMemory::new())));
        let bucket_metrics = BucketMetrics::new(&metrics, "test");
        let plain = Bucket::over(Arc::clone(&store) as _, "pre", shared_clock(), bucket_metrics);
        let caches = BucketCaches::new(&metrics)
            .with_metadata(Arc::clone(&cache), ttls)
            .with_chunks(Arc::clone(&cache), cache, chunks);
        let cached = plain.clone().with_caches(caches);
        Self { clock, store, plain, cached }
    }

    fn honest() -> Self {
        Self::new(|cache| cache, ttls(), chunks(3))
    }

    /// How often the store was asked while `work` ran.
    async fn asked(&self, work: impl Future<Output = ()>) -> u64 {
        let before = self.store.operations(None);
        work.await;
        self.store.operations(None) - before
    }
}

fn meta_key() -> String {
    format!("t/{}/meta.json", Ulid(7))
}

fn chunk_key() -> String {
    format!("t/{}/chunks/000001", Ulid(7))
}

#[tokio::test]
async fn small_objects_are_read_once() {
    let world = World::honest();
    world.plain.put(&meta_key(), Bytes::from_static(b"{}")).await.unwrap();
    let tenant = TenantBucket::new(world.cached.clone(), TenantId::new("t").unwrap());
    let read = async || {
        assert_eq!(tenant.meta_json(Ulid(7)).await.unwrap().as_deref(), Some(&b"{}"[..]));
        assert!(tenant.has_block(Ulid(7)).await.unwrap());
        assert_eq!(tenant.block_mark::<DeletionMark>(Ulid(7)).await.unwrap(), None);
        assert_eq!(tenant.block_ids().await.unwrap(), [Ulid(7)]);
        assert_eq!(world.cached.list_dirs("").await.unwrap(), ["t"]);
        assert_eq!(world.cached.info(&meta_key()).await.unwrap().size_bytes, 2);
    };
    assert!(world.asked(read()).await > 0);
    assert_eq!(world.asked(read()).await, 0);
    world.clock.advance(HOUR.as_millis() as i64);
    assert!(world.asked(read()).await > 0, "the times are up");
}

#[tokio::test]
async fn every_kind_can_be_switched_off() {
    let off = MetadataTtls {
        tenants_list: Duration::ZERO,
        tenant_blocks_list: Duration::ZERO,
        metafile_exists: Duration::ZERO,
        metafile_doesnt_exist: Duration::ZERO,
        metafile_content: Duration::ZERO,
        metafile_attributes: Duration::ZERO,
        block_index_attributes: Duration::ZERO,
        bucket_index_content: Duration::ZERO,
        ..ttls()
    };
    let no_chunks =
        ChunksCaching { subrange_ttl: Duration::ZERO, attributes_ttl: Duration::ZERO, ..chunks(0) };
    let world = World::new(|cache| cache, off, no_chunks);
    for key in [meta_key(), chunk_key(), "t/bucket-index.json.gz".to_owned()] {
        world.plain.put(&key, Bytes::from_static(b"12345")).await.unwrap();
    }
    for _ in 0..2 {
        let cached = &world.cached;
        assert_eq!(world.asked(async { drop(cached.get(&meta_key()).await) }).await, 1);
        assert_eq!(world.asked(async { drop(cached.exists(&meta_key()).await) }).await, 1);
        assert_eq!(world.asked(async { drop(cached.exists("t/none").await) }).await, 1);
        assert_eq!(world.asked(async { drop(cached.info(&meta_key()).await) }).await, 1);
        assert_eq!(world.asked(async { drop(cached.list_dirs("").await) }).await, 1);
        assert_eq!(world.asked(async { drop(cached.list_dirs("t").await) }).await, 1);
        let index = async { drop(cached.get("t/bucket-index.json.gz").await) };
        assert_eq!(world.asked(index).await, 1);
        assert_eq!(
            world.asked(async { drop(cached.get_range(&chunk_key(), 1..3).await) }).await,
            1
        );
    }
}

#[tokio::test]
async fn what_is_written_or_deleted_here_is_seen_at_once() {
    let world = World::honest();
    let cached = &world.cached;
    assert!(cached.get(&meta_key()).await.unwrap_err().is_not_found());
    cached.put(&meta_key(), Bytes::from_static(b"1")).await.unwrap();
    assert_eq!(&cached.get(&meta_key()).await.unwrap()[..], b"1");
    cached.put(&meta_key(), Bytes::from_static(b"22")).await.unwrap();
    assert_eq!(&cached.get(&meta_key()).await.unwrap()[..], b"22");
    assert_eq!(cached.info(&meta_key()).await.unwrap().size_bytes, 2);
    cached.delete(&meta_key()).await.unwrap();
    assert!(!cached.exists(&meta_key()).await.unwrap());
    world.plain.put(&meta_key(), Bytes::from_static(b"3")).await.unwrap();
    assert!(!cached.exists(&meta_key()).await.unwrap(), "somebody else's write, for its time");
    assert_eq!(&cached.uncached().get(&meta_key()).await.unwrap()[..], b"3");
    let large = Bytes::from(vec![b'x'; 101]);
    cached.put(&meta_key(), large.clone()).await.unwrap();
    cached.get(&meta_key()).await.unwrap();
    assert_eq!(world.asked(async { drop(cached.get(&meta_key()).await) }).await, 1, "too large");
}

#[tokio::test]
async fn errors_of_the_bucket_are_not_kept() {
    let world = World::honest();
    world.plain.put(&meta_key(), Bytes::from_static(b"{}")).await.unwrap();
    world.store.inject(Operation::Get, Fault::Error, 1);
    assert!(world.cached.get(&meta_key()).await.is_err());
    assert_eq!(&world.cached.get(&meta_key()).await.unwrap()[..], b"{}");
    world.store.inject(Operation::List, Fault::LostList, 1);
    assert_eq!(world.cached.list_dirs("").await.unwrap(), Vec::<String>::new());
    assert_eq!(world.cached.list_dirs("").await.unwrap(), ["t"], "nothing is not kept");
}

#[tokio::test]
async fn ranges_of_chunk_files_are_those_of_the_file() {
    let size = 5 * subranges::SUBRANGE_BYTES + 1234;
    let data: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
    let lying: [fn(SharedCache) -> SharedCache; 3] = [
        |cache| cache,
        |cache| Arc::new(Liar { cache, random: SeededRandom::new(1), is_empty: true }),
        |cache| Arc::new(Liar { cache, random: SeededRandom::new(2), is_empty: false }),
    ];
    for make in lying {
        let world = World::new(make, ttls(), chunks(2));
        world.plain.put(&chunk_key(), data.clone().into()).await.unwrap();
        let random = SeededRandom::new(3);
        for _ in 0..200 {
            let start = random.below(size);
            let end = (start + 1 + random.below(3 * subranges::SUBRANGE_BYTES)).min(size + 10);
            let got = world.cached.get_range(&chunk_key(), start..end).await.unwrap();
            assert!(got == data[start as usize..end.min(size) as usize], "{start}..{end}");
        }
        assert!(world.cached.get_range(&chunk_key(), size..size + 1).await.is_err());
    }
}

#[tokio::test]
async fn repeated_ranges_ask_the_bucket_nothing_and_few_requests_fill_gaps() {
    let world = World::honest();
    let s = subranges::SUBRANGE_BYTES;
    world.plain.put(&chunk_key(), vec![1; 20 * s as usize].into()).await.unwrap();
    let read = async |range: Range<u64>| {
        world.cached.get_range(&chunk_key(), range).await.unwrap();
    };
    assert_eq!(world.asked(read(0..1)).await, 2, "size and part");
    assert_eq!(world.asked(read(5..s)).await, 0);
    for i in [2, 4, 6, 8, 10] {
        read(i * s..i * s + 1).await;
    }
    assert_eq!(world.asked(read(0..12 * s)).await, 3, "as many requests as are allowed");
    assert_eq!(world.asked(read(0..12 * s)).await, 0);
}

/// A cache that loses or garbles half of what it is asked for.
struct Liar {
    cache: SharedCache,
    random: SeededRandom,
    is_empty: bool,
}

#[async_trait]
impl Cache for Liar {
    fn name(&self) -> &str {
        "liar"
    }

    async fn get_multi(&self, keys: &[CacheKey]) -> Vec<Option<Bytes>> {
        let mut values = self.cache.get_multi(keys).await;
        for value in values.iter_mut().filter(|_| self.random.below(2) == 0) {
            let garbled = |value: &Bytes| {
                let mut bytes = value.to_vec();
                let at = self.random.below(bytes.len() as u64) as usize;
                match self.random.below(2) {
                    0 => bytes.truncate(at),
                    _ => bytes[at] ^= 1,
                }
                Bytes::from(bytes)
            };
            *value = value.as_ref().filter(|_| !self.is_empty).map(garbled);
        }
        values
    }

    fn set(&self, key: &CacheKey, value: Bytes, ttl: Duration) {
        self.cache.set(key, value, ttl);
    }

    async fn delete(&self, key: &CacheKey) {
        self.cache.delete(key).await;
    }
}

/// A cache that records what is kept, for how long.
#[derive(Default)]
struct Recorder(Mutex<Vec<(String, Duration)>>);

#[async_trait]
impl Cache for Recorder {
    fn name(&self) -> &str {
        "recorder"
    }

    async fn get_multi(&self, keys: &[CacheKey]) -> Vec<Option<Bytes>> {
        vec![None; keys.len()]
    }

    fn set(&self, key: &CacheKey, _value: Bytes, ttl: Duration) {
        self.0.lock().push((key.as_str().to_owned(), ttl));
    }

    async fn delete(&self, _key: &CacheKey) {}
}

#[tokio::test]
async fn every_kind_has_its_own_time() {
    let seconds = Duration::from_secs;
    let recorder = Arc::new(Recorder::default());
    let shared = Arc::clone(&recorder);
    let times = MetadataTtls {
        tenants_list: seconds(1),
        tenant_blocks_list: seconds(2),
        metafile_exists: seconds(3),
        metafile_doesnt_exist: seconds(4),
        metafile_content: seconds(5),
        metafile_attributes: seconds(6),
        block_index_attributes: seconds(7),
        bucket_index_content: seconds(8),
        ..ttls()
    };
    let world = World::new(move |_| Arc::clone(&shared) as SharedCache, times, chunks(0));
    let index = format!("t/{}/index", Ulid(7));
    for key in [meta_key().as_str(), index.as_str(), "t/bucket-index.json.gz"] {
        world.plain.put(key, Bytes::from_static(b"x")).await.unwrap();
    }
    let (mark, cached) = (format!("t/{}/deletion-mark.json", Ulid(7)), &world.cached);
    cached.list_dirs("").await.unwrap();
    cached.list_dirs("t").await.unwrap();
    cached.get(&meta_key()).await.unwrap();
    cached.get(&mark).await.unwrap_err();
    cached.info(&meta_key()).await.unwrap();
    cached.info(&index).await.unwrap();
    cached.get("t/bucket-index.json.gz").await.unwrap();
    let block = format!("pre/t/{}", Ulid(7));
    let want = [
        ("iter:pre".to_owned(), seconds(1)),
        ("iter:pre/t".to_owned(), seconds(2)),
        (format!("get:{block}/meta.json"), seconds(5)),
        (format!("exists:{block}/meta.json"), seconds(3)),
        (format!("exists:{block}/deletion-mark.json"), seconds(4)),
        (format!("attrs:{block}/meta.json"), seconds(6)),
        (format!("attrs:{block}/index"), seconds(7)),
        ("get:pre/t/bucket-index.json.gz".to_owned(), seconds(8)),
    ];
    assert_eq!(*recorder.0.lock(), want);
}
