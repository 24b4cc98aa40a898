//! Blocks cut from the head: when, with which times, and that queries see no difference.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, Matcher, QueryContext, Queryable, SampleBuffer, SelectHints, TimeRange};
use tsdb::block::{INDEX_FILE, read_meta};
use tsdb::db::{CompactionMode, Db};
use tsdb::fs::Crash;
use tsdb::head::RejectionKind;

use crate::support::*;

const RANGE: i64 = 2 * HOUR;

/// Appends samples of some series every minute of `[from, until)`.
fn fill(db: &Db, series: std::ops::Range<usize>, from: i64, until: i64) {
    for t in (from..until).step_by(60_000) {
        let samples: Vec<_> =
            series.clone().map(|i| float(i, t, (t / 1000 + i as i64) as f64)).collect();
        assert_eq!(append(db, &samples).rejected_total(), 0);
    }
}

#[test]
fn a_regular_compaction_waits_for_one_and_a_half_ranges() {
    let world = World::new();
    let db = world.open();
    let start = 100 * RANGE;
    fill(&db, 0..10, start + 60_000, start + 3 * HOUR);
    assert!(!db.is_compactable());
    assert_eq!(db.compact_head(CompactionMode::Regular).unwrap(), []);
    fill(&db, 0..10, start + 3 * HOUR, start + 3 * HOUR + 180_000);
    let before = contents(&db);
    let written = db.compact_head(CompactionMode::Regular).unwrap();
    assert_eq!(written.len(), 1);
    assert_eq!(contents(&db), before);
    let info = &db.blocks()[0];
    assert_eq!((info.min_time_ms, info.max_time_ms, info.level), (start, start + RANGE, 1));
    assert_eq!((info.series_count, info.sample_count), (10, 10 * 119));
    let meta = read_meta(&world.fs, &info.dir).unwrap();
    assert_eq!(meta.compaction.sources, written);
    let stats = db.stats();
    assert_eq!(stats.min_time_ms, Some(start + RANGE));
    assert_eq!(stats.min_valid_time_ms, Some(start + RANGE));
}

#[test]
fn a_forced_compaction_empties_the_head_range_by_range() {
    let world = World::new();
    let db = world.open();
    let start = 100 * RANGE;
    fill(&db, 0..5, start - HOUR, start + HOUR);
    let before = contents(&db);
    assert_eq!(db.compact_head(CompactionMode::Forced).unwrap().len(), 2);
    assert_eq!(contents(&db), before);
    let blocks = db.blocks();
    assert_eq!((blocks[0].min_time_ms, blocks[0].max_time_ms), (start - RANGE, start));
    assert_eq!((blocks[1].min_time_ms, blocks[1].max_time_ms), (start, start + HOUR - 60_000 + 1));
    let stats = db.stats();
    assert_eq!((stats.series, stats.removed_series, stats.max_time_ms), (0, 5, None));
    let late = append(&db, &[float(1, start + HOUR - 60_000, 1.0)]);
    assert_eq!(late.rejected(RejectionKind::OutOfBounds), 1);
    assert_eq!(db.stats().series, 0);
    fill(&db, 3..8, start + HOUR, start + HOUR + 60_000);
    assert_eq!(db.stats().series, 5);
    assert_eq!(contents(&db).len(), 8);
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    assert_eq!(db.stats().series, 5);
    assert_eq!(contents(&db).len(), 8);
}

#[test]
fn an_idle_head_is_compacted_after_its_time() {
    let world = World::new();
    let db = world.open();
    fill(&db, 0..3, 100 * RANGE, 100 * RANGE + HOUR);
    let idle = CompactionMode::Idle(Duration::from_secs(3600));
    assert!(db.compact_head(idle).unwrap().is_empty());
    world.clock.advance(3_600_000);
    assert_eq!(db.compact_head(idle).unwrap().len(), 1);
    assert_eq!(db.stats().series, 0);
}

