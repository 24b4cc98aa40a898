//! A cluster of three zones under load: a zone dies, every ingester is restarted, one more comes
//! and goes. No write and no query fails meanwhile, and nothing that was acknowledged is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cluster::wait_for_ingesters;
use crate::harness::{Server, fetch, free_port, urd_command};
use crate::remote_write::{Series, push_to};

/// Samples are written from here on, each a second after the one before; ms.
const START_MS: i64 = 1_700_000_000_000;
const SERIES: usize = 24;
/// How long writers and readers rest between two requests.
const PAUSE: Duration = Duration::from_millis(40);

/// Where processes run and whom they join.
struct Cluster {
    dir: PathBuf,
    join: Vec<String>,
}

impl Cluster {
    /// Starts (or starts again) the process `name` in `zone`.
    fn start(&self, (name, target): (&str, &str), (zone, extra): (&str, &str)) -> Server {
        let own = self.dir.join(name);
        std::fs::create_dir_all(&own).unwrap();
        let mut command = urd_command(&own);
        command.args([
            &format!("-target={target}"),
            "-ingester.ring.replication-factor=3",
            "-ingester.ring.zone-awareness-enabled=true",
            "-ingester.ring.tokens-file-path=tokens.json",
            &format!("-ingester.ring.instance-availability-zone={zone}"),
        ]);
        for ring in ["ingester.ring", "store-gateway.sharding-ring", "distributor.ring"] {
            command.arg(format!("-{ring}.instance-id={name}"));
            command.arg(format!("-{ring}.instance-addr=127.0.0.1"));
        }
        let bucket = self.dir.join("bucket").display().to_string();
        command.arg(format!("-blocks-storage.filesystem.dir={bucket}"));
        command.arg(extra);
        command.args(self.join.iter().map(|address| format!("-memberlist.join={address}")));
        let server = Server::start(command, name);
        server.wait_ready();
        server
    }

    fn ingester(&self, name: &str) -> Server {
        let zone = &name[name.len() - 1..];
        self.start((name, "ingester"), (zone, "-memberlist.bind-port=0"))
    }
}

/// Names that differ early: tokens of those that differ at their end alone lie side by side, and all
/// such series belong to one ingester.
fn name_of(i: usize) -> String {
    format!("m{i}_metric")
}

/// What writers and readers share: what was acknowledged, and what went wrong.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    acknowledged: Mutex<BTreeSet<i64>>,
    problems: Mutex<Vec<String>>,
    reads: AtomicU64,
}

impl Load {
    fn problem(&self, text: String) {
        self.problems.lock().unwrap().push(text);
    }

