//! Snapshots of the head: they make a start quick and never change what it finds. And what
//! damage in any file that a start reads costs.

use std::path::{Path, PathBuf};

use model::batch::HistogramValue;
use model::{Histogram, Span};
use proptest::prelude::*;
use tsdb::db::{CompactionMode, Db};
use tsdb::fs::{Crash, FileSystem};

use crate::support::*;

const START: i64 = 10 * HOUR;

fn histogram(series: usize, t: i64, count: u64) -> TestSample {
    let value = Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1,
        count: 1 + count,
        sum: count as f64,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive_buckets: vec![count as i64],
        ..Histogram::default()
    };
    let value = match series.is_multiple_of(2) {
        true => HistogramValue::Int(Box::new(value)),
        false => HistogramValue::Float(Box::new(value.to_float())),
    };
    TestSample { series, t, value: TestValue::Histogram(value) }
}

/// Floats, histograms, series that change their kind, one with a single sample, and enough of
/// all for complete chunks.
fn fill(db: &Db, rounds: std::ops::Range<i64>) {
    for round in rounds {
        let t = START + round * 15_000;
        let mut samples: Vec<_> =
            (0..10).map(|i| float(i, t, (round * i as i64) as f64 / 3.0)).collect();
        samples.extend((10..14).map(|i| histogram(i, t, (round * 3) as u64)));
        samples.push(match round / 20 % 2 {
            0 => float(20, t, round as f64),
            _ => histogram(20, t, round as u64),
        });
        if round == 7 {
            samples.push(float(21, t, 1.0));
        }
        append(db, &samples);
    }
}

fn snapshots(world: &World) -> Vec<PathBuf> {
    let entries = world.fs.read_dir(Path::new(DIR)).unwrap();
    let names = entries.into_iter().map(|entry| entry.name);
    names
        .filter(|name| name.starts_with("chunk_snapshot."))
        .map(|n| Path::new(DIR).join(n))
        .collect()
}

/// Ends a process in order.
fn end(db: Db) {
    db.write_snapshot().unwrap().expect("there is something to keep");
    db.close().unwrap();
}

#[test]
fn what_was_deleted_before_a_snapshot_stays_deleted() {
    let world = World::new();
    let db = world.open();
    fill(&db, 0..50);
    let range = model::TimeRange::new(START + 100_000, START + 400_000);
    assert!(db.delete(range, &[]).unwrap() > 10);
    let want = contents(&db);
    end(db);
    let db = world.open();
    assert!(db.replay_report().snapshot_series > 0);
    assert_eq!(contents(&db), want);
}

#[test]
fn a_snapshot_replaces_the_log_up_to_it() {
    let world = World::new();
    let db = world.open();
    fill(&db, 0..170);
    let want = contents(&db);
    end(db);
    let db = world.open();
    let report = db.replay_report();
    assert_eq!((report.samples, report.snapshot_series, report.series), (0, 16, 16));
    assert_eq!(report.damage, Vec::<String>::new());
    assert_eq!(contents(&db), want);
    // What comes behind it stands in the log alone.
    fill(&db, 170..400);
    let want = contents(&db);
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    let report = db.replay_report();
    assert_eq!((report.snapshot_series, report.damage.len()), (16, 0), "{:?}", report.damage);
    assert_eq!(report.samples + report.skipped_samples, 230 * 15);
    assert_eq!(contents(&db), want);
    end(db);
    assert_eq!(snapshots(&world).len(), 1, "the earlier one is gone");
    assert_eq!(contents(&world.open()), want);
}

#[test]
fn chunks_go_on_as_if_the_process_had_not_ended() {
    let blocks = [false, true].map(|restarts| {
        let world = World::new();
        let mut db = world.open();
        for part in [0..10, 10..29, 29..31, 31..250] {
            for round in part {
                let t = START + round * 15_000 + round * round % 7;
                append(&db, &[float(1, t, (round * round % 100) as f64)]);
            }
            if restarts {
                end(db);
                db = world.open();
            }
        }
        let ulid = db.compact_head(CompactionMode::Forced).unwrap()[0];
        world.fs.read(&Path::new(DIR).join(ulid.to_string()).join("chunks/000001")).unwrap()
    });
    assert_eq!(blocks[0], blocks[1]);
}

