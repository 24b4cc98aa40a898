//! The routes of all components in one server: who may call them and what they find.

use crate::inside::InsideNode;

#[test]
fn the_own_metrics_can_be_queried() {
    let node = InsideNode::start(|config, _| {
        // The first scrape comes at once.
        config.urd.self_scrape_interval = config::GoDuration::from_secs(3600);
    });
    let is_up = || node.get("/prometheus/api/v1/query?query=up").contains(",\"1\"]}");
    assert!((0..100_000).any(|_| is_up()), "the own metrics never came");
    let build = node.get("/prometheus/api/v1/status/buildinfo");
    assert!(build.contains("\"features\""), "{build}");
    node.stop();
}

#[test]
fn with_multitenancy_data_need_a_tenant_and_pages_do_not() {
    let node = InsideNode::start(|config, _| config.multitenancy_enabled = true);
    for path in ["/prometheus/api/v1/labels", "/api/v1/user_limits", "/api/v1/push"] {
        assert_eq!(node.get(path), "no org id\n", "{path}");
    }
    node.wait_for("/ready", "ready");
    assert!(node.get("/metrics").contains("cortex_build_info"));
    node.stop();
}

#[test]
fn everything_can_stand_below_a_prefix() {
    let node = InsideNode::start(|config, _| {
        config.server.http_path_prefix = "/mimir".to_owned();
        config.api.prometheus_http_prefix = "/prom".to_owned();
    });
    node.wait_for("/mimir/ready", "ready");
    let labels = node.get("/mimir/prom/api/v1/labels");
    assert_eq!(labels, "{\"status\":\"success\",\"data\":[]}");
    node.stop();
}
