//! The routes, called as the server calls them.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

async fn call(router: axum::Router, method: &str, path: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::ACCEPT, "application/json");
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(TenantId::new("team").unwrap());
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_tenant_is_deleted_over_http() {
    let world = World::new();
    let range = (DAY_MS, DAY_MS + 2 * HOUR_MS);
    world.add_block(1, range, &data(0..2, range)).await;
    let router = || crate::http::tenant_routes(world.compactor());
    let status = call(router(), "GET", "/compactor/delete_tenant_status").await;
    assert_eq!(status.1, json!({"tenant_id": "team", "blocks_deleted": false}));
    assert_eq!(call(router(), "POST", "/compactor/delete_tenant").await.0, StatusCode::OK);
    world.clock.advance(5000);
    assert_eq!(call(router(), "POST", "/compactor/delete_tenant").await.0, StatusCode::OK);
    let mark = world.tenant().tenant_deletion_mark().await.unwrap().unwrap();
    assert_eq!(mark.deletion_time, NOW_MS / 1000, "the first request counts");
    world.clean().await;
    let status = call(router(), "GET", "/compactor/delete_tenant_status").await;
    assert_eq!(status.1, json!({"tenant_id": "team", "blocks_deleted": true}));
}

#[tokio::test]
async fn pages_show_tenants_and_what_would_be_done() {
    let world = World::new();
    let range = (DAY_MS, DAY_MS + 2 * HOUR_MS);
    for id in [1, 2] {
        world.add_block(id, range, &data(0..2, range)).await;
    }
    let compactor = world.compactor();
    let router = || crate::http::pages(Arc::clone(&compactor));
    let page = call(router(), "GET", "/compactor/tenants").await;
    assert_eq!(page.1, json!({"tenants": ["team"], "progress": []}), "not looked at yet");
    compactor.clean_all().await;
    let uploaded = world.bucket().info(&world.tenant().block(Ulid(2)).meta()).await.unwrap();
    let waits = (NOW_MS - uploaded.last_modified_ms) / 1000;
    let page = call(router(), "GET", "/compactor/tenants").await;
    let line = json!({
        "tenant": "team", "blocks": 2, "marked_for_deletion": 0, "marked_for_no_compaction": 0,
        "due_jobs": 1, "due_blocks": 2, "oldest_wait_seconds": waits,
    });
    assert_eq!(page.1["progress"], json!([line]));
    let text = world.metrics.encode(rt::metrics::TextFormat::Prometheus);
    for line in [
        "cortex_bucket_index_estimated_compaction_jobs{user=\"team\",type=\"merge\"} 1",
        "cortex_bucket_index_estimated_compaction_jobs{user=\"team\",type=\"split\"} 0",
        "cortex_bucket_index_estimated_compaction_jobs_errors_total 0",
        "urd_compactor_backlog_blocks{user=\"team\"} 2",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let (_, page) = call(router(), "GET", "/compactor/tenant/team/planned_jobs").await;
    let job = &page["jobs"][0];
    assert_eq!(job["stage"], "merge");
    assert_eq!((&job["min_time"], &job["max_time"]), (&json!(range.0), &json!(range.1)));
    assert_eq!(job["blocks"], json!([Ulid(1).to_string(), Ulid(2).to_string()]));
    let reason = (bucket::NoCompactReason::Manual, "because");
    let mark = bucket::NoCompactMark::new(Ulid(1), 7000, reason);
    world.tenant().put_mark(Ulid(1), &mark).await.unwrap();
    let (_, page) = call(router(), "GET", "/compactor/tenant/team/planned_jobs").await;
    assert_eq!(page["jobs"], json!([]));
    let line = json!({
        "block": Ulid(1).to_string(), "reason": "manual", "details": "because",
        "no_compact_time": 7,
    });
    assert_eq!(page["no_compact"], json!([line]));
    let html = router().oneshot(
        Request::builder().uri("/compactor/tenant/team/planned_jobs").body(Body::empty()).unwrap(),
    );
    let html = html.await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&html).contains("<td>because</td>"));
}
