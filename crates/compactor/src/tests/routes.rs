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
    let router = || crate::http::pages(world.compactor());
    let page = call(router(), "GET", "/compactor/tenants").await;
    assert_eq!(page.1, json!({"tenants": ["team"]}));
    let (_, page) = call(router(), "GET", "/compactor/tenant/team/planned_jobs").await;
    let job = &page["jobs"][0];
    assert_eq!(job["stage"], "merge");
    assert_eq!((&job["min_time"], &job["max_time"]), (&json!(range.0), &json!(range.1)));
    assert_eq!(job["blocks"], json!([Ulid(1).to_string(), Ulid(2).to_string()]));
}
