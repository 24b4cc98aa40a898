//! What the loader answers while indexes appear, change, go stale, break and vanish.

use std::sync::Arc;

use model::TenantId;
use model::env::ManualClock;
use object_store::memory::InMemory;
use rt::Metrics;
use ulid::Ulid;

use super::{IndexLoader, IndexLoaderOptions};
use crate::testing::indexed_block;
use crate::{
    Bucket, BucketIndex, BucketMetrics, BucketOptions, DeletionMark, TenantBucket,
    TenantDeletionMark,
};

const MINUTE_MS: i64 = 60_000;

struct World {
    clock: Arc<ManualClock>,
    metrics: Metrics,
    bucket: TenantBucket,
    loader: IndexLoader,
    tenant: TenantId,
}

fn world_over(bucket: Bucket, clock: Arc<ManualClock>) -> World {
    let metrics = Metrics::new();
    let tenant = TenantId::new("t").unwrap();
    let options = IndexLoaderOptions {
        sync_interval_ms: 15 * MINUTE_MS,
        error_interval_ms: MINUTE_MS,
        idle_timeout_ms: 60 * MINUTE_MS,
        meta_concurrency: 4,
    };
    let loader = IndexLoader::new(bucket.clone(), options, clock.clone(), &metrics);
    let bucket = TenantBucket::new(bucket, tenant.clone());
    World { clock, metrics, bucket, loader, tenant }
}

fn world() -> World {
    let clock = Arc::new(ManualClock::new(1_800_000_000_000));
    let metrics = BucketMetrics::new(&Metrics::new(), "test");
    world_over(Bucket::over(Arc::new(InMemory::new()), "", clock.clone(), metrics), clock)
}

impl World {
    /// The ids of the blocks of the index.
    async fn ids(&self) -> Result<Vec<u128>, String> {
        let index = self.loader.get(&self.tenant).await.map_err(|error| error.to_string())?;
        Ok(index.blocks.iter().map(|block| block.id.0).collect())
    }

    async fn put_index(&self, ids: &[u128]) {
        let blocks = ids.iter().map(|&id| indexed_block(id)).collect();
        let index = BucketIndex { blocks, ..BucketIndex::empty(5) };
        self.bucket.put_bucket_index(&index).await.unwrap();
    }

    async fn put_meta(&self, id: u128) {
        let json = format!(
            r#"{{"ulid":"{}","minTime":10,"maxTime":20,"version":1,
                "compaction":{{"level":2,"hints":null}},
                "thanos":{{"labels":{{"__compactor_shard_id__":"1_of_2"}},"source":"compactor",
                "segment_files":["000001"]}}}}"#,
            Ulid(id)
        );
        let key = self.bucket.block(Ulid(id)).meta();
        self.bucket.bucket().put(&key, json.into()).await.unwrap();
    }

    fn loads(&self) -> u64 {
        self.loader.metrics.loads.get()
    }
}

#[tokio::test]
async fn an_index_is_read_once_and_checked_again_after_some_seconds() {
    let world = world();
    world.put_index(&[1]).await;
    for _ in 0..3 {
        assert_eq!(world.ids().await.unwrap(), [1]);
    }
    assert_eq!(world.loads(), 1);
    world.put_index(&[1, 2]).await;
    world.clock.advance(14_999);
    assert_eq!(world.ids().await.unwrap(), [1]);
    world.clock.advance(1);
    assert_eq!(world.ids().await.unwrap(), [1, 2]);
    // Unchanged: the object is not decoded again.
    let first = world.loader.get(&world.tenant).await.unwrap();
    world.clock.advance(15_000);
    assert!(Arc::ptr_eq(&first, &world.loader.get(&world.tenant).await.unwrap()));
    assert_eq!(world.loads(), 3);
}

#[tokio::test]
async fn busy_tenants_are_refreshed_in_the_background_and_idle_ones_forgotten() {
    let world = world();
    world.put_index(&[1]).await;
    assert_eq!(world.ids().await.unwrap(), [1]);
    world.clock.advance(15_000);
    world.loader.tick().await;
    assert_eq!(world.loads(), 2);
    // Nobody asks for a while: only the slow refresh goes on.
    world.clock.advance(6 * MINUTE_MS);
    world.loader.tick().await;
    assert_eq!(world.loads(), 2);
    world.clock.advance(10 * MINUTE_MS);
    world.loader.tick().await;
    assert_eq!((world.loads(), world.loader.metrics.loaded.get()), (3, 1));
    world.clock.advance(60 * MINUTE_MS);
    world.loader.tick().await;
    assert_eq!((world.loads(), world.loader.metrics.loaded.get()), (3, 0));
}

