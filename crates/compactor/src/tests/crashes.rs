//! What is cut off between any two changes of the bucket, or succeeds without an answer: deleting a
//! tenant, uploading over the routes, compacting. And what a killed writer leaves in a directory.

use std::time::Duration;

use bucket::testing::{Fault, Operation};
use bucket::{DeletionMark, NoCompactMark, NoCompactReason, TenantDeletionMark};

use super::compaction::{assert_no_orphans, recover};
use super::uploads::{Client, block_of};
use super::*;

const RANGE: (i64, i64) = (DAY_MS, DAY_MS + 2 * HOUR_MS);

#[tokio::test]
async fn deleting_a_tenant_goes_on_after_a_crash_anywhere() {
    let mut crashes = 0;
    for allowed in 0.. {
        let world = World::new();
        let bucket = world.tenant();
        for id in [1, 2, 3] {
            world.add_block(id, RANGE, &data(0..2, RANGE)).await;
        }
        let mark = DeletionMark::new(Ulid(1), NOW_MS, "");
        bucket.put_mark(Ulid(1), &mark).await.unwrap();
        let mark = NoCompactMark::new(Ulid(2), NOW_MS, (NoCompactReason::Manual, ""));
        bucket.put_mark(Ulid(2), &mark).await.unwrap();
        let partial = bucket.block(Ulid(4)).index();
        bucket.bucket().put(&partial, Bytes::from_static(b"x")).await.unwrap();
        world.clean().await;
        let mark = TenantDeletionMark { deletion_time: 5, finished_time: 0 };
        bucket.put_tenant_deletion_mark(mark).await.unwrap();
        let before = world.store.changes();
        world.store.allow_changes(allowed);
        for _ in 0..3 {
            world.clean().await;
            world.clock.advance(7 * HOUR_MS);
        }
        let was_enough = world.store.changes() - before < allowed;
        world.store.allow_changes(u64::MAX);
        // Readers that have the index find what it lists, or have no index.
        if let Some(index) = bucket.bucket_index().await.unwrap() {
            for block in index.blocks {
                assert!(bucket.has_block(block.id).await.unwrap(), "after {allowed} changes");
            }
        }
        for _ in 0..3 {
            world.clean().await;
            world.clock.advance(7 * HOUR_MS);
        }
        assert_eq!(world.keys().await, [""; 0], "after {allowed} changes");
        if was_enough {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 15, "{crashes}");
}

#[tokio::test]
async fn an_upload_that_is_cut_off_is_whole_or_goes() {
    let mut crashes = 0;
    for allowed in 0.. {
        let mut world = World::new();
        let (dir, data) = block_of(&world, 7);
        let client = Client::new(&mut world, 7);
        let before = client.world.store.changes();
        client.world.store.allow_changes(allowed);
        let was_sent = client.try_send(&dir).await;
        if was_sent {
            client.try_finish().await;
        }
        let world = client.world;
        let was_enough = world.store.changes() - before < allowed;
        world.store.allow_changes(u64::MAX);
        world.clock.advance(HOUR_MS);
        recover(world).await;
        let metas = world.visible().await;
        if metas.is_empty() {
            assert_eq!(world.keys().await, [""; 0], "after {allowed} changes");
        } else {
            assert_eq!(world.data_of(&metas, false).await, data);
            // What is left of the upload is part of the block and goes with it.
            for file in ["uploading-meta.json", "validation.json"] {
                let key = world.tenant().block(Ulid(7)).file(file);
                world.bucket().delete(&key).await.unwrap();
            }
            assert_no_orphans(world, &metas).await;
        }
        if was_enough {
            assert_eq!(metas.len(), 1);
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 5, "{crashes}");
}

#[tokio::test]
async fn a_lost_answer_loses_nothing_and_leaves_nothing() {
    let mut met = 0;
    for operation in [Operation::Put, Operation::Delete] {
        for position in 0.. {
            let world = World::new();
            let mut all = Vec::new();
            for (id, series) in [(1, 0..3), (2, 2..5)] {
                all.push(data(series, RANGE));
                world.add_block(id, RANGE, &all[all.len() - 1]).await;
            }
            let want = union(&all);
            world.store.inject(operation, Fault::Delay(Duration::ZERO), position);
            world.store.inject(operation, Fault::LostAnswer, 1);
            for _ in 0..3 {
                world.compact().await;
                world.clean().await;
                let seen = world.visible().await;
                assert_eq!(world.data_of(&seen, true).await, want, "{operation:?} {position}");
                world.clock.advance(13 * HOUR_MS);
            }
            let is_past = world.store.faults_left() > 0;
            world.store.heal();
            recover(&world).await;
            let metas = world.visible().await;
            assert_eq!(world.data_of(&metas, false).await, want, "{operation:?} {position}");
            assert_no_orphans(&world, &metas).await;
            if is_past {
                break;
            }
            met += 1;
        }
    }
    assert!(met > 15, "{met}");
}

#[tokio::test]
async fn what_a_killed_writer_left_in_a_directory_is_removed() {
    let mut world = World::new();
    let dir = world.local.path().join("bucket");
    world.directory = Some(dir.clone());
    world.add_block(1, RANGE, &data(0..2, RANGE)).await;
    world.clean().await;
    let team = dir.join("team");
    let left = [
        format!("{}/index#1", Ulid(1)),
        format!("{}/chunks/000001#2", Ulid(9)),
        "bucket-index.json.gz#1".to_owned(),
    ];
    std::fs::create_dir_all(team.join(Ulid(9).to_string()).join("chunks")).unwrap();
    for path in &left {
        std::fs::write(team.join(path), "half of it").unwrap();
    }
    let written = std::fs::metadata(team.join(&left[0])).unwrap().modified().unwrap();
    let written_ms = written.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    world.clock.set(written_ms + 3 * HOUR_MS);
    world.clean().await;
    assert!(left.iter().all(|path| team.join(path).is_file()), "it may still be written");
    world.clock.set(written_ms + 5 * HOUR_MS);
    world.clean().await;
    assert!(!left.iter().any(|path| team.join(path).is_file()));
    assert!(!team.join(Ulid(9).to_string()).is_dir());
    let index = world.tenant().bucket_index().await.unwrap().unwrap();
    assert_eq!(index.blocks.iter().map(|block| block.id).collect::<Vec<_>>(), [Ulid(1)]);
}
