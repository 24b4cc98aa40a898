//! What changes while a node runs: limits of tenants, bounds of the process, the stores of `multi`.

use crate::inside::InsideNode;

#[test]
fn a_changed_runtime_configuration_is_taken_and_a_wrong_one_is_not() {
    let node = InsideNode::start(|config, below| {
        let text = "overrides: {anonymous: {max_global_series_per_user: 1}}";
        std::fs::write(below("runtime.yaml"), text).unwrap();
        config.runtime_config.file.0 = vec![below("runtime.yaml")];
        config.runtime_config.period = config::GoDuration::from_millis(1);
    });
    let limit = || {
        let limits: serde_json::Value =
            serde_json::from_str(&node.get("/api/v1/user_limits")).unwrap();
        limits["max_global_series_per_user"].as_i64().unwrap()
    };
    // Renamed into place: a reload must not see half a file.
    let change = |text: &str| {
        std::fs::write(node.dir.path().join("new"), text).unwrap();
        std::fs::rename(node.dir.path().join("new"), node.dir.path().join("runtime.yaml")).unwrap();
    };
    assert_eq!(limit(), 1);
    change("overrides: {anonymous: {max_global_series_per_user: 2}}");
    poll(|| limit() == 2);
    change("overrides: {anonymous: {max_global_series: 3}}");
    let is_bad = "\ncortex_runtime_config_last_reload_successful 0\n";
    poll(|| node.get("/metrics").contains(is_bad));
    assert_eq!(limit(), 2);
    node.stop();
}

#[test]
fn bounds_of_the_process_and_the_store_of_a_ring_are_switched() {
    let node = InsideNode::start(|config, below| {
        std::fs::write(below("runtime.yaml"), "").unwrap();
        config.runtime_config.file.0 = vec![below("runtime.yaml")];
        config.runtime_config.period = config::GoDuration::from_millis(1);
        let kvstore = &mut config.compactor.sharding_ring.kvstore;
        kvstore.store = config::KvBackend::Multi;
        kvstore.multi.primary = "inmemory".to_owned();
        kvstore.multi.secondary = "memberlist".to_owned();
    });
    let shows = |line: &str| node.get("/metrics").contains(&format!("\n{line}\n"));
    assert!(shows(r#"cortex_multikv_primary_store{kv_name="compactor-ring",store="inmemory"} 1"#));
    assert!(shows(r#"cortex_ingester_instance_limits{limit="max_series"} 0.0"#));
    let text = "ingester_limits: {max_series: 9}\ndistributor_limits: {max_ingestion_rate: 8}\n\
                multi_kv_config: {primary: memberlist, mirror_enabled: true}\n";
    std::fs::write(node.dir.path().join("new"), text).unwrap();
    std::fs::rename(node.dir.path().join("new"), node.dir.path().join("runtime.yaml")).unwrap();
    for line in [
        r#"cortex_ingester_instance_limits{limit="max_series"} 9.0"#,
        r#"cortex_ingester_instance_limits{limit="max_inflight_push_requests"} 30000.0"#,
        r#"cortex_distributor_instance_limits{limit="max_ingestion_rate"} 8.0"#,
        r#"cortex_multikv_primary_store{kv_name="compactor-ring",store="memberlist"} 1"#,
        r#"cortex_multikv_primary_store{kv_name="compactor-ring",store="inmemory"} 0"#,
        r#"cortex_multikv_mirror_enabled{kv_name="compactor-ring"} 1"#,
    ] {
        poll(|| shows(line));
    }
    node.stop();
}

fn poll(is_done: impl Fn() -> bool) {
    assert!((0..100_000).any(|_| is_done()), "it never came");
}
