//! Pushes: what is stored, what is refused, and what a sender is told.

use std::sync::Arc;

use model::batch::{BatchSample, MetricMetadata, MetricType};
use model::{Label, WriteBatch};
use wire::client::{IngesterPush, IngesterQuery, MetadataFilter, PushErrorCause, ServedPush};

use super::fixture::{Fixture, START_MS, samples, tenant};

#[tokio::test]
async fn what_is_pushed_is_queried_by_its_tenant_alone() {
    let f = Fixture::running(|_| {}).await;
    f.push("a", START_MS, &[("up", 1.0), ("down", 2.0)]).unwrap();
    f.push("a", START_MS + 1, &[("up", 3.0)]).unwrap();
    f.push("b", START_MS, &[("up", 9.0)]).unwrap();
    let want =
        samples(&[("down", &[(START_MS, 2.0)]), ("up", &[(START_MS, 1.0), (START_MS + 1, 3.0)])]);
    assert_eq!(f.query("a"), want);
    assert_eq!(f.query("b"), samples(&[("up", &[(START_MS, 9.0)])]));
    assert!(f.query("c").is_empty());
    assert_eq!(f.metric("cortex_ingester_ingested_samples_total{user=\"a\"}"), 3.0);
    assert_eq!(f.metric("cortex_ingester_memory_series"), 3.0);
    assert_eq!(f.metric("cortex_ingester_memory_users"), 2.0);
    assert_eq!(f.metric("cortex_ingester_queried_series_sum"), 3.0);
    assert_eq!(f.metric("cortex_ingester_queried_samples_sum"), 4.0);
}

#[tokio::test]
async fn series_that_are_not_utf8_are_refused_and_the_rest_is_stored() {
    let f = Fixture::running(|_| {}).await;
    let mut batch = WriteBatch::new(f.ingester.hasher());
    let label = Label { name: "__name__", value: "up" };
    batch.push_float(&[label], BatchSample { timestamp_ms: START_MS, value: 1.0 });
    batch.undecodable.series.push(model::batch::UndecodableSeries {
        position: 1,
        sample_count: 1,
        labels: model::batch::BatchRange::default(),
    });
    let error = f.ingester.push(&tenant("a"), &batch).unwrap_err();
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::BadData, true));
    assert_eq!(f.query("a"), samples(&[("up", &[(START_MS, 1.0)])]));
}

#[tokio::test]
async fn a_sender_is_not_told_of_contradictions_within_its_request() {
    let f = Fixture::running(|_| {}).await;
    f.push("a", START_MS, &[("up", 1.0), ("up", 2.0)]).unwrap();
    assert_eq!(f.query("a"), samples(&[("up", &[(START_MS, 1.0)])]));
    let counted = "cortex_discarded_samples_total{reason=\"new-value-for-timestamp\",user=\"a\",\
                   group=\"\"}";
    assert_eq!(f.metric(counted), 1.0);
    f.push("a", START_MS, &[("up", 2.0)]).unwrap_err();
}

#[tokio::test]
async fn named_metrics_are_exempt_from_the_limit_of_a_metric() {
    let f = Fixture::running(|s| {
        s.limits.max_global_series_per_metric = 1;
        s.config.ignore_series_limit_for_metric_names = "other, up ,".to_owned();
    })
    .await;
    let push = |metric| {
        let mut batch = WriteBatch::new(f.ingester.hasher());
        for id in ["1", "2"] {
            let labels =
                [Label { name: "__name__", value: metric }, Label { name: "id", value: id }];
            batch.push_float(&labels, BatchSample { timestamp_ms: START_MS, value: 1.0 });
        }
        f.ingester.push(&tenant("a"), &batch)
    };
    push("up").unwrap();
    let error = push("down").unwrap_err();
    assert!(error.message.contains("err-mimir-max-series-per-metric"), "{error}");
    assert_eq!(f.metric("cortex_ingester_memory_series"), 3.0);
}

#[tokio::test]
async fn changed_limits_reach_tenants_that_nothing_is_pushed_for() {
    let f = Fixture::running(|s| s.limits.max_global_exemplars_per_user = 5).await;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    let tenant = f.ingester.tenants.all().remove(0);
    let head = tenant.db().head();
    // As if the limit had been another one when the tenant was written to.
    head.set_max_exemplars(70);
    f.ingester.apply_limits();
    assert_eq!(head.exemplar_stats().capacity, 5);
}

