//! Start, end and what lies between a `kill -9` and the next start.

use std::sync::Arc;
use std::time::Duration;

use rt::{CancellationToken, Service as _, TaskGroup};
use tsdb::fs::{FaultFs, FileSystem as _, OsFs};
use wire::client::{IngesterQuery, PushErrorCause};

use super::fixture::{Fixture, HOUR_MS, START_MS, samples, tenant};
use crate::{IngesterError, IngesterService};

#[tokio::test]
async fn acknowledged_samples_survive_a_kill() {
    let f = Fixture::running(|_| {}).await;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    f.push("b", START_MS, &[("up", 2.0)]).unwrap();
    f.push("a", START_MS + 1, &[("up", 3.0), ("new", 4.0)]).unwrap();
    let want = (f.query("a"), f.query("b"));
    let f = f.killed_and_restarted().await;
    assert_eq!((f.query("a"), f.query("b")), want);
    assert_eq!(want.0.len(), 2);
    f.push("a", START_MS + 2, &[("up", 5.0)]).unwrap();
    let f = f.killed_and_restarted().await;
    assert_eq!(f.query("a")["up"], [(START_MS, 1.0), (START_MS + 1, 3.0), (START_MS + 2, 5.0)]);
}

#[tokio::test]
async fn with_a_snapshot_the_next_start_reads_no_log() {
    let f = Fixture::running(|setup| setup.tsdb.memory_snapshot_on_shutdown = true).await;
    f.push("a", START_MS, &[("up", 1.0), ("new", 2.0)]).unwrap();
    f.push("b", START_MS, &[("up", 3.0)]).unwrap();
    let want = (f.query("a"), f.query("b"));
    f.ingester.stop().await.unwrap();
    let f = f.killed_and_restarted().await;
    assert_eq!((f.query("a"), f.query("b")), want);
    let report = f.ingester.tenants.get(&tenant("a")).unwrap().db().replay_report().clone();
    assert_eq!((report.snapshot_series, report.samples, report.damage.len()), (2, 0, 0));
    assert_eq!(f.ingester.opening.describe().as_deref(), Some("opened 2 of 2 TSDBs"));
    f.push("a", START_MS + 1, &[("up", 4.0)]).unwrap();
    let f = f.killed_and_restarted().await;
    assert_eq!(f.query("a")["up"], [(START_MS, 1.0), (START_MS + 1, 4.0)]);
    // Damage is counted, and costs nothing.
    let dir = f.dir.path().join("tsdb/b");
    let entries = OsFs.read_dir(&dir).unwrap();
    let snapshot = entries.iter().find(|e| e.name.starts_with("chunk_snapshot.")).unwrap();
    let segment = OsFs.open_append(&dir.join(&snapshot.name).join("00000000")).unwrap();
    segment.write_all_at(&[0xff; 8], 20).unwrap();
    let f = f.killed_and_restarted().await;
    assert_eq!(f.query("b"), want.1);
    assert_eq!(f.metric("cortex_ingester_tsdb_snapshot_replay_error_total"), 1.0);
    assert_eq!(f.metric("cortex_ingester_tsdb_wal_corruptions_total"), 0.0);
}

/// A replica that is asked while it ends must not say that it has nothing: the one that asks would
/// believe it.
#[tokio::test]
async fn an_ending_ingester_answers_in_full_or_with_an_error() {
    for _ in 0..20 {
        let f = Fixture::running(|setup| setup.tsdb.memory_snapshot_on_shutdown = true).await;
        f.push("a", START_MS, &[("up", 1.0)]).unwrap();
        let asked = Arc::clone(&f.ingester);
        let asking = std::thread::Builder::new().spawn(move || {
            while let Ok(found) = asked.queryable(&tenant("a")) {
                assert!(found.is_some(), "a tenant is forgotten before queries are refused");
            }
        });
        f.ingester.stop().await.unwrap();
        asking.unwrap().join().unwrap();
    }
}

#[tokio::test]
async fn nothing_is_taken_before_the_start_and_after_the_end() {
    let f = Fixture::new(|_| {});
    let service = IngesterService::new(Arc::clone(&f.ingester));
    let error = f.push("a", START_MS, &[("up", 1.0)]).unwrap_err();
    assert_eq!(error.cause, PushErrorCause::ServiceUnavailable);
    assert_eq!(error.message, "ingester is unavailable (current state: Starting)");
    assert!(f.ingester.queryable(&tenant("a")).is_err());
    assert_eq!(
        service.not_ready().as_deref(),
        Some("ingester not ready for pushes: ingester is unavailable (current state: Starting)")
    );
    service.starting().await.unwrap();
    assert_eq!(service.not_ready(), None);
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    service.running(stop).await.unwrap();
    service.stopping().await.unwrap();
    let error = f.push("a", START_MS + 1, &[("up", 1.0)]).unwrap_err();
    assert_eq!(error.message, "ingester is unavailable (current state: Terminated)");
    assert_eq!(f.store.changes(), 0, "nothing is flushed unless asked for");
    service.stopping().await.unwrap();
    let f = f.killed_and_restarted().await;
    assert_eq!(f.query("a"), samples(&[("up", &[(START_MS, 1.0)])]));
}

#[tokio::test]
async fn a_directory_belongs_to_one_process() {
    let f = Fixture::running(|_| {}).await;
    let other = Fixture::new(|_| {});
    let dir = Arc::clone(&f.dir);
    let second = other.over(dir);
    let error = second.ingester.start().await.unwrap_err();
    assert!(matches!(error, IngesterError::Locked(_)));
    assert!(error.to_string().ends_with("/tsdb is used by another process"), "{error}");
    f.ingester.stop().await.unwrap();
    second.ingester.start().await.unwrap();
}

