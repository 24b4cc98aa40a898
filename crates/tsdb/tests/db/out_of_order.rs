//! Samples that come out of order: which are taken, that they come back, and where they end up.

use std::collections::BTreeMap;
use std::path::Path;

use model::{
    Labels, MatchOp, Matcher, QueryContext, Queryable, SampleBuffer, SelectHints, TimeRange,
};
use proptest::prelude::*;
use tsdb::block::read_meta;
use tsdb::db::{CompactionMode, Db};
use tsdb::fs::{Crash, FileSystem};
use tsdb::head::{AppendLimits, AppendOutcome, RejectionKind};
use tsdb::wal::record::{Record, SamplesEncoder};
use tsdb::wal::{LogScratch, Wal, WalOptions, WalReader, list_segments, segment_name};

use crate::histograms::{Kind, expected, kinds, normal_contents, value};
use crate::support::*;

const RANGE: i64 = 2 * HOUR;

fn window(ms: i64) -> AppendLimits {
    AppendLimits { out_of_order_window_ms: ms, ..AppendLimits::default() }
}

fn append_late(db: &Db, samples: &[TestSample]) -> AppendOutcome {
    try_append(db, samples, &window(24 * HOUR)).unwrap()
}

/// Floats of series 1 at these times, which are their values too.
fn floats(times: impl IntoIterator<Item = i64>) -> Vec<TestSample> {
    times.into_iter().map(|t| float(1, t, t as f64)).collect()
}

fn times_of(db: &Db) -> Vec<i64> {
    contents(db).get(&labels(1)).map_or_else(Vec::new, |samples| samples.keys().copied().collect())
}

