//! `docs/operate/three-nodes.sh`: what is written on one node is read on the others, also after
//! one of them was killed; and nodes of which each serves the others do not wait for each other.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Server, fetch, free_port, has};
use crate::remote_write::{Series, push, push_to};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operate/three-nodes.sh");
const T_MS: i64 = 1_700_000_000_000;
/// Clients of each kind on each node: more than any node has threads of a kind.
const CLIENTS: usize = 16;
/// Requests of each client.
const REQUESTS: usize = 8;

/// The processes of a script; killed when it is dropped.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        // Most often nobody is left.
        let mut kill = Command::new("kill");
        let _ = kill.args(["-KILL", "--", &format!("-{}", self.0)]).stderr(Stdio::null()).status();
    }
}

fn three_ports() -> [u16; 3] {
    [free_port(), free_port(), free_port()]
}

fn words(ports: [u16; 3]) -> String {
    ports.map(|port| port.to_string()).join(" ")
}

fn is_there(node: &Server) -> bool {
    let params = [("query", "three_nodes_total"), ("time", "1700000000")];
    let answer = node.api("/prometheus/api/v1/query", &params);
    let value = &answer.json()["data"]["result"][0]["value"][1];
    answer.status == 200 && value == "42"
}

/// Starts the script, and waits until its three nodes see each other.
fn start(dir: &Path) -> (Server, Group, [String; 3]) {
    let http = three_ports();
    let mut command = Command::new("bash");
    let urd =
        std::env::var("URD_E2E_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_urd").to_owned());
    command.arg(SCRIPT).arg(dir).env("URD", urd).env("HTTP", words(http));
    command.env("GRPC", words(three_ports())).env("GOSSIP", words(three_ports()));
    // A machine with other work takes its time; nodes that wait for each other take all of it.
    let options = "-ingester.ring.min-ready-duration=0s -querier.query-ingesters-within=0s \
                   -validation.create-grace-period=100y -querier.query-store-after=0s \
                   -distributor.remote-timeout=30s -querier.timeout=30s";
    command.env("OPTIONS", options).process_group(0);
    let mut node = Server::start(command, "three-nodes.sh");
    let group = Group(node.pid());
    let urls = http.map(|port| format!("http://127.0.0.1:{port}"));
    let headers = [("Accept", "application/json")];
    for url in &urls {
        node.url.clone_from(url);
        node.wait_until("the node to be ready", || {
            node.try_get("/ready").is_some_and(|answer| answer.status == 200)
        });
        node.wait_until("three ingesters", || {
            let ring = node.get_with("/ingester/ring", &headers).json();
            let shards = ring["shards"].as_array().cloned().unwrap_or_default();
            shards.iter().filter(|shard| shard["state"] == "ACTIVE").count() == 3
        });
    }
    node.url.clone_from(&urls[0]);
    (node, group, urls)
}

/// One client: pushes a series of its own again and again.
fn write(url: &str, client: usize) -> Result<(), String> {
    let name = client.to_string();
    for request in 0..REQUESTS {
        let samples = vec![(T_MS + request as i64, 1.0)];
        let series = [Series::new("busy_total", &[("client", &name), ("node", url)], samples)];
        let answer = push_to(url, "/api/v1/push", &series)?;
        if answer.status != 200 {
            return Err(format!("{url}: {answer:?}"));
        }
    }
    Ok(())
}

/// One client: asks again and again.
fn read(url: &str) -> Result<(), String> {
    for _ in 0..REQUESTS {
        let path = "/prometheus/api/v1/query?query=count(busy_total)&time=1700000001";
        let answer = fetch(&format!("{url}{path}"))?;
        if answer.status != 200 {
            return Err(format!("{url}: {answer:?}"));
        }
    }
    Ok(())
}

#[test]
fn nodes_with_more_clients_than_threads_do_not_wait_for_each_other() {
    if !has("bash") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut node, _group, urls) = start(dir.path());
    let failed: Vec<String> = std::thread::scope(|scope| {
        let clients = urls.iter().flat_map(|url| (0..CLIENTS).map(move |client| (url, client)));
        let clients: Vec<_> = clients
            .flat_map(|(url, client)| {
                [scope.spawn(move || write(url, client)), scope.spawn(move || read(url))]
            })
            .collect();
        clients.into_iter().filter_map(|client| client.join().unwrap().err()).collect()
    });
    assert!(failed.is_empty(), "{} clients failed: {}", failed.len(), failed[0]);
    for url in &urls {
        node.url.clone_from(url);
        let params = [("query", "count(busy_total)"), ("time", "1700000001")];
        let answer = node.api("/prometheus/api/v1/query", &params).json();
        let count = &answer["data"]["result"][0]["value"][1];
        assert_eq!(*count, (3 * CLIENTS).to_string(), "{url}");
    }
    assert_eq!(node.terminate(), Some(0), "{}", node.log());
}

#[test]
fn the_script_of_three_nodes_starts_a_cluster_that_survives_one_of_them() {
    if !has("bash") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut node, _group, urls) = start(dir.path());
    let series = [Series::new("three_nodes_total", &[], vec![(T_MS, 42.0)])];
    let written = push(&node, "/api/v1/push", &series);
    assert_eq!(written.status, 200, "{written:?}");
    for url in &urls {
        node.url.clone_from(url);
        assert!(is_there(&node), "{url}");
    }
    // The first node: the one that took the sample.
    let own = format!("instance-id=node-1 .*{}", dir.path().display());
    assert!(Command::new("pkill").args(["-KILL", "-f", "--", &own]).status().unwrap().success());
    for url in &urls[1..] {
        node.url.clone_from(url);
        assert!(is_there(&node), "{url}");
    }
    assert_eq!(node.terminate(), Some(0), "{}", node.log());
}