    fn write(&self, distributor: &str) {
        let names: Vec<String> = (0..SERIES).map(name_of).collect();
        let mut t = START_MS;
        while !self.is_over.load(Ordering::Relaxed) {
            t += 1000;
            let series: Vec<Series> =
                names.iter().map(|name| Series::new(name, &[], vec![(t, t as f64)])).collect();
            match push_to(distributor, "/api/v1/push", &series) {
                Ok(answer) if answer.status == 200 => {
                    self.acknowledged.lock().unwrap().insert(t);
                }
                Ok(answer) => self.problem(format!("write of {t}: {answer:?}")),
                Err(error) => self.problem(format!("write of {t}: {error}")),
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    fn read(&self, querier: &str) {
        while !self.is_over.load(Ordering::Relaxed) {
            let acknowledged = self.acknowledged.lock().unwrap().clone();
            match query(querier) {
                Ok(found) => self.compare(&acknowledged, &found),
                Err(error) => self.problem(error),
            }
            self.reads.fetch_add(1, Ordering::Relaxed);
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Everything that had been acknowledged when the query began must be in its answer.
    fn compare(&self, acknowledged: &BTreeSet<i64>, found: &BTreeMap<String, BTreeSet<i64>>) {
        for i in 0..SERIES {
            let none = BTreeSet::new();
            let times = found.get(&name_of(i)).unwrap_or(&none);
            let missing: Vec<&i64> = acknowledged.difference(times).collect();
            if !missing.is_empty() {
                self.problem(format!("{} samples of {} missing", missing.len(), name_of(i)));
            }
        }
    }

    /// Waits until so many more samples were acknowledged and so many more queries answered.
    fn pass(&self, server: &Server, requests: usize) {
        let counts = || {
            let writes = self.acknowledged.lock().unwrap().len();
            (writes, self.reads.load(Ordering::Relaxed))
        };
        let (writes, reads) = counts();
        let enough = (writes + requests, reads + requests as u64 / 2);
        server.wait_until("writes and reads to go on", || {
            let now = counts();
            self.check();
            enough.0 <= now.0 && enough.1 <= now.1
        });
    }

    fn check(&self) {
        let problems = self.problems.lock().unwrap();
        assert!(problems.is_empty(), "{} problems: {:#?}", problems.len(), &problems[..]);
    }
}

/// The times of all samples by metric.
fn query(querier: &str) -> Result<BTreeMap<String, BTreeSet<i64>>, String> {
    let time = START_MS / 1000 + 20_000;
    let path = "/prometheus/api/v1/query?query=%7B__name__%3D~%22m.%2B_metric%22%7D%5B6h%5D&time=";
    let answer = fetch(&format!("{querier}{path}{time}"))?;
    if answer.status != 200 {
        return Err(format!("query: {answer:?}"));
    }
    let mut found = BTreeMap::new();
    for series in answer.json()["data"]["result"].as_array().unwrap() {
        let name = series["metric"]["__name__"].as_str().unwrap().to_owned();
        let values = series["values"].as_array().unwrap().iter();
        let times = values.map(|v| (v[0].as_f64().unwrap() * 1000.0).round() as i64).collect();
        found.insert(name, times);
    }
    Ok(found)
}

/// The address of an active ingester as a process sees it.
fn address_of(server: &Server, name: &str) -> Option<String> {
    let ring = server.get_with("/ingester/ring", &[("Accept", "application/json")]).json();
    let shards = ring["shards"].as_array()?;
    let own = shards.iter().find(|s| s["id"] == name && s["state"] == "ACTIVE")?;
    Some(own["address"].as_str()?.to_owned())
}

/// A cluster with its load: what the steps of a test work on.
struct Running {
    cluster: Cluster,
    ingesters: BTreeMap<&'static str, Server>,
    distributor: Server,
    querier: Server,
    load: Arc<Load>,
}

impl Running {
    fn start(dir: &Path) -> Self {
        // Two that stay tell everybody of everybody.
        let ports = [free_port(), free_port()];
        let join = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let cluster = Cluster { dir: dir.to_owned(), join };
        let bound = |port: u16| format!("-memberlist.bind-port={port}");
        let distributor = cluster.start(("distributor-1", "distributor"), ("a", &bound(ports[0])));
        let target = "querier,store-gateway,compactor";
        let querier = cluster.start(("querier-1", target), ("a", &bound(ports[1])));
        let names = ["ingester-a", "ingester-b", "ingester-c"];
        let ingesters = names.map(|name| (name, cluster.ingester(name))).into_iter().collect();
        Self { cluster, ingesters, distributor, querier, load: Arc::default() }
    }

    /// Starts an ingester again, and waits until all know its new address.
    fn start_again(&mut self, name: &'static str) {
        let old = address_of(&self.distributor, name);
        self.ingesters.insert(name, self.cluster.ingester(name));
        for server in [&self.distributor, &self.querier] {
            server.wait_until("the new address", || {
                let new = address_of(server, name);
                new.is_some() && new != old
            });
        }
    }

    fn wait_for_ingesters(&self, count: usize) {
        for server in [&self.distributor, &self.querier] {
            wait_for_ingesters(server, count);
        }
    }

    fn pass(&self, requests: usize) {
        self.load.pass(&self.distributor, requests);
    }

    fn kill_a_zone(&mut self) {
        self.ingesters.get_mut("ingester-b").unwrap().kill();
        self.pass(60);
        self.start_again("ingester-b");
        self.pass(20);
    }

    fn restart_one_after_the_other(&mut self) {
        for name in ["ingester-a", "ingester-b", "ingester-c"] {
            assert_eq!(self.ingesters.get_mut(name).unwrap().terminate(), Some(0));
            self.start_again(name);
            self.pass(20);
        }
    }

    fn scale_up_and_down(&mut self) {
        let mut fourth =
            self.cluster.start(("ingester-4", "ingester"), ("a", "-memberlist.bind-port=0"));
        self.wait_for_ingesters(4);
        self.pass(40);
        assert_eq!(fourth.post("/ingester/prepare-shutdown", &[], b"").status, 204);
        assert_eq!(fourth.post("/ingester/shutdown", &[], b"").status, 204);
        self.wait_for_ingesters(3);
        self.pass(20);
        assert_eq!(fourth.get("/ready").status, 503);
        assert_eq!(fourth.terminate(), Some(0));
        let flushed = std::fs::read_dir(self.cluster.dir.join("bucket/anonymous")).unwrap();
        assert!(flushed.count() > 0, "its samples are in the bucket");
        self.pass(20);
    }
}

#[test]
fn no_write_and_no_query_fails_whatever_happens_to_one_zone() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running::start(dir.path());
    running.wait_for_ingesters(3);
    let load = Arc::clone(&running.load);
    let (distributor, querier) = (running.distributor.url.clone(), running.querier.url.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| load.write(&distributor));
        scope.spawn(|| load.read(&querier));
        let steps = std::panic::AssertUnwindSafe(|| {
            running.pass(20);
            running.kill_a_zone();
            running.restart_one_after_the_other();
            running.scale_up_and_down();
        });
        let done = std::panic::catch_unwind(steps);
        load.is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    load.check();
    let (acknowledged, found) = (load.acknowledged.lock().unwrap(), query(&querier).unwrap());
    load.compare(&acknowledged, &found);
    load.check();
    assert!(200 < acknowledged.len());
}
