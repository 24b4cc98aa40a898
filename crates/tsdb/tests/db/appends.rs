//! Which samples are taken, and that they come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::batch::{BatchSample, SeriesHasher};
use model::{
    Label, Labels, QueryContext, Queryable as _, SelectHints, TimeRange, WriteBatch, stale_nan,
};
use proptest::prelude::*;
use tsdb::head::{AppendLimits, RejectionKind};

use crate::support::*;

#[test]
fn samples_come_back_with_their_bits() {
    let db = World::new().open();
    let values =
        [1.5, -0.0, f64::INFINITY, stale_nan(), f64::NAN, f64::from_bits(0x7ff8_0000_0000_0001)];
    let start = 10 * HOUR;
    for (i, &value) in values.iter().enumerate() {
        let outcome = append(&db, &[float(1, start + i as i64 * 1000, value)]);
        assert_eq!(outcome.accepted_floats, 1);
        assert_eq!(outcome.created_series, u64::from(i == 0));
    }
    let contents = contents(&db);
    let samples = &contents[&labels(1)];
    let want = values.iter().enumerate();
    let want = want.map(|(i, v)| (start + i as i64 * 1000, Value::Float(v.to_bits())));
    assert_eq!(*samples, want.collect::<Samples>());
}

#[test]
fn duplicates_are_compared_by_their_bits() {
    let db = World::new().open();
    let t = 10 * HOUR;
    append(&db, &[float(1, t, f64::NAN)]);
    let again = append(&db, &[float(1, t, f64::NAN)]);
    assert_eq!((again.accepted_floats, again.rejected_total()), (1, 0));
    let other = append(&db, &[float(1, t, stale_nan()), float(1, t - 1, 0.0), float(2, t, 0.0)]);
    assert_eq!(other.rejected(RejectionKind::DuplicateTimestamp), 1);
    assert_eq!(other.rejected(RejectionKind::OutOfOrder), 1);
    assert_eq!(other.accepted_floats, 1);
    let first = other.first_rejection().unwrap();
    assert_eq!((first.series_index, first.timestamp_ms), (0, t));
    assert_eq!(first.labels, labels(1));
    assert_eq!(first.kind, RejectionKind::DuplicateTimestamp);
}

#[test]
fn old_samples_are_out_of_bounds_and_create_nothing() {
    let db = World::new().open();
    let t = 10 * HOUR;
    append(&db, &[float(1, t, 0.0)]);
    let outcome = append(&db, &[float(2, t - HOUR - 1, 0.0), float(3, t - HOUR, 0.0)]);
    assert_eq!(outcome.rejected(RejectionKind::OutOfBounds), 1);
    assert_eq!(outcome.created_series, 1);
    assert_eq!(db.stats().series, 2);
}

#[test]
fn the_series_limit_stops_new_series_only() {
    let db = World::new().open();
    let t = 10 * HOUR;
    let limits = AppendLimits { max_series: 3, ..AppendLimits::default() };
    let samples: Vec<_> = (0..5).map(|i| float(i, t, 0.0)).collect();
    let outcome = try_append(&db, &samples, &limits).unwrap();
    assert_eq!(outcome.created_series, 3);
    assert_eq!(outcome.rejected(RejectionKind::SeriesLimit), 2);
    let known: Vec<usize> = (0..5).filter(|&i| contents(&db).contains_key(&labels(i))).collect();
    let samples: Vec<_> = (0..5).map(|i| float(i, t + 1, 0.0)).collect();
    let outcome = try_append(&db, &samples, &limits).unwrap();
    assert_eq!((outcome.accepted_floats, outcome.created_series), (3, 0));
    assert!(
        contents(&db).keys().cloned().eq(known.into_iter().map(labels).collect::<BTreeSet<_>>())
    );
}

#[test]
fn named_metrics_have_no_limit_of_their_own() {
    let mut world = World::new();
    world.options.unlimited_metrics = ["b".to_owned()].into();
    let db = world.open();
    let limits = AppendLimits { max_series_per_metric: 1, ..AppendLimits::default() };
    let mut batch = WriteBatch::default();
    for (name, id) in [("a", "0"), ("a", "1"), ("b", "0"), ("b", "1"), ("b", "2")] {
        let labels = [Label { name: "__name__", value: name }, Label { name: "id", value: id }];
        batch.push_float(&labels, BatchSample { timestamp_ms: 10 * HOUR, value: 1.0 });
    }
    let outcome = db.append(&batch, &limits).unwrap();
    assert_eq!(
        (outcome.created_series, outcome.rejected(RejectionKind::MetricSeriesLimit)),
        (4, 1)
    );
}

/// The ends of the chunks of some series, by time.
fn chunk_ends(variance: f64, xor2_encoding: bool) -> Vec<Vec<i64>> {
    let mut world = World::new();
    world.options.chunk_end_time_variance = variance;
    world.options.xor2_encoding = xor2_encoding;
    let db = world.open();
    for round in 0..480 {
        let samples: Vec<_> = (0..20).map(|i| float(i, 10 * HOUR + round * 15_000, 1.0)).collect();
        append(&db, &samples);
    }
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(i64::MIN, i64::MAX), &context).unwrap();
    let mut set = querier.select(&[], &SelectHints::default()).unwrap();
    let mut ends = Vec::new();
    while let Some(mut entry) = set.next_series().unwrap() {
        let chunks = entry.samples.encoded_chunks().unwrap().unwrap();
        ends.push(chunks.iter().map(|chunk| chunk.max_time_ms).collect());
    }
    ends
}

