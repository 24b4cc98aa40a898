//! Native histograms: resets, stale markers, changing layouts, and series that change their type.

use std::collections::BTreeMap;

use model::batch::HistogramValue;
use model::{CounterResetHint, FloatHistogram, Histogram, Labels, Span, stale_nan};
use proptest::prelude::*;
use tsdb::fs::Crash;
use tsdb::head::RejectionKind;

use crate::support::*;

/// What a client sends, in words.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Float(f64),
    Int { schema: i32, buckets: BTreeMap<i32, u32>, gauge: bool },
    FloatHistogram { schema: i32, buckets: BTreeMap<i32, u32>, gauge: bool },
    StaleInt,
    StaleFloat,
}

fn spans(buckets: &BTreeMap<i32, u32>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for &index in buckets.keys() {
        match spans.last_mut() {
            Some(last) if index == next => last.length += 1,
            _ => spans.push(Span { offset: index - next, length: 1 }),
        }
        next = index + 1;
    }
    spans
}

fn int(schema: i32, buckets: &BTreeMap<i32, u32>, gauge: bool) -> Histogram {
    let mut previous = 0;
    let mut deltas = Vec::new();
    for &count in buckets.values() {
        deltas.push(i64::from(count) - previous);
        previous = i64::from(count);
    }
    Histogram {
        counter_reset_hint: if gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown },
        schema,
        zero_threshold: 0.001,
        zero_count: 1,
        count: 1 + buckets.values().map(|&c| u64::from(c)).sum::<u64>(),
        sum: buckets.values().map(|&c| f64::from(c) * 1.5).sum(),
        positive_spans: spans(buckets),
        positive_buckets: deltas,
        ..Histogram::default()
    }
}

pub(crate) fn value(kind: &Kind) -> TestValue {
    TestValue::Histogram(match kind {
        Kind::Float(value) => return TestValue::Float(*value),
        Kind::Int { schema, buckets, gauge } => {
            HistogramValue::Int(Box::new(int(*schema, buckets, *gauge)))
        }
        Kind::FloatHistogram { schema, buckets, gauge } => {
            HistogramValue::Float(Box::new(int(*schema, buckets, *gauge).to_float()))
        }
        Kind::StaleInt => {
            HistogramValue::Int(Box::new(Histogram { sum: stale_nan(), ..Histogram::default() }))
        }
        Kind::StaleFloat => HistogramValue::Float(Box::new(FloatHistogram {
            sum: stale_nan(),
            ..FloatHistogram::default()
        })),
    })
}

/// What a query must give, up to empty buckets and hints.
pub(crate) fn expected(kind: &Kind) -> Value {
    match value(kind) {
        TestValue::Float(value) => Value::Float(value.to_bits()),
        TestValue::Histogram(HistogramValue::Int(h)) => normal(&h.to_float()),
        TestValue::Histogram(HistogramValue::Float(h)) => normal(&h),
    }
}

fn normal(histogram: &FloatHistogram) -> Value {
    let mut histogram = histogram.clone();
    if histogram.is_stale() {
        histogram = FloatHistogram::default();
        // NaN is not equal to itself.
        histogram.sum = 4711.0;
        return Value::Histogram(Box::new(histogram));
    }
    histogram.compact(0);
    if histogram.counter_reset_hint != CounterResetHint::Gauge {
        histogram.counter_reset_hint = CounterResetHint::Unknown;
    }
    Value::Histogram(Box::new(histogram))
}

pub(crate) fn normal_contents(db: &tsdb::db::Db) -> BTreeMap<Labels, Samples> {
    let mut contents = contents(db);
    for value in contents.values_mut().flat_map(|samples| samples.values_mut()) {
        if let Value::Histogram(histogram) = value {
            *value = normal(histogram);
        }
    }
    contents
}

