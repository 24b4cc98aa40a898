//! A node: its disk, its clock, and the process that runs on it, which can be stopped in order,
//! killed, and started again on what is left.

mod build;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use compactor::JobSharding;
use config::{Config, Overrides};
use parking_lot::Mutex;
use ring::kv::Client;
use ring::{Desc, RingView};
use rt::{CancellationToken, Service, TaskGroup};
use tokio::sync::oneshot;
use tsdb::fs::{Crash, FaultFs};

use crate::bugs::Bug;
use crate::disk::{Disk, files_below};
use crate::gossip::{NodeGossip, Ports};
use crate::kv::Kv;
use crate::links::Links;
use crate::objects::{NodeObjects, Objects};
use crate::setup::{self, Kind, Variant};
use crate::world::{NodeClock, World};

/// A process that failed by itself is started again after this time.
const RESTART_DELAY: Duration = Duration::from_secs(3);
/// An orderly end must not take longer.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);

/// What all nodes share.
pub(crate) struct Shared {
    pub(crate) world: Arc<World>,
    pub(crate) links: Arc<Links>,
    pub(crate) objects: Arc<Objects>,
    pub(crate) kv: Arc<Kv>,
    pub(crate) ports: Arc<Ports>,
    pub(crate) config: Config,
    pub(crate) overrides: Arc<Overrides>,
    pub(crate) variant: Variant,
}

/// What is left of a node's disk when it goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskLoss {
    /// The process died: nothing.
    None,
    /// The machine died: what was not synced, in part or as a whole.
    Unsynced,
    /// The disk is gone.
    All,
}

/// A node.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) clock: Arc<NodeClock>,
    shared: Arc<Shared>,
    fs: Mutex<FaultFs>,
    process: Mutex<Option<Arc<Process>>>,
    /// Whether it shall run: then a process that fails by itself is started again.
    is_wanted: AtomicBool,
    /// Whether it leaves for good: then nobody starts it any more.
    is_retired: AtomicBool,
    /// Starts and ends of this node, one at a time.
    changing: tokio::sync::Mutex<()>,
    supervisor: TaskGroup,
}

