//! Matchers, names, values and counts against asking each series, over a head alone and over a
//! head and a block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::batch::{BatchHistogram, BatchSample, HistogramValue};
use model::{
    Histogram, Label, Labels, MatchOp, Matcher, QueryContext, Queryable, SelectHints, Span,
    TimeRange, WriteBatch,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tsdb::db::{CompactionMode, Db};
use tsdb::head::{ActiveCounts, AppendLimits, CountedSeries};

use crate::support::*;

const RANGE: i64 = 2 * HOUR;

fn append_labels(db: &Db, series: &[Labels], t: i64) {
    let mut batch = WriteBatch::new(hasher());
    for labels in series {
        let labels: Vec<Label<'_>> = labels.iter().collect();
        batch.push_float(&labels, BatchSample { timestamp_ms: t, value: 1.0 });
    }
    assert_eq!(db.append(&batch, &AppendLimits::default()).unwrap().rejected_total(), 0);
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    let name = prop::sample::select(vec!["__name__", "a", "b", "pod", "none"]);
    let value = prop::sample::select(vec![
        "",
        "m",
        "x",
        "y",
        ".*",
        ".+",
        "x|y",
        "x|",
        "x.*",
        "p-1.*",
        "p-(1|2|3)",
        "p-[0-9]",
        "p-17",
        "[^x]*",
        "nope",
        "p-(0|1)(0|1|2|3|4|5|6|7|8|9)",
        "(p-.*)?",
    ]);
    (prop::sample::select(ops.to_vec()), name, value)
        .prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

fn label_sets() -> impl Strategy<Value = Vec<Labels>> {
    let value = || prop::sample::select(vec!["", "x", "y", "xy", "z"]);
    let set = (value(), value(), 0u32..40).prop_map(|(a, b, pod)| {
        let pod = if pod < 30 { format!("p-{pod}") } else { String::new() };
        Labels::from_pairs([("__name__", "m"), ("a", a), ("b", b), ("pod", &pod)])
    });
    vec(set, 0..80).prop_map(|sets| sets.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
}

fn satisfies(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.value(matcher.name())))
}

fn select(db: &dyn Queryable, matchers: &[Matcher], hints: &SelectHints) -> Vec<Labels> {
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(i64::MIN, i64::MAX), &context).unwrap();
    let mut set = querier.select(matchers, hints).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = set.next_series().unwrap() {
        found.push(entry.labels);
    }
    found
}

fn values_of(series: &[&Labels], name: &str) -> Vec<String> {
    let values = series.iter().filter_map(|labels| labels.get(name).map(str::to_owned));
    values.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Compares every question with asking each series.
fn check(db: &Db, series: &BTreeSet<&Labels>, matchers: &[Matcher]) {
    let want: Vec<&Labels> =
        series.iter().copied().filter(|labels| satisfies(labels, matchers)).collect();
    let found = select(db, matchers, &SelectHints::default());
    assert!(found.iter().eq(want.iter().copied()), "{matchers:?}: {found:?} {want:?}");
    let mut parts = Vec::new();
    for index in 1..=3 {
        let shard = Matcher::equal("__query_shard__", &format!("{index}_of_3"));
        let with_shard: Vec<Matcher> = matchers.iter().cloned().chain([shard]).collect();
        parts.extend(select(
            db,
            &with_shard,
            &SelectHints { labels_only: true, ..Default::default() },
        ));
    }
    parts.sort();
    assert_eq!(parts, found);
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(i64::MIN, i64::MAX), &context).unwrap();
    for name in ["a", "pod", "none"] {
        let values = values_of(&want, name);
        assert_eq!(querier.label_values(name, matchers, 0).unwrap(), values, "{matchers:?}");
        let limited = querier.label_values(name, matchers, 3).unwrap();
        assert_eq!(limited, &values[..values.len().min(3)], "{matchers:?}");
    }
    let names: BTreeSet<&str> =
        want.iter().flat_map(|labels| labels.iter().map(|label| label.name)).collect();
    assert!(querier.label_names(matchers, 0).unwrap().iter().eq(names.iter()), "{matchers:?}");
}