#[tokio::test]
async fn failures_are_remembered_for_a_while() {
    let world = world();
    let key = world.bucket.bucket_index_key();
    world.bucket.bucket().put(&key, "broken".into()).await.unwrap();
    assert!(world.ids().await.unwrap_err().contains("tenant t: t/bucket-index.json.gz"));
    world.put_index(&[1]).await;
    world.clock.advance(MINUTE_MS - 1);
    assert!(world.ids().await.is_err());
    world.clock.advance(1);
    assert_eq!(world.ids().await.unwrap(), [1]);
    // From now on a failure leaves the old one in use, with its old `updated_at`.
    world.bucket.bucket().put(&key, "broken".into()).await.unwrap();
    world.clock.advance(MINUTE_MS);
    assert_eq!(world.ids().await.unwrap(), [1]);
    assert_eq!(world.loader.metrics.failures.get(), 2);
}

#[tokio::test]
async fn without_an_index_the_bucket_is_iterated_over() {
    let world = world();
    world.put_meta(1).await;
    world.put_meta(2).await;
    let key = world.bucket.block(Ulid(3)).index();
    world.bucket.bucket().put(&key, "upload not complete".into()).await.unwrap();
    let mark = DeletionMark::new(Ulid(2), 7_000, "");
    world.bucket.put_mark(Ulid(2), &mark).await.unwrap();
    let index = world.loader.get(&world.tenant).await.unwrap();
    assert_eq!(world.ids().await.unwrap(), [1, 2]);
    let block = &index.blocks[0];
    assert_eq!((block.min_time_ms, block.max_time_ms, block.compaction_level), (10, 20, 2));
    assert_eq!((block.compactor_shard_id.as_str(), block.segments_num), ("1_of_2", 1));
    assert_eq!(block.source, "compactor");
    let marks: Vec<_> =
        index.block_deletion_marks.iter().map(|m| (m.id.0, m.deletion_time)).collect();
    assert_eq!(marks, [(2, 7)]);
    // The next iteration comes after the sync interval, and reads only what is new.
    world.put_meta(4).await;
    world.bucket.bucket().delete(&world.bucket.block(Ulid(1)).meta()).await.unwrap();
    world.clock.advance(15 * MINUTE_MS - 1);
    assert_eq!(world.ids().await.unwrap(), [1, 2]);
    world.clock.advance(15_000);
    assert_eq!(world.ids().await.unwrap(), [2, 4]);
    // When an index appears it counts from then on.
    world.put_index(&[9]).await;
    world.clock.advance(15_000);
    assert_eq!(world.ids().await.unwrap(), [9]);
}

#[tokio::test]
async fn an_index_that_vanishes_stays_in_use_unless_the_tenant_is_deleted() {
    let world = world();
    world.put_index(&[1]).await;
    assert_eq!(world.ids().await.unwrap(), [1]);
    world.bucket.delete_bucket_index().await.unwrap();
    world.clock.advance(15_000);
    assert_eq!(world.ids().await.unwrap(), [1]);
    assert_eq!(world.loader.metrics.failures.get(), 1);
    let mark = TenantDeletionMark { deletion_time: 1, finished_time: 0 };
    world.bucket.put_tenant_deletion_mark(mark).await.unwrap();
    world.clock.advance(15_000);
    assert_eq!(world.ids().await.unwrap(), [0u128; 0]);
}

#[tokio::test]
async fn a_directory_that_is_gone_is_no_empty_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("blocks");
    let clock = Arc::new(ManualClock::new(0));
    let options = BucketOptions::Filesystem { dir: root.clone(), storage_prefix: String::new() };
    let metrics = BucketMetrics::new(&Metrics::new(), "test");
    let world = world_over(Bucket::open(&options, clock.clone(), metrics).unwrap(), clock);
    assert_eq!(world.ids().await.unwrap(), [0u128; 0]);
    std::fs::remove_dir(&root).unwrap();
    let fresh = world_over(world.bucket.bucket().clone(), world.clock.clone());
    assert!(fresh.ids().await.unwrap_err().contains("blocks"));
    let text = world.metrics.encode(rt::metrics::TextFormat::Prometheus);
    assert!(text.contains("cortex_bucket_index_loads_total 1"));
}
