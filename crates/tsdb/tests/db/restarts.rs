//! Acknowledged samples survive: death of the process, death of the machine, a full disk.

use std::collections::BTreeMap;
use std::path::Path;

use model::Labels;
use proptest::prelude::*;
use tsdb::db::{CompactionMode, Db};
use tsdb::fs::{Crash, FileSystem as _};
use tsdb::head::AppendLimits;
use tsdb::wal::record::{SamplesEncoder, SeriesEncoder};
use tsdb::wal::{Compression, FsyncPolicy, WalOptions};

use crate::support::*;

type Contents = BTreeMap<Labels, Samples>;

fn wal_options(world: &mut World) -> &mut WalOptions {
    world.options.wal.as_mut().expect("the default has a log")
}

/// Starts, and finds this, and so many kinds of damage.
fn opened(world: &World, want: &Contents, damages: usize) -> Db {
    let db = world.open();
    assert_eq!(contents(&db), *want);
    assert_eq!(db.replay_report().damage.len(), damages);
    db
}

fn insert(contents: &mut Contents, sample: &TestSample) {
    let TestValue::Float(value) = &sample.value else { unreachable!() };
    let series = contents.entry(labels(sample.series)).or_default();
    series.insert(sample.t, Value::Float(value.to_bits()));
}

#[test]
fn everything_is_there_after_a_kill() {
    let mut world = World::new();
    // Small segments, so that the log has several.
    wal_options(&mut world).segment_bytes = 64 * 1024;
    let mut want = Contents::new();
    let start = 10 * HOUR;
    for run in 0..4 {
        let db = world.open();
        assert_eq!(contents(&db), want, "run {run}");
        assert_eq!(db.stats().series, want.len() as u64);
        for round in 0..300i64 {
            let t = start + (run * 300 + round) * 10_000;
            let samples: Vec<_> = (0..20)
                .map(|i| float(i + run as usize * 5, t, (round * i as i64) as f64))
                .collect();
            append(&db, &samples);
            samples.iter().for_each(|sample| insert(&mut want, sample));
        }
        assert_eq!(contents(&db), want, "run {run}");
        drop(db);
        world.fs.crash(Crash::Process);
    }
    assert!(world.open().replay_report().damage.is_empty());
}

#[test]
fn all_compressions_are_read_back_mixed() {
    let mut world = World::new();
    let mut want = Contents::new();
    for (i, compression) in
        [Compression::None, Compression::Snappy, Compression::Zstd].into_iter().enumerate()
    {
        wal_options(&mut world).compression = compression;
        let db = world.open();
        for t in 0..50 {
            let samples: Vec<_> =
                (0..10).map(|s| float(s, 10 * HOUR + (i as i64 * 50 + t) * 1000, 0.5)).collect();
            append(&db, &samples);
            samples.iter().for_each(|sample| insert(&mut want, sample));
        }
    }
    assert_eq!(contents(&world.open()), want);
}

#[test]
fn a_full_disk_fails_the_request_and_a_retry_is_stored_and_logged() {
    let world = World::new();
    let db = world.open();
    let t = 10 * HOUR;
    append(&db, &[float(1, t, 1.0)]);
    world.fs.set_free_bytes(Some(10));
    let request = [float(1, t + 1, 2.0), float(2, t + 1, 3.0)];
    for _ in 0..3 {
        let error = try_append(&db, &request, &AppendLimits::default()).unwrap_err();
        assert!(error.to_string().contains("write"), "{error}");
    }
    world.fs.set_free_bytes(None);
    let outcome = append(&db, &request);
    assert_eq!((outcome.accepted_floats, outcome.rejected_total()), (2, 0));
    append(&db, &[float(2, t + 2, 4.0)]);
    let want = contents(&db);
    assert_eq!(want[&labels(2)].len(), 2);
    drop(db);
    world.fs.crash(Crash::Process);
    assert_eq!(contents(&world.open()), want);
}

