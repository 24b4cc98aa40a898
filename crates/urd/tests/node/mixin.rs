//! The metrics of a whole node under the names and labels of Mimir's published dashboards.

use rt::metrics::{Gathered, parse_exposition};

use crate::inside::InsideNode;

/// Beginnings of the names that belong to the server and the node; the components have tests of
/// their own.
const OWN: &[&str] = &[
    "cortex_build_info",
    "cortex_config_hash",
    "cortex_inflight_requests",
    "cortex_kv_request_duration_seconds",
    "cortex_request_duration_seconds",
    "cortex_runtime_config_",
    "cortex_tcp_connections",
];

const TABLE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/mixin-metrics.tsv");

/// Names and label names of the table.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn expected() -> Option<Vec<(String, Vec<String>)>> {
    let Ok(table) = std::fs::read_to_string(TABLE) else {
        eprintln!("SKIPPED: {TABLE} is missing");
        return None;
    };
    let rows = table.lines().filter(|line| OWN.iter().any(|own| line.starts_with(own)));
    let row = |line: &str| {
        let mut columns = line.split('\t').map(str::to_owned);
        let name = columns.next().unwrap();
        let labels = columns.next().unwrap();
        let labels = labels.split(',').filter(|label| !label.is_empty());
        (name, labels.map(str::to_owned).collect())
    };
    Some(rows.map(row).collect())
}

/// What a node says of itself after a request.
fn scrape() -> Gathered {
    let node = InsideNode::start(|config, below| {
        let text = "overrides: {a: {ingestion_rate: 1}}";
        std::fs::write(below("runtime.yaml"), text).unwrap();
        config.runtime_config.file.0 = vec![below("runtime.yaml")];
    });
    node.get("/ready");
    let text = node.get("/metrics");
    node.stop();
    parse_exposition(&text).unwrap()
}

#[test]
fn the_dashboards_find_what_they_ask_for() {
    let Some(expected) = expected() else { return };
    assert!(expected.len() >= OWN.len(), "{expected:?}");
    let gathered = scrape();
    for (name, labels) in expected {
        let is_it = |sample: &str| sample == name || sample.strip_prefix(&name) == Some("_count");
        let mut samples = gathered.samples.iter().filter(|sample| is_it(&sample.name));
        let sample = samples.next().unwrap_or_else(|| panic!("{name} is missing"));
        for label in labels {
            let has_it = sample.labels.iter().any(|(own, _)| *own == label);
            assert!(has_it, "{name} has no label {label}: {sample:?}");
        }
    }
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes"] {
        assert!(gathered.samples.iter().any(|sample| sample.name == name), "{name}");
    }
    let is_go = |name: &str| name.starts_with("go_");
    assert!(!gathered.samples.iter().any(|sample| is_go(&sample.name)));
}