pub(crate) fn kinds() -> impl Strategy<Value = Kind> {
    let buckets = prop::collection::btree_map(-4i32..12, 0u32..6, 1..6);
    let histogram = (prop::sample::select(vec![0, 1, 3]), buckets, prop::bool::weighted(0.1));
    prop_oneof![
        2 => (0u8..4).prop_map(|v| Kind::Float(f64::from(v))),
        6 => histogram.clone().prop_map(|(schema, buckets, gauge)| Kind::Int { schema, buckets, gauge }),
        4 => histogram.prop_map(|(schema, buckets, gauge)| Kind::FloatHistogram { schema, buckets, gauge }),
        1 => Just(Kind::StaleInt),
        1 => Just(Kind::StaleFloat),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Runs of random types come back as they were sent, before and after a restart.
    #[test]
    fn mixed_series_come_back(
        runs in prop::collection::vec((0usize..3, kinds(), 1usize..30), 1..20),
    ) {
        let world = World::new();
        let db = world.open();
        let mut want: BTreeMap<Labels, Samples> = BTreeMap::new();
        let mut t = 10 * HOUR;
        for (series, kind, repeats) in &runs {
            for _ in 0..*repeats {
                t += 15_000;
                let outcome = append(&db, &[TestSample { series: *series, t, value: value(kind) }]);
                prop_assert_eq!(outcome.rejected_total(), 0);
                want.entry(labels(*series)).or_default().insert(t, expected(kind));
            }
        }
        prop_assert_eq!(&normal_contents(&db), &want);
        let exact = format!("{:?}", contents(&db));
        drop(db);
        world.fs.crash(Crash::Process);
        let db = world.open();
        prop_assert_eq!(format!("{:?}", contents(&db)), exact);
    }
}

#[test]
fn duplicate_histograms_are_compared() {
    let db = World::new().open();
    let t = 10 * HOUR;
    let sample = |kind: &Kind, t| TestSample { series: 1, t, value: value(kind) };
    let buckets: BTreeMap<i32, u32> = [(1, 3), (2, 4)].into();
    let wide = Kind::Int { schema: 1, buckets: [(1, 3), (2, 4), (5, 0)].into(), gauge: false };
    let narrow = Kind::Int { schema: 1, buckets: buckets.clone(), gauge: false };
    append(&db, &[sample(&wide, t)]);
    append(&db, &[sample(&narrow, t + 1)]);
    let again = append(&db, &[sample(&narrow, t + 1)]);
    assert_eq!((again.accepted_histograms, again.rejected_total()), (1, 0), "a retry");
    for other in [
        Kind::Int { schema: 1, buckets: [(1, 3), (2, 5)].into(), gauge: false },
        Kind::FloatHistogram { schema: 1, buckets, gauge: false },
        Kind::Float(1.0),
        Kind::StaleInt,
    ] {
        let outcome = append(&db, &[sample(&other, t + 1)]);
        assert_eq!(outcome.rejected(RejectionKind::DuplicateTimestamp), 1, "{other:?}");
    }
    append(&db, &[sample(&Kind::StaleInt, t + 2)]);
    let again = append(&db, &[sample(&Kind::StaleInt, t + 2)]);
    assert_eq!(again.accepted_histograms, 1);
}

#[test]
fn a_histogram_begins_with_an_empty_one_at_its_start() {
    let db = World::new().open();
    let t = 10 * HOUR;
    let strings = label_strings(1);
    let labels: Vec<_> = strings.iter().map(|(name, value)| model::Label { name, value }).collect();
    let mut batch = model::WriteBatch::new(hasher());
    let histogram = int(1, &[(1, 3), (2, 4)].into(), false);
    let value = HistogramValue::Int(Box::new(histogram.clone()));
    batch.push_histogram(&labels, model::batch::BatchHistogram { timestamp_ms: t, value });
    batch.series[0].created_timestamp_ms = t - 7;
    let outcome = db.append(&batch, &tsdb::head::AppendLimits::default()).unwrap();
    assert_eq!((outcome.accepted_histograms, outcome.rejected_total()), (2, 0));
    let zero = Histogram { schema: 1, zero_threshold: 0.001, ..Histogram::default() };
    let want: Samples =
        [(t - 7, normal(&zero.to_float())), (t, normal(&histogram.to_float()))].into();
    assert_eq!(normal_contents(&db)[&crate::support::labels(1)], want);
}

#[test]
fn a_histogram_that_contradicts_itself_is_refused_and_creates_nothing() {
    let db = World::new().open();
    let mut histogram = int(1, &[(1, 3), (2, 4)].into(), false);
    histogram.positive_buckets.pop();
    let value = TestValue::Histogram(HistogramValue::Int(Box::new(histogram)));
    let outcome = append(&db, &[TestSample { series: 1, t: 10 * HOUR, value }]);
    assert_eq!(outcome.rejected(RejectionKind::InvalidHistogram), 1);
    assert_eq!(db.stats().series, 0);
}

#[test]
fn growing_histograms_are_cut_by_size_and_by_time() {
    let world = World::new();
    let db = world.open();
    let mut want = Samples::new();
    for i in 0..2000u32 {
        let buckets: BTreeMap<i32, u32> = (0..40).map(|b| (b, i * (b as u32 + 1))).collect();
        let kind = Kind::Int { schema: 3, buckets, gauge: false };
        let t = 10 * HOUR + i64::from(i) * 15_000;
        append(&db, &[TestSample { series: 1, t, value: value(&kind) }]);
        want.insert(t, expected(&kind));
    }
    assert_eq!(normal_contents(&db)[&labels(1)], want);
    drop(db);
    let db = world.open();
    assert!(db.replay_report().chunks > 10);
    assert_eq!(normal_contents(&db)[&labels(1)], want);
}

#[test]
fn a_float_stale_marker_ends_a_histogram_series_as_a_histogram() {
    let world = World::new();
    let db = world.open();
    let t = 10 * HOUR;
    let kind = Kind::FloatHistogram { schema: 1, buckets: [(1, 3)].into(), gauge: false };
    append(&db, &[TestSample { series: 1, t, value: value(&kind) }]);
    let outcome = append(&db, &[float(1, t + 1, stale_nan())]);
    assert_eq!((outcome.accepted_floats, outcome.accepted_histograms), (1, 0));
    let want: Samples = [(t, expected(&kind)), (t + 1, expected(&Kind::StaleFloat))].into();
    assert_eq!(normal_contents(&db)[&labels(1)], want);
    drop(db);
    assert_eq!(normal_contents(&world.open())[&labels(1)], want);
}