/// The records of the log of late samples in words.
fn wbl_records(world: &World) -> Vec<String> {
    let fs: tsdb::fs::SharedFs = std::sync::Arc::new(world.fs.clone());
    let segments = list_segments(&fs, &Path::new(DIR).join("wbl")).unwrap();
    let mut reader = WalReader::new(fs, segments);
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        records.push(match Record::decode(record).unwrap() {
            Record::Samples(samples) => format!("{} samples", samples.count()),
            Record::Histograms(samples) => format!("{} histograms", samples.count()),
            Record::MmapMarkers(markers) => {
                let chunks = markers.map(|marker| marker.unwrap().chunk_ref != 0);
                format!("markers {:?}", chunks.collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        });
    }
    records
}

#[test]
fn late_samples_are_taken_inside_the_window_and_merged() {
    let db = World::new().open();
    let t = 100 * HOUR;
    append_late(&db, &floats([t]));
    let limits = window(3 * HOUR);
    let late = floats([t - 1, t - HOUR - 1, t - 3 * HOUR, t - 3 * HOUR - 1, t - 2]);
    let outcome = try_append(&db, &late, &limits).unwrap();
    assert_eq!(outcome.accepted_floats, 4);
    assert_eq!((outcome.rejected(RejectionKind::TooOld), outcome.rejected_total()), (1, 1));
    assert_eq!(times_of(&db), [t - 3 * HOUR, t - HOUR - 1, t - 2, t - 1, t]);
    assert_eq!(db.stats().out_of_order_samples, 4);
    assert_eq!(db.stats().max_time_ms, Some(t));
    // Without a window the rules are the old ones, and what is there stays.
    let outcome = append(&db, &floats([t - 3, t - 2 * HOUR]));
    assert_eq!(outcome.rejected(RejectionKind::OutOfOrder), 1);
    assert_eq!(outcome.rejected(RejectionKind::OutOfBounds), 1);
    assert_eq!(times_of(&db).len(), 5);
}

#[test]
fn a_late_sample_may_create_a_series_and_survives_a_kill() {
    let world = World::new();
    let db = world.open();
    let t = 100 * HOUR;
    append_late(&db, &[float(2, t, 1.0)]);
    let outcome = append_late(&db, &floats([t - 5 * HOUR]));
    assert_eq!((outcome.created_series, outcome.accepted_floats), (1, 1));
    let want = contents(&db);
    assert_eq!(want.len(), 2);
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    assert_eq!(contents(&db), want);
    assert_eq!(db.stats().series, 2);
    // A window of 0 replays the log all the same.
    append(&db, &[float(1, t + 1, 0.0)]);
    assert_eq!(times_of(&db), [t - 5 * HOUR, t + 1]);
}

#[test]
fn repeated_times_are_accepted_and_the_first_value_stays() {
    let world = World::new();
    let db = world.open();
    let t = 100 * HOUR;
    append_late(&db, &floats([t]));
    append_late(&db, &[float(1, t - 5, 1.0)]);
    let again = append_late(&db, &[float(1, t - 5, 2.0), float(1, t - 5, 1.0)]);
    assert_eq!((again.accepted_floats, again.rejected_total()), (2, 0));
    assert_eq!(db.stats().out_of_order_samples, 1);
    let is_first = |db: &Db| contents(db)[&labels(1)][&(t - 5)] == Value::Float(1f64.to_bits());
    assert!(is_first(&db));
    drop(db);
    assert!(is_first(&world.open()));
}

#[test]
fn a_full_list_becomes_a_chunk_and_the_log_says_so() {
    let mut world = World::new();
    world.options.out_of_order_capacity = 4;
    let db = world.open();
    let t = 100 * HOUR;
    append_late(&db, &floats([t]));
    append_late(&db, &floats([t - 40, t - 10, t - 30]));
    // In one request: the list is full after the first of these and again after four more.
    append_late(&db, &floats([t - 20, t - 41, t - 42, t - 43, t - 44, t - 45]));
    let want = [
        "markers [false]",
        "3 samples",
        "1 samples",
        "markers [true]",
        "4 samples",
        "markers [true]",
        "1 samples",
    ];
    assert_eq!(wbl_records(&world), want);
    let all = contents(&db);
    assert_eq!(all[&labels(1)].len(), 10);
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    assert_eq!(contents(&db), all);
    assert_eq!(db.replay_report().chunks, 2);
}

#[test]
fn a_marker_whose_chunk_was_lost_loses_nothing() {
    let mut world = World::new();
    world.options.out_of_order_capacity = 4;
    let db = world.open();
    let t = 100 * HOUR;
    append_late(&db, &floats([t]));
    append_late(&db, &floats((1..30).map(|i| t - i * 7 % 31)));
    let want = contents(&db);
    assert_eq!(want[&labels(1)].len(), 30);
    drop(db);
    world.fs.remove_dir_all(&Path::new(DIR).join("chunks_head")).unwrap();
    for _ in 0..3 {
        let db = world.open();
        assert_eq!(contents(&db), want);
        drop(db);
    }
}

#[test]
fn a_record_that_cannot_be_read_to_its_end_is_not_applied_in_part() {
    let world = World::new();
    let db = world.open();
    let t = 100 * HOUR;
    append_late(&db, &floats([t]));
    append_late(&db, &floats([t - 40]));
    let want = contents(&db);
    drop(db);
    let fs: tsdb::fs::SharedFs = std::sync::Arc::new(world.fs.clone());
    let dir = Path::new(DIR).join("wbl");
    let wbl = Wal::open(fs, &dir, WalOptions::default()).unwrap();
    let mut record = SamplesEncoder::default();
    record.push(1, t - 30, 1.0);
    record.push(1, t - 20, 2.0);
    let (_, cut) = record.record().split_last().unwrap();
    wbl.log(&mut LogScratch::default(), &[cut]).unwrap();
    wbl.close().unwrap();
    let db = world.open();
    assert_eq!(contents(&db), want);
    assert_eq!(db.replay_report().damage.len(), 1);
    drop(db);
    assert_eq!(contents(&world.open()), want);
}

/// Processes that write late samples and die, and a machine that dies and loses the name of a segment
/// to which nothing was synced: what is in the other ones counts.
#[test]
fn a_gap_in_the_log_of_late_samples_costs_only_what_is_missing() {
    let world = World::new();
    let t = 100 * HOUR;
    append_late(&world.open(), &floats([t]));
    for late in [t - 3, t - 2, t - 1] {
        append_late(&world.open(), &floats([late]));
    }
    let dir = Path::new(DIR).join("wbl");
    let segment = |number| dir.join(segment_name(number));
    assert_eq!(times_of(&world.open()), [t - 3, t - 2, t - 1, t]);
    world.fs.remove_file(&segment(1)).unwrap();
    let db = world.open();
    assert_eq!(times_of(&db), [t - 3, t - 1, t]);
    append_late(&db, &floats([t - 4]));
    drop(db);
    assert_eq!(times_of(&world.open()), [t - 4, t - 3, t - 1, t]);
}

/// Segments that were deleted because blocks have their samples, and that the death of the machine
/// brings back, do not bring back what was deleted since; later segments may have their numbers.
#[test]
fn segments_that_come_back_are_not_taken_in_again() {
    let world = World::new();
    let t = 100 * HOUR;
    let db = world.open();
    append_late(&db, &floats([t]));
    append_late(&db, &floats([t - 3, t - 2]));
    let first = Path::new(DIR).join("wbl").join(segment_name(0));
    let content = world.fs.read(&first).unwrap();
    db.compact_head(CompactionMode::Forced).unwrap();
    assert!(world.fs.read(&first).is_err(), "it was not needed any more");
    let everything = [Matcher::new(MatchOp::Equal, "job", "odd").unwrap()];
    db.delete(TimeRange::new(t - 3, t - 2), &everything).unwrap();
    assert_eq!(times_of(&db), [t]);
    drop(db);
    world.fs.create(&first).unwrap().write_all_at(&content, 0).unwrap();
    let db = world.open();
    assert_eq!(times_of(&db), [t]);
    assert_eq!(db.head().out_of_order_bounds(), None);
    drop(db);
    // As if nothing of the log's directory had reached the device.
    for entry in world.fs.read_dir(&Path::new(DIR).join("wbl")).unwrap() {
        world.fs.remove_file(&Path::new(DIR).join("wbl").join(entry.name)).unwrap();
    }
    let db = world.open();
    append_late(&db, &floats([t + HOUR]));
    append_late(&db, &floats([t + 5]));
    drop(db);
    assert!(world.fs.read(&first).is_ok());
    assert_eq!(times_of(&world.open()), [t, t + 5, t + HOUR]);
}

#[test]
fn late_samples_become_blocks_after_the_head_was_cut() {
    let mut world = World::new();
    world.options.out_of_order_capacity = 4;
    let db = world.open();
    let start = 100 * RANGE;
    append_late(&db, &floats([start + 3 * HOUR]));
    append_late(&db, &floats((0..20).map(|i| start - RANGE - i * 60_000)));
    append_late(&db, &floats((0..10).map(|i| start + HOUR - i * 60_000)));
    let before = contents(&db);
    assert_eq!(db.compact_head(CompactionMode::Regular).unwrap(), [], "the head is not due");
    assert!(!wbl_records(&world).is_empty());
    append_late(&db, &floats([start + 7 * HOUR]));
    world.clock.advance(1000);
    let written = db.compact_head(CompactionMode::Regular).unwrap();
    // One of the head, three of what came late.
    assert_eq!(written.len(), 4, "{:?}", db.blocks());
    let late: Vec<_> = db
        .blocks()
        .into_iter()
        .filter(|block| {
            let meta = read_meta(&world.fs, &block.dir).unwrap();
            let is_late = meta.is_out_of_order();
            assert_eq!(is_late, meta.compaction.hints == ["from-out-of-order"]);
            assert_eq!((meta.compaction.level, &meta.compaction.sources), (1, &vec![meta.ulid]));
            is_late
        })
        .collect();
    let ranges: Vec<_> =
        late.iter().map(|b| (b.min_time_ms - start, b.max_time_ms - start)).collect();
    assert_eq!(ranges, [(-2 * RANGE, -RANGE), (-RANGE, 0), (0, RANGE)]);
    let counts: Vec<_> = late.iter().map(|b| b.sample_count).collect();
    assert_eq!(counts, [19, 1, 10]);
    let mut want = before;
    want.get_mut(&labels(1))
        .unwrap()
        .insert(start + 7 * HOUR, Value::Float(((start + 7 * HOUR) as f64).to_bits()));
    assert_eq!(contents(&db), want);
    assert_eq!(wbl_records(&world), [] as [String; 0]);
    assert!(db.head().out_of_order_bounds().is_none());
    drop(db);
    world.fs.crash(Crash::Process);
    assert_eq!(contents(&world.open()), want);
}

#[test]
fn a_forced_compaction_empties_the_head_of_late_samples_too() {
    let world = World::new();
    let db = world.open();
    let t = 100 * HOUR;
    append_late(&db, &[float(2, t, 1.0)]);
    append_late(&db, &floats([t - 5 * HOUR]));
    let want = contents(&db);
    assert_eq!(db.compact_head(CompactionMode::Forced).unwrap().len(), 2);
    assert_eq!(db.stats().series, 0);
    assert_eq!(contents(&db), want);
    // The head is empty, its blocks are not: late samples go on being taken.
    append_late(&db, &[float(3, t + 1, 0.0)]);
    append_late(&db, &floats([t - 4 * HOUR]));
    assert_eq!(times_of(&db), [t - 5 * HOUR, t - 4 * HOUR]);
}

#[test]
fn a_query_that_began_before_a_compaction_sees_everything() {
    let world = World::new();
    let db = world.open();
    let t = 100 * HOUR;
    append_late(&db, &floats([t]));
    append_late(&db, &floats((1..100).map(|i| t - i * 60_000)));
    let want = times_of(&db);
    let context = std::sync::Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(i64::MIN, i64::MAX), &context).unwrap();
    assert!(!db.compact_head(CompactionMode::Forced).unwrap().is_empty());
    let all = [Matcher::new(MatchOp::Regex, "__name__", ".+").unwrap()];
    let mut set = querier.select(&all, &SelectHints::default()).unwrap();
    let mut buffer = SampleBuffer::default();
    set.next_series().unwrap().unwrap().samples.read_all(&mut buffer).unwrap();
    assert_eq!(buffer.float_times, want);
    assert_eq!(times_of(&db), want);
    assert_eq!(db.stats().series, 1);
    drop((querier, set));
    db.compact_head(CompactionMode::Regular).unwrap();
    assert_eq!(times_of(&db), want);
    assert_eq!(db.stats().series, 0);
}