/// A process on a node.
pub(crate) struct Process {
    tasks: Arc<TaskGroup>,
    services: Vec<Running>,
    disk: Disk,
    objects: Arc<NodeObjects>,
    gossip: Arc<NodeGossip>,
    is_ready: AtomicBool,
    /// What it serves over HTTP.
    pub(crate) router: Option<Router>,
    /// The ring of ingesters as it sees it.
    pub(crate) ingesters: Option<RingView>,
    /// The way to the ring of ingesters and its key, for who operates the cluster.
    pub(crate) ring: Option<(Client<Desc>, &'static str)>,
    /// The ring of its own kind as it sees it.
    pub(crate) own_ring: Option<RingView>,
    /// Which compactions are its own.
    pub(crate) jobs: Option<Arc<dyn JobSharding>>,
}

struct Running {
    service: Arc<dyn Service>,
    stop: CancellationToken,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Process {
    /// Starts a task that dies with the process.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn("request", task);
    }
}

impl Node {
    /// A node that is off.
    pub(crate) fn new(shared: &Arc<Shared>, kind: Kind, name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            kind,
            clock: NodeClock::new(&shared.world),
            shared: Arc::clone(shared),
            fs: Mutex::new(FaultFs::new()),
            process: Mutex::default(),
            is_wanted: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            changing: tokio::sync::Mutex::default(),
            supervisor: TaskGroup::new(&CancellationToken::new()),
        })
    }

    /// The process, if there is one that is ready.
    pub(crate) fn ready(&self) -> Option<Arc<Process>> {
        let process = self.process.lock().clone();
        process.filter(|process| process.is_ready.load(Ordering::Relaxed))
    }

    /// Its disk.
    pub(crate) fn fs(&self) -> FaultFs {
        self.fs.lock().clone()
    }

    /// Starts a process, again and again until one is ready.
    pub(crate) async fn start(self: &Arc<Self>) {
        self.is_wanted.store(true, Ordering::Relaxed);
        let _one = self.changing.lock().await;
        if self.is_retired.load(Ordering::Relaxed) {
            return;
        }
        while self.is_wanted.load(Ordering::Relaxed) && self.process.lock().is_none() {
            match self.try_start().await {
                Ok(()) => return,
                Err(error) => {
                    self.log(&format!("could not start: {error}"));
                    self.shared.world.cover("failed starts");
                    self.end(DiskLoss::None);
                    rt::time::sleep(RESTART_DELAY).await;
                }
            }
        }
    }

    async fn try_start(self: &Arc<Self>) -> Result<(), rt::BoxError> {
        let tasks = Arc::new(TaskGroup::new(&CancellationToken::new()));
        let disk = Disk::new(self.fs());
        let objects = self.shared.objects.seen_by(&self.name);
        let gossip = NodeGossip::new(&self.shared.ports, &self.shared.links.network, &self.name);
        let built = build::build(self, &tasks, &disk, (&objects, &gossip))?;
        let services = built.services.into_iter().map(|service| Running {
            service,
            stop: CancellationToken::new(),
            ended: Mutex::default(),
        });
        let process = Arc::new(Process {
            tasks,
            services: services.collect(),
            disk,
            objects,
            gossip,
            is_ready: AtomicBool::new(false),
            router: built.router,
            ingesters: built.ingesters,
            ring: built.ring,
            own_ring: built.own_ring,
            jobs: built.jobs,
        });
        *self.process.lock() = Some(Arc::clone(&process));
        let (sender, receiver) = oneshot::channel();
        let (this, starting) = (Arc::clone(self), Arc::clone(&process));
        process.tasks.spawn("start", async move {
            let _ = sender.send(this.start_services(&starting).await);
        });
        receiver.await.unwrap_or_else(|_| Err("killed while it started".into()))?;
        process.is_ready.store(true, Ordering::Relaxed);
        self.log("is ready");
        Ok(())
    }

    async fn start_services(self: &Arc<Self>, process: &Arc<Process>) -> Result<(), rt::BoxError> {
        for running in &process.services {
            running.service.starting().await?;
            let (sender, receiver) = oneshot::channel();
            *running.ended.lock() = Some(receiver);
            let (service, stop) = (Arc::clone(&running.service), running.stop.clone());
            let this = Arc::clone(self);
            process.tasks.spawn("service", async move {
                let result = service.running(stop).await;
                let _ = sender.send(());
                if let Err(error) = result {
                    this.failed(service.name(), &error.to_string());
                }
            });
        }
        Ok(())
    }

    /// A service has failed: the process ends, and another one is started.
    fn failed(self: &Arc<Self>, service: &str, error: &str) {
        self.log(&format!("{service} failed: {error}"));
        self.shared.world.cover("processes failed");
        let this = Arc::clone(self);
        self.supervisor.spawn("restart", async move {
            this.end(DiskLoss::None);
            rt::time::sleep(RESTART_DELAY).await;
            if this.is_wanted.load(Ordering::Relaxed) {
                this.start().await;
            }
        });
    }

    /// Ends the process in order.
    pub(crate) async fn stop(self: &Arc<Self>) {
        self.is_wanted.store(false, Ordering::Relaxed);
        let _one = self.changing.lock().await;
        let Some(process) = self.process.lock().clone() else { return };
        process.is_ready.store(false, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let stopping = Arc::clone(&process);
        process.tasks.spawn("stop", async move {
            stopping.stop_services().await;
            let _ = sender.send(());
        });
        if !matches!(rt::time::timeout(STOP_TIMEOUT, receiver).await, Ok(Ok(()))) {
            self.log("did not stop in order");
        }
        self.end(DiskLoss::None);
    }

    /// It leaves for good, or stays.
    pub(crate) fn set_retired(&self, is_retired: bool) {
        self.is_retired.store(is_retired, Ordering::Relaxed);
    }

    /// Kills the process, or the machine.
    pub(crate) fn kill(&self, loss: DiskLoss) {
        self.is_wanted.store(false, Ordering::Relaxed);
        self.end(loss);
    }

    fn end(&self, loss: DiskLoss) {
        if let Some(process) = self.process.lock().take() {
            process.is_ready.store(false, Ordering::Relaxed);
            process.disk.fence();
            process.objects.fence();
            process.gossip.fence();
            process.tasks.abort_all();
        }
        self.shared.links.ingesters.lock().remove(&self.name);
        self.shared.links.gateways.lock().remove(&self.name);
        self.lose(loss);
        self.log(&format!("is down, disk lost: {loss:?}"));
    }

    fn lose(&self, loss: DiskLoss) {
        let (world, links, fs) = (&self.shared.world, &self.shared.links, self.fs());
        let now_ms = world.now_ms();
        match loss {
            DiskLoss::None => {
                fs.crash(Crash::Process);
                if world.bug == Some(Bug::LostWalTail) {
                    lose_wal_tail(&fs);
                }
            }
            DiskLoss::Unsynced => {
                let seed = world.below(u64::MAX);
                fs.crash(if seed % 2 == 0 { Crash::LoseUnsynced } else { Crash::Random(seed) });
                if !self.shared.variant.syncs_always {
                    links.truth.lock().lost(&self.name, now_ms - setup::UNSYNCED_MS);
                }
            }
            DiskLoss::All => {
                *self.fs.lock() = FaultFs::new();
                links.truth.lock().lost(&self.name, i64::MIN);
            }
        }
    }

    fn log(&self, what: &str) {
        self.shared.world.log(format_args!("{} {what}", self.name));
    }
}

/// The planted bug: the last bytes of every write-ahead log are gone.
fn lose_wal_tail(fs: &FaultFs) {
    let mut newest = BTreeMap::new();
    for path in files_below(fs, std::path::Path::new("/tsdb")) {
        let dir = path.parent().map(std::path::Path::to_owned).unwrap_or_default();
        if dir.ends_with("wal") {
            newest.insert(dir, path);
        }
    }
    for path in newest.values() {
        fs.corrupt(path, |content| {
            let written = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            content.truncate(written.saturating_sub(300));
        });
    }
}

impl Process {
    async fn stop_services(&self) {
        for running in self.services.iter().rev() {
            running.stop.cancel();
            let ended = running.ended.lock().take();
            if let Some(ended) = ended {
                let _ = ended.await;
                // What fails at the end is logged by the service.
                let _ = running.service.stopping().await;
            }
        }
    }
}