#[test]
fn series_that_ended_leave_the_head_and_their_names_too() {
    let db = World::new().open();
    let start = 100 * RANGE;
    fill(&db, 0..50, start, start + HOUR);
    let symbols = db.stats().symbols;
    fill(&db, 40..60, start + HOUR, start + 4 * HOUR);
    let before = contents(&db);
    db.compact_head(CompactionMode::Regular).unwrap();
    assert_eq!(db.stats().series, 20);
    assert!(db.stats().symbols < symbols);
    assert_eq!(contents(&db), before);
    // Slots and symbols are used again by others.
    fill(&db, 100..180, start + 4 * HOUR, start + 5 * HOUR);
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(start + 4 * HOUR, i64::MAX), &context).unwrap();
    let values = querier.label_values("instance", &[], 0).unwrap();
    // The names and values of a head are those of all its series, as in Prometheus.
    assert_eq!(values.len(), 100);
    let odd = [Matcher::equal("job", "odd")];
    assert_eq!(querier.label_values("instance", &odd, 0).unwrap().len(), 50);
    assert_eq!(querier.label_names(&odd, 0).unwrap(), ["__name__", "instance", "job"]);
    assert_eq!(db.stats().series, 100);
}

/// Reads a set to its end.
fn drain(mut set: Box<dyn model::SeriesSet>) -> BTreeMap<Labels, usize> {
    let mut counts = BTreeMap::new();
    while let Some(mut entry) = set.next_series().unwrap() {
        let mut buffer = SampleBuffer::default();
        entry.samples.read_all(&mut buffer).unwrap();
        counts.insert(entry.labels, buffer.len());
    }
    counts
}

#[test]
fn a_query_that_began_before_a_compaction_loses_nothing() {
    let db = World::new().open();
    let start = 100 * RANGE;
    fill(&db, 0..20, start, start + 4 * HOUR);
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(start, i64::MAX), &context).unwrap();
    let all = [Matcher::new(model::MatchOp::Regex, "instance", ".+").unwrap()];
    let set = querier.select(&all, &SelectHints::default()).unwrap();
    assert_eq!(db.compact_head(CompactionMode::Forced).unwrap().len(), 2);
    assert_eq!(db.stats().series, 20, "the query holds on to the head");
    let again = querier.select(&all, &SelectHints::default()).unwrap();
    drop(querier);
    for set in [set, again] {
        let counts = drain(set);
        assert_eq!(counts.len(), 20);
        assert!(counts.values().all(|&count| count == 240));
    }
    assert!(db.compact_head(CompactionMode::Regular).unwrap().is_empty());
    assert_eq!(db.stats().series, 0);
    assert!(contents(&db).values().all(|samples| samples.len() == 240));
}

#[test]
fn the_log_is_shortened_and_still_sufficient() {
    let mut world = World::new();
    world.options.wal.as_mut().unwrap().segment_bytes = 32 * 1024;
    let db = world.open();
    let start = 100 * RANGE;
    let mut wal_bytes = Vec::new();
    for range in 0..5 {
        // Series come and go.
        let series = range * 30..range * 30 + 60;
        let from = start + range as i64 * RANGE;
        fill(&db, series, from, from + RANGE);
        db.compact_head(CompactionMode::Regular).unwrap();
        wal_bytes.push(db.stats().wal_bytes);
    }
    assert!(wal_bytes[4] < wal_bytes[2] * 2, "{wal_bytes:?}");
    let checkpoints = tsdb::wal::list_checkpoints(
        &(Arc::new(world.fs.clone()) as tsdb::fs::SharedFs),
        &std::path::Path::new(DIR).join("wal"),
    );
    assert_eq!(checkpoints.unwrap().len(), 1);
    let before = contents(&db);
    let series = db.stats().series;
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    assert_eq!(contents(&db), before);
    assert_eq!(db.stats().series, series);
    assert_eq!(db.replay_report().unknown_series_samples, 0);
}

#[test]
fn old_blocks_are_deleted_when_they_may() {
    let mut world = World::new();
    world.options.retention_ms = RANGE - 60_000;
    let db = world.open();
    fill(&db, 0..2, 100 * RANGE, 103 * RANGE);
    let written = db.compact_head(CompactionMode::Forced).unwrap();
    assert_eq!(written.len(), 3);
    assert!(db.delete_old_blocks(&|_| false).unwrap().is_empty());
    let deleted = db.delete_old_blocks(&|info| info.ulid != written[0]).unwrap();
    assert_eq!(deleted, written[1..2]);
    let left: Vec<_> = db.blocks().iter().map(|info| info.ulid).collect();
    assert_eq!(left, [written[0], written[2]]);
    db.reload_blocks().unwrap();
    assert_eq!(db.blocks().len(), 2);
}