#[test]
fn a_full_disk_fails_the_request_and_nothing_acknowledged_is_missing() {
    let world = World::new();
    let db = world.open();
    let t = 100 * HOUR;
    append_late(&db, &floats([t]));
    append_late(&db, &floats([t - 1]));
    world.fs.set_free_bytes(Some(10));
    let limits = window(24 * HOUR);
    for _ in 0..3 {
        try_append(&db, &floats([t - 2, t - 3]), &limits).unwrap_err();
    }
    world.fs.set_free_bytes(None);
    append_late(&db, &floats([t - 2, t - 3]));
    append_late(&db, &floats([t - 4]));
    assert_eq!(times_of(&db), [t - 4, t - 3, t - 2, t - 1, t]);
    drop(db);
    world.fs.crash(Crash::Process);
    assert_eq!(times_of(&world.open()), [t - 4, t - 3, t - 2, t - 1, t]);
}

#[test]
fn late_samples_are_deleted_and_later_ones_are_not() {
    let world = World::new();
    let db = world.open();
    let t = 100 * HOUR;
    append_late(&db, &floats([t]));
    append_late(&db, &floats([t - 1000, t - 2000, t - 3000]));
    let all = [Matcher::new(MatchOp::Regex, "__name__", ".+").unwrap()];
    db.delete(TimeRange::new(t - 2500, t - 500), &all).unwrap();
    assert_eq!(times_of(&db), [t - 3000, t]);
    append_late(&db, &floats([t - 1500]));
    assert_eq!(times_of(&db), [t - 3000, t - 1500, t]);
    drop(db);
    world.fs.crash(Crash::Process);
    assert_eq!(times_of(&world.open()), [t - 3000, t - 1500, t]);
}