/// Compares the counts of the head.
fn check_counts(db: &Db, series: &[Labels], matchers: &[Matcher], counted: CountedSeries) {
    let mut want: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for labels in series.iter().filter(|labels| satisfies(labels, matchers)) {
        for label in labels.iter() {
            *want.entry(label.name).or_default().entry(label.value).or_default() += 1;
        }
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    db.head()
        .visit_label_values(matchers, counted, &mut |name, value| {
            assert!(found.entry(name.to_owned()).or_default().insert(value.to_owned()));
            Ok(())
        })
        .unwrap();
    assert!(found.keys().eq(want.keys()), "{found:?} {want:?}");
    for (name, values) in &want {
        assert!(found[*name].iter().eq(values.keys()));
        let mut counts = BTreeMap::new();
        let mut insert = |value: &str, count: u64| {
            counts.insert(value.to_owned(), count);
            Ok(())
        };
        db.head().visit_series_counts((name, matchers), counted, &mut insert).unwrap();
        assert!(
            counts.iter().map(|(v, c)| (v.as_str(), *c)).eq(values.iter().map(|(v, c)| (*v, *c)))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn answers_are_those_of_asking_each_series(
        old in label_sets(),
        new in label_sets(),
        questions in vec(vec(matcher(), 0..4), 6),
    ) {
        let db = World::new().open();
        append_labels(&db, &old, RANGE);
        db.compact_head(CompactionMode::Forced).unwrap();
        append_labels(&db, &new, 10 * RANGE);
        let all: BTreeSet<&Labels> = old.iter().chain(&new).collect();
        for matchers in &questions {
            check(&db, &all, matchers);
            check_counts(&db, &new, matchers, CountedSeries::InMemory);
            check_counts(&db, &new, matchers, db.active_now());
        }
    }
}

#[test]
fn series_are_found_after_others_were_removed() {
    let db = World::new().open();
    let sets = |range: std::ops::Range<usize>| -> Vec<Labels> { range.map(labels).collect() };
    append_labels(&db, &sets(0..300), RANGE);
    append_labels(&db, &sets(200..500), 4 * RANGE);
    db.compact_head(CompactionMode::Regular).unwrap();
    let kept = sets(200..500);
    let of_head = CountedSeries::InMemory;
    check_counts(&db, &kept, &[], of_head);
    check_counts(&db, &kept, &[Matcher::equal("job", "odd")], of_head);
    append_labels(&db, &sets(100..250), 4 * RANGE + 1);
    check_counts(&db, &sets(100..500), &[Matcher::equal("job", "even")], of_head);
    let all = sets(0..500);
    check(&db, &all.iter().collect(), &[Matcher::equal("job", "even")]);
}

fn counts(db: &Db, trackers: &[Vec<Matcher>]) -> (ActiveCounts, Vec<ActiveCounts>) {
    db.count_active_series(trackers).unwrap()
}

#[test]
fn a_series_is_active_for_the_timeout_after_its_last_sample() {
    let world = World::new();
    let db = world.open();
    db.set_active_timeout(Duration::from_secs(120));
    let sets: Vec<Labels> = (0..10).map(labels).collect();
    append_labels(&db, &sets, RANGE);
    let odd = vec![vec![Matcher::equal("job", "odd")], vec![Matcher::equal("job", "none")]];
    let (all, tracked) = counts(&db, &odd);
    assert_eq!((all.series, tracked[0].series, tracked[1].series), (10, 5, 0));
    world.clock.advance(100_000);
    // Samples that are refused do not count, duplicates do.
    append(&db, &[float(0, RANGE, 1.0), float(1, RANGE, 7.0), float(2, RANGE + 1, 3.0)]);
    world.clock.advance(20_000);
    assert_eq!(counts(&db, &[]).0.series, 10);
    world.clock.advance(2_000);
    assert_eq!(counts(&db, &odd).0.series, 2);
    assert_eq!(counts(&db, &odd).1[0].series, 0);
    check_counts(&db, &[labels(0), labels(2)], &[], db.active_now());
    let mut active = Vec::new();
    let mut push = |labels, buckets| {
        active.push((labels, buckets));
        Ok(())
    };
    db.visit_active_series(&[Matcher::equal("job", "even")], &mut push).unwrap();
    assert_eq!(active, [(labels(0), None), (labels(2), None)]);
    for _ in 0..20 {
        world.clock.advance(30_000);
        let (left, _) = counts(&db, &[]);
        assert!(left.series == 2 || left.series == 0);
    }
    assert_eq!(counts(&db, &[]).0.series, 0);
    assert_eq!(db.stats().series, 10);
}

#[test]
fn active_native_histograms_are_counted_with_their_buckets() {
    let db = World::new().open();
    let histogram = |buckets: u32| Histogram {
        count: u64::from(buckets),
        positive_spans: vec![Span { offset: 0, length: buckets }],
        positive_buckets: std::iter::once(1).chain(vec![0; buckets as usize - 1]).collect(),
        ..Histogram::default()
    };
    let mut batch = WriteBatch::new(hasher());
    let strings: Vec<_> = (0..3).map(label_strings).collect();
    for (i, pairs) in strings.iter().enumerate() {
        let labels: Vec<_> = pairs.iter().map(|(name, value)| Label { name, value }).collect();
        if i == 2 {
            batch.push_float(&labels, BatchSample { timestamp_ms: RANGE, value: 1.0 });
            continue;
        }
        let value = HistogramValue::Int(Box::new(histogram(3 + i as u32)));
        batch.push_histogram(&labels, BatchHistogram { timestamp_ms: RANGE, value });
    }
    db.append(&batch, &AppendLimits::default()).unwrap();
    let (all, tracked) = counts(&db, &[vec![Matcher::equal("job", "even")]]);
    let want = |series, native_histograms, native_histogram_buckets| ActiveCounts {
        series,
        native_histograms,
        native_histogram_buckets,
    };
    assert_eq!((all, tracked[0]), (want(3, 2, 7), want(2, 1, 3)));
}

/// As Mimir's queriers limit them before they take any.
#[test]
fn a_reader_knows_how_many_chunks_it_hands_out() {
    let world = World::new();
    let db = world.open();
    let start = 100 * HOUR;
    for i in 0..900 {
        append(&db, &[float(1, start + i * 15_000, i as f64)]);
    }
    let counts = || {
        let context = Arc::new(QueryContext::unlimited());
        let querier = db.querier(TimeRange::new(i64::MIN, i64::MAX), &context).unwrap();
        let all = [Matcher::new(MatchOp::Regex, "__name__", ".+").unwrap()];
        let mut set = querier.select(&all, &SelectHints::default()).unwrap();
        let mut samples = set.next_series().unwrap().unwrap().samples;
        let said = samples.chunk_count();
        (said, samples.encoded_chunks().unwrap().unwrap().len())
    };
    let (said, handed_out) = counts();
    assert_eq!(said, handed_out);
    assert!(said >= 5, "of 120 samples each: {said}");
    db.compact_head(CompactionMode::Regular).unwrap();
    assert!(!db.blocks().is_empty() && db.stats().series == 1, "in a block and in the head");
    let (said, handed_out) = counts();
    assert_eq!(said, handed_out);
}
