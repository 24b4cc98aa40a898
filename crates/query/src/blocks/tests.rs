//! Queries over store-gateways that know, do not know, fail, or do not answer.

use std::collections::VecDeque;
use std::sync::{Arc, Barrier};

use bucket::{
    BlockDeletionMark, Bucket, BucketIndex, BucketMetrics, IndexLoader, IndexLoaderOptions,
    IndexedBlock, SegmentsFormat, TenantBucket,
};
use config::BucketStoreConfig;
use model::env::ManualClock;
use model::storage::{DecodedSamples, TextSet, Texts};
use model::{
    Executor, Labels, Matcher, QueryContext, SelectHints, SeriesEntry, SeriesSet, StorageError,
    TenantId, TimeRange,
};
use object_store::memory::InMemory;
use parking_lot::Mutex;
use rt::{BlockingHandle, Metrics};
use ulid::Ulid;
use wire::client::{
    BlockStore as _, BlocksAnswer, BlocksRequest, GatewayShare, StoreGatewayClient, StoreGateways,
    TriedGateways, WantedBlock,
};

use super::{Blocks, BlocksDependencies};

const NOW_MS: i64 = 1_800_000_000_000;
const MINUTE_MS: i64 = 60_000;

/// As little as a `meta.json` can say.
const EMPTY_META: &[u8] =
    br#"{"ulid": "00000000000000000000000001", "minTime": 0, "maxTime": 20, "version": 1}"#;

/// What a store-gateway does when it is asked.
#[derive(Clone, Default)]
struct Gateway {
    has: Vec<u128>,
    cannot_read: Vec<u128>,
    is_down: bool,
    /// After how many series its streams break off.
    breaks_after: Option<usize>,
    /// Waits until so many are asked at the same time.
    meets: Option<Arc<Barrier>>,
    asked: Arc<Mutex<Vec<Vec<u128>>>>,
}

impl Gateway {
    fn with(has: &[u128]) -> Self {
        Self { has: has.to_vec(), ..Self::default() }
    }

    fn answer<T>(
        &self,
        request: BlocksRequest<'_>,
        value: impl FnOnce(&[Ulid]) -> T,
    ) -> Result<BlocksAnswer<T>, StorageError> {
        self.asked.lock().push(request.blocks.iter().map(|id| id.0).collect());
        if let Some(barrier) = &self.meets {
            barrier.wait();
        }
        if self.is_down {
            return Err(StorageError::Unavailable("down".to_owned()));
        }
        let of = |ids: &[u128]| -> Vec<Ulid> {
            request.blocks.iter().copied().filter(|id| ids.contains(&id.0)).collect()
        };
        let queried = of(&self.has);
        Ok(BlocksAnswer { value: value(&queried), queried, failed: of(&self.cannot_read) })
    }
}

impl StoreGatewayClient for Gateway {
    fn select(
        &self,
        request: BlocksRequest<'_>,
        _: &[Matcher],
        _: &SelectHints,
    ) -> Result<BlocksAnswer<Box<dyn SeriesSet>>, StorageError> {
        let series = ["a", "b", "c"].map(|name| Labels::from_pairs([("__name__", name)]));
        let set = Streamed { left: series.to_vec().into(), breaks_after: self.breaks_after };
        self.answer(request, |_| Box::new(set) as Box<dyn SeriesSet>)
    }

    fn label_names(
        &self,
        request: BlocksRequest<'_>,
        _: &[Matcher],
        _: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        let texts = |ids: &[Ulid]| Texts::new(ids.iter().map(|id| id.0.to_string()).collect());
        self.answer(request, |ids| Box::new(texts(ids)) as Box<dyn TextSet>)
    }

    fn label_values(
        &self,
        request: BlocksRequest<'_>,
        _: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        self.label_names(request, matchers, limit)
    }
}

/// Series of which some may not arrive.
struct Streamed {
    left: VecDeque<Labels>,
    breaks_after: Option<usize>,
}

impl SeriesSet for Streamed {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        if self.breaks_after == Some(0) {
            return Err(StorageError::Unavailable("broken off".to_owned()));
        }
        self.breaks_after = self.breaks_after.map(|left| left - 1);
        let samples = || Box::new(DecodedSamples::default());
        Ok(self.left.pop_front().map(|labels| SeriesEntry { labels, samples: samples() }))
    }
}

/// Asks the first that was not tried for a block.
struct Replicas(Vec<Gateway>);

