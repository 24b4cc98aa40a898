//! Directories that Prometheus wrote, opened as databases.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Labels;
use tsdb::db::CompactionMode;
use tsdb::fs::{FileSystem, OsFs, SharedFs};
use tsdb::wal::WalReader;
use tsdb::wal::record::Record;

use crate::support::*;

/// The folder of the vectors; `None`, said loudly, where it is missing.
fn vectors() -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/tsdb-vectors");
    let root = PathBuf::from(root);
    if OsFs.metadata(&root).is_ok() {
        return Some(root);
    }
    eprintln!("SKIPPED: {} is missing", root.display());
    None
}

/// Copies a directory into the disk of a world.
fn copy(from: &Path, world: &World, to: &Path) {
    world.fs.create_dir_all(to).unwrap();
    for entry in OsFs.read_dir(from).unwrap() {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        if entry.metadata.is_dir {
            copy(&from, world, &to);
        } else {
            world.fs.create(&to).unwrap().write_all_at(&OsFs.read(&from).unwrap(), 0).unwrap();
        }
    }
}

/// The floats of a log, each series' in order of time, and how many histograms there are.
fn naive_replay(dir: &Path) -> (BTreeMap<Labels, Samples>, usize) {
    let fs: SharedFs = Arc::new(OsFs);
    let mut reader = WalReader::replay(fs, dir).unwrap();
    let mut labels = HashMap::new();
    let mut contents: BTreeMap<Labels, Samples> = BTreeMap::new();
    let mut histograms = 0;
    while let Some(record) = reader.next_record().unwrap() {
        match Record::decode(record).unwrap() {
            Record::Series(mut series) => {
                while let Some(item) = series.next_item() {
                    let item = item.unwrap();
                    labels.insert(item.series_ref, Labels::from_pairs(item.labels.iter().copied()));
                }
            }
            Record::Samples(samples) => {
                for sample in samples.map(Result::unwrap) {
                    let Some(labels) = labels.get(&sample.series_ref) else { continue };
                    let series = contents.entry(labels.clone()).or_default();
                    let value = Value::Float(sample.value.to_bits());
                    series.entry(sample.t).or_insert(value);
                }
            }
            Record::Histograms(samples) => histograms += samples.map(Result::unwrap).count(),
            Record::FloatHistograms(samples) => histograms += samples.map(Result::unwrap).count(),
            _ => {}
        }
    }
    (contents, histograms)
}

#[test]
fn the_logs_of_prometheus_are_replayed() {
    let Some(root) = vectors() else { return };
    for compression in ["wal-none", "wal-snappy", "wal-zstd"] {
        let world = World::new();
        copy(&root.join(compression), &world, &Path::new(DIR).join("wal"));
        let db = world.open();
        let report = db.replay_report().clone();
        assert_eq!(report.damage, [] as [String; 0], "{compression}");
        let (want, histograms) = naive_replay(&root.join(compression));
        let mut got = contents(&db);
        for samples in got.values_mut() {
            samples.retain(|_, value| matches!(value, Value::Float(_)));
        }
        got.retain(|_, samples| !samples.is_empty());
        assert_eq!(got, want, "{compression}: {report:?}, {histograms} histograms");
        assert!(report.samples > 0, "{compression}");
        // And the database goes on from there.
        let before = contents(&db);
        db.compact_head(CompactionMode::Forced).unwrap();
        assert_eq!(contents(&db), before, "{compression}");
        drop(db);
        assert_eq!(contents(&world.open()), before, "{compression}");
    }
}

#[test]
fn a_block_of_prometheus_is_part_of_the_database() {
    let Some(root) = vectors() else { return };
    let world = World::new();
    copy(&root.join("block"), &world, Path::new(DIR));
    let db = world.open();
    let blocks = db.blocks();
    assert_eq!((blocks.len(), blocks[0].series_count, blocks[0].sample_count), (1, 71, 14_050));
    let end = blocks[0].max_time_ms;
    assert_eq!(db.stats().min_valid_time_ms, Some(end));
    let before = contents(&db);
    assert_eq!(before.values().map(Samples::len).sum::<usize>(), 14_050);
    append(&db, &[float(1, end, 1.0)]);
    assert_eq!(contents(&db).len(), before.len() + 1);
    drop(db);
    assert_eq!(contents(&world.open()).len(), before.len() + 1);
}
