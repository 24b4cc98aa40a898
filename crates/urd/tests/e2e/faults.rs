//! A whole cluster of processes under a writer and readers that never stop: three ingesters, two
//! distributors, two queriers, two store-gateways, a compactor, an S3 server and memcached, with
//! the rings in etcd and once more by gossip. One after the other is paused, killed, cut off, left
//! without disk space and restarted, and no write or query may fail, and no acknowledged sample be
//! missing.

mod disk;
mod line;

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bucket::testing::S3Server;

use self::disk::SmallDisk;
use self::line::Line;
use crate::cluster::{Model, RINGS, START_MS, read, start_with, wait_for_ingesters, write};
use crate::etcd::Etcd;
use crate::harness::{PATIENCE, Server, free_port, has};
use crate::object_storage::{memcached, options};

/// A sample of every series is written so often.
const WRITE_PERIOD: Duration = Duration::from_millis(50);
/// Writes and queries of every querier that must succeed after each fault.
const PROGRESS: (usize, usize) = (20, 3);

/// A process of the cluster: with its name and its ports it comes back as the same one.
struct Node {
    name: String,
    target: &'static str,
    options: Vec<String>,
    server: Server,
}

impl Node {
    fn start(dir: &Path, (name, target): (&str, &'static str), shared: &[String]) -> Self {
        Self::start_at(dir, (name, target), (shared, free_port()))
    }

    /// The same with a port for gRPC.
    fn start_at(
        dir: &Path,
        (name, target): (&str, &'static str),
        (shared, port): (&[String], u16),
    ) -> Self {
        let mut options = shared.to_vec();
        options.push(format!("-server.grpc-listen-port={port}"));
        options.push(format!("-memberlist.bind-port={}", free_port()));
        let server = start_with(dir, (name, target), &[], &options);
        Self { name: name.to_owned(), target, options, server }
    }

    /// An ingester that others reach over a line.
    fn behind_a_line(dir: &Path, name: &str, shared: &[String]) -> (Self, Line) {
        let port = free_port();
        let line = Line::to(port);
        let mut shared = shared.to_vec();
        shared.push(format!("-ingester.ring.instance-port={}", line.port()));
        (Self::start_at(dir, (name, "ingester"), (&shared, port)), line)
    }

    fn restart(&mut self, dir: &Path) {
        self.server = start_with(dir, (&self.name, self.target), &[], &self.options);
    }

    fn signal(&self, signal: &str) {
        let pid = self.server.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

/// What the writer and the readers have seen.
#[derive(Default)]
struct Traffic {
    acknowledged: Mutex<Model>,
    writes: AtomicUsize,
    queries: [AtomicUsize; 2],
    failures: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Traffic {
    fn failed(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Writes on, by one distributor and the other in turn.
    fn write(&self, distributors: &[Node; 2]) {
        let mut t = START_MS;
        while !self.is_over() {
            t += 1000;
            let by = &distributors[(t / 1000) as usize % 2].server;
            let (mut written, begun) = (Model::new(), Instant::now());
            let answer = write(by, t, &mut written);
            if answer.status != 200 {
                self.failed(format!("write of {t}: {answer:?}"));
            }
            let mut model = self.acknowledged.lock().unwrap();
            for (name, times) in written {
                model.entry(name).or_default().extend(times);
            }
            drop(model);
            self.writes.fetch_add(1, Ordering::Relaxed);
            std::thread::park_timeout(WRITE_PERIOD.saturating_sub(begun.elapsed()));
        }
    }

    /// Asks for everything again and again: what was acknowledged before must be there.
    fn query(&self, querier: &Node, number: usize) {
        while !self.is_over() {
            let want = self.acknowledged.lock().unwrap().clone();
            match read(&querier.server) {
                Err(answer) => self.failed(format!("query of {}: {answer:?}", querier.name)),
                Ok(found) => {
                    if let Some(missing) = missing(&want, &found) {
                        self.failed(format!("{} does not find {missing}", querier.name));
                    }
                }
            }
            self.queries[number].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until writes and queries that began after now are done.
    fn goes_on(&self, after: &str) {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let writes = read(&self.writes) + PROGRESS.0;
        let queries = [0, 1].map(|i| read(&self.queries[i]) + PROGRESS.1);
        let deadline = Instant::now() + PATIENCE;
        while read(&self.writes) < writes || (0..2).any(|i| read(&self.queries[i]) < queries[i]) {
            assert!(Instant::now() < deadline, "{after}: nothing goes on");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let failures = self.failures.lock().unwrap().clone();
        assert!(failures.is_empty(), "{after}: {failures:#?}");
    }
}

/// A series and time that is wanted and was not found.
fn missing(want: &Model, found: &Model) -> Option<String> {
    let nothing = Vec::new();
    want.iter().find_map(|(name, times)| {
        let there = found.get(name).unwrap_or(&nothing);
        let t = times.iter().find(|t| there.binary_search(t).is_err())?;
        Some(format!("{name} at {t}"))
    })
}

/// Ends the traffic also when a check fails.
struct Over<'a>(&'a Traffic);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// The options that all processes have, and etcd where the rings are in it.
fn shared_options(dir: &Path, s3: &S3Server, in_etcd: bool) -> (Vec<String>, Option<Etcd>) {
    let mut shared = options(s3);
    shared.extend(
        [
            "-ingester.ring.unregister-on-shutdown=false",
            "-ingester.ring.tokens-file-path=tokens",
            "-store-gateway.sharding-ring.replication-factor=2",
            "-querier.minimize-ingester-requests-hedging-delay=500ms",
            // What is flushed is seen at once.
            "-blocks-storage.bucket-store.sync-interval=1s",
            "-compactor.cleanup-interval=1s",
        ]
        .map(str::to_owned),
    );
    let etcd = in_etcd.then(|| Etcd::start(dir, [free_port(), free_port()]));
    match &etcd {
        Some(etcd) => {
            shared.extend(RINGS.iter().flat_map(|ring| etcd.options(ring)));
        }
        None => {
            // Nobody must be there first: all know the port of the first one.
            let first = free_port();
            shared.push(format!("-memberlist.join=127.0.0.1:{first}"));
            shared.push("-memberlist.rejoin-interval=1s".to_owned());
            shared.push(format!("-memberlist.bind-port={first}"));
        }
    }
    (shared, etcd)
}

struct Cluster {
    ingesters: [Node; 3],
    gateways: [Node; 2],
    etcd: Option<Etcd>,
    /// To the last ingester.
    line: Line,
    /// The first ingester's, where there can be one.
    disk: Option<SmallDisk>,
}

fn cluster_under_faults(in_etcd: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let s3 = runtime.block_on(S3Server::start()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let Some((cache, cache_port)) = memcached(dir, 16) else { return };
    let (mut shared, etcd) = shared_options(dir, &s3, in_etcd);
    let flag = "-blocks-storage.bucket-store.chunks-cache";
    shared.push(format!("{flag}.backend=memcached"));
    shared.push(format!("{flag}.memcached.addresses=127.0.0.1:{cache_port}"));
    let seed = seed(dir, &shared);
    let node = |name: &str, target| Node::start(dir, (name, target), &shared);
    let disk = SmallDisk::at(&dir.join("ingester-1/tsdb"));
    let (last, line) = Node::behind_a_line(dir, "ingester-3", &shared);
    let ingesters = [node("ingester-1", "ingester"), node("ingester-2", "ingester"), last];
    let gateways = [1, 2].map(|i| node(&format!("store-gateway-{i}"), "store-gateway"));
    let distributors = [1, 2].map(|i| node(&format!("distributor-{i}"), "distributor"));
    let queriers = [1, 2].map(|i| node(&format!("querier-{i}"), "querier"));
    for node in distributors.iter().chain(&queriers) {
        wait_for_ingesters(&node.server, 3);
    }
    let traffic = Traffic::default();
    std::thread::scope(|scope| {
        let over = Over(&traffic);
        scope.spawn(|| traffic.write(&distributors));
        for (number, querier) in queriers.iter().enumerate() {
            let traffic = &traffic;
            scope.spawn(move || traffic.query(querier, number));
        }
        traffic.goes_on("the start");
        let mut cluster = Cluster { ingesters, gateways, etcd, line, disk };
        let watching: Vec<&Node> = distributors.iter().chain(&queriers).collect();
        faults(dir, &mut cluster, (&traffic, &watching));
        drop(cache);
        traffic.goes_on("memcached is killed");
        drop(over);
        drop(seed);
        drop(cluster);
    });
}

/// The compactor: with gossip, the one whose port everybody knows.
fn seed(dir: &Path, shared: &[String]) -> Server {
    start_with(dir, ("compactor-1", "compactor"), &[], shared)
}

/// One fault after the other.
fn faults(dir: &Path, cluster: &mut Cluster, (traffic, watching): (&Traffic, &[&Node])) {
    let all_see_three = || watching.iter().for_each(|node| wait_for_ingesters(&node.server, 3));
    cluster.ingesters[0].signal("-STOP");
    traffic.goes_on("an ingester is paused");
    cluster.ingesters[0].signal("-CONT");
    traffic.goes_on("it goes on");

    cluster.ingesters[1].server.kill();
    traffic.goes_on("an ingester is killed");
    cluster.ingesters[1].restart(dir);
    all_see_three();
    traffic.goes_on("it is back");

    cluster.line.cut();
    traffic.goes_on("connections to an ingester are cut");
    cluster.line.mend();
    traffic.goes_on("they can be made again");
    cluster.line.be_silent();
    traffic.goes_on("an ingester is not heard any more");
    cluster.line.mend();
    traffic.goes_on("it is heard again");

    if let Some(disk) = &cluster.disk {
        disk.fill();
        traffic.goes_on("an ingester's disk is full");
        cluster.ingesters[0].server.kill();
        traffic.goes_on("it is killed");
        disk.free();
        cluster.ingesters[0].restart(dir);
        all_see_three();
        traffic.goes_on("it is back, with a disk");
    }

    for ingester in &cluster.ingesters {
        let flushed = ingester.server.get("/ingester/flush?wait=true");
        assert_eq!(flushed.status / 100, 2, "{flushed:?}");
        // A push that one has refused must not meet the flush of the next as well.
        traffic.goes_on("an ingester's head is in the bucket");
    }
    cluster.gateways[0].server.kill();
    traffic.goes_on("a store-gateway is killed");
    cluster.gateways[0].restart(dir);
    traffic.goes_on("it is back");

    if let Some(etcd) = &mut cluster.etcd {
        etcd.kill();
        traffic.goes_on("etcd is killed");
        *etcd = Etcd::start(dir, etcd.ports);
        all_see_three();
        traffic.goes_on("etcd is back");
    }
    for at in 0..3 {
        let ingester = &mut cluster.ingesters[at];
        assert_eq!(ingester.server.terminate(), Some(0), "{}", ingester.server.log());
        traffic.goes_on("an ingester is stopped");
        cluster.ingesters[at].restart(dir);
        all_see_three();
        traffic.goes_on("and started");
    }
}

#[test]
fn no_fault_of_one_process_is_noticed_with_rings_in_etcd() {
    if has("etcd") {
        cluster_under_faults(true);
    }
}

#[test]
fn no_fault_of_one_process_is_noticed_with_rings_by_gossip() {
    cluster_under_faults(false);
}