/// What the rules say, with nothing but maps.
#[derive(Default)]
struct Model {
    all: BTreeMap<Labels, Samples>,
    newest: BTreeMap<usize, (i64, Same)>,
    /// The newest sample that the head of this process has seen.
    head_max: Option<i64>,
}

/// What makes a sample a repetition of another one of its time.
type Same = (Value, std::mem::Discriminant<Kind>);

/// Accepted, refused as too old, out of bounds, out of order or duplicate.
type Verdicts = [u64; 5];

impl Model {
    /// `bounds`: older samples are not in order; the newest sample of the head; the window.
    fn append(&mut self, samples: &[(usize, i64, Kind)], bounds: (i64, i64, i64)) -> Verdicts {
        let (min_valid, head_max, window) = bounds;
        let mut verdicts = Verdicts::default();
        for (series, t, kind) in samples {
            let (t, value) = (*t, expected(kind));
            let same = (value.clone(), std::mem::discriminant(kind));
            let newest = self.newest.get(series).filter(|_| t >= min_valid);
            let is_in_order = t >= min_valid && newest.is_none_or(|(last, _)| t > *last);
            let verdict = match newest {
                _ if is_in_order => 0,
                Some((last, known)) if t == *last => {
                    if *known == same {
                        0
                    } else {
                        4
                    }
                }
                _ if window > 0 => u64::from(t < head_max - window),
                _ if t < min_valid => 2,
                _ => 3,
            };
            verdicts[verdict as usize] += 1;
            if verdict == 0 {
                let samples = self.all.entry(labels(*series)).or_default();
                samples.entry(t).or_insert(value);
                if is_in_order {
                    self.newest.insert(*series, (t, same));
                    self.head_max = self.head_max.max(Some(t));
                }
            }
        }
        verdicts
    }
}

