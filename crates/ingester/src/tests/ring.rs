//! The ingester in a ring: shares of limits, read-only mode, leaving.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use model::Clock;
use model::env::SeededRandom;
use ring::kv::{Client, MemoryStore};
use ring::lifecycler::{Lifecycler, LifecyclerParts};
use ring::{Desc, InstanceDesc, InstanceState, Ring, RingCodec, RingRules};
use rt::Service as _;
use tower::ServiceExt as _;
use wire::client::PushErrorCause;

use super::fixture::{Fixture, START_MS, samples};
use crate::RingMembership;
use crate::http::routes;

/// A member of a ring that takes new data.
fn member(zone: &str) -> InstanceDesc {
    InstanceDesc { zone: zone.to_owned(), tokens: vec![1], ..InstanceDesc::default() }
}

/// Puts the ingester into a ring of others; it registers itself in a store of its own.
fn join(f: &Fixture, others: &[&str], rules: RingRules) -> (Arc<Lifecycler>, Client<Desc>) {
    let mut config = f.ingester.config.ring.clone();
    "own".clone_into(&mut config.instance_id);
    "127.0.0.1".clone_into(&mut config.instance_addr);
    let client = Client::new(Arc::<MemoryStore>::default(), Arc::new(RingCodec), "");
    let lifecycler = Arc::new(Lifecycler::new(
        ring::options::ingester_instance(&config, 1).unwrap(),
        LifecyclerParts {
            client: client.clone(),
            clock: Arc::clone(&f.clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(3)),
            metrics: f.metrics.clone(),
        },
    ));
    let named = others.iter().enumerate().map(|(i, zone)| (format!("i{i}"), member(zone)));
    let ring = Arc::new(Ring::new(Desc { ingesters: named.collect() }, rules));
    f.ingester.join_ring(RingMembership {
        ring: Arc::new(move || Arc::clone(&ring)),
        lifecycler: Arc::clone(&lifecycler),
    });
    (lifecycler, client)
}

