//! Damage and loss: a query fails, it never answers with a part.

use std::sync::Arc;
use std::time::Duration;

use bucket::{Bucket, BucketMetrics, BucketOptions};
use model::env::{ManualClock, SeededRandom};
use model::{Matcher, QueryLimits, Random, SelectHints, StorageError};
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};

use crate::StoreOptions;
use crate::request::Request;
use crate::testing::{ALL_TIME, BlockSpec, Data, World, series};

fn data(series_count: usize) -> Data {
    let one = |i| {
        let number = format!("{i:04}");
        series(&[("__name__", "m"), ("i", &number)], (0..300).map(|t| t * 10))
    };
    (0..series_count).map(one).collect()
}

fn world_with_two_blocks() -> World {
    let world = World::new();
    world.add_block(&BlockSpec::new(1, data(5)));
    world.add_block(&BlockSpec::new(2, data(50)));
    world
}

#[test]
fn a_missing_file_fails_queries_until_the_block_is_gone_as_a_whole() {
    for file in ["index", "chunks/000001"] {
        let world = world_with_two_blocks();
        assert_eq!(world.all().unwrap(), data(50));
        let world = world_with_two_blocks();
        world.delete(&world.key(2, file));
        for _ in 0..2 {
            match world.all() {
                Err(StorageError::Unavailable(message)) => {
                    assert!(message.contains("block 00000000000000000000000002"), "{message}");
                }
                other => panic!("{other:?}"),
            }
        }
        // So does a cleaner: the mark comes first.
        world.mark(2, 0);
        world.delete(&world.key(2, "meta.json"));
        assert_eq!(world.all().unwrap(), data(5));
    }
}

#[test]
fn every_damaged_byte_of_the_files_is_found_or_does_not_matter() {
    let good = data(3);
    let written = World::new();
    written.add_block(&BlockSpec::new(1, good.clone()));
    let random = SeededRandom::new(3);
    for file in ["index", "chunks/000001"] {
        let whole = written.get(&written.key(1, file));
        let mut failures = 0;
        for at in 0..whole.len() {
            if random.below(15) != 0 {
                continue;
            }
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << random.below(8);
            written.put(&written.key(1, file), bytes);
            // A new gateway: nothing is in the cache.
            match written.again().all() {
                Ok(found) => assert_eq!(found, good, "{file} {at}"),
                Err(StorageError::Corrupted(_) | StorageError::Unavailable(_)) => failures += 1,
                Err(other) => panic!("{file} {at}: {other:?}"),
            }
        }
        assert!(failures > 3, "{file}: {failures}");
        for len in [0, 1, 20, whole.len() / 2, whole.len() - 1] {
            written.put(&written.key(1, file), whole[..len].to_vec());
            assert!(written.again().all().is_err(), "{file} {len}");
        }
        written.put(&written.key(1, file), whole);
    }
    assert_eq!(written.again().all().unwrap(), good);
}

#[test]
fn damage_names_its_block() {
    let world = world_with_two_blocks();
    let key = world.key(2, "chunks/000001");
    let mut chunks = world.get(&key);
    chunks[100] ^= 0x40;
    world.put(&key, chunks);
    match world.all() {
        Err(StorageError::Corrupted(message)) => {
            assert!(message.starts_with("block 00000000000000000000000002: chunk at 0:"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bucket_that_does_not_answer_fails_the_first_query() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::in_directory(dir.path());
    world.add_block(&BlockSpec::new(1, data(5)));
    assert_eq!(world.again().all().unwrap(), data(5));
    let tenant_dir = dir.path().join("team");
    let aside = dir.path().join("aside");
    std::fs::rename(&tenant_dir, &aside).unwrap();
    std::fs::write(&tenant_dir, b"no directory").unwrap();
    let second = world.again();
    assert!(matches!(second.all(), Err(StorageError::Unavailable(_))));
    std::fs::remove_file(&tenant_dir).unwrap();
    std::fs::rename(&aside, &tenant_dir).unwrap();
    assert_eq!(second.all().unwrap(), data(5));
}

#[test]
fn a_query_that_waits_for_the_bucket_can_be_stopped() {
    let wait = ThrottleConfig {
        wait_get_per_call: Duration::from_secs(3600),
        ..ThrottleConfig::default()
    };
    let world =
        World::over(Arc::new(ThrottledStore::new(InMemory::new(), wait)), StoreOptions::default());
    let context = world.context(QueryLimits::default());
    let request = Request::new(&world.gateway.store, &context);
    let result: Result<(), StorageError> = request.wait(async {
        context.cancel();
        world.bucket.get("never").await.map(drop).map_err(|_| unreachable!())
    });
    assert!(matches!(result, Err(StorageError::Interrupted(_))));

    // The same from outside: the deadline passes while the block is fetched.
    world.add_block(&BlockSpec::new(1, data(1)));
    let limits = QueryLimits { timeout: Some(Duration::from_secs(5)), ..QueryLimits::default() };
    let context = world.context(limits);
    let result = std::thread::scope(|scope| {
        let query = scope.spawn(|| world.select_blocks(&[1], &context).map(drop));
        world.clock.advance(5000);
        query.join().unwrap()
    });
    assert!(matches!(result, Err(StorageError::Interrupted(_))));
}

#[test]
fn works_over_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::in_directory(dir.path());
    assert_eq!(world.all().unwrap(), Data::new());
    world.add_block(&BlockSpec::new(1, data(50)));
    world.mark(9, 0);
    world.sync();
    assert_eq!(world.all().unwrap(), data(50));
    let one = [Matcher::equal("i", "0007")];
    assert_eq!(world.select(ALL_TIME, &one, &SelectHints::default()).unwrap().len(), 1);
}

impl World {
    /// A world over a directory.
    fn in_directory(dir: &std::path::Path) -> Self {
        let clock = Arc::new(ManualClock::new(0));
        let options =
            BucketOptions::Filesystem { dir: dir.to_owned(), storage_prefix: String::new() };
        let metrics = BucketMetrics::new(&rt::Metrics::new(), "test");
        let bucket = Bucket::open(&options, clock, metrics).unwrap();
        Self::over_bucket(bucket, StoreOptions::default())
    }
}
