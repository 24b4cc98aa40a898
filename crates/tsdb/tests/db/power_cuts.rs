//! One run of everything a database does (appends, deletions, compactions, truncations,
//! checkpoints), ended at every single change of the disk: whatever was acknowledged before is
//! there afterwards, and the database goes on. Likewise one of samples that come out of order.

use std::collections::BTreeMap;

use model::env::SeededRandom;
use model::{Labels, MatchOp, Matcher, Random as _, TimeRange};
use tsdb::db::{CompactionMode, Db};
use tsdb::error::TsdbError;
use tsdb::fs::{Crash, FileSystem as _};
use tsdb::head::AppendLimits;
use tsdb::wal::record::SamplesEncoder;
use tsdb::wal::{Compression, FsyncPolicy, WalOptions};

use crate::support::*;

type Contents = BTreeMap<Labels, Samples>;

/// Short, so that a run of few samples has several blocks.
const RANGE_MS: i64 = 120_000;
const STEP_MS: i64 = 5_000;
const START_MS: i64 = 100 * RANGE_MS;
const SERIES: usize = 4;

/// What the caller knows of the content.
#[derive(Default)]
struct Known {
    /// Acknowledged and not deleted since.
    acknowledged: Contents,
    /// May be there or not: sent and not acknowledged, or about to be deleted.
    uncertain: Contents,
}

impl Known {
    fn sent(&mut self, samples: &[TestSample], is_acknowledged: bool) {
        for sample in samples {
            let TestValue::Float(value) = &sample.value else { unreachable!() };
            let value = Value::Float(value.to_bits());
            let contents =
                if is_acknowledged { &mut self.acknowledged } else { &mut self.uncertain };
            contents.entry(labels(sample.series)).or_default().insert(sample.t, value);
        }
    }

    /// A deletion of some series was tried.
    fn deleted(&mut self, job: &str, times: (i64, i64), is_acknowledged: bool) {
        for (series, samples) in &mut self.acknowledged {
            if series.value("job") != job {
                continue;
            }
            let doomed: Vec<i64> = samples.range(times.0..=times.1).map(|(t, _)| *t).collect();
            for t in doomed {
                let value = samples.remove(&t).unwrap();
                if !is_acknowledged {
                    self.uncertain.entry(series.clone()).or_default().insert(t, value);
                }
            }
        }
        if is_acknowledged {
            for (series, samples) in &mut self.uncertain {
                samples
                    .retain(|t, _| series.value("job") != job || !(times.0..=times.1).contains(t));
            }
        }
    }

    fn check(&self, found: &Contents, what: &str) {
        for (series, samples) in &self.acknowledged {
            for (t, value) in samples {
                let got = found.get(series).and_then(|s| s.get(t));
                assert_eq!(got, Some(value), "{what}: {series} at {t}");
            }
        }
        let has = |contents: &Contents, series: &Labels, t: &i64, value: &Value| {
            contents.get(series).and_then(|s| s.get(t)) == Some(value)
        };
        for (series, samples) in found {
            for (t, value) in samples {
                let is_known = has(&self.acknowledged, series, t, value)
                    || has(&self.uncertain, series, t, value);
                assert!(is_known, "{what}: {series} at {t}: deleted, or never written");
            }
        }
    }
}

fn world() -> World {
    let mut world = World::new();
    world.options.block_range_ms = RANGE_MS;
    world.options.shards = 2;
    world.options.wal = Some(WalOptions {
        fsync: FsyncPolicy::Always,
        segment_bytes: 32 * 1024,
        compression: Compression::Snappy,
    });
    world
}