impl StoreGateways for Replicas {
    fn share(
        &self,
        _: &TenantId,
        blocks: &[WantedBlock],
        tried: &TriedGateways,
    ) -> Result<Vec<GatewayShare>, StorageError> {
        let mut shares: Vec<GatewayShare> = Vec::new();
        for &WantedBlock { id, .. } in blocks {
            let next = tried.get(&id).map_or(0, Vec::len);
            let Some(gateway) = self.0.get(next) else {
                return Err(StorageError::Unavailable("nobody is left".to_owned()));
            };
            let address = next.to_string();
            match shares.iter_mut().find(|share| share.address == address) {
                Some(share) => share.blocks.push(id),
                None => shares.push(GatewayShare {
                    address,
                    client: Arc::new(gateway.clone()),
                    blocks: vec![id],
                }),
            }
        }
        Ok(shares)
    }

    fn replication_factor(&self) -> usize {
        self.0.len()
    }
}

/// Asks the store-gateway whose number the block's id tells; there is one of each.
struct Owners(Vec<Gateway>);

impl StoreGateways for Owners {
    fn share(
        &self,
        _: &TenantId,
        blocks: &[WantedBlock],
        _: &TriedGateways,
    ) -> Result<Vec<GatewayShare>, StorageError> {
        let share = |&WantedBlock { id, .. }: &WantedBlock| GatewayShare {
            address: id.0.to_string(),
            client: Arc::new(self.0[id.0 as usize].clone()),
            blocks: vec![id],
        };
        Ok(blocks.iter().map(share).collect())
    }

    fn replication_factor(&self) -> usize {
        1
    }
}

/// Runs every piece on a thread of its own.
struct Threads;

impl Executor for Threads {
    fn parallelism(&self) -> usize {
        usize::MAX
    }

    fn for_each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            (0..count).for_each(|i| _ = scope.spawn(move || job(i)));
        });
    }
}

struct World {
    runtime: tokio::runtime::Runtime,
    bucket: TenantBucket,
    tenant: TenantId,
    blocks: Blocks,
    metrics: Metrics,
}

fn world(
    gateways: &[Gateway],
    blocks: Vec<IndexedBlock>,
    change: impl FnOnce(&mut BucketIndex),
) -> World {
    world_of(Arc::new(Replicas(gateways.to_vec())), blocks, change)
}

fn world_of(
    gateways: Arc<dyn StoreGateways>,
    blocks: Vec<IndexedBlock>,
    change: impl FnOnce(&mut BucketIndex),
) -> World {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let metrics = Metrics::new();
    let bucket_metrics = BucketMetrics::new(&metrics, "test");
    let bucket = Bucket::over(Arc::new(InMemory::new()), "", clock.clone(), bucket_metrics);
    let tenant = TenantId::new("t").unwrap();
    let tenant_bucket = TenantBucket::new(bucket.clone(), tenant.clone());
    let mut index = BucketIndex { blocks, ..BucketIndex::empty(NOW_MS / 1000) };
    change(&mut index);
    runtime.block_on(tenant_bucket.put_bucket_index(&index)).unwrap();
    let options = IndexLoaderOptions {
        sync_interval_ms: 15 * MINUTE_MS,
        error_interval_ms: MINUTE_MS,
        idle_timeout_ms: 60 * MINUTE_MS,
        meta_concurrency: 4,
    };
    let indexes = Arc::new(IndexLoader::new(bucket, options, clock.clone(), &metrics));
    let blocks = Blocks::new(BlocksDependencies {
        config: BucketStoreConfig::default(),
        indexes,
        gateways,
        clock,
        executor: Arc::new(Threads),
        blocking: runtime.block_on(async { BlockingHandle::current() }),
        metrics: metrics.clone(),
    });
    World { runtime, bucket: tenant_bucket, tenant, blocks, metrics }
}

/// A block of a compactor over `[10, 20)`, uploaded long ago.
fn block(id: u128) -> IndexedBlock {
    IndexedBlock {
        id: Ulid(id),
        min_time_ms: 10,
        max_time_ms: 20,
        segments_format: SegmentsFormat::Unknown,
        segments_num: 0,
        uploaded_at: 1_700_000_000,
        compactor_shard_id: String::new(),
        source: "compactor".to_owned(),
        compaction_level: 2,
        out_of_order: false,
        labels: std::collections::BTreeMap::new(),
    }
}

