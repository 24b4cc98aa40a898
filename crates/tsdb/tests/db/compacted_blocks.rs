//! Compaction of the blocks of a database.

use std::path::Path;

use tsdb::block::{list_blocks, read_meta};
use tsdb::compact::Progress;
use tsdb::compact::plan::leveled;
use tsdb::db::{CompactionMode, Db};
use tsdb::fs::{Crash, FileSystem};

use crate::support::*;

const RANGE: i64 = 2 * HOUR;

fn fill(db: &Db, from: i64, until: i64) {
    for t in (from..until).step_by(300_000) {
        let samples: Vec<_> = (0..6).map(|i| float(i, t, (t / 1000 + i as i64) as f64)).collect();
        assert_eq!(append(db, &samples).rejected_total(), 0);
    }
}

/// A database with five blocks of 2 h from an aligned range of 6 h on.
fn with_blocks(world: &World) -> Db {
    let db = world.open();
    fill(&db, 99 * RANGE, 104 * RANGE);
    assert_eq!(db.compact_head(CompactionMode::Forced).unwrap().len(), 5);
    db
}

#[test]
fn blocks_of_a_full_range_become_one_and_queries_see_no_difference() {
    let world = World::new();
    let db = with_blocks(&world);
    let before = contents(&db);
    let sources: Vec<_> = db.blocks().iter().map(|info| info.ulid).collect();
    let ranges = leveled::ranges(RANGE, 24 * HOUR);
    let written = db.compact_blocks(&ranges, &Progress::default()).unwrap();
    assert_eq!(written.len(), 1);
    assert_eq!(contents(&db), before);
    let blocks = db.blocks();
    assert_eq!(blocks.len(), 3);
    assert_eq!((blocks[0].min_time_ms, blocks[0].max_time_ms), (99 * RANGE, 102 * RANGE));
    assert_eq!((blocks[0].level, blocks[0].ulid), (2, written[0]));
    let meta = read_meta(&world.fs, &blocks[0].dir).unwrap();
    let mut compacted = sources[..3].to_vec();
    compacted.sort_unstable();
    assert_eq!(meta.compaction.sources, compacted);
    // The sources are gone from the disk, and there is nothing more to do.
    assert_eq!(list_blocks(&world.fs, Path::new(DIR)).unwrap().len(), 3);
    assert!(db.compact_blocks(&ranges, &Progress::default()).unwrap().is_empty());
    drop(db);
    world.fs.crash(Crash::LoseUnsynced);
    assert_eq!(contents(&world.open()), before);
}

#[test]
fn damaged_blocks_are_marked_and_left_alone() {
    let world = World::new();
    let db = with_blocks(&world);
    let path = db.blocks()[1].dir.join("chunks/000001");
    let mut bytes = world.fs.read(&path).unwrap();
    bytes[20] ^= 1;
    let dir = db.blocks()[1].dir.clone();
    world.fs.create(&path).unwrap().write_all_at(&bytes, 0).unwrap();
    drop(db);
    let db = world.open();
    let ranges = leveled::ranges(RANGE, 24 * HOUR);
    assert!(db.compact_blocks(&ranges, &Progress::default()).unwrap_err().is_corrupt());
    assert_eq!(db.blocks().len(), 5);
    assert!(read_meta(&world.fs, &dir).unwrap().compaction.failed);
    assert!(db.compact_blocks(&ranges, &Progress::default()).unwrap().is_empty());
}
