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

#[test]
fn a_process_opens_only_the_rings_that_its_components_use() {
    let node = InsideNode::start(|config, _| {
        config.target.0 = vec!["compactor".to_owned()];
        config.compactor.sharding_ring.kvstore.store = config::KvBackend::Inmemory;
        // Of an ingester without this process' number: no concern of a compactor.
        "spread-minimizing".clone_into(&mut config.ingester.ring.token_generation_strategy);
        config.ingester.ring.instance_interface_names.0 = vec!["no-such-interface".to_owned()];
    });
    node.wait_for("/ready", "ready");
    let gossip = node.get("/memberlist");
    assert!(gossip.contains("doesn't use memberlist"), "{gossip}");
    assert!(node.request("GET", "/compactor/ring").0.contains("200"));
    let (status, _) = node.request("GET", "/ingester/ring");
    assert!(status.contains("404"), "{status}");
    node.stop();
}

#[test]
fn an_instance_is_forgotten_by_the_address_too() {
    let node = InsideNode::start(|config, _| {
        "one".clone_into(&mut config.compactor.sharding_ring.instance_id);
    });
    node.wait_for("/ready", "ready");
    let (status, body) = node.request("POST", "/compactor/ring?forget=one");
    assert!(status.contains("302"), "{status} {body}");
    node.stop();
}

#[test]
fn metrics_and_profiles_can_be_switched_off_together() {
    let node = InsideNode::start(|config, _| config.server.register_instrumentation = false);
    for path in ["/metrics", "/debug/pprof/", "/debug/pprof/cmdline"] {
        let (status, _) = node.request("GET", path);
        assert!(status.contains("404"), "{path}: {status}");
    }
    node.stop();
}

#[test]
fn the_runtime_configuration_chooses_the_store_of_a_ring_from_the_start_on() {
    let node = InsideNode::start(|config, below| {
        let file = below("runtime.yaml");
        std::fs::write(&file, "multi_kv_config: {primary: memberlist}\n").unwrap();
        config.runtime_config.file = config::CommaList(vec![file]);
        let kvstore = &mut config.compactor.sharding_ring.kvstore;
        kvstore.store = config::KvBackend::Multi;
        "inmemory".clone_into(&mut kvstore.multi.primary);
        "memberlist".clone_into(&mut kvstore.multi.secondary);
    });
    let metrics = node.get("/metrics");
    let of = |store: &str| {
        format!("cortex_multikv_primary_store{{kv_name=\"compactor-ring\",store=\"{store}\"}}")
    };
    for (store, want) in [("memberlist", " 1"), ("inmemory", " 0")] {
        let found = metrics.lines().find(|line| line.starts_with(&of(store)));
        assert_eq!(found, Some(format!("{}{want}", of(store)).as_str()), "{store}");
    }
    node.stop();
}
