//! Heads that are cut early, and tenants that are marked for deletion.

use config::GoDuration;
use tsdb::db::CompactionMode;
use wire::client::PushErrorCause;

use super::fixture::{Fixture, HOUR_MS, START_MS, samples, tenant};

const MINUTE_MS: i64 = 60_000;

impl Fixture {
    /// `ended` series get a sample at the start only, `live` series also an hour later, which is
    /// now.
    fn push_ended_and_live(&self, user: &str, ended: usize, live: usize) {
        let names: Vec<String> = (0..ended + live).map(|i| format!("series_{i}")).collect();
        let all: Vec<(&str, f64)> = names.iter().map(|name| (&**name, 1.0)).collect();
        self.clock.set(START_MS);
        self.push(user, START_MS, &all).unwrap();
        self.clock.set(START_MS + HOUR_MS);
        if live > 0 {
            self.push(user, START_MS + HOUR_MS, &all[ended..]).unwrap();
        }
    }

    fn series_of(&self, user: &str) -> u64 {
        self.ingester.tenants.get(&tenant(user)).unwrap().db().head().series_count()
    }
}

#[tokio::test]
async fn the_process_cuts_heads_early_above_its_threshold() {
    let f = Fixture::running(|s| s.tsdb.early_head_compaction_min_in_memory_series = 40).await;
    f.push_ended_and_live("a", 10, 10);
    f.push_ended_and_live("b", 1, 18);
    f.ingester.cut_heads().await;
    assert_eq!((f.series_of("a"), f.series_of("b")), (20, 19), "39 series are below");
    f.push("b", START_MS + HOUR_MS, &[("one_more", 1.0)]).unwrap();
    let before = (f.query("a"), f.query("b"));
    f.ingester.cut_heads().await;
    // 11 of 40 are more than 15 percent; 5 percent of the second tenant are not.
    assert_eq!((f.series_of("a"), f.series_of("b")), (10, 20));
    assert_eq!((f.query("a"), f.query("b")), before);
    let too_old = START_MS + HOUR_MS - 20 * MINUTE_MS;
    let error = f.push("a", too_old, &[("new", 1.0)]).unwrap_err();
    assert_eq!(error.cause, PushErrorCause::BadData);
    f.push("a", too_old + 1, &[("new", 1.0)]).unwrap();
}

#[tokio::test]
async fn heads_that_would_hardly_shrink_are_not_cut_early() {
    let f = Fixture::running(|s| {
        s.tsdb.early_head_compaction_min_in_memory_series = 10;
        s.tsdb.early_head_compaction_min_estimated_series_reduction_percentage = 51;
    })
    .await;
    f.push_ended_and_live("a", 10, 10);
    f.ingester.cut_heads().await;
    assert_eq!(f.series_of("a"), 20);
    let f = Fixture::running(|s| {
        s.tsdb.early_head_compaction_min_in_memory_series = 10;
        s.config.active_series_metrics_enabled = false;
    })
    .await;
    f.push_ended_and_live("a", 10, 10);
    f.ingester.cut_heads().await;
    assert_eq!(f.series_of("a"), 20, "Mimir needs active series for it");
}

#[tokio::test]
async fn a_tenant_above_its_own_threshold_is_cut_early_and_then_left_alone() {
    let f = Fixture::running(|s| {
        s.config.use_ingester_owned_series_for_limits = true;
        s.limits.early_head_compaction_owned_series_threshold = 20;
    })
    .await;
    f.push_ended_and_live("a", 10, 10);
    f.push_ended_and_live("b", 9, 10);
    f.ingester.cut_heads().await;
    assert_eq!((f.series_of("a"), f.series_of("b")), (10, 19));
    let triggered = "cortex_ingester_tsdb_per_tenant_early_compactions_triggered_total";
    assert_eq!(f.metric(triggered), 1.0);
    let more: Vec<String> = (0..10).map(|i| format!("more_{i}")).collect();
    let more: Vec<(&str, f64)> = more.iter().map(|name| (&**name, 1.0)).collect();
    f.push("a", START_MS + HOUR_MS - 19 * MINUTE_MS, &more).unwrap();
    f.clock.advance(19 * MINUTE_MS);
    f.ingester.cut_heads().await;
    assert_eq!(f.series_of("a"), 20, "cut less than 20 minutes ago");
    f.clock.advance(MINUTE_MS);
    f.push("a", START_MS + HOUR_MS + 20 * MINUTE_MS, &[("series_10", 2.0)]).unwrap();
    f.ingester.cut_heads().await;
    assert!(f.series_of("a") < 20);
    assert_eq!(f.metric(triggered), 2.0);
}