#[tokio::test]
async fn foreign_directories_are_left_alone_and_leftovers_removed() {
    let f = Fixture::new(|_| {});
    let tsdb = f.dir.path().join("tsdb");
    for dir in ["not a tenant/x", "~deleted-gone/wal", "empty"] {
        std::fs::create_dir_all(tsdb.join(dir)).unwrap();
    }
    std::fs::write(tsdb.join("file"), "x").unwrap();
    f.ingester.start().await.unwrap();
    assert_eq!(f.metric("cortex_ingester_memory_users"), 0.0);
    assert!(tsdb.join("not a tenant").is_dir() && tsdb.join("empty").is_dir());
    assert!(!tsdb.join("~deleted-gone").is_dir());
}

#[tokio::test]
async fn a_flush_at_the_end_leaves_everything_in_the_bucket() {
    let f = Fixture::running(|s| s.tsdb.flush_blocks_on_shutdown = true).await;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    f.push("a", START_MS + 3 * HOUR_MS, &[("up", 2.0)]).unwrap();
    f.ingester.stop().await.unwrap();
    let ids = f.bucket("a").block_ids().await.unwrap();
    assert_eq!(ids.len(), 2);
    for id in ids {
        assert!(f.bucket("a").has_block(id).await.unwrap());
    }
    let f = f.killed_and_restarted().await;
    assert_eq!(f.query("a")["up"], [(START_MS, 1.0), (START_MS + 3 * HOUR_MS, 2.0)]);
}

#[tokio::test]
async fn a_flush_at_the_end_that_fails_loses_nothing() {
    let f = Fixture::running(|s| s.tsdb.flush_blocks_on_shutdown = true).await;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    f.store.allow_changes(1);
    let error = f.ingester.stop().await.unwrap_err();
    assert!(matches!(error, IngesterError::Flush { failed_tenants: 1 }));
    f.store.allow_changes(u64::MAX);
    let f = f.killed_and_restarted().await;
    assert_eq!(f.query("a"), samples(&[("up", &[(START_MS, 1.0)])]));
    f.ingester.ship_blocks().await;
    assert_eq!(f.bucket("a").block_ids().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_damages_nothing() {
    let fs = Arc::new(FaultFs::new());
    let f = Fixture::running(|s| s.fs = Arc::clone(&fs) as _).await;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    fs.set_free_bytes(Some(0));
    let error = f.push("a", START_MS + 1, &[("up", 2.0), ("new", 1.0)]).unwrap_err();
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::Unknown, false));
    assert!(error.message.starts_with("write samples of tenant a: write /"), "{error}");
    assert!(error.message.ends_with(": no storage space"), "{error}");
    let error = f.push("b", START_MS, &[("up", 2.0)]).unwrap_err();
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::Unknown, false));
    assert_eq!(f.query("a")["up"][0], (START_MS, 1.0), "queries go on");
    fs.set_free_bytes(None);
    f.push("a", START_MS + 1, &[("up", 2.0), ("new", 1.0)]).unwrap();
    f.push("b", START_MS, &[("up", 2.0)]).unwrap();
    let f = f.killed_and_restarted().await;
    let want = samples(&[
        ("new", &[(START_MS + 1, 1.0)]),
        ("up", &[(START_MS, 1.0), (START_MS + 1, 2.0)]),
    ]);
    assert_eq!(f.query("a"), want);
    assert_eq!(f.query("b"), samples(&[("up", &[(START_MS, 2.0)])]));
}

#[tokio::test]
async fn many_tenants_are_replayed_a_few_at_a_time() {
    let f = Fixture::running(|s| s.tsdb.wal_replay_concurrency = 3).await;
    let users: Vec<String> = (0..25).map(|i| format!("user-{i}")).collect();
    for (i, user) in users.iter().enumerate() {
        f.push(user, START_MS, &[("up", i as f64)]).unwrap();
    }
    let f = f.killed_and_restarted().await;
    assert_eq!(f.metric("cortex_ingester_memory_users"), 25.0);
    for (i, user) in users.iter().enumerate() {
        assert_eq!(f.query(user), samples(&[("up", &[(START_MS, i as f64)])]));
    }
}

/// Time is virtual here: it moves when the test says so.
#[tokio::test(start_paused = true)]
async fn the_loops_cut_ship_and_tick_by_themselves() {
    let f = Fixture::new(|_| {});
    let service = Arc::new(IngesterService::new(Arc::clone(&f.ingester)));
    service.starting().await.unwrap();
    for i in 0..5 {
        f.push("a", START_MS + i * HOUR_MS, &[("up", i as f64)]).unwrap();
    }
    let stop = CancellationToken::new();
    let tasks = TaskGroup::new(&stop);
    let running = Arc::clone(&service);
    let told_to_stop = stop.clone();
    let (ended, has_ended) = tokio::sync::oneshot::channel();
    tasks.spawn("ingester", async move {
        running.running(told_to_stop).await.unwrap();
        ended.send(()).unwrap();
    });
    let is_shipped = || async {
        let ids = f.bucket("a").block_ids().await.unwrap();
        let rate = f.ingester.user_stats(&tenant("a")).unwrap().ingestion_rate;
        ids.len() == 1 && f.bucket("a").has_block(ids[0]).await.unwrap() && rate > 0.0
    };
    // The work itself is done on real threads: there is no telling after how many seconds.
    let mut virtual_seconds = 0;
    while !is_shipped().await {
        tokio::time::advance(Duration::from_secs(1)).await;
        virtual_seconds += 1;
        assert!(virtual_seconds < 1_000_000, "nothing was shipped");
    }
    stop.cancel();
    has_ended.await.unwrap();
    service.stopping().await.unwrap();
    assert!(f.metric("cortex_ingester_tsdb_wal_fsyncs_total") > 0.0);
}