/// Everything, until the disk gives up.
fn workload(world: &World, known: &mut Known) -> Result<(), TsdbError> {
    let db = world.try_open()?;
    for round in 0..3 {
        write(&db, known, START_MS + round * RANGE_MS, RANGE_MS)?;
        delete(&db, known, START_MS + round * RANGE_MS - 2 * STEP_MS)?;
        db.compact_head(CompactionMode::Regular)?;
    }
    write(&db, known, START_MS + 3 * RANGE_MS, RANGE_MS / 4)?;
    db.compact_head(CompactionMode::Early(START_MS + 3 * RANGE_MS))?;
    write(&db, known, START_MS + 3 * RANGE_MS + RANGE_MS / 4, RANGE_MS / 4)?;
    db.compact_head(CompactionMode::Forced)?;
    let newest = db.blocks().last().map(|block| block.ulid);
    db.delete_old_blocks(&|block| {
        // As if it were in a bucket: queries of this test do not go there.
        block.sample_count == 0 && Some(block.ulid) != newest
    })?;
    write(&db, known, START_MS + 4 * RANGE_MS, 6 * STEP_MS)?;
    delete(&db, known, START_MS + 4 * RANGE_MS + STEP_MS)?;
    db.write_snapshot()?;
    db.close()?;
    // The next process begins with the snapshot, and with the deletion in it.
    let db = world.try_open()?;
    assert!(db.replay_report().damage.is_empty(), "{:?}", db.replay_report());
    write(&db, known, START_MS + 4 * RANGE_MS + 6 * STEP_MS, 3 * STEP_MS)?;
    db.close()
}

/// Samples that come late, on both sides of ends of blocks, until the disk gives up: lists, chunks,
/// the log with its markers, blocks of their own, and restarts in between.
fn late_workload(world: &World, known: &mut Known) -> Result<(), TsdbError> {
    let db = world.try_open()?;
    for round in 0..3 {
        write_late(&db, known, START_MS + round * RANGE_MS, RANGE_MS)?;
        db.compact_head(CompactionMode::Regular)?;
    }
    db.close()?;
    let db = world.try_open()?;
    assert!(db.replay_report().damage.is_empty(), "{:?}", db.replay_report());
    write_late(&db, known, START_MS + 3 * RANGE_MS, RANGE_MS / 2)?;
    db.compact_head(CompactionMode::Forced)?;
    write_late(&db, known, START_MS + 4 * RANGE_MS, RANGE_MS / 4)?;
    db.close()
}

fn write_late(db: &Db, known: &mut Known, from: i64, length: i64) -> Result<(), TsdbError> {
    let window = AppendLimits { out_of_order_window_ms: 2 * RANGE_MS, ..AppendLimits::default() };
    for t in (from..from + length).step_by(2 * STEP_MS as usize) {
        let mut samples = vec![float(0, t, (t / 1000) as f64), float(1, t, 0.5)];
        // Between the samples in order, never twice at one time, the newest ones first.
        let late = (0..3).map(|i| t - RANGE_MS / 2 - i * 3 * STEP_MS - 1 - i);
        samples.extend(late.map(|late| float(0, late, (late / 1000) as f64 + 0.25)));
        if t % 3 == 0 {
            samples.push(float(2, t - RANGE_MS, 7.0));
        }
        let result = try_append(db, &samples, &window);
        known.sent(&samples, result.is_ok());
        assert_eq!(result?.rejected_total(), 0);
    }
    Ok(())
}

fn late_world() -> World {
    let mut world = world();
    world.options.out_of_order_capacity = 5;
    world
}

#[test]
fn the_late_workload_reaches_every_part() {
    let world = late_world();
    let mut known = Known::default();
    late_workload(&world, &mut known).unwrap();
    let db = world.open();
    known.check(&contents(&db), "without a fault");
    assert!(known.uncertain.values().all(BTreeMap::is_empty));
    let dirs = db.blocks().into_iter().map(|block| block.dir);
    let metas: Vec<_> = dirs.map(|dir| world.fs.read(&dir.join("meta.json")).unwrap()).collect();
    let is_late = |meta: &&Vec<u8>| String::from_utf8_lossy(meta).contains("from-out-of-order");
    assert!(metas.iter().filter(is_late).count() >= 3, "{} blocks", metas.len());
    assert!(db.head().out_of_order_bounds().is_some(), "and some are left for the next start");
}

