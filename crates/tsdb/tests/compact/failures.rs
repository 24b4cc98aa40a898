//! Nothing left, cancellations, damaged sources, a disk that fails and a machine that dies.

use std::path::Path;

use tsdb::block::{Block, BlockWriter, list_blocks, remove_leftovers, write_tombstones};
use tsdb::compact::{Compaction, Progress, needed_disk_bytes};
use tsdb::fs::{Crash, SharedFs};
use tsdb::index::SymbolSet;
use tsdb::meta::BlockMeta;
use tsdb::postings::IndexPostings;
use tsdb::tombstones::{Interval, Tombstones};
use ulid::Ulid;

use super::support::*;

fn sources(world: &World) -> Vec<Block> {
    let data = |start: i64| -> Data {
        (0..30).map(|s| (s, (start..start + 100).map(|t| (t, Kind::Float)).collect())).collect()
    };
    vec![write_block(&world.fs, &data(0), (1, 30)), write_block(&world.fs, &data(50), (2, 30))]
}

fn run(fs: &SharedFs, blocks: &[Block], progress: &Progress) -> Result<usize, String> {
    let ulids = ulids(2);
    let compaction = Compaction::new(fs, Path::new(RESULTS), &ulids);
    let metas = compaction.run(blocks, progress).map_err(|e| e.to_string())?;
    Ok(metas.into_iter().flatten().count())
}

fn is_clean(world: &World) -> bool {
    world.fs.read_dir(Path::new(RESULTS)).unwrap().is_empty()
}

#[test]
fn where_nothing_is_left_there_is_no_block() {
    let world = World::new();
    let mut blocks = Vec::new();
    for block in sources(&world) {
        let mut all = Tombstones::default();
        for series in block.index().all_postings().unwrap().into_vec() {
            all.add(u64::from(series), Interval { min_ms: 0, max_ms: 1_000 });
        }
        write_tombstones(&world.fs, block.dir(), &all).unwrap();
        blocks.push(Block::open(&*world.fs, block.dir()).unwrap());
    }
    assert_eq!(run(&world.fs, &blocks, &Progress::default()), Ok(0));
    assert!(is_clean(&world));
}

#[test]
fn a_cancelled_compaction_leaves_nothing() {
    let world = World::new();
    let blocks = sources(&world);
    let progress = Progress::default();
    progress.cancel();
    assert_eq!(run(&world.fs, &blocks, &progress).unwrap_err(), "the compaction was cancelled");
    assert!(is_clean(&world));
}

#[test]
fn progress_counts_the_series_of_all_sources() {
    let world = World::new();
    let progress = Progress::default();
    assert_eq!(run(&world.fs, &sources(&world), &progress), Ok(2));
    let report = progress.report();
    assert_eq!((report.series_done, report.series_total), (60, 60));
}

#[test]
fn every_flipped_bit_of_a_chunk_file_is_found() {
    let world = World::new();
    let blocks = sources(&world);
    let path = blocks[0].dir().join("chunks/000001");
    let good = world.fs.read(&path).unwrap();
    // The header, then records.
    for at in (8..good.len()).step_by(37) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        world.fs.create(&path).unwrap().write_all_at(&bad, 0).unwrap();
        let blocks = [Block::open(&*world.fs, blocks[0].dir()).unwrap(), blocks[1].clone()];
        let error = run(&world.fs, &blocks, &Progress::default()).unwrap_err();
        assert!(error.contains("chunk 0x"), "{error}");
        assert!(is_clean(&world));
    }
}

#[test]
fn a_full_disk_leaves_nothing_and_the_estimate_is_enough() {
    let world = World::new();
    let blocks = sources(&world);
    for free in [0, 100, 1_000, 3_000] {
        world.disk.set_free_bytes(Some(free));
        assert!(run(&world.fs, &blocks, &Progress::default()).is_err());
        assert!(is_clean(&world));
    }
    // The two metas take their place too.
    world.disk.set_free_bytes(Some(needed_disk_bytes(&blocks) + 4_000));
    assert_eq!(run(&world.fs, &blocks, &Progress::default()), Ok(2));
}

#[test]
fn failing_syncs_and_creations_leave_nothing() {
    let world = World::new();
    let blocks = sources(&world);
    world.disk.fail_syncs(1);
    assert!(run(&world.fs, &blocks, &Progress::default()).is_err());
    world.disk.fail_creates(1);
    assert!(run(&world.fs, &blocks, &Progress::default()).is_err());
    world.disk.fail_syncs(0);
    world.disk.fail_creates(0);
    assert_eq!(run(&world.fs, &blocks, &Progress::default()), Ok(2));
}

#[test]
fn after_a_crash_a_block_is_whole_or_not_there() {
    for seed in 0..10 {
        let world = World::new();
        let blocks = sources(&world);
        let want = {
            run(&world.fs, &blocks, &Progress::default()).unwrap();
            world.files(Path::new(RESULTS))
        };
        world.disk.crash(Crash::Random(seed));
        remove_leftovers(&*world.fs, Path::new(RESULTS)).unwrap();
        for ulid in list_blocks(&*world.fs, Path::new(RESULTS)).unwrap() {
            let dir = Path::new(RESULTS).join(ulid.to_string());
            for (path, bytes) in world.files(&dir) {
                assert_eq!(Some(&bytes), want.get(&path), "{path}");
            }
        }
        // What was returned as done is there.
        assert_eq!(list_blocks(&*world.fs, Path::new(RESULTS)).unwrap().len(), 2);
    }
}

#[test]
fn series_out_of_label_order_are_an_error() {
    // Symbols that are not in use do not matter.
    let world = World::new();
    let symbols = SymbolSet::collect(["unused", "__name__", "x"]).unwrap();
    let meta = BlockMeta::new(Ulid::from_parts(5, 5), 0, 10);
    let writer = BlockWriter::create(world.fs.clone(), Path::new(SOURCES), meta, symbols).unwrap();
    assert!(writer.finish().unwrap().is_none());
    let blocks = sources(&world);
    assert_eq!(run(&world.fs, &blocks[..1], &Progress::default()), Ok(2));
}