#[test]
fn without_the_option_a_snapshot_is_not_read() {
    let mut world = World::new();
    let db = world.open();
    fill(&db, 0..50);
    let want = contents(&db);
    end(db);
    world.options.load_snapshots = false;
    let db = world.open();
    assert_eq!(db.replay_report().snapshot_series, 0);
    assert_eq!(contents(&db), want);
}

#[test]
fn a_damaged_snapshot_is_told_kept_aside_and_replaced_by_the_log() {
    let world = World::new();
    let db = world.open();
    fill(&db, 0..170);
    let want = contents(&db);
    end(db);
    let segment = snapshots(&world)[0].join("00000000");
    let whole = world.fs.read(&segment).unwrap();
    let used = whole.iter().rposition(|&b| b != 0).unwrap() + 1;
    type Damage = Box<dyn Fn(&mut Vec<u8>)>;
    let mut damages: Vec<Damage> = Vec::new();
    for at in (0..used).step_by(97) {
        damages.push(Box::new(move |bytes| bytes[at] ^= 0x10));
        damages.push(Box::new(move |bytes| bytes.truncate(at)));
        damages.push(Box::new(move |bytes| bytes[at..].fill(0)));
    }
    for damage in damages {
        for old in snapshots(&world) {
            world.fs.remove_dir_all(&old).unwrap();
        }
        end(world.open());
        let path = snapshots(&world)[0].clone();
        world.fs.corrupt(&path.join("00000000"), |bytes| damage(bytes));
        let db = world.open();
        assert_eq!(contents(&db), want);
        let report = db.replay_report();
        assert_eq!((report.damage.len(), report.snapshot_series), (1, 0), "{:?}", report.damage);
        let aside = snapshots(&world);
        assert_eq!(aside.len(), 1);
        assert!(aside[0].to_string_lossy().ends_with(".corrupt"), "{aside:?}");
    }
}

#[test]
fn a_snapshot_whose_head_chunk_files_are_gone_is_not_used() {
    let world = World::new();
    let db = world.open();
    fill(&db, 0..300);
    let want = contents(&db);
    end(db);
    world.fs.remove_file(&Path::new(DIR).join("chunks_head/000001")).unwrap();
    let db = world.open();
    assert_eq!(contents(&db), want);
    assert_eq!(db.replay_report().snapshot_series, 0);
    assert!(db.replay_report().damage[0].contains("head chunk files"));
}

/// The newest series has left the head and stands in the log before the snapshot: the next new one
/// does not get its reference, which a later replay of the whole log would not understand.
#[test]
fn references_of_series_that_are_gone_are_not_given_out_again() {
    let world = World::new();
    let db = world.open();
    append(&db, &[float(1, START, 1.0), float(2, START, 2.0)]);
    append(&db, &[float(3, START + 1, 3.0)]);
    append(&db, &[float(1, START + 4 * HOUR, 1.0), float(2, START + 4 * HOUR, 2.0)]);
    db.compact_head(CompactionMode::Regular).unwrap();
    assert_eq!(db.stats().series, 2, "3 is in a block");
    end(db);
    assert_eq!(snapshots(&world).len(), 1);
    let db = world.open();
    assert_eq!(db.replay_report().snapshot_series, 2);
    append(&db, &[float(4, START + 4 * HOUR, 4.0)]);
    append(&db, &[float(1, START + 4 * HOUR + 1, 5.0)]);
    let want = contents(&db);
    drop(db);
    for snapshot in snapshots(&world) {
        world.fs.remove_dir_all(&snapshot).unwrap();
    }
    let db = world.open();
    assert!(db.replay_report().damage.is_empty(), "{:?}", db.replay_report().damage);
    assert_eq!(contents(&db), want);
}

#[test]
fn a_snapshot_goes_with_the_truncation_of_the_head() {
    let world = World::new();
    let db = world.open();
    fill(&db, 0..900);
    end(db);
    let db = world.open();
    assert_eq!(snapshots(&world).len(), 1);
    assert_eq!(db.compact_head(CompactionMode::Regular).unwrap().len(), 1);
    assert_eq!(snapshots(&world), Vec::<PathBuf>::new());
    let want = contents(&db);
    drop(db);
    assert_eq!(contents(&world.open()), want);
}

