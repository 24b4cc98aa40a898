//! Exemplars and metadata: kept in bounds, and there again after a restart.

use model::batch::{BatchExemplar, BatchRange, BatchSample, MetricType};
use model::{Label, Labels, Matcher, TimeRange, WriteBatch};
use tsdb::db::{CompactionMode, Db};
use tsdb::fs::Crash;
use tsdb::head::{AppendLimits, AppendOutcome, ExemplarRejectionKind, Metadata, SeriesMetadata};

use crate::support::*;

const LIMITS: AppendLimits = AppendLimits {
    max_series: 0,
    max_series_per_metric: 0,
    out_of_order_window_ms: 0,
    max_exemplars: 5,
};

fn name(value: &str) -> Label<'_> {
    Label { name: "__name__", value }
}

/// Appends a sample at `t`, unless it is without, and an exemplar for each time of `exemplars`.
fn append(db: &Db, metric: &str, t: Option<i64>, exemplars: &[i64]) -> AppendOutcome {
    let mut batch = WriteBatch::new(hasher());
    let sample = BatchSample { timestamp_ms: t.unwrap_or(0), value: 1.0 };
    batch.push_float(&[name(metric)], sample);
    batch.exemplar_labels.push(Label { name: "trace", value: "x" });
    for &timestamp_ms in exemplars {
        let labels = BatchRange { start: 0, end: 1 };
        batch.exemplars.push(BatchExemplar { timestamp_ms, value: 2.0, labels });
    }
    batch.series[0].exemplars = BatchRange { start: 0, end: exemplars.len() as u32 };
    if t.is_none() {
        batch.series[0].samples = BatchRange::default();
    }
    db.append(&batch, &LIMITS).unwrap()
}

fn times(db: &Db, metric: &str) -> Vec<i64> {
    let selector = vec![Matcher::equal("__name__", metric)];
    let found = db.head().select_exemplars(TimeRange::new(0, i64::MAX), &[selector]);
    found.iter().flat_map(|s| s.exemplars.iter().map(|e| e.timestamp_ms)).collect()
}

#[test]
fn exemplars_survive_a_kill_and_stay_within_their_bound() {
    let mut world = World::new();
    world.options.max_exemplars = 5;
    let t = 10 * HOUR;
    {
        let db = world.open();
        assert_eq!(append(&db, "a", Some(t), &[t, t + 1, t + 1]).exemplars.accepted, 3);
        append(&db, "b", Some(t), &[t]);
        append(&db, "a", Some(t + 10), &[t + 5, t + 6, t + 7]);
        assert_eq!((times(&db, "a"), times(&db, "b")), (vec![t + 1, t + 5, t + 6, t + 7], vec![t]));
        let stats = db.head().exemplar_stats();
        assert_eq!((stats.appended, stats.stored, stats.series, stats.oldest_ms), (6, 5, 2, t + 1));
    }
    world.fs.crash(Crash::Process);
    let db = world.open();
    assert_eq!((times(&db, "a"), times(&db, "b")), (vec![t + 1, t + 5, t + 6, t + 7], vec![t]));
    let mut shown = Vec::new();
    db.head().each_exemplar(&mut |_, labels: &Labels, e| {
        shown.push((labels.value("__name__").to_owned(), e.timestamp_ms - t));
    });
    let want = [("a", 1), ("b", 0), ("a", 5), ("a", 6), ("a", 7)];
    assert_eq!(shown, want.map(|(name, t)| (name.to_owned(), t)), "in the order they came in");
}

#[test]
fn a_snapshot_has_the_exemplars_and_is_not_written_where_the_log_has_more() {
    let mut world = World::new();
    world.options.max_exemplars = 5;
    let t = 10 * HOUR;
    let db = world.open();
    append(&db, "a", Some(t), &[t, t + 1]);
    append(&db, "b", Some(t), &[t]);
    assert!(db.write_snapshot().unwrap().is_some());
    db.close().unwrap();
    let db = world.open();
    assert_eq!(db.replay_report().snapshot_series, 2);
    assert_eq!((times(&db, "a"), times(&db, "b")), (vec![t, t + 1], vec![t]));
    append_metadata(&db, "a", "help");
    assert_eq!(db.write_snapshot().unwrap(), None, "metadata are in the log alone");
}

#[test]
fn what_cannot_be_stored_is_told() {
    let world = World::new();
    let db = world.open();
    let t = 10 * HOUR;
    append(&db, "a", Some(t), &[t]);
    let late = append(&db, "a", Some(t + 1), &[t - 1, t - 2]).exemplars;
    assert_eq!((late.accepted, late.failed), (0, 2));
    assert_eq!(late.first.unwrap().kind, ExemplarRejectionKind::OutOfOrder);
    // Part of an update: nothing to tell.
    let some_late = append(&db, "a", Some(t + 2), &[t - 1, t + 2]).exemplars;
    assert_eq!((some_late.accepted, some_late.failed, some_late.first), (1, 1, None));
    // Without a sample only a series that exists takes exemplars.
    assert_eq!(append(&db, "a", None, &[t + 3]).exemplars.accepted, 1);
    let missing = append(&db, "new", None, &[t]).exemplars;
    assert_eq!(missing.first.unwrap().kind, ExemplarRejectionKind::SeriesMissing);
}

fn metadata(help: &str) -> Metadata {
    Metadata { metric_type: MetricType::Counter, unit: "seconds".to_owned(), help: help.to_owned() }
}

fn append_metadata(db: &Db, metric: &str, help: &str) -> usize {
    let labels = [name(metric)];
    let item =
        SeriesMetadata { labels: &labels, metric_type: MetricType::Counter, unit: "seconds", help };
    db.append_metadata(&[item]).unwrap()
}

#[test]
fn metadata_survive_kills_and_checkpoints() {
    let mut world = World::new();
    world.options.wal.as_mut().unwrap().segment_bytes = 64 * 1024;
    let t = 10 * HOUR;
    {
        let db = world.open();
        assert_eq!(append_metadata(&db, "a", "no such series"), 0);
        append(&db, "a", Some(t), &[]);
        assert_eq!(append_metadata(&db, "a", "old"), 1);
        assert_eq!(append_metadata(&db, "a", "new"), 1);
        assert_eq!(append_metadata(&db, "a", "new"), 0, "nothing has changed");
        // Enough for several blocks and checkpoints.
        for minute in 0..60 * 8 {
            append(&db, "a", Some(t + minute * 60_000), &[]);
        }
        while !db.compact_head(CompactionMode::Regular).unwrap().is_empty() {}
    }
    world.fs.crash(Crash::Process);
    let db = world.open();
    assert_eq!(db.head().metadata(&[name("a")]), Some(metadata("new")));
    assert_eq!(db.head().metadata(&[name("b")]), None);
}
