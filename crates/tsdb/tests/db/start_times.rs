//! Start timestamps of samples: kept by everything a sample goes through where the options ask for
//! it, and without any trace where they do not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::batch::{BatchHistogram, BatchSample, HistogramValue};
use model::{
    Histogram, Label, Labels, MatchOp, Matcher, QueryContext, Queryable as _, SampleBuffer,
    SelectHints, Span, TimeRange, WriteBatch,
};
use tsdb::block::Block;
use tsdb::compact::{Compaction, Progress};
use tsdb::db::{CompactionMode, Db};
use tsdb::fs::{Crash, FileSystem as _, SharedFs};
use tsdb::head::AppendLimits;
use tsdb::wal::record::Record;
use tsdb::wal::{WalReader, list_segments};
use ulid::Ulid;

use crate::support::*;

const START: i64 = 100 * HOUR;
const STEP: i64 = 15_000;
/// Floats, histograms with integer counts and histograms with float counts.
const KINDS: usize = 3;

/// Series, time, start timestamp.
type Sent = (usize, i64, i64);
/// Time and start timestamp, with a text of the value.
type Found = BTreeMap<Labels, BTreeMap<i64, (i64, String)>>;

fn world() -> World {
    let mut world = World::new();
    world.options.xor2_encoding = true;
    world.options.histograms_st_encoding = true;
    world.options.st_storage = true;
    world.options.out_of_order_capacity = 4;
    world
}

/// Unknown, the same for long, changing with each sample, and changing now and then.
fn start_of(series: usize, t: i64) -> i64 {
    match series / KINDS {
        0 => 0,
        1 => START - HOUR,
        2 => t - STEP,
        _ => t - t % (7 * STEP),
    }
}

fn histogram(count: i64) -> Histogram {
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1,
        count: 1 + count.cast_unsigned(),
        sum: count as f64,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive_buckets: vec![count],
        ..Histogram::default()
    }
}

/// Appends samples whose start timestamps stand beside them; `with_starts` = false leaves them
/// out.
fn send(db: &Db, samples: &[Sent], with_starts: bool) {
    let strings: Vec<_> = samples.iter().map(|sample| label_strings(sample.0)).collect();
    let mut batch = WriteBatch::new(hasher());
    for (&(series, t, start), pairs) in samples.iter().zip(&strings) {
        let labels: Vec<Label<'_>> =
            pairs.iter().map(|(name, value)| Label { name, value }).collect();
        let count = (t - START + 10 * HOUR) / STEP;
        if series % KINDS == 0 {
            batch.push_float(&labels, BatchSample { timestamp_ms: t, value: count as f64 });
            batch.sample_start_times.push(start);
        } else {
            let value = match series % KINDS {
                1 => HistogramValue::Int(Box::new(histogram(count))),
                _ => HistogramValue::Float(Box::new(histogram(count).to_float())),
            };
            batch.push_histogram(&labels, BatchHistogram { timestamp_ms: t, value });
            batch.histogram_start_times.push(start);
        }
    }
    if !with_starts {
        batch.sample_start_times.clear();
        batch.histogram_start_times.clear();
    }
    let window = 5 * HOUR;
    let limits = AppendLimits { out_of_order_window_ms: window, ..AppendLimits::default() };
    let outcome = db.append(&batch, &limits).unwrap();
    assert_eq!(outcome.rejected_total(), 0);
}

fn samples_at(t: i64) -> Vec<Sent> {
    (0..4 * KINDS).map(|series| (series, t, start_of(series, t))).collect()
}

/// In order for a while, and every tenth round one that comes late.
fn fill(db: &Db, rounds: std::ops::Range<i64>, with_starts: bool) {
    for round in rounds {
        let t = START + round * STEP;
        send(db, &samples_at(t), with_starts);
        if round % 10 == 9 {
            send(db, &samples_at(t - STEP / 2 - HOUR), with_starts);
        }
    }
}

fn expected(rounds: std::ops::Range<i64>) -> BTreeMap<Labels, BTreeMap<i64, i64>> {
    let mut all: BTreeMap<Labels, BTreeMap<i64, i64>> = BTreeMap::new();
    for round in rounds {
        let t = START + round * STEP;
        let late = (round % 10 == 9).then_some(t - STEP / 2 - HOUR);
        for (series, t, start) in [t].into_iter().chain(late).flat_map(samples_at) {
            all.entry(labels(series)).or_default().insert(t, start);
        }
    }
    all
}