#[tokio::test]
async fn without_owned_series_for_limits_a_tenants_threshold_means_nothing() {
    let f = Fixture::running(|s| s.limits.early_head_compaction_owned_series_threshold = 1).await;
    f.push_ended_and_live("a", 10, 10);
    f.ingester.cut_heads().await;
    assert_eq!(f.series_of("a"), 20);
}

#[tokio::test]
async fn only_heads_with_series_are_looked_at() {
    let f = Fixture::running(|_| {}).await;
    f.push_ended_and_live("a", 1, 0);
    f.ingester.cut_heads().await;
    f.ingester.flush(None).await.unwrap();
    assert_eq!(f.metric("cortex_ingester_tsdb_compactions_triggered_total"), 2.0);
    f.ingester.cut_heads().await;
    assert_eq!(f.metric("cortex_ingester_tsdb_compactions_triggered_total"), 2.0);
    assert_eq!(f.metric("cortex_ingester_tsdb_forced_compactions_in_progress"), 0.0);
}

#[tokio::test]
async fn a_timely_head_is_cut_half_a_range_behind() {
    let f = Fixture::running(|s| s.tsdb.timely_head_compaction_enabled = true).await;
    // The first sample is at the end of its range: the head never spans 1.5 of them.
    let first = START_MS + 2 * HOUR_MS - MINUTE_MS;
    f.push("a", first, &[("up", 1.0)]).unwrap();
    f.push("a", START_MS + 3 * HOUR_MS, &[("up", 2.0)]).unwrap();
    let tenant = f.ingester.tenants.get(&tenant("a")).unwrap();
    assert!(tenant.compact(CompactionMode::Regular).unwrap().is_empty());
    f.push("a", START_MS + 3 * HOUR_MS + 1, &[("up", 3.0)]).unwrap();
    assert_eq!(tenant.compact(CompactionMode::Regular).unwrap().len(), 1);
    assert_eq!(f.query("a")["up"].len(), 3);
}

#[tokio::test]
async fn a_tenant_that_is_marked_for_deletion_is_not_shipped_and_goes() {
    let f = Fixture::running(|_| {}).await;
    f.push_ended_and_live("a", 1, 1);
    f.push_ended_and_live("b", 1, 1);
    f.ingester.ship_blocks().await;
    let mark = "a/markers/tenant-deletion-mark.json";
    let json = "{\"deletion_time\":1}".into();
    f.ingester.bucket.put(mark, json).await.unwrap();
    f.ingester.flush(None).await.unwrap();
    assert_eq!(f.bucket("a").block_ids().await.unwrap().len(), 1, "looked for once an hour only");
    f.clock.advance(HOUR_MS + 1);
    let now = START_MS + 2 * HOUR_MS + 1;
    f.push("a", now, &[("up", 1.0)]).unwrap();
    f.push("b", now, &[("up", 1.0)]).unwrap();
    f.ingester.flush(None).await.unwrap();
    assert_eq!(f.bucket("a").block_ids().await.unwrap().len(), 1);
    assert_eq!(f.bucket("b").block_ids().await.unwrap().len(), 2);
    f.push("a", now + 1, &[("up", 1.0)]).unwrap();
    f.ingester.close_idle_tenants().await;
    assert!(!f.dir.path().join("tsdb/a").is_dir(), "with all that was in it");
    assert!(f.dir.path().join("tsdb/b").is_dir());
    let checks = |result: &str| {
        f.metric(&format!("cortex_ingester_idle_tsdb_checks_total{{result=\"{result}\"}}"))
    };
    assert_eq!((checks("tenant_marked_for_deletion"), checks("not_idle")), (1.0, 1.0));
    f.push("a", now + 2, &[("up", 1.0)]).unwrap();
    assert_eq!(f.query("a"), samples(&[("up", &[(now + 2, 1.0)])]), "a new one, for the while");
}

#[tokio::test]
async fn without_uploads_idle_tenants_go_only_where_that_was_asked_for() {
    for (asked_for, want) in [(false, 1.0), (true, 0.0)] {
        let f = Fixture::running(|s| {
            s.tsdb.ship_interval = GoDuration::ZERO;
            s.tsdb.close_idle_tsdb_when_shipping_disabled = asked_for;
        })
        .await;
        f.push_ended_and_live("a", 1, 1);
        f.ingester.flush(None).await.unwrap();
        f.clock.advance(13 * HOUR_MS);
        f.ingester.close_idle_tenants().await;
        assert_eq!(f.metric("cortex_ingester_memory_users"), want);
    }
}