#[test]
fn a_block_that_cannot_be_read_fails_the_queries_that_need_it() {
    let world = World::new();
    let db = world.open();
    fill(&db, 0..2, 100 * RANGE, 102 * RANGE);
    let written = db.compact_head(CompactionMode::Forced).unwrap();
    drop(db);
    let index = std::path::Path::new(DIR).join(written[0].to_string()).join(INDEX_FILE);
    world.fs.corrupt(&index, |bytes| bytes.truncate(20));
    let db = world.open();
    assert_eq!(db.broken_blocks().len(), 1);
    let context = Arc::new(QueryContext::unlimited());
    assert!(db.querier(TimeRange::new(100 * RANGE, i64::MAX), &context).is_err());
    assert!(db.querier(TimeRange::new(101 * RANGE, i64::MAX), &context).is_ok());
    assert_eq!(append(&db, &[float(1, 103 * RANGE, 1.0)]).accepted_floats, 1);
}

#[test]
fn a_full_disk_leaves_the_head_as_it_was() {
    let world = World::new();
    let db = world.open();
    fill(&db, 0..20, 100 * RANGE, 102 * RANGE);
    let before = contents(&db);
    world.fs.set_free_bytes(Some(2000));
    assert!(db.compact_head(CompactionMode::Regular).is_err());
    world.fs.set_free_bytes(None);
    assert_eq!(contents(&db), before);
    assert_eq!(db.stats().min_valid_time_ms, None);
    assert_eq!(db.compact_head(CompactionMode::Regular).unwrap().len(), 1);
    assert_eq!(contents(&db), before);
}

#[test]
fn selects_are_in_label_order_while_series_come_and_go() {
    let db = World::new().open();
    let start = 100 * RANGE;
    for round in 0..12usize {
        let from = start + round as i64 * HOUR / 2;
        // In no order, some of them known.
        let series: Vec<usize> =
            (0..40).map(|i| (i * 37 + round * 13) % 200 + round * 10).collect();
        let samples: Vec<_> = series.iter().map(|&i| float(i, from, 1.0)).collect();
        append(&db, &samples);
        // `contents` asserts the order; several times, so that ranks are made and extended.
        let expected = contents(&db).len();
        for limit in [0, 1, 7] {
            let context = Arc::new(QueryContext::unlimited());
            let querier = db.querier(TimeRange::new(i64::MIN, i64::MAX), &context).unwrap();
            let hints = SelectHints { limit, ..SelectHints::default() };
            let all = [Matcher::new(model::MatchOp::Regex, "job", "even|odd").unwrap()];
            let found = drain(querier.select(&all, &hints).unwrap()).len();
            // Blocks and head each give up to the limit.
            assert!(if limit == 0 { found == expected } else { found >= limit });
        }
        db.compact_head(CompactionMode::Regular).unwrap();
    }
}

#[test]
fn shards_divide_the_series() {
    let db = World::new().open();
    let samples: Vec<_> = (0..100).map(|i| float(i, 100 * RANGE, 1.0)).collect();
    append(&db, &samples);
    let mut found = 0;
    for index in 0..3 {
        let context = Arc::new(QueryContext::unlimited());
        let querier = db.querier(TimeRange::new(i64::MIN, i64::MAX), &context).unwrap();
        let shard = Some(model::Shard { index, count: 3 });
        let hints = SelectHints { shard, ..SelectHints::default() };
        let part = drain(querier.select(&[Matcher::equal("", "")], &hints).unwrap());
        assert!(part.keys().all(|labels| labels.stable_hash() % 3 == index));
        found += part.len();
    }
    assert_eq!(found, 100);
}

#[test]
fn ranges_without_samples_are_passed_over() {
    let db = World::new().open();
    append(&db, &[float(1, 0, 1.0)]);
    append(&db, &[float(1, 1_000_000 * RANGE, 2.0), float(2, 1_000_000 * RANGE, 2.0)]);
    let before = contents(&db);
    assert_eq!(db.compact_head(CompactionMode::Forced).unwrap().len(), 2);
    assert_eq!(contents(&db), before);
}

#[test]
fn extreme_times_are_stored_and_compacted() {
    let world = World::new();
    let db = world.open();
    let times = [i64::MIN / 4, -RANGE - 1, -1, 0, 1, RANGE, i64::MAX / 4];
    for &t in &times {
        assert_eq!(append(&db, &[float(1, t, 1.0)]).accepted_floats, 1, "{t}");
    }
    let before = contents(&db);
    assert_eq!(before[&labels(1)].len(), times.len());
    db.compact_head(CompactionMode::Forced).unwrap();
    assert_eq!(contents(&db), before);
    drop(db);
    assert_eq!(contents(&world.open()), before);
}