#[tokio::test]
async fn the_valid_part_is_stored_and_the_first_refusal_told() {
    let f = Fixture::running(|_| {}).await;
    f.push("a", START_MS + 10, &[("up", 1.0), ("down", 1.0)]).unwrap();
    let error = f.push("a", START_MS + 5, &[("new", 7.0), ("up", 2.0)]).unwrap_err();
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::BadData, true));
    assert!(error.message.contains("(err-mimir-sample-out-of-order). The affected"), "{error}");
    assert!(error.message.ends_with("is from series up"), "{error}");
    let error = f.push("a", START_MS + 10, &[("up", 2.0), ("down", 1.0)]).unwrap_err();
    assert!(error.message.contains("(err-mimir-sample-duplicate-timestamp)"), "{error}");
    let error = f.push("a", START_MS - 2 * super::fixture::HOUR_MS, &[("old", 1.0)]).unwrap_err();
    assert!(error.message.contains("(err-mimir-sample-timestamp-too-old)"), "{error}");
    assert_eq!(f.query("a")["new"], [(START_MS + 5, 7.0)]);
    assert_eq!(f.query("a")["up"], [(START_MS + 10, 1.0)]);
    for (reason, want) in [
        ("sample-out-of-order", 1.0),
        ("new-value-for-timestamp", 1.0),
        ("sample-timestamp-too-old", 1.0),
    ] {
        let name =
            format!("cortex_discarded_samples_total{{reason=\"{reason}\",user=\"a\",group=\"\"}}");
        assert_eq!(f.metric(&name), want, "{reason}");
    }
    assert_eq!(f.metric("cortex_ingester_ingested_samples_failures_total{user=\"a\"}"), 3.0);
}

#[tokio::test]
async fn late_samples_inside_the_window_are_stored_counted_and_shipped_apart() {
    let f = Fixture::running(|s| {
        s.limits.out_of_order_time_window = config::PromDuration::from_secs(3 * 3600);
        s.limits.out_of_order_blocks_external_label_enabled = true;
    })
    .await;
    let late = START_MS - 2 * super::fixture::HOUR_MS;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    f.push("a", late, &[("up", 2.0), ("new", 3.0)]).unwrap();
    let error = f.push("a", START_MS - 3 * 3_600_000 - 1, &[("up", 0.0)]).unwrap_err();
    assert!(
        error.message.contains(
            "beyond the out-of-order time window of 3h (err-mimir-sample-timestamp-too-old)"
        ),
        "{error}"
    );
    let want = samples(&[("new", &[(late, 3.0)]), ("up", &[(late, 2.0), (START_MS, 1.0)])]);
    assert_eq!(f.query("a"), want);
    let name = "cortex_ingester_tsdb_out_of_order_samples_appended_total{user=\"a\"}";
    assert_eq!(f.metric(name), 2.0);
    let reason = "cortex_discarded_samples_total{reason=\"sample-too-old\",user=\"a\",group=\"\"}";
    assert_eq!(f.metric(reason), 1.0);
    f.ingester.flush(None).await.unwrap();
    assert_eq!(f.query("a"), want);
    assert_eq!(f.metric("cortex_ingester_shipper_uploads_total"), 2.0);
    let f = f.killed_and_restarted().await;
    assert_eq!(f.query("a"), want);
}

#[tokio::test]
async fn the_series_limit_keeps_new_series_out_and_old_ones_in() {
    let f = Fixture::running(|s| s.limits.max_global_series_per_user = 1).await;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    let error = f.push("a", START_MS + 1, &[("new", 1.0), ("up", 2.0)]).unwrap_err();
    assert_eq!(
        error.message,
        "per-user series limit of 1 exceeded (err-mimir-max-series-per-user). To adjust the \
         related per-tenant limit, configure -ingester.max-global-series-per-user, or contact your \
         service administrator."
    );
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::TenantLimit, true));
    assert_eq!(f.query("a"), samples(&[("up", &[(START_MS, 1.0), (START_MS + 1, 2.0)])]));
    f.push("b", START_MS, &[("up", 1.0)]).unwrap();
}

#[tokio::test]
async fn limits_of_the_process_refuse_retryably() {
    let f = Fixture::running(|s| {
        s.config.instance_limits.max_tenants = 2;
        s.config.instance_limits.max_series = 3;
    })
    .await;
    f.push("a", START_MS, &[("one", 1.0)]).unwrap();
    f.push("b", START_MS, &[("one", 1.0), ("two", 1.0)]).unwrap();
    let error = f.push("c", START_MS, &[("one", 1.0)]).unwrap_err();
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::InstanceLimit, false));
    assert!(error.message.contains("(err-mimir-ingester-max-tenants)"), "{error}");
    let error = f.push("b", START_MS + 1, &[("three", 1.0), ("one", 2.0)]).unwrap_err();
    assert!(error.message.contains("(err-mimir-ingester-max-series)"), "{error}");
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::InstanceLimit, false));
    assert_eq!(f.query("b")["one"].len(), 2, "a series that exists is stored all the same");
    let rejected = "cortex_ingester_instance_rejected_requests_total";
    assert_eq!(f.metric(&format!("{rejected}{{reason=\"ingester_max_tenants\"}}")), 1.0);
    assert_eq!(f.metric(&format!("{rejected}{{reason=\"ingester_max_series\"}}")), 1.0);
}

#[tokio::test]
async fn the_rate_of_the_process_refuses_once_it_is_known() {
    let f = Fixture::running(|s| s.config.instance_limits.max_ingestion_rate = 1.0).await;
    let names: Vec<String> = (0..15).map(|i| format!("m{i}")).collect();
    let series: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    f.push("a", START_MS, &series).unwrap();
    f.push("a", START_MS + 1, &series[..1]).unwrap();
    f.ingester.tick_rates();
    let error = f.push("a", START_MS + 2, &series[..1]).unwrap_err();
    assert!(error.message.contains("(err-mimir-ingester-max-ingestion-rate)"), "{error}");
    let stats = f.ingester.user_stats(&tenant("a")).unwrap();
    assert_eq!((stats.num_series, stats.ingestion_rate), (15, 16.0 / 15.0));
    f.ingester.tick_rates();
    f.push("a", START_MS + 2, &series[..1]).unwrap();
}

