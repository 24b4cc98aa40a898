//! Deleting samples, in the head and in blocks, against plain maps.

use std::collections::BTreeMap;

use model::{Labels, MatchOp, Matcher, QueryContext, Queryable, SelectHints, TimeRange};
use tsdb::block::{Block, read_meta};
use tsdb::db::{CompactionMode, Db};
use tsdb::fs::Crash;

use crate::support::*;

const RANGE: i64 = 2 * HOUR;
const START: i64 = 100 * RANGE;
const STEP: i64 = 60_000;

type Contents = BTreeMap<Labels, Samples>;

fn fill(db: &Db, from: i64, until: i64) {
    for t in (from..until).step_by(STEP as usize) {
        let samples: Vec<_> = (0..6).map(|i| float(i, t, (t / 1000 + i as i64) as f64)).collect();
        assert_eq!(append(db, &samples).rejected_total(), 0);
    }
}

fn odd() -> [Matcher; 1] {
    [Matcher::new(MatchOp::Equal, "job", "odd").unwrap()]
}

/// Takes the samples of the odd series between two times, both included, out of the map.
fn without(mut contents: Contents, from: i64, until: i64) -> Contents {
    for (series, samples) in &mut contents {
        if series.value("job") == "odd" {
            samples.retain(|t, _| !(from..=until).contains(t));
        }
    }
    contents.retain(|_, samples| !samples.is_empty());
    contents
}

#[test]
fn deleted_samples_are_gone_in_head_and_blocks_and_stay_gone() {
    let world = World::new();
    let db = world.open();
    fill(&db, START, START + 4 * HOUR);
    db.compact_head(CompactionMode::Regular).unwrap();
    assert_eq!(db.blocks().len(), 1);
    let all = contents(&db);
    // From the middle of the block into the head, beside the grid of the samples.
    let (from, until) = (START + HOUR + 1, START + 3 * HOUR - 1);
    assert_eq!(db.delete(TimeRange::new(from, until), &odd()).unwrap(), 6);
    let want = without(all, from, until);
    assert_eq!(contents(&db), want);
    assert_eq!(db.delete(TimeRange::new(from, until), &odd()).unwrap(), 6, "again, no harm done");
    let meta = read_meta(&world.fs, &db.blocks()[0].dir).unwrap();
    assert_eq!(meta.stats.num_tombstones, 3);
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    assert_eq!(contents(&db), want, "after a restart");
    // The block that is cut from the head has no deleted samples, and no tombstones.
    db.compact_head(CompactionMode::Forced).unwrap();
    assert_eq!(contents(&db), want, "after a compaction");
    for info in &db.blocks()[1..] {
        let block = Block::open(&world.fs, &info.dir).unwrap();
        assert!(block.tombstones().is_empty());
        let inside = contents_between(&block, from, until);
        assert!(inside.keys().all(|series| series.value("job") == "even"));
    }
    drop(db);
    world.fs.crash(Crash::Process);
    assert_eq!(contents(&world.open()), want, "after both");
}

#[test]
fn what_is_appended_after_a_deletion_stays() {
    let world = World::new();
    let db = world.open();
    fill(&db, START, START + HOUR);
    let everything = TimeRange::new(i64::MIN, i64::MAX);
    assert_eq!(db.delete(everything, &[]).unwrap(), 6);
    assert_eq!(contents(&db), Contents::new());
    assert_eq!(db.delete(TimeRange::new(START + 2 * HOUR, i64::MAX), &[]).unwrap(), 0);
    append(&db, &[float(1, START + HOUR, 7.0)]);
    let want = Contents::from([(
        labels(1),
        Samples::from([(START + HOUR, Value::Float(7f64.to_bits()))]),
    )]);
    assert_eq!(contents(&db), want);
    drop(db);
    world.fs.crash(Crash::Process);
    assert_eq!(contents(&world.open()), want);
}

#[test]
fn the_newest_sample_may_be_deleted() {
    let world = World::new();
    let db = world.open();
    fill(&db, START, START + HOUR);
    let newest = START + HOUR - STEP;
    db.delete(TimeRange::new(newest, newest), &odd()).unwrap();
    let range = TimeRange::new(START, newest);
    let querier = db.querier(range, &std::sync::Arc::new(QueryContext::unlimited())).unwrap();
    let hints = SelectHints {
        start_ms_incl: START,
        end_ms_incl: newest,
        newest_only: true,
        ..SelectHints::default()
    };
    let mut set = querier.select(&[], &hints).unwrap();
    let mut newest_times = Vec::new();
    while let Some(mut entry) = set.next_series().unwrap() {
        let mut buffer = model::SampleBuffer::default();
        entry.samples.read_all(&mut buffer).unwrap();
        newest_times
            .push((entry.labels.value("job").to_owned(), buffer.float_times.last().copied()));
    }
    assert_eq!(newest_times.len(), 6);
    for (job, time) in newest_times {
        assert_eq!(time, Some(if job == "odd" { newest - STEP } else { newest }));
    }
}

#[test]
fn a_deletion_that_the_log_does_not_take_has_not_happened() {
    let world = World::new();
    let db = world.open();
    fill(&db, START, START + HOUR);
    let before = contents(&db);
    world.fs.fail_writes(1);
    assert!(db.delete(TimeRange::new(START, START + HOUR), &odd()).is_err());
    assert_eq!(contents(&db), before);
    drop(db);
    world.fs.crash(Crash::Process);
    assert_eq!(contents(&world.open()), before);
}

#[test]
fn an_early_compaction_leaves_what_is_newer() {
    let world = World::new();
    let db = world.open();
    fill(&db, START, START + HOUR);
    append(&db, &[float(9, START, 1.0)]);
    let before = contents(&db);
    let until = START + HOUR / 2;
    assert_eq!(db.head().series_without_samples_from(until + 1), 1);
    assert_eq!(db.compact_head(CompactionMode::Early(until)).unwrap().len(), 1);
    assert_eq!(contents(&db), before);
    let block = &db.blocks()[0];
    assert_eq!((block.min_time_ms, block.max_time_ms), (START, until + 1));
    assert_eq!(db.stats().series, 6, "the series without newer samples is gone");
    assert_eq!(append(&db, &[float(9, until, 2.0)]).rejected_total(), 1);
    append(&db, &[float(9, until + 1, 2.0)]);
    // The rest of the range becomes a second block.
    fill(&db, START + HOUR, START + 4 * HOUR);
    let before = contents(&db);
    assert_eq!(db.compact_head(CompactionMode::Regular).unwrap().len(), 1);
    let block = &db.blocks()[1];
    assert_eq!((block.min_time_ms, block.max_time_ms), (until + 1, START + RANGE));
    assert_eq!(contents(&db), before);
    drop(db);
    world.fs.crash(Crash::Process);
    assert_eq!(contents(&world.open()), before);
}
