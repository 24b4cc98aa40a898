//! Many threads append at the same time.

use std::sync::atomic::{AtomicU64, Ordering};

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