#[test]
fn a_crash_between_any_two_changes_loses_no_late_sample() {
    let world_of_all = late_world();
    late_workload(&world_of_all, &mut Known::default()).unwrap();
    let changes = world_of_all.fs.counts().changes;
    for stop in 0..changes {
        let how = match stop % 3 {
            0 => Crash::Process,
            1 => Crash::LoseUnsynced,
            _ => Crash::Random(stop),
        };
        let world = late_world();
        let mut known = Known::default();
        world.fs.stop_after(stop);
        late_workload(&world, &mut known).expect_err("the disk gave up");
        world.fs.crash(how);
        recover(&world, &known, &format!("change {stop} of {changes}, {how:?}"));
    }
}

/// Processes that die one after the other at any change of the disk, some with the machine, and each
/// goes on with what the one before it left: nothing that one of them acknowledged is missing.
#[test]
fn processes_that_die_one_after_the_other_lose_nothing() {
    let live = |world: &World, known: &mut Known, from: i64| {
        let db = world.try_open()?;
        write_late(&db, known, from, RANGE_MS / 2)?;
        db.compact_head(CompactionMode::Regular)?;
        write(&db, known, from + RANGE_MS / 2, 2 * STEP_MS)
    };
    for seed in 0..120 {
        let (random, world, mut known) = (SeededRandom::new(seed), late_world(), Known::default());
        for life in 0..10 {
            // Most of them hardly begin.
            let changes = [10, 10, 150][random.below(3) as usize];
            world.fs.stop_after(random.below(changes));
            // Whether the disk gave up or not.
            let _: Result<(), TsdbError> = live(&world, &mut known, START_MS + life * RANGE_MS);
            world.fs.crash(match random.below(4) {
                0 => Crash::LoseUnsynced,
                1 => Crash::Random(random.next_u64()),
                _ => Crash::Process,
            });
        }
        recover(&world, &known, &format!("seed {seed}"));
    }
}

#[test]
fn a_disk_that_is_full_at_any_moment_loses_no_late_sample() {
    for step in 0..30u64 {
        let world = late_world();
        let mut known = Known::default();
        world.fs.set_free_bytes(Some(step * step * 40));
        let _ = late_workload(&world, &mut known);
        world.fs.set_free_bytes(None);
        world.fs.crash(Crash::LoseUnsynced);
        recover(&world, &known, &format!("{} bytes free", step * step * 40));
    }
}

fn write(db: &Db, known: &mut Known, from: i64, length: i64) -> Result<(), TsdbError> {
    for t in (from..from + length).step_by(STEP_MS as usize) {
        // Another series in each range, so that series come and go.
        let passing = SERIES + (t / RANGE_MS % 5) as usize;
        let all = (0..SERIES).chain([passing]);
        let samples: Vec<_> = all.map(|i| float(i, t, (t / 1000 + i as i64) as f64)).collect();
        let result = try_append(db, &samples, &AppendLimits::default());
        known.sent(&samples, result.is_ok());
        assert_eq!(result?.rejected_total(), 0);
    }
    Ok(())
}

/// Deletes four samples of half of the series around a time.
fn delete(db: &Db, known: &mut Known, around: i64) -> Result<(), TsdbError> {
    let times = (around, around + 3 * STEP_MS);
    let odd = [Matcher::new(MatchOp::Equal, "job", "odd").unwrap()];
    let result = db.delete(TimeRange::new(times.0, times.1), &odd);
    known.deleted("odd", times, result.is_ok());
    result.map(|_| ())
}

