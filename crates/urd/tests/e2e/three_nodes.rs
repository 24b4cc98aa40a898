//! `docs/operate/three-nodes.sh`: what is written on one node is read on the others, also after
//! one of them was killed.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::harness::{Server, free_port, has};
use crate::remote_write::{Series, push};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operate/three-nodes.sh");
const T_MS: i64 = 1_700_000_000_000;

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

#[test]
fn the_script_of_three_nodes_starts_a_cluster_that_survives_one_of_them() {
    if !has("bash") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let http = three_ports();
    let mut command = Command::new("bash");
    let urd =
        std::env::var("URD_E2E_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_urd").to_owned());
    command.arg(SCRIPT).arg(dir.path()).env("URD", urd).env("HTTP", words(http));
    command.env("GRPC", words(three_ports())).env("GOSSIP", words(three_ports()));
    let options = "-ingester.ring.min-ready-duration=0s -querier.query-ingesters-within=0s \
                   -validation.create-grace-period=100y -querier.query-store-after=0s";
    command.env("OPTIONS", options).process_group(0);
    let mut node = Server::start(command, "three-nodes.sh");
    let _group = Group(node.pid());
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