/// The first sample in which two contents differ.
fn difference(got: &BTreeMap<Labels, Samples>, want: &BTreeMap<Labels, Samples>) -> Option<String> {
    let none = Samples::new();
    for key in got.keys().chain(want.keys()) {
        let (got, want) = (got.get(key).unwrap_or(&none), want.get(key).unwrap_or(&none));
        for t in got.keys().chain(want.keys()) {
            if got.get(t) != want.get(t) {
                return Some(format!(
                    "{key} at {t}: {:?} instead of {:?}",
                    got.get(t),
                    want.get(t)
                ));
            }
        }
    }
    None
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(usize, i64, Kind)>),
    Advance(i64),
    Compact(CompactionMode),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    // Float stale markers follow the type of their series, which the model does not know.
    let sample = (0usize..4, 0i64..40, kinds());
    let floats = (0usize..4, 0i64..40, (0u8..4).prop_map(|v| Kind::Float(f64::from(v))));
    let sample = prop_oneof![2 => sample, 3 => floats];
    prop_oneof![
        10 => prop::collection::vec(sample, 1..12).prop_map(Step::Append),
        3 => (1i64..8).prop_map(Step::Advance),
        1 => Just(Step::Compact(CompactionMode::Regular)),
        1 => Just(Step::Compact(CompactionMode::Forced)),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_database_holds_what_a_naive_model_holds(
        steps in prop::collection::vec(step(), 1..60),
        window_ms in prop::sample::select(vec![0i64, 70_000, 200_000, 10_000_000]),
        capacity in 1usize..7,
    ) {
        const STEP: i64 = 10_000;
        const BLOCK: i64 = 120_000;
        let mut world = World::new();
        world.options.block_range_ms = BLOCK;
        world.options.out_of_order_capacity = capacity;
        let mut db = world.open();
        let mut model = Model::default();
        let mut now = 10 * HOUR;
        for step in steps {
            let is_append = matches!(step, Step::Append(_) | Step::Advance(_));
            match step {
                Step::Append(points) => {
                    let points: Vec<_> = points.into_iter().map(|(s, late, kind)| (s, now - late * STEP, kind)).collect();
                    let stats = db.stats();
                    let head_max = model.head_max.unwrap_or(points[0].1);
                    let min_valid = stats.min_valid_time_ms.unwrap_or(i64::MIN).max(head_max - BLOCK / 2);
                    let samples: Vec<_> = points.iter().map(|(series, t, kind)| TestSample { series: *series, t: *t, value: value(kind) }).collect();
                    let outcome = try_append(&db, &samples, &window(window_ms)).unwrap();
                    let got = [
                        outcome.accepted_floats + outcome.accepted_histograms,
                        outcome.rejected(RejectionKind::TooOld),
                        outcome.rejected(RejectionKind::OutOfBounds),
                        outcome.rejected(RejectionKind::OutOfOrder),
                        outcome.rejected(RejectionKind::DuplicateTimestamp),
                    ];
                    prop_assert_eq!(got, model.append(&points, (min_valid, head_max, window_ms)));
                }
                Step::Advance(steps) => now += steps * STEP,
                Step::Compact(mode) => {
                    world.clock.advance(1000);
                    db.compact_head(mode).unwrap();
                }
                Step::Restart => {
                    drop(db);
                    world.fs.crash(Crash::Process);
                    db = world.open();
                    model.head_max = db.stats().max_time_ms;
                    prop_assert!(db.replay_report().damage.is_empty());
                }
            }
            if is_append {
                continue;
            }
            let difference = difference(&normal_contents(&db), &model.all);
            prop_assert!(difference.is_none(), "{}", difference.unwrap_or_default());
        }
        let difference = difference(&normal_contents(&db), &model.all);
        prop_assert!(difference.is_none(), "{}", difference.unwrap_or_default());
    }
}
