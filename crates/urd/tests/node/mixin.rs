//! The metrics of a whole node under the names and labels of Mimir's published dashboards.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use config::Config;
use rt::metrics::{Gathered, parse_exposition};
use rt::{CancellationToken, SystemClock, SystemRandom};
use urd::{Listeners, Node, NodeOptions};

/// Beginnings of the names that belong to the server and the node; the components have tests of
/// their own.
const OWN: &[&str] = &[
    "cortex_build_info",
    "cortex_config_hash",
    "cortex_inflight_requests",
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

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Starts a node in this process, asks it for its metrics, and stops it.
fn scrape() -> Gathered {
    let dir = tempfile::tempdir().unwrap();
    let below = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    std::fs::write(dir.path().join("runtime.yaml"), "overrides: {a: {ingestion_rate: 1}}").unwrap();
    let mut config = Config::default();
    config.server.http_listen_address = "127.0.0.1".to_owned();
    config.server.grpc_listen_address = "127.0.0.1".to_owned();
    config.server.http_listen_port = 0;
    config.server.grpc_listen_port = 0;
    config.blocks_storage.tsdb.dir = below("tsdb");
    config.blocks_storage.bucket_store.sync_dir = below("sync");
    config.blocks_storage.bucket.filesystem.dir = below("blocks");
    config.runtime_config.file.0 = vec![below("runtime.yaml")];
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let clock = Arc::new(SystemClock::new());
    let random = Arc::new(SystemRandom::new().unwrap());
    let options = NodeOptions { config_text: String::new(), clock, random, cores: 1 };
    let stop = CancellationToken::new();
    let (address, running) = runtime.block_on(async {
        let listeners = Listeners::bind(&config.server).await.unwrap();
        let address = listeners.http_address();
        let node = Node::build(config, listeners, options).unwrap();
        (address, runtime.spawn(node.run(stop.clone())))
    });
    get(address, "/ready");
    let text = get(address, "/metrics");
    stop.cancel();
    runtime.block_on(running).unwrap().unwrap();
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