/// A block that has just been uploaded.
fn young(id: u128, source: &str) -> IndexedBlock {
    let uploaded_at = (NOW_MS - 44 * MINUTE_MS) / 1000;
    IndexedBlock { uploaded_at, source: source.to_owned(), ..block(id) }
}

impl World {
    /// The blocks that a query over this range was answered from.
    fn ask(&self, start: i64, end: i64) -> Result<String, String> {
        let context = Arc::new(QueryContext::unlimited());
        let queryable = self.blocks.queryable(&self.tenant).unwrap().unwrap();
        let querier = queryable.querier(TimeRange::new(start, end), &context);
        let names = querier.and_then(|querier| querier.label_names(&[], 0));
        names.map(|names| names.join(" ")).map_err(|error| error.to_string())
    }

    /// The names of all series.
    fn select(&self) -> Result<String, String> {
        let context = Arc::new(QueryContext::unlimited());
        let queryable = self.blocks.queryable(&self.tenant).unwrap().unwrap();
        let querier = queryable.querier(TimeRange::new(10, 10), &context).unwrap();
        let mut set = querier.select(&[], &SelectHints::default()).unwrap();
        let mut names = Vec::new();
        while let Some(series) = set.next_series().map_err(|error| error.to_string())? {
            names.push(series.labels.value("__name__").to_owned());
        }
        Ok(names.join(" "))
    }

    fn counter(&self, name: &str) -> f64 {
        let samples = self.metrics.gather().unwrap().samples;
        samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }
}

const FAILED_2: &str = "failed to fetch some blocks (err-mimir-store-consistency-check-failed). \
    The failed blocks are: 00000000000000000000000002";

#[test]
fn blocks_in_range_are_asked_for_once() {
    let gateway = Gateway::with(&[1, 2]);
    let later = IndexedBlock { min_time_ms: 20, max_time_ms: 30, ..block(2) };
    let world = world(std::slice::from_ref(&gateway), vec![block(1), later], |_| {});
    assert_eq!(world.ask(19, 19).unwrap(), "1");
    assert_eq!(world.ask(19, 20).unwrap(), "1 2");
    assert_eq!(world.ask(30, 99).unwrap(), "");
    assert_eq!(*gateway.asked.lock(), [vec![1], vec![1, 2]]);
    assert_eq!(world.counter("cortex_querier_blocks_consistency_checks_total"), 2.0);
    assert_eq!(world.counter("cortex_querier_blocks_consistency_checks_failed_total"), 0.0);
    assert_eq!(world.counter("cortex_querier_blocks_queried_total"), 3.0);
}

#[test]
fn what_is_missing_is_asked_of_other_replicas_and_then_fails_the_query() {
    let blocks = || vec![block(1), block(2)];
    let (first, second) = (Gateway::with(&[1]), Gateway::with(&[1, 2]));
    let found = world(&[first.clone(), second.clone()], blocks(), |_| {});
    assert_eq!(found.ask(10, 10).unwrap(), "1 2");
    assert_eq!((first.asked.lock().len(), &*second.asked.lock()), (1, &vec![vec![2]]));
    let missing = world(&[first], blocks(), |_| {});
    assert_eq!(missing.ask(10, 10).unwrap_err(), FAILED_2);
    assert_eq!(missing.counter("cortex_querier_blocks_consistency_checks_failed_total"), 1.0);
    // Four replicas; after three of them it is enough.
    let fourth = Gateway::with(&[1, 2]);
    let none = Gateway::with(&[1]);
    let world = world(&[none.clone(), none.clone(), none, fourth.clone()], blocks(), |_| {});
    assert_eq!(world.ask(10, 10).unwrap_err(), FAILED_2);
    assert!(fourth.asked.lock().is_empty());
}

#[test]
fn the_store_gateways_of_a_query_are_asked_at_the_same_time() {
    let meets = Arc::new(Barrier::new(3));
    let gateway = |id: u128| Gateway { meets: Some(Arc::clone(&meets)), ..Gateway::with(&[id]) };
    let owners = Owners((0..3).map(gateway).collect());
    let all = world_of(Arc::new(owners), (0..3).map(block).collect(), |_| {});
    assert_eq!(all.ask(10, 10).unwrap(), "0 1 2");
    // Every one of them must answer.
    let silent = |id: u128| Gateway { is_down: id == 2, ..gateway(id) };
    let owners = Owners((0..3).map(silent).collect());
    let world = world_of(Arc::new(owners), (0..3).map(block).collect(), |_| {});
    assert_eq!(world.ask(10, 10).unwrap_err(), FAILED_2);
}