#[test]
fn ends_of_chunks_are_spread_over_the_series_as_far_as_the_option_says() {
    let together = chunk_ends(0.0, false);
    assert!(together.iter().all(|ends| *ends == together[0] && ends.len() == 4), "{together:?}");
    let spread = chunk_ends(0.5, false);
    let firsts: BTreeSet<i64> = spread.iter().map(|ends| ends[0]).collect();
    assert!(firsts.len() > 10, "{firsts:?}");
    // 30 minutes, and a quarter of that more or less.
    let range = 10 * HOUR + 22 * 60_000..10 * HOUR + 38 * 60_000;
    assert!(firsts.iter().all(|end| range.contains(end)), "{firsts:?}");
    let last = 12 * HOUR - 15_000;
    assert!(spread.iter().all(|ends| ends.last() == Some(&last)), "the range is the end");
    assert_eq!(chunk_ends(0.5, false), spread, "it follows from the labels");
    assert_eq!(chunk_ends(0.5, true), spread, "and not from the encoding");
}

#[test]
fn the_limit_of_a_metric_stops_its_new_series_only() {
    let db = World::new().open();
    let t = 10 * HOUR;
    let limits = AppendLimits { max_series_per_metric: 2, ..AppendLimits::default() };
    let mut batch = WriteBatch::default();
    let ids = ["0", "1", "2", "3"];
    for (name, id) in ids.iter().flat_map(|id| [("a", id), ("b", id)]).take(7) {
        let labels = [Label { name: "__name__", value: name }, Label { name: "id", value: id }];
        batch.push_float(&labels, BatchSample { timestamp_ms: t, value: 1.0 });
    }
    let outcome = db.append(&batch, &limits).unwrap();
    assert_eq!((outcome.created_series, outcome.accepted_floats), (4, 4));
    assert_eq!(outcome.rejected(RejectionKind::MetricSeriesLimit), 3);
    let outcome = db.append(&batch, &limits).unwrap();
    assert_eq!((outcome.created_series, outcome.accepted_floats), (0, 4), "known series go on");
}

#[test]
fn a_counter_begins_with_a_zero_where_its_start_is_in_order() {
    let world = World::new();
    let db = world.open();
    let t = 10 * HOUR;
    let push = |start: i64, t: i64, value: f64| {
        let strings = label_strings(1);
        let labels: Vec<_> = strings.iter().map(|(name, value)| Label { name, value }).collect();
        let mut batch = WriteBatch::new(hasher());
        batch.push_float(&labels, BatchSample { timestamp_ms: t, value });
        batch.series[0].created_timestamp_ms = start;
        let outcome = db.append(&batch, &AppendLimits::default()).unwrap();
        assert_eq!(outcome.rejected_total(), 0);
        outcome.accepted_floats
    };
    assert_eq!(push(t - 5, t, 3.0), 2);
    // The start comes again with every sample; a new one is a reset.
    assert_eq!(push(t - 5, t + 10, 4.0), 1);
    assert_eq!(push(t + 15, t + 20, 1.0), 2);
    // Not before its first sample, or too old: nothing is refused for it.
    assert_eq!(push(t + 30, t + 30, 2.0), 1);
    assert_eq!(push(1, t + 40, 2.0), 1);
    let want = [
        (t - 5, 0.0),
        (t, 3.0),
        (t + 10, 4.0),
        (t + 15, 0.0),
        (t + 20, 1.0),
        (t + 30, 2.0),
        (t + 40, 2.0),
    ];
    let want: Samples =
        want.into_iter().map(|(t, v): (i64, f64)| (t, Value::Float(v.to_bits()))).collect();
    assert_eq!(contents(&db)[&labels(1)], want);
    drop(db);
    assert_eq!(contents(&world.open())[&labels(1)], want);
}

#[test]
fn a_batch_of_another_hasher_finds_the_same_series() {
    let db = World::new().open();
    append(&db, &[float(1, 10 * HOUR, 1.0)]);
    let strings = label_strings(1);
    let labels: Vec<_> = strings.iter().map(|(name, value)| Label { name, value }).collect();
    let mut batch = WriteBatch::new(SeriesHasher::new(123));
    let sample = BatchSample { timestamp_ms: 10 * HOUR + 1, value: 2.0 };
    batch.push_float(&labels, sample);
    let outcome = db.append(&batch, &AppendLimits::default()).unwrap();
    assert_eq!((outcome.created_series, outcome.accepted_floats), (0, 1));
}