async fn call(f: &Fixture, method: &str, path: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let response = routes(Arc::clone(&f.ingester)).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_limit_is_shared_with_the_other_ingesters() {
    for (zones, aware, shard, want) in [
        // Three replicas on six ingesters: half of the series each.
        (&["", "", "", "", "", ""][..], false, 0, 5),
        // On four that may be used.
        (&["", "", "", "", "", ""][..], false, 4, 7),
        // One replica a zone; two ingesters in the own zone "a".
        (&["a", "a", "b", "b", "c"][..], true, 0, 5),
        // Fewer ingesters than replicas: each has every series.
        (&["", ""][..], false, 0, 10),
    ] {
        let f = Fixture::new(|setup| {
            setup.limits.max_global_series_per_user = 10;
            setup.limits.ingestion_tenant_shard_size = shard;
            "a".clone_into(&mut setup.config.ring.instance_availability_zone);
        });
        join(&f, zones, RingRules { zone_awareness: aware, ..RingRules::default() });
        f.ingester.start().await.unwrap();
        let names: Vec<String> = (0..10).map(|i| format!("m{i}")).collect();
        let series: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
        let pushed = f.push("t", START_MS, &series);
        assert_eq!(f.query("t").len(), want, "{zones:?}");
        if want < 10 {
            let error = pushed.unwrap_err();
            assert!(error.message.starts_with("per-user series limit of 10 exceeded"), "{error}");
        }
    }
}

#[tokio::test]
async fn read_only_is_told_to_the_ring() {
    let f = Fixture::new(|_| {});
    let (lifecycler, client) = join(&f, &[], RingRules::default());
    let path = "/ingester/prepare-instance-ring-downscale";
    assert_eq!(call(&f, "GET", path).await.0, StatusCode::SERVICE_UNAVAILABLE);
    f.ingester.start().await.unwrap();
    lifecycler.starting().await.unwrap();
    let told = |since: i64| (StatusCode::OK, format!("{{\"timestamp\":{since}}}"));
    assert_eq!(call(&f, "GET", path).await, told(0));
    f.clock.advance(5000);
    let since = f.clock.now_ms() / 1000;
    assert_eq!(call(&f, "POST", path).await, told(since));
    f.clock.advance(5000);
    assert_eq!(call(&f, "POST", path).await, told(since), "since the first request");
    assert!(client.get("ring").await.unwrap().unwrap().ingesters["own"].read_only);
    assert_eq!(call(&f, "DELETE", path).await, told(0));
    assert!(!client.get("ring").await.unwrap().unwrap().ingesters["own"].read_only);
}

#[tokio::test]
async fn what_is_flushed_is_in_the_bucket_before_it_leaves_the_ring() {
    let f = Fixture::new(|_| {});
    let (lifecycler, client) = join(&f, &[], RingRules::default());
    f.ingester.start().await.unwrap();
    lifecycler.starting().await.unwrap();
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    assert_eq!(call(&f, "POST", "/ingester/prepare-shutdown").await.0, StatusCode::NO_CONTENT);
    lifecycler.stopping().await.unwrap();
    assert_eq!(f.bucket("a").block_ids().await.unwrap().len(), 1);
    assert!(client.get("ring").await.unwrap().unwrap().ingesters.is_empty());
    let error = f.push("a", START_MS + 1, &[("up", 1.0)]).unwrap_err();
    assert_eq!(error.cause, PushErrorCause::ServiceUnavailable);
    assert_eq!(f.query("a"), samples(&[("up", &[(START_MS, 1.0)])]), "reads go on");
    f.ingester.stop().await.unwrap();
}

#[tokio::test]
async fn unless_asked_to_an_ingester_stays_in_the_ring_as_leaving() {
    let f = Fixture::new(|setup| setup.config.ring.unregister_on_shutdown = false);
    let (lifecycler, client) = join(&f, &[], RingRules::default());
    f.ingester.start().await.unwrap();
    lifecycler.starting().await.unwrap();
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    lifecycler.stopping().await.unwrap();
    let desc = client.get("ring").await.unwrap().unwrap();
    assert!(desc.ingesters["own"].is_in(InstanceState::Leaving));
    assert_eq!(f.store.changes(), 0);
    f.push("a", START_MS + 1, &[("up", 1.0)]).unwrap();
}

#[tokio::test]
async fn a_shutdown_by_request_leaves_the_ring_whatever_is_configured() {
    let f = Fixture::new(|setup| setup.config.ring.unregister_on_shutdown = false);
    let (lifecycler, client) = join(&f, &[], RingRules::default());
    f.ingester.start().await.unwrap();
    lifecycler.starting().await.unwrap();
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    assert_eq!(call(&f, "POST", "/ingester/shutdown").await.0, StatusCode::NO_CONTENT);
    assert!(client.get("ring").await.unwrap().unwrap().ingesters.is_empty());
    assert_eq!(f.bucket("a").block_ids().await.unwrap().len(), 1);
    // The end of the process finds nothing left to do.
    lifecycler.stopping().await.unwrap();
    assert!(client.get("ring").await.unwrap().unwrap().ingesters.is_empty());
}

#[tokio::test]
async fn an_instance_is_ready_some_time_after_it_became_active() {
    let f = Fixture::new(|_| {});
    let (lifecycler, _) = join(&f, &[], RingRules::default());
    assert_eq!(lifecycler.not_ready().as_deref(), Some("this instance owns no tokens"));
    lifecycler.starting().await.unwrap();
    let waiting = lifecycler.not_ready();
    assert_eq!(waiting.as_deref(), Some("waiting for 15s after being ready"));
    f.clock.advance(14_999);
    assert_eq!(lifecycler.not_ready(), waiting);
    f.clock.advance(1);
    assert_eq!(lifecycler.not_ready(), None);
    lifecycler.set_state(InstanceState::Leaving).await.unwrap();
    let leaving = lifecycler.not_ready();
    assert_eq!(leaving.as_deref(), Some("instance own in state LEAVING"));
}