#[test]
fn a_store_gateway_that_does_not_answer_is_replaced_by_another() {
    let down = Gateway { is_down: true, ..Gateway::default() };
    let up = Gateway::with(&[1, 2]);
    let one_up = world(&[down.clone(), up], vec![block(1), block(2)], |_| {});
    assert_eq!(one_up.ask(10, 10).unwrap(), "1 2");
    let none = world(&[down.clone(), down], vec![block(2)], |_| {});
    assert_eq!(none.ask(10, 10).unwrap_err(), FAILED_2);
}

#[test]
fn a_stream_that_breaks_off_goes_on_at_another_store_gateway() {
    let breaks = |after| Gateway { breaks_after: Some(after), ..Gateway::with(&[1, 2]) };
    let ask = |gateways: &[Gateway]| world(gateways, vec![block(1), block(2)], |_| {}).select();
    let all = Ok("a b c".to_owned());
    let broken = Err("broken off".to_owned());
    let second = Gateway::with(&[1, 2]);
    for after in 0..3 {
        assert_eq!(ask(&[breaks(after), second.clone()]), all, "after {after}");
    }
    assert_eq!(*second.asked.lock(), vec![vec![1, 2]; 3]);
    // The next one breaks off as well, earlier or later, or has one of the blocks alone.
    let third = Gateway::with(&[1, 2]);
    assert_eq!(ask(&[breaks(1), breaks(2), third.clone()]), all);
    assert_eq!(ask(&[breaks(2), breaks(0), third.clone()]), all);
    assert_eq!(ask(&[breaks(1), Gateway::with(&[1]), third.clone()]), all);
    assert_eq!(*third.asked.lock(), [vec![1, 2], vec![1, 2], vec![2]]);
    // Nobody is left, or nobody has one of the blocks: what was promised cannot be kept.
    assert_eq!(ask(&[breaks(1)]), broken);
    assert_eq!(ask(&[breaks(1), breaks(1)]), broken);
    assert_eq!(ask(&[breaks(1), Gateway::with(&[1])]), broken);
    let fourth = Gateway::with(&[1, 2]);
    assert_eq!(ask(&[breaks(1), breaks(1), breaks(1), fourth.clone()]), broken);
    assert!(fourth.asked.lock().is_empty(), "after three of them it is enough");
}

#[test]
fn only_young_blocks_of_ingesters_that_nobody_knows_yet_may_be_missing() {
    let knows_one = Gateway::with(&[1]);
    let ask = |gateway: &Gateway, block_2: IndexedBlock| {
        let gateways = [gateway.clone(), gateway.clone()];
        world(&gateways, vec![block(1), block_2], |_| {}).ask(10, 10)
    };
    assert_eq!(ask(&knows_one, young(2, "receive")).unwrap(), "1");
    // It is not asked for again.
    assert_eq!(knows_one.asked.lock().len(), 1);
    assert_eq!(ask(&knows_one, young(2, "compactor")).unwrap_err(), FAILED_2);
    let old = IndexedBlock { source: "receive".to_owned(), ..block(2) };
    assert_eq!(ask(&knows_one, old).unwrap_err(), FAILED_2);
    // Known, but not readable: the bucket is in trouble.
    let broken = Gateway { cannot_read: vec![2], ..Gateway::with(&[1]) };
    assert_eq!(ask(&broken, young(2, "receive")).unwrap_err(), FAILED_2);
    let down = Gateway { is_down: true, ..Gateway::default() };
    let alone = world(&[down], vec![young(2, "receive")], |_| {});
    assert_eq!(alone.ask(10, 10).unwrap_err(), FAILED_2);
}