#[test]
fn a_torn_tail_is_cut_off_and_told() {
    let world = World::new();
    let db = world.open();
    for i in 0..50 {
        append(&db, &[float(1, 10 * HOUR + i, i as f64)]);
    }
    let want = contents(&db);
    drop(db);
    let path = Path::new(DIR).join("wal/00000000");
    world.fs.corrupt(&path, |bytes| {
        // The head of a record whose data never came.
        bytes.extend_from_slice(&[1, 0, 200, 1, 2, 3, 4, 9, 9]);
    });
    let db = opened(&world, &want, 1);
    append(&db, &[float(1, 10 * HOUR + 100, 0.0)]);
    drop(db);
    let db = world.open();
    assert!(db.replay_report().damage.is_empty());
    assert_eq!(contents(&db)[&labels(1)].len(), 51);
}

/// A record that is whole by its checksum and of which only the beginning makes sense: none of it
/// counts, also not the chunks that fill up before it is noticed.
#[test]
fn of_a_record_that_makes_no_sense_nothing_comes_back_at_a_later_start() {
    let world = World::new();
    let start = 10 * HOUR;
    let db = world.open();
    append(&db, &[float(1, start, 0.5)]);
    let want = contents(&db);
    drop(db);
    let mut record = SamplesEncoder::default();
    (1..400).for_each(|i| record.push(1, start + i * 1000, i as f64));
    let mut record = record.record().to_vec();
    record.push(0x80);
    add_to_log(&world, &record);
    drop(opened(&world, &want, 1));
    opened(&world, &want, 0);
}

/// The files of head chunks that such a record begins go again, and leave no gap in the numbers.
#[test]
fn chunks_follow_each_other_around_a_record_that_makes_no_sense() {
    let world = World::new();
    let start = 10 * HOUR;
    let append_run = |db: &Db, from: i64| {
        (from..from + 300).for_each(|i| {
            append(db, &[float(1, start + i * 1000, i as f64)]);
        });
    };
    let db = world.open();
    append_run(&db, 0);
    let want = contents(&db);
    drop(db);
    let mut record = SamplesEncoder::default();
    (300..700).for_each(|i| record.push(1, start + i * 1000, i as f64));
    add_to_log(&world, &[record.record(), &[0x80]].concat());
    let db = opened(&world, &want, 1);
    append_run(&db, 300);
    let want = contents(&db);
    assert_eq!(want[&labels(1)].len(), 600);
    drop(db);
    let files = world.fs.read_dir(&Path::new(DIR).join("chunks_head")).unwrap();
    let files: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["000001", "000002"]);
    opened(&world, &want, 0);
}

/// The chunks of a series whose record was lost do not become those of the next new series.
#[test]
fn chunks_of_a_series_that_is_lost_stay_lost() {
    let world = World::new();
    let start = 10 * HOUR;
    let db = world.open();
    append(&db, &[float(1, start, 0.5)]);
    let want = contents(&db);
    drop(db);
    let db = world.open();
    for i in 0..300 {
        append(&db, &[float(2, start + i * 1000, i as f64)]);
    }
    drop(db);
    drop(world.open());
    world.fs.remove_file(&Path::new(DIR).join("wal/00000001")).unwrap();
    let db = opened(&world, &want, 1);
    assert!(!world.fs.read_dir(&Path::new(DIR).join("chunks_head")).unwrap().is_empty());
    append(&db, &[float(3, start + 1_000_000, 7.0)]);
    let want = contents(&db);
    assert_eq!(want[&labels(3)].len(), 1);
    drop(db);
    opened(&world, &want, 0);
}

