//! Two distributors of one cluster that choose the same one of two senders, over the gossip and over
//! etcd.

use std::path::Path;

use crate::cluster::{gossip_address, wait_for_ingesters};
use crate::etcd::Etcd;
use crate::harness::{Answer, Server, free_port, has, urd_command};
use crate::remote_write::{Series, push};

fn start(dir: &Path, (name, target): (&str, &str), extra: &[String]) -> Server {
    let own = dir.join(name);
    std::fs::create_dir_all(&own).unwrap();
    let mut command = urd_command(&own);
    command.args([
        &format!("-target={target}"),
        "-distributor.ha-tracker.enable=true",
        "-distributor.ha-tracker.enable-for-all-users=true",
    ]);
    for ring in ["ingester.ring", "store-gateway.sharding-ring", "distributor.ring"] {
        command.arg(format!("-{ring}.instance-id={name}"));
        command.arg(format!("-{ring}.instance-addr=127.0.0.1"));
    }
    command.args(extra);
    let server = Server::start(command, name);
    server.wait_ready();
    server
}

fn write(server: &Server, replica: &str, t: i64) -> Answer {
    let labels = [("__replica__", replica), ("cluster", "c")];
    push(server, "/api/v1/push", &[Series::new("up", &labels, vec![(t, 1.0)])])
}

fn elected(server: &Server) -> serde_json::Value {
    let headers = [("Accept", "application/json")];
    server.get_with("/distributor/ha_tracker", &headers).json()["elected"].clone()
}

#[test]
fn all_distributors_take_the_samples_of_one_replica() {
    samples_of_one_replica(&[]);
}

#[test]
fn the_elected_replicas_can_be_kept_in_etcd() {
    if has("etcd") {
        let dir = tempfile::tempdir().unwrap();
        let etcd = Etcd::start(dir.path(), [free_port(), free_port()]);
        samples_of_one_replica(&etcd.options("distributor.ha-tracker"));
    }
}

fn samples_of_one_replica(store: &[String]) {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path(), ("one", "distributor,ingester,querier,store-gateway"), store);
    let mut extra = store.to_vec();
    extra.push(format!("-memberlist.join={}", gossip_address(&first)));
    let second = start(dir.path(), ("two", "distributor"), &extra);
    wait_for_ingesters(&second, 1);
    let t = 1_700_000_000_000;
    assert_eq!(write(&first, "a", t).status, 200);
    second.wait_until("the elected replica", || elected(&second)[0]["replica"] == "a");
    let refused = write(&second, "b", t + 1000);
    assert_eq!(refused.status, 202);
    let reason = "replicas did not match, rejecting sample: replica=b, elected=a";
    assert!(refused.body.contains(reason), "{}", refused.body);
    assert_eq!(write(&second, "a", t + 2000).status, 200);
    let params = [("query", "up[1m]"), ("time", "1700000010")];
    let answer = first.api("/prometheus/api/v1/query", &params).json();
    let result = &answer["data"]["result"];
    assert_eq!(result[0]["metric"], serde_json::json!({"__name__": "up", "cluster": "c"}));
    assert_eq!(result[0]["values"].as_array().unwrap().len(), 2, "{result}");
}