#[test]
fn long_series_are_cut_into_many_chunks() {
    let db = World::new().open();
    let start = 10 * HOUR;
    let mut want: BTreeMap<Labels, Samples> = BTreeMap::new();
    for i in 0..3000i64 {
        // Incompressible values cut by bytes, the others by time.
        let noise = f64::from_bits((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2);
        let samples = [float(1, start + i * 15_000, i as f64), float(2, start + i * 15_000, noise)];
        append(&db, &samples);
        for sample in &samples {
            let TestValue::Float(v) = &sample.value else { unreachable!() };
            let series = want.entry(labels(sample.series)).or_default();
            series.insert(sample.t, Value::Float(v.to_bits()));
        }
    }
    assert_eq!(contents(&db), want);
}

#[test]
fn a_contradiction_within_a_request_is_counted_and_not_told() {
    let db = World::new().open();
    let t = 10 * HOUR;
    append(&db, &[float(1, t, 0.0)]);
    let labels = labels(1);
    let labels: Vec<Label<'_>> = labels.iter().collect();
    let append_times = |times: &[i64]| {
        let mut batch = WriteBatch::new(hasher());
        batch.push_float(&labels, BatchSample { timestamp_ms: times[0], value: 1.0 });
        let more = |&timestamp_ms: &i64| BatchSample { timestamp_ms, value: 2.0 };
        batch.samples.extend(times[1..].iter().map(more));
        batch.series[0].samples.end = times.len() as u32;
        db.append(&batch, &AppendLimits::default()).unwrap()
    };
    let back = append_times(&[t + 20, t + 10, t + 20]);
    assert_eq!((back.accepted_floats, back.rejected_total()), (1, 2));
    assert_eq!(back.first_rejection(), None);
    let before = append_times(&[t + 30, t + 20, t + 25]);
    assert_eq!((before.accepted_floats, before.rejected_total()), (1, 2));
    assert_eq!(before.first_rejection().unwrap().timestamp_ms, t + 20, "as before the request");
}

/// What the rules say, with nothing but a map.
#[derive(Default)]
struct NaiveHead {
    series: BTreeMap<usize, BTreeMap<i64, u64>>,
    max: Option<i64>,
}

impl NaiveHead {
    /// Counts, and whether the sender is told of a refusal: not where a sample only contradicts
    /// others of the batch.
    fn append(&mut self, batch: &[(usize, i64, f64)]) -> ([u64; 4], bool) {
        let (mut counts, mut is_told) = ([0; 4], false);
        let newest = |(&series, samples): (&usize, &BTreeMap<i64, u64>)| {
            samples.last_key_value().map(|(&t, _)| (series, t))
        };
        let before: BTreeMap<usize, i64> = self.series.iter().filter_map(newest).collect();
        let max = self.max.unwrap_or(batch[0].1);
        for &(series, t, value) in batch {
            let newest = self.series.get(&series).and_then(|s| s.last_key_value());
            let newest = newest.map(|(&t, &bits)| (t, bits));
            let slot = match newest {
                _ if t < max - HOUR => 1,
                Some((last, bits)) if t == last && bits == value.to_bits() => 0,
                Some((last, _)) if t == last => 2,
                Some((last, _)) if t < last => 3,
                _ => {
                    self.series.entry(series).or_default().insert(t, value.to_bits());
                    self.max = Some(self.max.map_or(t, |m| m.max(t)));
                    0
                }
            };
            counts[slot] += 1;
            is_told |= slot == 1 || slot > 1 && before.get(&series).is_some_and(|&last| t <= last);
        }
        (counts, is_told)
    }
}

fn batches() -> impl Strategy<Value = Vec<Vec<(usize, i64, f64)>>> {
    let values = prop::sample::select(vec![0.0, 1.0, -0.0, f64::NAN, 1e300, 0.1]);
    let sample = (0usize..12, -3i64..40, values);
    prop::collection::vec(prop::collection::vec(sample, 1..20), 1..25)
}

proptest! {
    #[test]
    fn rules_are_those_of_a_naive_model(batches in batches(), step in 60_000i64..400_000) {
        let db = World::new().open();
        let mut naive = NaiveHead::default();
        for (round, batch) in batches.iter().enumerate() {
            // Times wander forward, so that all rules come to bear.
            let time = |t: i64| 10 * HOUR + (t + round as i64 * 2) * step;
            let batch: Vec<_> = batch.iter().map(|&(s, t, v)| (s, time(t), v)).collect();
            let samples: Vec<_> = batch.iter().map(|&(s, t, v)| float(s, t, v)).collect();
            let outcome = append(&db, &samples);
            let got = [
                outcome.accepted_floats,
                outcome.rejected(RejectionKind::OutOfBounds),
                outcome.rejected(RejectionKind::DuplicateTimestamp),
                outcome.rejected(RejectionKind::OutOfOrder),
            ];
            prop_assert_eq!((got, outcome.first_rejection().is_some()), naive.append(&batch));
        }
        let want: BTreeMap<Labels, Samples> = naive.series.iter().map(|(&series, samples)| {
            let samples = samples.iter().map(|(&t, &bits)| (t, Value::Float(bits)));
            (labels(series), samples.collect())
        }).collect();
        prop_assert_eq!(contents(&db), want);
    }
}
