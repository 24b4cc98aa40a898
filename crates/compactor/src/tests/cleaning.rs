//! Retention, deletion, partial blocks, whole tenants, and the index.

use bucket::testing::Operation;
use bucket::{BlockDeletionMark, BlockMarks, DeletionMark, SegmentsFormat, TenantDeletionMark};

use super::*;

fn hours(from: i64, to: i64) -> (i64, i64) {
    (DAY_MS + from * HOUR_MS, DAY_MS + to * HOUR_MS)
}

async fn marked(world: &World) -> Vec<Ulid> {
    let marks = world.tenant().marks::<DeletionMark>(&BlockMarks::new()).await.unwrap();
    let mut ids: Vec<Ulid> = marks.into_keys().collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn the_index_lists_complete_blocks_and_marks() {
    let world = World::new();
    for id in [1, 2] {
        world.add_block(id, hours(0, 2), &data(0..2, hours(0, 2))).await;
    }
    let bucket = world.tenant();
    let partial = bucket.block(Ulid(3)).index();
    bucket.bucket().put(&partial, Bytes::new()).await.unwrap();
    let now_ms = bucket.bucket().info(&partial).await.unwrap().last_modified_ms;
    world.clock.set(now_ms);
    bucket.put_mark(Ulid(2), &DeletionMark::new(Ulid(2), now_ms, "")).await.unwrap();
    world.clean().await;
    let index = bucket.bucket_index().await.unwrap().unwrap();
    assert_eq!(index.updated_at, now_ms / 1000);
    let ids: Vec<Ulid> = index.blocks.iter().map(|block| block.id).collect();
    assert_eq!(ids, [Ulid(1), Ulid(2)]);
    assert_eq!((index.blocks[0].min_time_ms, index.blocks[0].max_time_ms), hours(0, 2));
    assert_eq!(index.blocks[0].segments_format, SegmentsFormat::Unknown);
    assert_eq!(index.blocks[0].compaction_level, 1);
    let mark = BlockDeletionMark { id: Ulid(2), deletion_time: now_ms / 1000 };
    assert_eq!(index.block_deletion_marks, [mark]);
}

#[tokio::test]
async fn retention_marks_blocks_that_end_before_it_and_the_delay_deletes_them() {
    let mut world = World::new();
    world.limits.compactor_blocks_retention_period = config::PromDuration::from_millis(HOUR_MS);
    world.add_block(1, hours(0, 2), &data(0..2, hours(0, 2))).await;
    world.add_block(2, hours(2, 4), &data(0..2, hours(2, 4))).await;
    world.clock.set(hours(0, 3).1);
    world.clean().await;
    assert_eq!(marked(&world).await, [0u128; 0].map(Ulid), "it ends exactly at the bound");
    world.clock.advance(1);
    world.clean().await;
    assert_eq!(marked(&world).await, [Ulid(1)]);
    world.clock.advance(12 * HOUR_MS - 1);
    world.clean().await;
    assert!(world.tenant().has_block(Ulid(1)).await.unwrap(), "not longer than the delay");
    world.clock.advance(1);
    world.clean().await;
    assert!(!world.keys().await.iter().any(|key| key.contains(&Ulid(1).to_string())));
    let index = world.tenant().bucket_index().await.unwrap().unwrap();
    assert_eq!(index.blocks.len(), 1);
}

/// Marked blocks are most of a bucket in which much is compacted, and every round looks at all.
#[tokio::test]
async fn a_marked_block_is_read_again_only_when_its_deletion_may_have_begun() {
    let world = World::new();
    let bucket = world.tenant();
    world.add_block(1, hours(0, 2), &data(0..2, hours(0, 2))).await;
    bucket.put_mark(Ulid(1), &DeletionMark::new(Ulid(1), 10_000, "")).await.unwrap();
    let reading = |deleted_before_s| Reading { concurrency: 1, deleted_before_s };
    let first = Catalog::sync(&bucket, &Catalog::default(), reading(0)).await.unwrap();
    bucket.bucket().delete(&bucket.block(Ulid(1)).meta()).await.unwrap();
    let known = Catalog::sync(&bucket, &first, reading(10)).await.unwrap();
    assert!(known.blocks.contains_key(&Ulid(1)), "it was not read");
    let gone = Catalog::sync(&bucket, &first, reading(11)).await.unwrap();
    assert_eq!((gone.blocks.len(), gone.partial), (0, vec![Ulid(1)]));
}

/// Two compactors (or the two loops of one) look at a tenant at the same time.
#[tokio::test]
async fn a_block_that_is_deleted_while_the_bucket_is_listed_is_not_taken_for_unmarked() {
    let world = World::new();
    let bucket = world.tenant();
    world.add_block(1, hours(0, 2), &data(0..2, hours(0, 2))).await;
    let reading = Reading { concurrency: 1, deleted_before_s: i64::MAX };
    let known = Catalog::sync(&bucket, &Catalog::default(), reading).await.unwrap();
    bucket.put_mark(Ulid(1), &DeletionMark::new(Ulid(1), NOW_MS - 24 * HOUR_MS, "")).await.unwrap();
    let mut read_mark = world.store.hold(Operation::Get);
    let meanwhile = async {
        read_mark.arrived().await;
        world.clean().await;
        read_mark.release();
    };
    let (seen, ()) = futures::join!(Catalog::sync(&bucket, &known, reading), meanwhile);
    assert!(seen.unwrap().blocks.is_empty());
}

#[tokio::test]
async fn partial_blocks_go_when_nothing_was_written_to_them_for_a_day() {
    let world = World::new();
    let bucket = world.tenant();
    world.add_block(1, hours(0, 2), &data(0..2, hours(0, 2))).await;
    let key = bucket.block(Ulid(3)).file("chunks/000001");
    bucket.bucket().put(&key, Bytes::from_static(b"x")).await.unwrap();
    let written_ms = bucket.bucket().info(&key).await.unwrap().last_modified_ms;
    world.clock.set(written_ms + 24 * HOUR_MS);
    world.clean().await;
    assert!(marked(&world).await.is_empty());
    world.clock.advance(1);
    world.clean().await;
    assert_eq!(marked(&world).await, [Ulid(3)]);
    world.clean().await;
    assert!(!world.keys().await.iter().any(|key| key.contains(&Ulid(3).to_string())));
    assert!(bucket.has_block(Ulid(1)).await.unwrap());
}

#[tokio::test]
async fn a_block_whose_description_is_damaged_is_left_alone() {
    let world = World::new();
    let bucket = world.tenant();
    world.add_block(1, hours(0, 2), &data(0..2, hours(0, 2))).await;
    let meta = bucket.block(Ulid(1)).meta();
    bucket.bucket().put(&meta, Bytes::from_static(b"{")).await.unwrap();
    for _ in 0..3 {
        world.clean().await;
        world.clock.advance(100 * HOUR_MS);
    }
    assert!(bucket.bucket().info(&bucket.block(Ulid(1)).index()).await.is_ok());
    assert!(bucket.bucket_index().await.unwrap().unwrap().blocks.is_empty());
}

#[tokio::test]
async fn a_damaged_block_that_is_marked_goes_after_the_delay() {
    let world = World::new();
    let bucket = world.tenant();
    world.add_block(1, hours(0, 2), &data(0..2, hours(0, 2))).await;
    let meta = bucket.block(Ulid(1)).meta();
    bucket.bucket().put(&meta, Bytes::from_static(b"{")).await.unwrap();
    bucket.put_mark(Ulid(1), &DeletionMark::new(Ulid(1), NOW_MS, "by hand")).await.unwrap();
    world.clock.advance(12 * HOUR_MS);
    world.clean().await;
    assert!(bucket.bucket().info(&bucket.block(Ulid(1)).index()).await.is_ok());
    world.clock.advance(1000);
    world.clean().await;
    assert!(!world.keys().await.iter().any(|key| key.contains(&Ulid(1).to_string())));
}

#[tokio::test]
async fn a_delay_for_partial_blocks_that_is_too_short_keeps_them() {
    let mut world = World::new();
    let minutes = |m: i64| config::PromDuration::from_secs(60 * m);
    world.limits.compactor_partial_block_deletion_delay = minutes(4 * 60 - 1);
    let bucket = world.tenant();
    world.add_block(1, hours(0, 2), &data(0..2, hours(0, 2))).await;
    let key = bucket.block(Ulid(3)).file("chunks/000001");
    bucket.bucket().put(&key, Bytes::from_static(b"x")).await.unwrap();
    let written_ms = bucket.bucket().info(&key).await.unwrap().last_modified_ms;
    world.clock.set(written_ms + 100 * HOUR_MS);
    world.clean().await;
    assert!(marked(&world).await.is_empty());
    world.limits.compactor_partial_block_deletion_delay = minutes(4 * 60);
    world.clean().await;
    assert_eq!(marked(&world).await, [Ulid(3)]);
}

#[tokio::test]
async fn blocks_that_come_late_to_a_deleted_tenant_begin_the_wait_anew() {
    let world = World::new();
    let bucket = world.tenant();
    let finished_time = NOW_MS / 1000 - 5 * 3600;
    let mark = TenantDeletionMark { deletion_time: 5, finished_time };
    bucket.put_tenant_deletion_mark(mark).await.unwrap();
    world.add_block(1, hours(0, 2), &data(0..2, hours(0, 2))).await;
    world.clean().await;
    let mark = bucket.tenant_deletion_mark().await.unwrap().unwrap();
    assert_eq!(mark.finished_time, NOW_MS / 1000);
    world.clock.advance(2 * HOUR_MS);
    world.clean().await;
    assert!(bucket.tenant_deletion_mark().await.unwrap().is_some());
    world.clock.advance(5 * HOUR_MS);
    world.clean().await;
    assert!(world.keys().await.is_empty());
}

#[tokio::test]
async fn a_marked_tenant_goes_step_by_step() {
    let world = World::new();
    let bucket = world.tenant();
    world.add_block(1, hours(0, 2), &data(0..2, hours(0, 2))).await;
    world.clean().await;
    let mark = TenantDeletionMark { deletion_time: 5, finished_time: 0 };
    bucket.put_tenant_deletion_mark(mark).await.unwrap();
    world.clean().await;
    assert_eq!(world.keys().await, ["markers/tenant-deletion-mark.json"]);
    let finished_time = NOW_MS / 1000;
    let mark = bucket.tenant_deletion_mark().await.unwrap().unwrap();
    assert_eq!(mark, TenantDeletionMark { deletion_time: 5, finished_time });
    world.clock.advance(6 * HOUR_MS);
    world.clean().await;
    assert!(bucket.tenant_deletion_mark().await.unwrap().is_some());
    world.clock.advance(1000);
    world.clean().await;
    assert!(world.keys().await.is_empty());
}

#[tokio::test]
async fn tenants_can_be_left_out() {
    let mut world = World::new();
    world.add_block(1, hours(0, 2), &data(0..2, hours(0, 2))).await;
    world.config.disabled_tenants.0 = vec!["team".to_owned()];
    world.clean().await;
    assert_eq!(world.tenant().bucket_index().await.unwrap(), None);
    world.config.disabled_tenants.0.clear();
    world.config.enabled_tenants.0 = vec!["other".to_owned()];
    world.clean().await;
    assert_eq!(world.tenant().bucket_index().await.unwrap(), None);
    world.config.enabled_tenants.0.push("team".to_owned());
    world.clean().await;
    assert!(world.tenant().bucket_index().await.unwrap().is_some());
}