/// Mimir's store-gateways answer from what they have synced alone.
#[test]
fn a_young_compacted_block_may_be_missing_where_all_that_it_was_made_of_is_there() {
    // 3 was made of 1 and 2, and 4 of 3 and of 9, which ends before the range.
    let made_of =
        |parents: &[(u128, i64, i64)]| {
            let parents = parents.iter().map(|&(id, min_time_ms, max_time_ms)| {
                tsdb::meta::Parent { ulid: Ulid(id), min_time_ms, max_time_ms }
            });
            let mut meta = tsdb::meta::BlockMeta::decode(EMPTY_META).unwrap();
            meta.compaction.parents = parents.collect();
            meta.encode()
        };
    let ask = |known: &[u128], change: fn(&mut BucketIndex)| {
        let gateway = Gateway::with(known);
        let blocks =
            vec![block(1), block(2), young(3, "compactor"), young(4, "compactor"), block(9)];
        let world = world(&[gateway.clone(), gateway.clone()], blocks, |index| {
            index.blocks[4].max_time_ms = 12;
            change(index);
        });
        let bucket = &world.bucket;
        let metas =
            [(3, made_of(&[(1, 10, 20), (2, 10, 20)])), (4, made_of(&[(3, 10, 20), (9, 10, 12)]))];
        for (id, meta) in metas {
            let key = bucket.block(Ulid(id)).meta();
            world.runtime.block_on(bucket.bucket().put(&key, meta.into())).unwrap();
        }
        let answer = world.ask(15, 15);
        (answer, gateway.asked.lock().len())
    };
    let failed = |ids: &[u128]| {
        let ids: Vec<String> = ids.iter().map(|id| Ulid(*id).to_string()).collect();
        Err(FAILED_2.replace("00000000000000000000000002", &ids.join(" ")))
    };
    let same = |_: &mut BucketIndex| {};
    assert_eq!(ask(&[1, 2], same), (Ok("1 2".to_owned()), 1), "and not asked for again");
    assert_eq!(ask(&[1, 2, 4], same), (Ok("1 2 4".to_owned()), 1));
    // What is missing itself holds nothing.
    assert_eq!(ask(&[1], same).0, failed(&[2, 3, 4]));
    // A block that was marked so long ago that it is not queried does not either.
    let gone = |index: &mut BucketIndex| {
        let deletion_time = (NOW_MS - 51 * MINUTE_MS) / 1000;
        index.block_deletion_marks.push(BlockDeletionMark { id: Ulid(2), deletion_time });
    };
    assert_eq!(ask(&[1], gone).0, failed(&[3, 4]));
    let old = |index: &mut BucketIndex| index.blocks[2].uploaded_at = 1_700_000_000;
    assert_eq!(ask(&[1, 2], old).0, failed(&[3, 4]));
    // One that somebody has uploaded was made of nothing that is known.
    let unknown = |index: &mut BucketIndex| index.blocks[2].id = Ulid(7);
    assert_eq!(ask(&[1, 2], unknown).0, failed(&[4, 7]));
}

#[test]
fn marked_blocks_are_left_out_after_the_delay() {
    let marked = |minutes: i64| {
        let gateway = Gateway::with(&[1, 2]);
        let deletion_time = (NOW_MS - minutes * MINUTE_MS) / 1000;
        let mark = BlockDeletionMark { id: Ulid(1), deletion_time };
        let mark = |index: &mut BucketIndex| index.block_deletion_marks.push(mark);
        world(&[gateway], vec![block(1), block(2)], mark).ask(10, 10).unwrap()
    };
    assert_eq!(marked(50), "1 2");
    assert_eq!(marked(51), "2");
}

#[test]
fn an_index_that_is_too_old_or_broken_fails_queries() {
    let hour_s = 3600;
    let at = |seconds| {
        let age = |index: &mut BucketIndex| index.updated_at = NOW_MS / 1000 - seconds;
        world(&[Gateway::with(&[1])], vec![block(1)], age).ask(10, 10)
    };
    assert_eq!(at(hour_s).unwrap(), "1");
    assert_eq!(
        at(hour_s + 1).unwrap_err(),
        "the bucket index is too old. It was last updated at 2027-01-15T06:59:59Z, which exceeds \
         the maximum allowed staleness period of 1h0m0s (err-mimir-bucket-index-too-old)"
    );
    let broken = world(&[Gateway::with(&[1])], vec![block(1)], |_| {});
    let key = format!("{}/bucket-index.json.gz", broken.tenant);
    broken.runtime.block_on(broken.bucket.bucket().put(&key, "broken".into())).unwrap();
    assert!(broken.ask(10, 10).unwrap_err().contains("read the bucket index of tenant t"));
}

#[test]
fn a_tenant_without_blocks_has_no_samples() {
    let world = world(&[Gateway::default()], Vec::new(), |_| {});
    assert_eq!(world.ask(0, i64::MAX).unwrap(), "");
}
