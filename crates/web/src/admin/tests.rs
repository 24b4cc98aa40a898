//! What the pages answer.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use model::TenantId;
use model::env::ManualClock;
use rt::service::RunService;
use rt::{CancellationToken, ComputeOptions, ServiceManager};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{Api, ApiOptions, RequestMetrics, TenantPolicy};

struct Pages {
    router: Router,
    manager: ServiceManager,
    stopping: Stopping,
}

fn pages() -> Pages {
    let metrics = Metrics::new();
    metrics.counter("cortex_test_total", "A counter").inc();
    let mut manager = ServiceManager::new();
    let service = RunService::new("worker", |stop| async move {
        stop.cancelled().await;
        Ok(())
    });
    manager.add(Arc::new(service), &[]).unwrap();
    let mut config = Config::default();
    config.limits.max_global_series_per_user = 7;
    let options = ComputeOptions { name: "debug", threads: 1, queue_capacity: 1 };
    let stopping = Stopping::default();
    let admin = Admin {
        overrides: Arc::new(Overrides::new(&config)),
        config: Arc::new(config),
        services: manager.status(),
        stopping: stopping.clone(),
        metrics: metrics.clone(),
        build: BuildInfo { version: "1.2.3", revision: "abc", compiler: "rustc 1" },
        compute: ComputePool::new(options).unwrap(),
        links: vec![IndexLink {
            section: "Ingester",
            path: "/ingester/flush".to_owned(),
            text: "<b>",
        }],
    };
    let clock = Arc::new(ManualClock::new(0));
    let mut api = Api::new(ApiOptions {
        tenants: TenantPolicy::Always(TenantId::new("anonymous").unwrap()),
        path_prefix: String::new(),
        metrics: RequestMetrics::new(&metrics, clock, false),
    });
    for routes in admin.routes() {
        api = api.with(routes);
    }
    Pages { router: api.finish(), manager, stopping }
}

impl Pages {
    async fn get(&self, path: &str, accept: &str) -> (u16, String) {
        let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path, "application/json").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

#[tokio::test]
async fn readiness_follows_the_services() {
    let pages = pages();
    let not_yet = (503, "Some services are not Running:\nworker: New\n".to_owned());
    assert_eq!(pages.get("/ready", "*/*").await, not_yet);
    pages.manager.start(&CancellationToken::new()).await.unwrap();
    assert_eq!(pages.get("/ready", "*/*").await, (200, "ready".to_owned()));
    pages.stopping.set();
    assert_eq!(pages.get("/ready", "*/*").await, (503, "Application is stopping\n".to_owned()));
}

#[tokio::test]
async fn services_as_a_page_and_as_json() {
    let pages = pages();
    let want = json!({"services": [{"name": "worker", "status": "New"}]});
    assert_eq!(pages.json("/services").await, want);
    let (_, html) = pages.get("/services", "text/html").await;
    assert!(html.contains("<tr><td>worker</td><td>New</td></tr>"), "{html}");
}

#[tokio::test]
async fn configuration_by_mode() {
    let pages = pages();
    let diff = "limits:\n  max_global_series_per_user: 7\n";
    let (status, body) = pages.get("/config?mode=diff", "*/*").await;
    assert_eq!((status, body.as_str()), (200, diff));
    let (_, defaults) = pages.get("/config?mode=defaults", "*/*").await;
    assert!(defaults.contains("max_global_series_per_user: 150000\n"), "{defaults}");
    let (_, all) = pages.get("/config", "*/*").await;
    assert!(all.contains("max_global_series_per_user: 7\n"), "{all}");
    assert_eq!(pages.get("/config?mode=x", "*/*").await.0, 400);
    let none = (200, "runtime config file doesn't exist".to_owned());
    assert_eq!(pages.get("/runtime_config", "*/*").await, none);
}

#[tokio::test]
async fn limits_of_the_tenant() {
    let limits = pages().json("/api/v1/user_limits").await;
    assert_eq!(limits["max_global_series_per_user"], json!(7));
}

#[tokio::test]
async fn status_like_prometheus_with_and_without_prefix() {
    let pages = pages();
    for prefix in ["", "/prometheus"] {
        let build = pages.json(&format!("{prefix}/api/v1/status/buildinfo")).await;
        assert_eq!(build["status"], "success");
        assert_eq!(build["data"]["version"], "1.2.3");
        assert!(build["data"]["features"].is_object());
        for page in ["config", "flags"] {
            let answer = pages.json(&format!("{prefix}/api/v1/status/{page}")).await;
            assert_eq!(answer["status"], "success");
        }
    }
}

#[tokio::test]
async fn metrics_in_both_formats() {
    let pages = pages();
    let (_, text) = pages.get("/metrics", "text/plain").await;
    assert!(text.contains("# TYPE cortex_test_total counter\ncortex_test_total 1\n"), "{text}");
    let (_, text) = pages.get("/metrics", "application/openmetrics-text; version=1.0.0").await;
    assert!(text.contains("# TYPE cortex_test counter\ncortex_test_total 1\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn the_index_lists_pages_and_escapes_texts() {
    let (status, html) = pages().get("/", "text/html").await;
    assert_eq!(status, 200);
    assert!(html.contains("<a href=\"/config\">"), "{html}");
    assert!(html.contains("<a href=\"/ingester/flush\">&lt;b&gt;</a>"), "{html}");
}
