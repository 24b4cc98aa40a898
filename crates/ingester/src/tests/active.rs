//! Active series: their metrics, and what the cardinality queries see of them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use model::TenantId;
use tower::ServiceExt as _;
use wire::client::{CardinalityQuery, CountMethod, IngesterQuery};

use super::fixture::{Fixture, HOUR_MS, START_MS, tenant};

fn trackers(pairs: &[(&str, &str)]) -> config::TrackerMap {
    config::TrackerMap(pairs.iter().map(|&(n, m)| (n.to_owned(), m.to_owned())).collect())
}

#[tokio::test]
async fn series_without_samples_are_counted_no_more() {
    let f = Fixture::running(|setup| {
        setup.limits.active_series_custom_trackers =
            trackers(&[("ups", r#"{__name__=~"up.*"}"#), ("none", "x=y")]);
    })
    .await;
    f.push("a", START_MS, &[("up", 1.0), ("up2", 1.0), ("down", 1.0)]).unwrap();
    f.ingester.update_active_series().await;
    assert_eq!(f.metric(r#"cortex_ingester_active_series{user="a"}"#), 3.0);
    let ups = r#"cortex_ingester_active_series_custom_tracker{user="a",name="ups"}"#;
    assert_eq!(f.metric(ups), 2.0);
    f.clock.advance(15 * 60_000);
    f.push("a", START_MS + HOUR_MS, &[("up", 1.0)]).unwrap();
    f.clock.advance(6 * 60_000);
    f.ingester.update_active_series().await;
    assert_eq!(f.metric(r#"cortex_ingester_active_series{user="a"}"#), 1.0);
    assert_eq!(f.metric(ups), 1.0);
    let id = tenant("a");
    let count = |counted| {
        let query = CardinalityQuery { tenant: &id, matchers: &[], counted };
        let mut names = Vec::new();
        let mut see = |value: &str, count| {
            names.push((value.to_owned(), count));
            Ok(())
        };
        f.ingester.label_values_cardinality(query, "__name__", &mut see).unwrap();
        assert_eq!(f.ingester.series_count(query).unwrap(), names.len() as u64);
        names.len()
    };
    assert_eq!((count(CountMethod::InMemory), count(CountMethod::Active)), (3, 1));
    f.clock.advance(30 * 60_000);
    f.ingester.update_active_series().await;
    let text = f.metrics.encode(rt::metrics::TextFormat::Prometheus);
    assert!(!text.contains("cortex_ingester_active_series{"), "a zero is not shown");
}

#[tokio::test]
async fn figures_of_a_tenants_tsdb() {
    let f = Fixture::running(|_| {}).await;
    f.push("a", START_MS, &[("up", 1.0), ("up2", 1.0)]).unwrap();
    let get = async |user: &str| {
        let mut request = Request::get("/ingester/tsdb_metrics").body(Body::empty()).unwrap();
        request.extensions_mut().insert(TenantId::new(user).unwrap());
        let routes = crate::http::tenant_routes(Arc::clone(&f.ingester));
        let response = routes.oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let (status, text) = get("a").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("\nprometheus_tsdb_head_series 2\n"), "{text}");
    let missing = (StatusCode::NOT_FOUND, "user registry not found\n".to_owned());
    assert_eq!(get("b").await, missing);
}
