//! Tenants, compression, panics and metrics around a router.

use std::io::Read;
use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};
use http::Request;
use http_body_util::BodyExt;
use model::TenantId;
use model::env::ManualClock;
use rt::Metrics;
use rt::metrics::TextFormat;
use tower::ServiceExt;

use super::*;

/// A server with a route for tenants that answers with the tenant, and an open one.
fn router(metrics: &Metrics, tenants: TenantPolicy, path_prefix: &str) -> Router {
    let metrics = RequestMetrics::new(metrics, Arc::new(ManualClock::new(0)), false);
    let options = ApiOptions { tenants, path_prefix: path_prefix.to_owned(), metrics };
    let who = |Extension(tenant): Extension<TenantId>| async move { tenant.to_string() };
    let long = || async { "x".repeat(100_000) };
    let panics = || async {
        if true {
            panic!("boom")
        }
    };
    let tenant_routes = Router::new().route("/api/v1/who/{name}", get(who));
    let open_routes = Router::new().route("/long", get(long)).route("/panic", get(panics));
    let plain = Router::new().route("/plain", get(long));
    Api::new(options)
        .with(Routes::for_tenants(tenant_routes))
        .with(Routes::open(open_routes))
        .with(Routes { router: plain, access: Access::Open, gzip: false })
        .finish()
}

async fn get_with(router: &Router, path: &str, headers: &[(&str, &str)]) -> (u16, String, Vec<u8>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let encoding = response.headers().get("content-encoding");
    let encoding = encoding.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, encoding, body.to_vec())
}

async fn check_tenant(policy: TenantPolicy, headers: &[(&str, &str)], want: (u16, &str)) {
    let router = router(&Metrics::new(), policy, "");
    let (status, _, body) = get_with(&router, "/api/v1/who/me", headers).await;
    assert_eq!((status, String::from_utf8(body).unwrap().as_str()), want, "{headers:?}");
}

#[tokio::test]
async fn paths_that_are_not_clean_lead_to_those_that_are() {
    let router = router(&Metrics::new(), TenantPolicy::Header, "/urd");
    for (path, want) in [
        ("/urd//long?a=b//c", Some("/urd/long?a=b//c")),
        ("//nothing/../urd/long", Some("/urd/long")),
        ("/urd/long?a=b//c", None),
    ] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap());
        assert_eq!(location, want, "{path}");
        assert_eq!(response.status().as_u16(), if want.is_some() { 301 } else { 200 }, "{path}");
    }
}

#[tokio::test]
async fn a_tenant_is_required_where_there_are_tenants() {
    let header = || TenantPolicy::Header;
    check_tenant(header(), &[("X-Scope-OrgID", "team-a")], (200, "team-a")).await;
    check_tenant(header(), &[], (401, "no org id\n")).await;
    check_tenant(header(), &[("X-Scope-OrgID", "")], (401, "no org id\n")).await;
    let message = "tenant ID 'a/b' contains unsupported character '/'\n";
    check_tenant(header(), &[("X-Scope-OrgID", "a/b")], (401, message)).await;
    let message = "too many tenant IDs present in the request. max: 1 actual: 2\n";
    check_tenant(header(), &[("X-Scope-OrgID", "b|a|b")], (422, message)).await;
    let message = "tenant ID 'a|/' contains unsupported character '|'\n";
    check_tenant(header(), &[("X-Scope-OrgID", "a|/")], (401, message)).await;
    let always = TenantPolicy::Always(TenantId::new("anonymous").unwrap());
    check_tenant(always, &[("X-Scope-OrgID", "a/b")], (200, "anonymous")).await;
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_take_it() {
    let router = router(&Metrics::new(), TenantPolicy::Header, "");
    let (status, encoding, body) =
        get_with(&router, "/long", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!((status, encoding.as_str()), (200, "gzip"));
    assert!(body.len() < 1000, "{}", body.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "x".repeat(100_000));
    for (path, headers) in [("/long", &[][..]), ("/plain", &[("accept-encoding", "gzip")][..])] {
        let (_, encoding, body) = get_with(&router, path, headers).await;
        assert_eq!((encoding.as_str(), body.len()), ("", 100_000), "{path}");
    }
}

#[tokio::test]
async fn a_streamed_answer_is_flushed_when_it_pauses() {
    let (mut sender, receiver) = futures::channel::mpsc::channel::<Result<&str, axum::Error>>(4);
    let receiver = std::sync::Mutex::new(Some(receiver));
    let receiver = Arc::new(receiver);
    let stream = move || {
        let receiver = receiver.lock().unwrap().take().unwrap();
        async move { Body::from_stream(receiver) }
    };
    let metrics = RequestMetrics::new(&Metrics::new(), Arc::new(ManualClock::new(0)), false);
    let options = ApiOptions { tenants: TenantPolicy::Header, path_prefix: String::new(), metrics };
    let router = Router::new().route("/stream", get(stream));
    let router = Api::new(options).with(Routes::open(router)).finish();
    let request = Request::get("/stream").header("accept-encoding", "gzip");
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut body = response.into_body();
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    sender.try_send(Ok("first")).unwrap();
    while decoder.get_ref() != b"first" {
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        std::io::Write::write_all(&mut decoder, &data).unwrap();
        std::io::Write::flush(&mut decoder).unwrap();
    }
}

#[tokio::test]
async fn a_panic_is_one_requests_error() {
    let router = router(&Metrics::new(), TenantPolicy::Header, "");
    for _ in 0..2 {
        let (status, _, body) = get_with(&router, "/panic", &[]).await;
        assert_eq!((status, &body[..]), (500, &b"internal server error\n"[..]));
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let metrics = Metrics::new();
    let router = router(&metrics, TenantPolicy::Header, "/mimir");
    get_with(&router, "/mimir/api/v1/who/me", &[("X-Scope-OrgID", "a")]).await;
    get_with(&router, "/mimir/api/v1/who/you", &[]).await;
    get_with(&router, "/mimir/panic", &[]).await;
    get_with(&router, "/made/up/path", &[]).await;
    let text = metrics.encode(TextFormat::Prometheus);
    for (route, status) in [
        ("mimir_api_v1_who_name", 200),
        ("mimir_api_v1_who_name", 401),
        ("mimir_panic", 500),
        ("other", 404),
    ] {
        let line = format!(
            "cortex_request_duration_seconds_count{{method=\"GET\",route=\"{route}\",\
             status_code=\"{status}\",ws=\"false\"}} 1\n"
        );
        assert!(text.contains(&line), "{line}{text}");
    }
    let inflight = "cortex_inflight_requests{method=\"GET\",route=\"other\"} 0\n";
    assert!(text.contains(inflight), "{text}");
}
