//! Limits of tenants that change while a node runs.

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

fn poll(is_done: impl Fn() -> bool) {
    assert!((0..100_000).any(|_| is_done()), "it never came");
}