fn found(db: &Db) -> Found {
    let (start, end) = (i64::MIN, i64::MAX);
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(start, end), &context).unwrap();
    let all = [Matcher::new(MatchOp::Regex, "__name__", ".+").unwrap()];
    let mut set = querier.select(&all, &SelectHints::default()).unwrap();
    let mut found = Found::new();
    while let Some(mut entry) = set.next_series().unwrap() {
        let mut buffer = SampleBuffer::default();
        entry.samples.read_all(&mut buffer).unwrap();
        let mut samples = BTreeMap::new();
        for (i, (t, value)) in buffer.float_times.iter().zip(&buffer.float_values).enumerate() {
            let start = buffer.float_start_times.get(i).copied().unwrap_or(0);
            samples.insert(*t, (start, value.to_string()));
        }
        for (i, (t, value)) in buffer.histogram_times.iter().zip(&buffer.histograms).enumerate() {
            let start = buffer.histogram_start_times.get(i).copied().unwrap_or(0);
            samples.insert(*t, (start, format!("{} {}", value.count, value.sum)));
        }
        found.insert(entry.labels, samples);
    }
    found
}

fn starts(found: &Found) -> BTreeMap<Labels, BTreeMap<i64, i64>> {
    let of = |samples: &BTreeMap<i64, (i64, String)>| {
        samples.iter().map(|(t, (start, _))| (*t, *start)).collect()
    };
    found.iter().map(|(labels, samples)| (labels.clone(), of(samples))).collect()
}

/// The types of records in a log.
fn record_types(world: &World, log: &str) -> BTreeSet<u8> {
    let fs: SharedFs = Arc::new(world.fs.clone());
    let segments = list_segments(&fs, &Path::new(DIR).join(log)).unwrap();
    let mut reader = WalReader::new(fs, segments);
    let mut types = BTreeSet::new();
    while let Some(record) = reader.next_record().unwrap() {
        types.insert(record[0]);
        assert!(!matches!(Record::decode(record), Ok(Record::Unknown(_)) | Err(_)));
    }
    types
}

/// The encodings of all chunks that a query gets.
fn encodings(db: &Db) -> BTreeSet<u8> {
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(i64::MIN, i64::MAX), &context).unwrap();
    let mut set = querier.select(&[], &SelectHints::default()).unwrap();
    let mut encodings = BTreeSet::new();
    while let Some(mut entry) = set.next_series().unwrap() {
        let chunks = entry.samples.encoded_chunks().unwrap().unwrap();
        encodings.extend(chunks.iter().map(|chunk| chunk.encoding));
    }
    encodings
}

#[test]
fn start_timestamps_survive_kills_snapshots_and_compactions() {
    let world = world();
    let db = world.open();
    fill(&db, 0..300, true);
    let want = expected(0..300);
    assert_eq!(starts(&found(&db)), want, "the head");
    assert_eq!(encodings(&db), BTreeSet::from([4, 5, 6]));
    assert_eq!(record_types(&world, "wal"), BTreeSet::from([1, 11, 12, 13]));
    assert_eq!(record_types(&world, "wbl"), BTreeSet::from([5, 11, 12, 13]));
    let values = found(&db);
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    assert_eq!(found(&db), values, "after a kill");
    // The head is cut, its log becomes a checkpoint, and what came late a block of its own.
    fill(&db, 300..800, true);
    world.clock.advance(1000);
    let written = db.compact_head(CompactionMode::Regular).unwrap();
    assert!(written.len() >= 2, "{written:?}");
    assert_eq!(starts(&found(&db)), expected(0..800), "blocks and head");
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    assert_eq!(starts(&found(&db)), expected(0..800), "after a checkpoint and a kill");
    assert!(db.replay_report().damage.is_empty(), "{:?}", db.replay_report());
    world.clock.advance(1000);
    db.compact_head(CompactionMode::Forced).unwrap();
    assert_eq!(starts(&found(&db)), expected(0..800), "blocks");
    assert_eq!(encodings(&db), BTreeSet::from([4, 5, 6]));
}

#[test]
fn a_snapshot_has_start_timestamps_and_the_open_chunks_go_on() {
    let world = world();
    let db = world.open();
    for round in 0..50 {
        send(&db, &samples_at(START + round * STEP), true);
    }
    let values = found(&db);
    let (before, encoded) = (encodings(&db), chunks(&db));
    assert!(db.write_snapshot().unwrap().is_some());
    db.close().unwrap();
    let db = world.open();
    assert!(db.replay_report().snapshot_series > 0);
    assert_eq!(found(&db), values);
    assert_eq!((encodings(&db), chunks(&db)), (before, encoded), "chunks were begun anew");
    send(&db, &samples_at(START + 50 * STEP), true);
    assert_eq!(starts(&found(&db)).values().map(BTreeMap::len).max(), Some(51));
}

/// How many chunks there are.
fn chunks(db: &Db) -> usize {
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(i64::MIN, i64::MAX), &context).unwrap();
    let mut set = querier.select(&[], &SelectHints::default()).unwrap();
    let mut count = 0;
    while let Some(mut entry) = set.next_series().unwrap() {
        count += entry.samples.encoded_chunks().unwrap().unwrap().len();
    }
    count
}

