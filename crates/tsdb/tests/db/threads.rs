//! Many threads append at the same time.

use std::sync::atomic::{AtomicU64, Ordering};

use tsdb::db::CompactionMode;
use tsdb::fs::Crash;

use crate::support::*;

/// Every thread writes its own times to the same series; each series is created by many at once.
#[test]
fn counts_are_exact_and_all_samples_are_there() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 60;
    const SERIES: usize = 200;
    let world = World::new();
    let db = world.open();
    let (accepted, rejected) = (AtomicU64::new(0), AtomicU64::new(0));
    let created = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (db, accepted, rejected, created) = (&db, &accepted, &rejected, &created);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let t = 10 * HOUR + (round * THREADS + thread) as i64;
                    // Some series are shared by all threads, some are the thread's own.
                    let own = SERIES + thread * 10;
                    let series = (0..SERIES).step_by(3).chain(own..own + 10);
                    let samples: Vec<_> = series.map(|i| float(i, t, t as f64)).collect();
                    let outcome = append(db, &samples);
                    accepted.fetch_add(outcome.accepted_floats, Ordering::Relaxed);
                    rejected.fetch_add(outcome.rejected_total(), Ordering::Relaxed);
                    created.fetch_add(outcome.created_series, Ordering::Relaxed);
                    assert_eq!(
                        outcome.accepted_floats + outcome.rejected_total(),
                        samples.len() as u64
                    );
                }
            });
        }
    });
    let stored = contents(&db);
    let count: usize = stored.values().map(Samples::len).sum();
    assert_eq!(count as u64, accepted.load(Ordering::Relaxed));
    let series = SERIES.div_ceil(3) + THREADS * 10;
    assert_eq!(created.load(Ordering::Relaxed), series as u64);
    assert_eq!(db.stats().series, series as u64);
    for thread in 0..THREADS {
        let own = &stored[&labels(SERIES + thread * 10)];
        assert_eq!(own.len(), ROUNDS, "a thread's own series lose nothing");
    }
    drop(db);
    world.fs.crash(Crash::Process);
    let db = world.open();
    assert_eq!(contents(&db), stored, "{:?}", db.replay_report());
}

/// Appends, queries and compactions at the same time: nothing accepted is lost, at any moment.
#[test]
fn compactions_beside_appends_and_queries_lose_nothing() {
    const THREADS: usize = 4;
    const SERIES: usize = 12;
    const MIN_COMPACTIONS: u64 = 3;
    let mut world = World::new();
    world.options.block_range_ms = 60_000;
    world.options.wal.as_mut().unwrap().segment_bytes = 64 * 1024;
    let db = world.open();
    let clock = AtomicU64::new(10 * HOUR as u64);
    let (done, running) = (AtomicU64::new(0), AtomicU64::new(THREADS as u64));
    let accepted = std::sync::Mutex::new(std::collections::BTreeSet::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (db, clock, accepted, running) = (&db, &clock, &accepted, &running);
            let done = &done;
            scope.spawn(move || {
                let mut own = Vec::new();
                // However slow the compacting thread is, a few compactions happen in between.
                let mut round = 0;
                while round < 1500 || done.load(Ordering::Relaxed) < MIN_COMPACTIONS {
                    round += 1;
                    let t = clock.fetch_add(37, Ordering::Relaxed) as i64;
                    // Series change over time, so that they are removed and created.
                    let series = (round / 300) * 5 + (thread + round) % SERIES;
                    if append(db, &[float(series, t, t as f64)]).accepted_floats == 1 {
                        own.push((series, t));
                    }
                }
                accepted.lock().unwrap().extend(own);
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let (db, done, running) = (&db, &done, &running);
        scope.spawn(move || {
            while running.load(Ordering::Relaxed) > 0 {
                for mode in [CompactionMode::Regular, CompactionMode::Forced] {
                    db.compact_head(mode).unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        scope.spawn(move || {
            let mut before = 0;
            while running.load(Ordering::Relaxed) > 0 {
                let count = contents(db).values().map(Samples::len).sum::<usize>();
                assert!(count >= before, "a query sees all that an earlier one saw");
                before = count;
            }
        });
    });
    assert!(done.load(Ordering::Relaxed) >= MIN_COMPACTIONS);
    let accepted = accepted.into_inner().unwrap();
    assert!(accepted.len() > 1000);
    let check = |db: &tsdb::db::Db| {
        let found = contents(db);
        for &(series, t) in &accepted {
            let value = found.get(&labels(series)).and_then(|samples| samples.get(&t));
            assert_eq!(value, Some(&Value::Float((t as f64).to_bits())), "series {series} at {t}");
        }
        assert_eq!(found.values().map(Samples::len).sum::<usize>(), accepted.len());
    };
    check(&db);
    drop(db);
    world.fs.crash(Crash::Process);
    check(&world.open());
}
