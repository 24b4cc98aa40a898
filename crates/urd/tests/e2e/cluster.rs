//! Processes that are one cluster: three ingesters, a distributor and a querier that find each
//! other by gossip. Every sample is on two of three ingesters at least when it is acknowledged, so
//! one of them may die at any moment without anybody noticing, and two may not.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::{Answer, Server, urd_command};
use crate::remote_write::{Series, push};

/// Samples are written from here on, each a second after the one before; ms.
const START_MS: i64 = 1_700_000_000_000;
const SERIES: usize = 40;

/// What was acknowledged: times by series.
type Model = BTreeMap<String, Vec<i64>>;

/// A process of the cluster named `name`, which joins the gossip at `join`.
fn start(dir: &Path, (name, target): (&str, &str), join: &[String]) -> Server {
    let own = dir.join(name);
    std::fs::create_dir_all(&own).unwrap();
    let mut command = urd_command(&own);
    command.args([&format!("-target={target}"), "-ingester.ring.replication-factor=3"]);
    for ring in ["ingester.ring", "store-gateway.sharding-ring", "distributor.ring"] {
        command.arg(format!("-{ring}.instance-id={name}"));
        command.arg(format!("-{ring}.instance-addr=127.0.0.1"));
    }
    let bucket = dir.join("bucket").display().to_string();
    command.arg(format!("-blocks-storage.filesystem.dir={bucket}"));
    command.args(join.iter().map(|address| format!("-memberlist.join={address}")));
    let server = Server::start(command, name);
    server.wait_ready();
    server
}

/// Where a process gossips.
fn gossip_address(server: &Server) -> String {
    let headers = [("Accept", "application/json")];
    let members = server.get_with("/memberlist", &headers).json();
    let own = &members["SortedMembers"][0];
    format!("{}:{}", own["Addr"].as_str().unwrap(), own["Port"])
}

/// Waits until a process sees so many active ingesters.
fn wait_for_ingesters(server: &Server, count: usize) {
    server.wait_until("the ring of ingesters", || {
        let ring = server.get_with("/ingester/ring", &[("Accept", "application/json")]).json();
        let shards = ring["shards"].as_array().cloned().unwrap_or_default();
        shards.iter().filter(|shard| shard["state"] == "ACTIVE").count() == count
    });
}

/// Writes one sample of every series at `t`; notes it where it was acknowledged.
fn write(distributor: &Server, t: i64, model: &mut Model) -> Answer {
    let names: Vec<String> = (0..SERIES).map(|i| format!("metric_{i}")).collect();
    let series: Vec<Series> =
        names.iter().map(|name| Series::new(name, &[], vec![(t, t as f64)])).collect();
    let answer = push(distributor, "/api/v1/push", &series);
    if answer.status == 200 {
        names.into_iter().for_each(|name| model.entry(name).or_default().push(t));
    }
    answer
}

/// All samples that the querier has.
fn read(querier: &Server) -> Result<Model, Answer> {
    let params = [("query", "{__name__=~\"metric_.+\"}[1h]"), ("time", "1700001000")];
    let answer = querier.api("/prometheus/api/v1/query", &params);
    if answer.status != 200 {
        return Err(answer);
    }
    let mut model = Model::new();
    for series in answer.json()["data"]["result"].as_array().unwrap() {
        let name = series["metric"]["__name__"].as_str().unwrap().to_owned();
        let values = series["values"].as_array().unwrap().iter();
        let times = values.map(|value| {
            let t = (value[0].as_f64().unwrap() * 1000.0).round() as i64;
            assert_eq!(value[1].as_str().unwrap().parse::<f64>().unwrap(), t as f64, "{name}");
            t
        });
        let times = times.collect();
        model.insert(name, times);
    }
    Ok(model)
}

#[test]
fn one_of_three_ingesters_may_die_and_nothing_acknowledged_is_ever_lost() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path(), ("ingester-1", "ingester"), &[]);
    let join = [gossip_address(&first)];
    let mut second = start(dir.path(), ("ingester-2", "ingester"), &join);
    let join = [join[0].clone(), gossip_address(&second)];
    let mut third = start(dir.path(), ("ingester-3", "ingester"), &join);
    let distributor = start(dir.path(), ("distributor-1", "distributor"), &join);
    let querier = start(dir.path(), ("querier-1", "querier,store-gateway"), &join);
    for server in [&distributor, &querier] {
        wait_for_ingesters(server, 3);
    }
    let (mut model, mut t) = (Model::new(), START_MS);
    let mut next = || {
        t += 1000;
        t
    };
    for _ in 0..5 {
        assert_eq!(write(&distributor, next(), &mut model).status, 200);
    }
    assert_eq!(read(&querier).unwrap(), model);

    third.kill();
    for _ in 0..5 {
        let answer = write(&distributor, next(), &mut model);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(read(&querier).unwrap(), model);
    }

    second.kill();
    let refused = write(&distributor, next(), &mut model);
    assert!(refused.status >= 500, "{refused:?}");
    let unanswered = read(&querier).unwrap_err();
    assert!(unanswered.status >= 500, "{unanswered:?}");

    let second = start(dir.path(), ("ingester-2", "ingester"), &join);
    let third = start(dir.path(), ("ingester-3", "ingester"), &join);
    querier.wait_until("the cluster to heal", || read(&querier).is_ok());
    distributor.wait_until("writes to be taken again", || {
        write(&distributor, next(), &mut model).status == 200
    });
    let found = read(&querier).unwrap();
    for (name, times) in &model {
        let missing = times.iter().filter(|t| !found[name].contains(t)).count();
        assert_eq!(missing, 0, "acknowledged samples of {name} are missing");
    }
    drop((first, second, third));
}