/// Opens the database again, looks, and has it do some work on what it found.
fn recover(world: &World, known: &Known, what: &str) {
    let db = world.try_open().unwrap_or_else(|e| panic!("{what}: {e}"));
    let found = contents(&db);
    known.check(&found, what);
    let newest = db.stats().max_time_ms.unwrap_or(START_MS).max(START_MS + 5 * RANGE_MS);
    let more = [float(0, newest + STEP_MS, 1.5)];
    assert_eq!(append(&db, &more).rejected_total(), 0, "{what}");
    db.compact_head(CompactionMode::Regular).unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut want = found;
    let value = Value::Float(1.5f64.to_bits());
    want.entry(labels(0)).or_default().insert(newest + STEP_MS, value);
    assert!(contents(&db) == want, "{what}: changed by a compaction after the recovery");
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.try_open().unwrap_or_else(|e| panic!("{what}, second start: {e}"));
    assert!(contents(&db) == want, "{what}: changed by a second start");
    assert!(db.replay_report().damage.is_empty(), "{what}: damage came back");
}

/// How many changes of the disk the whole run makes.
fn all_changes() -> u64 {
    let world = world();
    workload(&world, &mut Known::default()).unwrap();
    world.fs.counts().changes
}

#[test]
fn the_workload_reaches_every_part() {
    let world = world();
    let mut known = Known::default();
    workload(&world, &mut known).unwrap();
    let db = world.open();
    known.check(&contents(&db), "without a fault");
    assert!(known.uncertain.values().all(BTreeMap::is_empty));
    assert!(db.blocks().len() >= 4);
    let wal = world.fs.read_dir(std::path::Path::new(DIR).join("wal").as_path()).unwrap();
    assert!(wal.iter().any(|entry| entry.name.starts_with("checkpoint.")), "{wal:?}");
}

#[test]
fn a_crash_between_any_two_changes_loses_nothing() {
    let changes = all_changes();
    for stop in 0..changes {
        let how = match stop % 3 {
            0 => Crash::Process,
            1 => Crash::LoseUnsynced,
            _ => Crash::Random(stop),
        };
        let world = world();
        let mut known = Known::default();
        world.fs.stop_after(stop);
        workload(&world, &mut known).expect_err("the disk gave up");
        world.fs.crash(how);
        recover(&world, &known, &format!("change {stop} of {changes}, {how:?}"));
    }
}

/// Two requests for one series raced for the log: of 300 samples one stands behind the others, and
/// the chunk to which it belongs is complete when a replay meets it.
fn world_of_a_race(known: &mut Known) -> World {
    let mut world = world();
    world.options.block_range_ms = 1000 * RANGE_MS;
    let db = world.open();
    let first = [float(1, START_MS, 0.5)];
    append(&db, &first);
    known.sent(&first, true);
    drop(db);
    let mut record = SamplesEncoder::default();
    let in_order = (1..300).map(|i| START_MS + i * STEP_MS);
    for (t, value) in in_order.chain([START_MS + 50 * STEP_MS + 1]).zip(1_i16..) {
        let value = f64::from(value);
        record.push(1, t, value);
        known.sent(&[float(1, t, value)], true);
    }
    add_to_log(&world, record.record());
    world
}

#[test]
fn a_replay_that_ends_anywhere_loses_no_sample_that_stands_late_in_the_log() {
    let world = world_of_a_race(&mut Known::default());
    let before = world.fs.counts().changes;
    assert_eq!(world.open().replay_report().late_samples, 1);
    let changes = world.fs.counts().changes - before;
    for stop in 0..=changes {
        for how in [Crash::Process, Crash::Random(stop), Crash::Random(stop + 1000)] {
            let mut known = Known::default();
            let world = world_of_a_race(&mut known);
            world.fs.stop_after(stop);
            let _ = world.try_open();
            world.fs.crash(how);
            recover(&world, &known, &format!("change {stop} of {changes}, {how:?}"));
        }
    }
}

#[test]
fn a_disk_that_is_full_at_any_moment_loses_nothing() {
    let world_of_all = world();
    workload(&world_of_all, &mut Known::default()).unwrap();
    for step in 0..60u64 {
        let world = world();
        let mut known = Known::default();
        world.fs.set_free_bytes(Some(step * step * 20));
        let _ = workload(&world, &mut known);
        world.fs.set_free_bytes(None);
        world.fs.crash(Crash::LoseUnsynced);
        recover(&world, &known, &format!("{} bytes free", step * step * 20));
    }
}