#[tokio::test]
async fn the_first_pushes_of_a_tenant_meet_in_one_tsdb() {
    let f = Arc::new(Fixture::running(|_| {}).await);
    let start = Arc::new(std::sync::Barrier::new(8));
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (f, start) = (Arc::clone(&f), Arc::clone(&start));
            scope.spawn(move || {
                start.wait();
                f.push("a", START_MS, &[(&format!("m{i}"), f64::from(i))]).unwrap();
            });
        }
    });
    let stored = f.query("a");
    assert_eq!(stored.len(), 8);
    for i in 0..8 {
        assert_eq!(stored[&format!("m{i}")], [(START_MS, f64::from(i))]);
    }
    assert_eq!(f.metric("cortex_ingester_memory_users"), 1.0);
}

#[tokio::test]
async fn metadata_alone_opens_no_tsdb_and_is_forgotten_in_time() {
    let f = Fixture::running(|s| s.limits.max_global_metadata_per_user = 1).await;
    let mut batch = WriteBatch::new(f.ingester.hasher());
    for family in ["up", "down"] {
        let (metric_type, help, unit) = (MetricType::Gauge, "Whether it is up.", "");
        batch.metadata.push(MetricMetadata { family, metric_type, help, unit });
    }
    f.ingester.push(&tenant("a"), &batch).unwrap();
    assert_eq!(f.metric("cortex_ingester_memory_users"), 0.0);
    let listed = || f.ingester.metadata(&tenant("a"), &MetadataFilter::default()).unwrap();
    assert_eq!(listed().len(), 1);
    assert_eq!((listed()[0].family.as_str(), listed()[0].metric_type), ("up", MetricType::Gauge));
    assert!(f.ingester.metadata(&tenant("b"), &MetadataFilter::default()).unwrap().is_empty());
    assert_eq!(f.metric("cortex_ingester_ingested_metadata_total"), 1.0);
    assert_eq!(f.metric("cortex_ingester_ingested_metadata_failures_total"), 1.0);
    f.clock.advance(10 * 60_000);
    f.ingester.purge_metadata();
    assert_eq!(listed().len(), 1);
    f.clock.advance(1);
    f.ingester.purge_metadata();
    assert!(listed().is_empty());
    assert_eq!(f.metric("cortex_ingester_memory_metadata_removed_total{user=\"a\"}"), 1.0);
}

#[tokio::test]
async fn a_closed_gate_says_whether_to_come_back() {
    let f = Fixture::running(|_| {}).await;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    let open = f.ingester.tenants.get(&tenant("a")).unwrap();
    assert!(!open.try_close_gate(|| false));
    f.push("a", START_MS + 1, &[("up", 1.0)]).unwrap();
    assert!(open.try_close_gate(|| true));
    let error = f.push("a", START_MS + 2, &[("up", 1.0)]).unwrap_err();
    assert_eq!((error.cause, error.is_soft), (PushErrorCause::TsdbUnavailable, false));
    open.shut_gate();
    let error = f.push("a", START_MS + 2, &[("up", 1.0)]).unwrap_err();
    assert_eq!(error.message, "ingester is unavailable (current state: Stopping)");
    assert_eq!(f.query("a")["up"].len(), 2);
}

#[tokio::test]
async fn served_pushes_count_before_they_are_read_and_have_a_thread() {
    let f = Fixture::running(|s| {
        s.config.instance_limits.max_inflight_push_requests = 1;
        s.config.instance_limits.max_inflight_push_requests_bytes = 100;
    })
    .await;
    let admit = || Arc::clone(&f.ingester).admit();
    let first = admit().unwrap();
    first.has_read(100).unwrap();
    assert_eq!(f.metric("cortex_ingester_inflight_push_requests"), 1.0);
    assert_eq!(f.metric("cortex_ingester_inflight_push_requests_bytes"), 100.0);
    let error = admit().err().unwrap();
    assert_eq!(error.cause, PushErrorCause::InstanceLimit);
    assert!(error.message.contains("ingester-max-inflight-push-requests)"), "{error}");
    drop(first);
    let second = admit().unwrap();
    let error = second.has_read(101).unwrap_err();
    assert!(error.message.contains("ingester-max-inflight-push-requests-bytes)"), "{error}");
    // Once admitted it does not count again.
    let mut batch = WriteBatch::new(f.ingester.hasher());
    let labels = [Label { name: "__name__", value: "up" }];
    batch.push_float(&labels, BatchSample { timestamp_ms: START_MS, value: 1.0 });
    second.push(&tenant("a"), &batch).unwrap();
    drop(second);
    assert_eq!(f.metric("cortex_ingester_inflight_push_requests_bytes"), 0.0);
}
