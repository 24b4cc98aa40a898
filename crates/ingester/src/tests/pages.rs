//! The administrative routes.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::fixture::{Fixture, HOUR_MS, START_MS};
use crate::http::routes;

impl Fixture {
    async fn call(&self, method: &str, path: &str, body: &str) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = routes(Arc::clone(&self.ingester)).oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn a_flush_is_awaited_only_when_asked_for() {
    let f = Fixture::running(|_| {}).await;
    for user in ["a", "b"] {
        f.push(user, START_MS, &[("up", 1.0)]).unwrap();
    }
    let (status, body) = f.call("POST", "/ingester/flush?tenant=a&wait=true", "").await;
    assert_eq!((status, body.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(f.bucket("a").block_ids().await.unwrap().len(), 1);
    assert_eq!(f.bucket("b").block_ids().await.unwrap().len(), 0);
    f.store.allow_changes(0);
    let (status, _) = f.call("GET", "/ingester/flush?wait=true", "").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    f.store.allow_changes(u64::MAX);
    let (status, _) = f.call("GET", "/ingester/flush", "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_prepared_shutdown_survives_a_restart_and_is_done_once() {
    let f = Fixture::running(|_| {}).await;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    let path = "/ingester/prepare-shutdown";
    assert_eq!(f.call("GET", path, "").await, (StatusCode::OK, "unset\n".to_owned()));
    assert_eq!(f.call("POST", path, "").await.0, StatusCode::NO_CONTENT);
    let f = f.killed_and_restarted().await;
    assert_eq!(f.call("GET", path, "").await, (StatusCode::OK, "set\n".to_owned()));
    assert_eq!(f.call("DELETE", path, "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(f.call("GET", path, "").await.1, "unset\n");
    assert_eq!(f.call("POST", path, "").await.0, StatusCode::NO_CONTENT);
    f.ingester.stop().await.unwrap();
    assert_eq!(f.bucket("a").block_ids().await.unwrap().len(), 1);
    let f = f.killed_and_restarted().await;
    assert_eq!(f.call("GET", path, "").await.1, "unset\n");
}

#[tokio::test]
async fn a_shutdown_by_request_flushes_and_leaves_the_process_not_ready() {
    let f = Fixture::running(|_| {}).await;
    f.push("a", START_MS, &[("up", 1.0)]).unwrap();
    assert_eq!(f.call("POST", "/ingester/shutdown", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(f.bucket("a").block_ids().await.unwrap().len(), 1);
    assert!(f.push("a", START_MS + 1, &[("up", 1.0)]).is_err());
    let (status, text) = f.call("POST", "/ingester/flush?wait=true", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text, "ingester is unavailable (current state: Terminated)\n");
    assert_eq!(f.call("POST", "/ingester/shutdown", "").await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn unregistering_is_kept_and_told() {
    let f = Fixture::running(|_| {}).await;
    let path = "/ingester/unregister-on-shutdown";
    let told = |on: bool| (StatusCode::OK, format!("{{\"unregister\":{on}}}"));
    assert_eq!(f.call("GET", path, "").await, told(true));
    assert_eq!(f.call("PUT", path, "{\"unregister\": false}").await, told(false));
    assert_eq!(f.call("GET", path, "").await, told(false));
    assert_eq!(f.call("PUT", path, "no").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(f.call("DELETE", path, "").await, told(true));
}

#[tokio::test]
async fn pages_show_tenants_and_blocks() {
    let f = Fixture::running(|_| {}).await;
    f.push("a'1", START_MS, &[("up", 1.0)]).unwrap();
    f.ingester.flush(None).await.unwrap();
    f.push("a'1", START_MS + HOUR_MS, &[("up", 1.0), ("down", 1.0)]).unwrap();
    let (status, text) = f.call("GET", "/ingester/tenants", "").await;
    let page: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, StatusCode::OK);
    let line = &page["Tenants"][0];
    assert_eq!((&line["Tenant"], &line["Blocks"]), (&"a'1".into(), &1.into()));
    assert_eq!(line["FutureGracePeriod"], 600_000_000_000u64);
    assert!(line["MaxTime"].as_str().unwrap().ends_with('Z'), "{line}");
    let (_, text) = f.call("GET", "/ingester/tsdb/a'1", "").await;
    let page: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&page["series"], &page["blocks"][0]["samples"]), (&2.into(), &1.into()));
    assert_ne!(page["blocks"][0]["shipped"], "");
    assert_eq!(f.call("GET", "/ingester/tsdb/b", "").await.0, StatusCode::NOT_FOUND);

    let request = Request::get("/ingester/tenants").body(Body::empty()).unwrap();
    let response = routes(Arc::clone(&f.ingester)).oneshot(request).await.unwrap();
    let html = response.into_body().collect().await.unwrap().to_bytes();
    let html = String::from_utf8(html.to_vec()).unwrap();
    assert!(html.contains("<a href=\"tsdb/a&#39;1\">a&#39;1</a>"), "{html}");
}