/// Nothing tells under which of two series the samples of their common reference belong: the log
/// counts up to where the second one is named.
#[test]
fn a_reference_of_two_series_ends_the_log() {
    let world = World::new();
    let start = 10 * HOUR;
    let db = world.open();
    append(&db, &[float(1, start, 0.5)]);
    let want = contents(&db);
    drop(db);
    let mut series = SeriesEncoder::default();
    let of = |i| label_strings(i);
    for i in [1, 2] {
        series.push(1, of(i).iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
    let mut samples = SamplesEncoder::default();
    samples.push(1, start + 1000, 1.5);
    add_to_log(&world, series.record());
    add_to_log(&world, samples.record());
    let db = opened(&world, &want, 1);
    append(&db, &[float(2, start + 1000, 2.5)]);
    let want = contents(&db);
    drop(db);
    opened(&world, &want, 0);
}

/// A series that left the head and came back has two references in the log, and the replay keeps
/// the first one. The labels of the second one must not go before its samples do.
#[test]
fn a_series_with_two_references_in_the_log_survives_checkpoints() {
    let mut world = World::new();
    wal_options(&mut world).segment_bytes = 32 * 1024;
    let start = 100 * HOUR;
    let db = world.open();
    append(&db, &[float(1, start, 1.0)]);
    db.compact_head(CompactionMode::Forced).unwrap();
    append(&db, &[float(1, start + 50_000, 2.0)]);
    append(&db, &[float(1, start + 60_000, 3.0)]);
    let mut want = contents(&db);
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    // Each of these cuts shortens the log, until nothing of the first process is left of it.
    for i in 1..10 {
        let sample = float(2, start + i * 1000, 4.0);
        append(&db, std::slice::from_ref(&sample));
        insert(&mut want, &sample);
        assert_eq!(db.compact_head(CompactionMode::Early(start + i * 1000)).unwrap().len(), 1);
    }
    assert_eq!(contents(&db), want);
    drop(db);
    world.fs.crash(Crash::Process);
    assert!(contents(&world.open()) == want, "after a restart");
}

/// A series that was removed and came back has two references in the log, and chunks under both
/// in the files, of which the later one may be found first.
#[test]
fn chunks_under_two_references_of_a_series_are_cut_into_blocks() {
    let mut world = World::new();
    world.options.block_range_ms = 120_000;
    let db = world.open();
    append(&db, &[float(2, 35_850_000, 0.0)]);
    db.compact_head(CompactionMode::Forced).unwrap();
    append(&db, &[float(2, 35_870_000, 0.0), float(2, 35_980_000, 0.0)]);
    drop(db);
    let db = world.open();
    append(&db, &[float(2, 36_030_000, 0.0)]);
    drop(db);
    let db = world.open();
    let before = contents(&db);
    assert_eq!(before[&labels(2)].len(), 4);
    world.clock.advance(1000);
    db.compact_head(CompactionMode::Forced).unwrap();
    assert_eq!(contents(&db), before);
}

/// What one run of the process does.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(usize, i64)>),
    FillDisk(u64),
    FreeDisk,
    FailWrites(u32),
    Sync,
    Compact(CompactionMode),
    Advance(i64),
    /// An orderly end, after which nothing is appended any more.
    End,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = prop::collection::vec((0usize..30, 0i64..3), 1..30).prop_map(Step::Append);
    let step = prop_oneof![
        8 => append,
        1 => (0u64..3000).prop_map(Step::FillDisk),
        1 => Just(Step::FreeDisk),
        1 => (1u32..3).prop_map(Step::FailWrites),
        1 => Just(Step::Sync),
        1 => Just(Step::Compact(CompactionMode::Regular)),
        1 => Just(Step::Compact(CompactionMode::Forced)),
        1 => (1i64..200_000).prop_map(Step::Advance),
        1 => Just(Step::End),
    ];
    prop::collection::vec(step, 1..40)
}

/// Adds the samples that are stored to `acknowledged`.
fn note_stored(samples: &[TestSample], after: &Contents, acknowledged: &mut Contents) {
    for sample in samples {
        let TestValue::Float(v) = &sample.value else { unreachable!() };
        let stored = after.get(&labels(sample.series)).and_then(|s| s.get(&sample.t));
        if stored == Some(&Value::Float(v.to_bits())) {
            insert(acknowledged, sample);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// With `always`, nothing acknowledged is lost even when the machine dies and the device
    /// keeps an arbitrary part of what was not synced; without faults in between nothing else
    /// appears. Unacknowledged samples may or may not be there.
    #[test]
    fn acknowledged_means_stored(
        runs in prop::collection::vec((steps(), any::<u64>()), 1..4),
        segment_pages in 1u64..4,
        window in prop::sample::select(vec![0i64, 15_000, 10_000_000]),
    ) {
        let mut world = World::new();
        // Short ranges, so that chunks are cut and blocks written often.
        world.options.block_range_ms = 120_000;
        *wal_options(&mut world) = WalOptions {
            fsync: FsyncPolicy::Always,
            segment_bytes: segment_pages * 32 * 1024,
            ..WalOptions::default()
        };
        world.options.out_of_order_capacity = 3;
        let limits = AppendLimits { out_of_order_window_ms: window, ..AppendLimits::default() };
        let (mut acknowledged, mut sent) = (Contents::new(), Contents::new());
        let mut now = 10 * HOUR;
        for (steps, seed) in runs {
            let db = world.open();
            for step in steps {
                match step {
                    Step::Append(points) => {
                        now += 10_000;
                        let samples: Vec<_> = points.iter().map(|&(s, late)| float(s, now - late * 7000, now as f64)).collect();
                        samples.iter().for_each(|sample| insert(&mut sent, sample));
                        let before = contents(&db);
                        if try_append(&db, &samples, &limits).is_ok() {
                            let after = contents(&db);
                            note_stored(&samples, &after, &mut acknowledged);
                            for (key, samples) in &before {
                                for (t, value) in samples {
                                    prop_assert_eq!(after[key].get(t), Some(value));
                                }
                            }
                        }
                    }
                    Step::FillDisk(left) => world.fs.set_free_bytes(Some(left)),
                    Step::FreeDisk => world.fs.set_free_bytes(None),
                    Step::FailWrites(count) => world.fs.fail_writes(count),
                    Step::Sync => drop(db.sync_wal()),
                    // It may fail where the disk does; nothing may be lost then either.
                    Step::Compact(mode) => drop(db.compact_head(mode)),
                    Step::Advance(ms) => now += ms,
                    Step::End => {
                        drop(db.write_snapshot());
                        break;
                    }
                }
            }
            drop(db);
            world.fs.crash(Crash::Random(seed));
            world.fs.set_free_bytes(None);
            world.fs.fail_writes(0);
        }
        let db = world.open();
        let found = contents(&db);
        assert_holds(&found, &acknowledged);
        assert_holds(&sent, &found);
    }
}

/// All samples of `part` must be in `all`.
fn assert_holds(all: &Contents, part: &Contents) {
    for (key, samples) in part {
        for (t, value) in samples {
            assert_eq!(all.get(key).and_then(|s| s.get(t)), Some(value), "{key} at {t}");
        }
    }
}

/// A series that left the head and came back has complete chunks under two references. All of them
/// must be cut into a block after restarts.
#[test]
fn chunks_under_two_references_are_cut_into_blocks() {
    let world = World::new();
    let (start, step) = (100 * 2 * HOUR + 4_321, 240_000);
    let mut want = Contents::new();
    let mut write = |db: &Db, numbers: std::ops::Range<i64>| {
        for i in numbers {
            let samples: Vec<_> = (0..4).map(|s| float(s, start + i * step, i as f64)).collect();
            append(db, &samples);
            samples.iter().for_each(|sample| insert(&mut want, sample));
        }
    };
    let db = world.open();
    write(&db, 0..28);
    db.compact_head(CompactionMode::Forced).unwrap();
    // The number 30 begins a range: the chunk with 29 is complete, under a new reference.
    write(&db, 29..32);
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    // As 60 does: the chunk before it stands under the old reference.
    write(&db, 32..62);
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    write(&db, 62..80);
    assert_eq!(db.replay_report().unknown_series_samples, 0, "{:?}", db.replay_report());
    assert!(contents(&db) == want, "before the compaction");
    db.compact_head(CompactionMode::Regular).unwrap();
    assert!(contents(&db) == want, "after the compaction: {:?}", db.blocks());
}