#[test]
fn damage_far_in_the_log_costs_only_what_is_behind_it() {
    let world = World::new();
    let db = world.open();
    let wal = Path::new(DIR).join("wal/00000000");
    let mut rounds = 0;
    let mut length = 0;
    while length < 3 << 20 {
        let t = START + rounds * 1000;
        append(
            &db,
            &(0..500).map(|i| float(i, t, (i as f64).sin() + t as f64)).collect::<Vec<_>>(),
        );
        rounds += 1;
        length = world.fs.metadata(&wal).unwrap().length;
    }
    drop(db);
    // In the last request but some.
    world.fs.corrupt(&wal, |bytes| {
        let at = bytes.len() - 20_000;
        bytes[at] ^= 1;
    });
    let db = world.open();
    let found: usize = contents(&db).values().map(|samples| samples.len()).sum();
    let all = rounds as usize * 500;
    assert!(found < all && found + 5000 > all, "{found} of {all}");
    assert_eq!(db.replay_report().damage.len(), 1);
    let before = contents(&db);
    append(&db, &[float(1, START + rounds * 1000, 0.0)]);
    drop(db);
    let db = world.open();
    assert!(db.replay_report().damage.is_empty());
    let after = contents(&db);
    assert_eq!(after.values().map(|s| s.len()).sum::<usize>(), found + 1);
    assert_eq!(before.len(), after.len());
    assert!(world.fs.metadata(&Path::new(DIR).join("wal/00000000.corrupt")).is_ok());
}

#[test]
fn damage_in_the_head_chunk_files_costs_nothing_and_is_kept_aside() {
    let world = World::new();
    let db = world.open();
    fill(&db, 0..300);
    let want = contents(&db);
    drop(db);
    let file = Path::new(DIR).join("chunks_head/000001");
    world.fs.corrupt(&file, |bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    });
    let db = world.open();
    assert_eq!(contents(&db), want);
    assert_eq!(db.replay_report().damage.len(), 1);
    let aside = Path::new(DIR).join("chunks_head/000001.corrupt");
    assert!(world.fs.metadata(&aside).is_ok());
    drop(db);
    let db = world.open();
    assert_eq!(db.replay_report().damage, Vec::<String>::new());
    assert_eq!(contents(&db), want);
}

#[test]
fn damage_in_a_checkpoint_costs_nothing_of_the_segments_behind_it() {
    let mut world = World::new();
    world.options.wal.as_mut().unwrap().segment_bytes = 64 * 1024;
    let db = world.open();
    fill(&db, 0..900);
    db.compact_head(CompactionMode::Regular).unwrap();
    fill(&db, 900..1000);
    let want = contents(&db);
    drop(db);
    let wal = Path::new(DIR).join("wal");
    let entries = world.fs.read_dir(&wal).unwrap();
    let checkpoint = entries.iter().find(|e| e.name.starts_with("checkpoint.")).unwrap();
    let segment = wal.join(&checkpoint.name).join("00000000");
    world.fs.corrupt(&segment, |bytes| {
        let used = bytes.iter().rposition(|&b| b != 0).unwrap();
        bytes[used - 1] ^= 1;
    });
    let db = world.open();
    assert_eq!(db.replay_report().damage.len(), 1);
    let found = contents(&db);
    let newest = |contents: &std::collections::BTreeMap<_, Samples>| {
        contents.values().filter_map(|s| s.keys().last().copied()).max()
    };
    assert_eq!(newest(&found), newest(&want));
    assert!(world.fs.metadata(&segment.with_extension("corrupt")).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the file system fails while a snapshot is written, and whatever a dying machine
    /// leaves of it, the next start finds everything.
    #[test]
    fn a_failing_snapshot_loses_nothing(
        rounds in 1i64..200,
        fault in 0u32..4,
        left in 0u64..20_000,
        seed in any::<u64>(),
    ) {
        let mut world = World::new();
        world.options.wal.as_mut().unwrap().fsync = tsdb::wal::FsyncPolicy::Always;
        let db = world.open();
        fill(&db, 0..rounds);
        let want = contents(&db);
        match fault {
            0 => world.fs.set_free_bytes(Some(left)),
            1 => world.fs.fail_writes(1),
            2 => world.fs.fail_syncs(1),
            _ => {}
        }
        let _ = db.write_snapshot();
        drop(db);
        world.fs.crash(Crash::Random(seed));
        world.fs.set_free_bytes(None);
        world.fs.fail_writes(0);
        world.fs.fail_syncs(0);
        prop_assert_eq!(contents(&world.open()), want);
    }
}
