//! Series that are only counted, against the same series in label order with their labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::env::ManualClock;
use model::{
    MatchOp, Matcher, QueryContext, Queryable, SampleBuffer, SelectHints, StorageError, TimeRange,
};
use tsdb::db::{CompactionMode, Db};

use crate::support::*;

const START: i64 = 100 * 2 * HOUR;
const MINUTE: i64 = 60_000;

/// The samples of each series, as often as they occur.
type Bag = BTreeMap<Vec<(i64, u64)>, usize>;

fn bag(db: &Db, range: TimeRange, matchers: &[Matcher], hints: SelectHints) -> (Bag, usize) {
    let hints = SelectHints { end_ms_incl: range.end_ms_incl, ..hints };
    let querier = db.querier(range, &Arc::new(QueryContext::unlimited())).unwrap();
    let mut set = querier.select(matchers, &hints).unwrap();
    let (mut bag, mut with_labels) = (Bag::new(), 0);
    while let Some(mut entry) = set.next_series().unwrap() {
        let mut buffer = SampleBuffer::default();
        entry.samples.read_all(&mut buffer).unwrap();
        let values = buffer.float_values.iter().map(|v| v.to_bits());
        *bag.entry(buffer.float_times.iter().copied().zip(values).collect()).or_default() += 1;
        with_labels += usize::from(!entry.labels.is_empty());
    }
    (bag, with_labels)
}

/// Compares both ways; returns how many series there were and how many of them had labels.
fn check(db: &Db, range: TimeRange, matchers: &[Matcher]) -> (usize, usize) {
    let mut counted = (0, 0);
    for newest_only in [false, true] {
        let ordinary = SelectHints { newest_only, ..SelectHints::default() };
        let counting = SelectHints { without_labels: true, ..ordinary.clone() };
        let want = bag(db, range, matchers, ordinary).0;
        let (got, with_labels) = bag(db, range, matchers, counting);
        assert_eq!(got, want, "{range:?} {matchers:?} {newest_only}");
        counted = (got.values().sum(), with_labels);
    }
    counted
}

fn selections() -> Vec<Vec<Matcher>> {
    let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
    vec![
        vec![],
        vec![matcher(MatchOp::Regex, "job", ".+")],
        vec![matcher(MatchOp::Equal, "job", "odd")],
        vec![matcher(MatchOp::Regex, "job", "od.*|x"), matcher(MatchOp::NotEqual, "a", "b")],
        vec![matcher(MatchOp::Equal, "job", "neither")],
    ]
}

#[test]
fn the_same_series_come_without_labels() {
    let world = World::new();
    let db = world.open();
    for minute in 0..5 {
        let samples: Vec<_> = (0..700)
            .filter(|series| minute < 3 || series % 3 == 0)
            .map(|series| float(series, START + minute * MINUTE, (series * 7) as f64))
            .collect();
        assert_eq!(append(&db, &samples).rejected_total(), 0);
    }
    db.delete(TimeRange::new(START, START + 9 * MINUTE), &selections()[2]).unwrap();
    append(&db, &[float(1, START + 6 * MINUTE, 1.0)]);
    for range in [(0, 9), (4, 9), (3, 3), (0, 1), (7, 9)] {
        let range = TimeRange::new(START + range.0 * MINUTE, START + range.1 * MINUTE);
        for matchers in selections() {
            assert_eq!(check(&db, range, &matchers).1, 0);
        }
    }
    let all = TimeRange::new(START, START + 9 * MINUTE);
    assert_eq!(check(&db, all, &[]).0, 351);
}

#[test]
fn series_of_several_sources_keep_their_labels() {
    let world = World::new();
    let db = world.open();
    for t in (START..START + 4 * HOUR).step_by(10 * MINUTE as usize) {
        append(&db, &(0..4).map(|series| float(series, t, 1.0)).collect::<Vec<_>>());
    }
    db.compact_head(CompactionMode::Regular).unwrap();
    let all = TimeRange::new(START, START + 4 * HOUR);
    assert_eq!(check(&db, all, &selections()[1]), (4, 4), "block and head have the same series");
    assert_eq!(check(&db, TimeRange::new(START + 3 * HOUR, all.end_ms_incl), &[]), (4, 0));
}

#[test]
fn counting_obeys_limits() {
    let world = World::new();
    let db = world.open();
    append(&db, &(0..400).map(|series| float(series, START, 1.0)).collect::<Vec<_>>());
    let limits = model::QueryLimits { max_series: 300, ..model::QueryLimits::default() };
    let range = TimeRange::new(START, START + MINUTE);
    let querier = db
        .querier(range, &Arc::new(QueryContext::new(limits, Arc::new(ManualClock::new(0)))))
        .unwrap();
    let hints = SelectHints { without_labels: true, ..SelectHints::default() };
    let mut set = querier.select(&[], &hints).unwrap();
    let mut next = || set.next_series().map(|entry| entry.is_some());
    assert!((0..300).all(|_| next().unwrap()));
    assert!(matches!(next(), Err(StorageError::Limit(_))));
}