#[test]
fn merging_blocks_that_overlap_keeps_start_timestamps() {
    let world = world();
    let db = world.open();
    fill(&db, 0..800, true);
    world.clock.advance(1000);
    db.compact_head(CompactionMode::Forced).unwrap();
    let want = starts(&found(&db));
    assert_eq!(want, expected(0..800));
    let fs: SharedFs = Arc::new(world.fs.clone());
    let open = |dir: &PathBuf| Block::open(&*fs, dir).unwrap();
    let blocks: Vec<Block> = db.blocks().iter().map(|block| open(&block.dir)).collect();
    assert!(blocks.len() >= 3, "blocks of what came in order and of what came late");
    let (parent, ulid) = (Path::new("/merged"), [Ulid::from_parts(1, 1)]);
    let compaction = Compaction::new(&fs, parent, &ulid);
    let made = compaction.run(&blocks, &Progress::default()).unwrap();
    let stats = made[0].as_ref().unwrap().stats;
    assert_eq!(stats.num_samples, 4 * 3 * 880);
    // It stands in for all blocks of the database.
    db.close().unwrap();
    for block in &blocks {
        world.fs.remove_dir_all(block.dir()).unwrap();
    }
    let name = ulid[0].to_string();
    world.fs.rename(&parent.join(&name), &Path::new(DIR).join(&name)).unwrap();
    assert_eq!(starts(&found(&world.open())), want);
}

#[test]
fn without_the_switches_start_timestamps_leave_no_trace() {
    let run = |with_starts: bool| {
        let world = World::new();
        let db = world.open();
        fill(&db, 0..300, with_starts);
        db.compact_head(CompactionMode::Regular).unwrap();
        drop(db);
        files(&world, Path::new(DIR))
    };
    let (with, without) = (run(true), run(false));
    assert!(with.keys().any(|path| path.ends_with("wbl/00000000")), "{:?}", with.keys());
    assert!(with == without);
}

/// All files below a directory.
fn files(world: &World, dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in world.fs.read_dir(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.metadata.is_dir {
            files.append(&mut self::files(world, &path));
        } else {
            files.insert(path.clone(), world.fs.read(&path).unwrap());
        }
    }
    files
}

/// The switches change between the starts; samples never do, and start timestamps stay in what was
/// written with them.
#[test]
fn switches_can_be_turned_at_each_start() {
    let mut world = world();
    let switches = [(true, true), (false, false), (true, false), (false, false), (true, true)];
    let mut rounds = 0;
    for (i, (encodings, storage)) in switches.into_iter().enumerate() {
        world.options.xor2_encoding = encodings;
        world.options.histograms_st_encoding = encodings;
        world.options.st_storage = storage;
        let db = world.open();
        assert!(db.replay_report().damage.is_empty(), "{:?}", db.replay_report());
        fill(&db, rounds..rounds + 200, true);
        rounds += 200;
        let want = expected(0..rounds);
        let times = |all: &BTreeMap<Labels, BTreeMap<i64, i64>>| -> Vec<Vec<i64>> {
            all.values().map(|samples| samples.keys().copied().collect()).collect()
        };
        let got = starts(&found(&db));
        assert_eq!(times(&got), times(&want), "start {i}");
        let newest = START + (rounds - 1) * STEP;
        for (labels, samples) in &got {
            let start = if storage { want[labels][&newest] } else { 0 };
            assert_eq!(samples[&newest], start, "start {i}");
        }
        if i % 2 == 0 {
            world.clock.advance(1000);
            db.compact_head(CompactionMode::Regular).unwrap();
            assert_eq!(times(&starts(&found(&db))), times(&want), "start {i}, compacted");
        }
        drop(db);
        world.fs.crash(Crash::Process);
    }
}

#[test]
fn samples_without_one_of_their_own_have_the_start_timestamp_of_their_series() {
    let db = world().open();
    let mut batch = WriteBatch::new(hasher());
    let labels = [Label { name: "__name__", value: "up" }];
    batch.push_float(&labels, BatchSample { timestamp_ms: START, value: 1.0 });
    batch.push_float(&labels, BatchSample { timestamp_ms: START + STEP, value: 2.0 });
    batch.series.iter_mut().for_each(|series| series.created_timestamp_ms = START - STEP);
    batch.sample_start_times = vec![0, START - 1];
    db.append(&batch, &AppendLimits::default()).unwrap();
    // The zero where the counter began has none.
    let want = [(START - STEP, 0), (START, START - STEP), (START + STEP, START - 1)];
    let got = starts(&found(&db)).into_values().next().unwrap();
    assert_eq!(got, BTreeMap::from(want));
}

#[test]
fn start_timestamps_need_an_encoding_that_has_them() {
    let mut world = world();
    world.options.xor2_encoding = false;
    let error = world.try_open().err().unwrap().to_string();
    assert!(error.contains("start timestamps cannot be stored"), "{error}");
}
