//! Processes that are one cluster: three ingesters, a distributor and a querier that find each
//! other by gossip. Every sample is on two of three ingesters at least when it is acknowledged, so
//! one of them may die at any moment without anybody noticing, and two may not.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::{Answer, Server, urd_command};
use crate::remote_write::{Series, push};

/// Samples are written from here on, each a second after the one before; ms.
pub(crate) const START_MS: i64 = 1_700_000_000_000;
const SERIES: usize = 40;
/// The rings, by the prefixes of their options.
pub(crate) const RINGS: [&str; 4] =
    ["ingester.ring", "store-gateway.sharding-ring", "distributor.ring", "compactor.ring"];

/// What was acknowledged: times by series.
pub(crate) type Model = BTreeMap<String, Vec<i64>>;

/// A process of the cluster named `name`, which joins the gossip at `join`.
fn start(dir: &Path, names: (&str, &str), join: &[String]) -> Server {
    start_with(dir, names, join, &[])
}

/// The same with further options.
pub(crate) fn start_with(
    dir: &Path,
    (name, target): (&str, &str),
    join: &[String],
    extra: &[String],
) -> Server {
    let own = dir.join(name);
    std::fs::create_dir_all(&own).unwrap();
    let mut command = urd_command(&own);
    command.args([&format!("-target={target}"), "-ingester.ring.replication-factor=3"]);
    for ring in RINGS {
        command.arg(format!("-{ring}.instance-id={name}"));
        command.arg(format!("-{ring}.instance-addr=127.0.0.1"));
    }
    let bucket = dir.join("bucket").display().to_string();
    command.arg(format!("-blocks-storage.filesystem.dir={bucket}"));
    command.args(join.iter().map(|address| format!("-memberlist.join={address}")));
    command.args(extra);
    let server = Server::start(command, name);
    server.wait_ready();
    server
}

/// Where a process gossips.
pub(crate) fn gossip_address(server: &Server) -> String {
    let headers = [("Accept", "application/json")];
    let members = server.get_with("/memberlist", &headers).json();
    let own = &members["SortedMembers"][0];
    format!("{}:{}", own["Addr"].as_str().unwrap(), own["Port"])
}

/// Waits until a process sees so many active ingesters.
pub(crate) fn wait_for_ingesters(server: &Server, count: usize) {
    server.wait_until("the ring of ingesters", || {
        let ring = server.get_with("/ingester/ring", &[("Accept", "application/json")]);
        if ring.status != 200 {
            return false;
        }
        let ring = ring.json();
        let shards = ring["shards"].as_array().cloned().unwrap_or_default();
        shards.iter().filter(|shard| shard["state"] == "ACTIVE").count() == count
    });
}

/// Writes one sample of every series at `t`; notes it where it was acknowledged.
pub(crate) fn write(distributor: &Server, t: i64, model: &mut Model) -> Answer {
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
pub(crate) fn read(querier: &Server) -> Result<Model, Answer> {
    // A writer adds a second with every write, however long the test goes on.
    let params = [("query", "{__name__=~\"metric_.+\"}[1d]"), ("time", "1700080000")];
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

/// The options of TLS below `prefix`: file names of the certificates of tests by option.
fn tls(prefix: &str, files: &[(&str, &str)]) -> Vec<String> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../bucket/tests/tls");
    files.iter().map(|(option, file)| format!("-{prefix}{option}={dir}/{file}")).collect()
}

#[test]
fn an_ingester_with_tls_takes_samples_from_those_with_the_right_certificate_only() {
    let dir = tempfile::tempdir().unwrap();
    let one_copy = "-ingester.ring.replication-factor=1".to_owned();
    let shown = ("tls-cert-path", "server.pem");
    let files = [shown, ("tls-key-path", "server.key"), ("tls-ca-path", "ca.pem")];
    let mut options = tls("server.grpc-", &files);
    options.push("-server.grpc-tls-client-auth=RequireAndVerifyClientCert".to_owned());
    options.push(one_copy.clone());
    let ingester = start_with(dir.path(), ("ingester-1", "ingester"), &[], &options);
    let join = [gossip_address(&ingester)];

    let client = |files: &[(&str, &str)]| {
        let mut options = tls("ingester.client.", files);
        let named = ["tls-enabled=true", "tls-server-name=storage.test"];
        options.extend(named.map(|option| format!("-ingester.client.{option}")));
        options.push(one_copy.clone());
        options
    };
    let authority = ("tls-ca-path", "ca.pem");
    let own = [("tls-cert-path", "client.pem"), ("tls-key-path", "client.key"), authority];
    let t = START_MS + 1000;
    let names = ("member-1", "distributor,querier,store-gateway");
    let member = start_with(dir.path(), names, &join, &client(&own));
    wait_for_ingesters(&member, 1);
    let mut model = Model::new();
    let taken = write(&member, t, &mut model);
    assert_eq!(taken.status, 200, "{taken:?}");
    assert_eq!(read(&member).unwrap(), model);
    drop(member);

    for (i, options) in
        [client(&[authority]), client(&[]), vec![one_copy.clone()]].iter().enumerate()
    {
        let name = format!("stranger-{i}");
        let stranger = start_with(dir.path(), (&name, "distributor"), &join, options);
        wait_for_ingesters(&stranger, 1);
        let refused = write(&stranger, t + 1000, &mut model);
        assert!(refused.status >= 500, "{refused:?}");
    }
    drop(ingester);
}
