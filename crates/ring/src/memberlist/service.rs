//! The gossip on a network: listens, sends, keeps time, joins and leaves; and the key-value
//! store over it. All decisions are made by [`Gossip`].

mod join;
mod store;
mod stream;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use model::{Clock, Random};
use parking_lot::Mutex;
use rt::time::{sleep, timeout};
use rt::{BoxError, BoxFuture, CancellationToken, Metrics, Service, TaskGroup};
use tokio::sync::{Semaphore, mpsc, watch};

use super::gossip::{Command, Gossip, GossipOptions, MemberView, ValueView};
use super::message::MessageError;
use super::transport::{
    Accepted, Incoming, Listener, Network, Tcp, TransportOptions, read_incoming, send_packet,
};
use super::{Now, metrics};
use crate::kv::{Codec, KvError};

pub use join::JoinOptions;

/// Packets that wait to be sent; more are dropped.
const SEND_QUEUE: usize = 1024;
/// Connections from others at once.
const MAX_CONNECTIONS: usize = 512;
/// Exchanges of everything at once.
const MAX_PUSH_PULLS: usize = 128;
/// How long a packet may take to come in.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_SLEEP_MS: u64 = 200;
const POLL: Duration = Duration::from_millis(50);

/// Everything that is configured.
#[derive(Debug, Clone)]
pub struct MemberlistOptions {
    /// How the member behaves. Its address is found at the start.
    pub gossip: GossipOptions,
    /// The address that others are told; `None`: found.
    pub advertise_address: Option<IpAddr>,
    /// The port that goes with [`Self::advertise_address`].
    pub advertise_port: u16,
    /// Connections.
    pub transport: TransportOptions,
    /// Whom to join.
    pub join: JoinOptions,
    /// How long leaving may take.
    pub leave_timeout: Duration,
    /// How long changes made here are still told before leaving.
    pub broadcast_timeout: Duration,
    /// The shortest time between two reports to those who watch.
    pub notify_interval: Duration,
}

/// What the service is built with.
pub struct ServiceParts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The registry.
    pub metrics: Metrics,
    /// The kinds of values that are understood.
    pub codecs: Vec<Arc<dyn Codec>>,
}

/// What `/memberlist` shows.
#[derive(Debug, Clone, Default)]
pub struct StatusPage {
    /// All members.
    pub members: Vec<MemberView>,
    /// All keys.
    pub values: Vec<ValueView>,
    /// How badly this member does; 0 is best.
    pub health_score: u64,
    /// The address that others are told.
    pub address: String,
}

/// The gossip as a service and as a key-value store.
pub struct MemberlistKv {
    shared: Arc<Shared>,
    tasks: TaskGroup,
}

/// A packet and where it goes.
type Packet = (SocketAddr, Vec<u8>);

/// What tasks share.
pub(super) struct Shared {
    options: MemberlistOptions,
    codecs: Vec<Arc<dyn Codec>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    pub(super) counters: metrics::TransportCounters,
    /// Set while the service runs.
    gossip: Mutex<Option<Gossip>>,
    /// Grows with every change of a value, and when the service starts and ends.
    changes: watch::Sender<u64>,
    phase: watch::Sender<Phase>,
    sender: Mutex<Option<mpsc::Sender<Packet>>>,
    pub(super) network: Arc<dyn Network>,
    push_pulls: Semaphore,
    connections: Arc<Semaphore>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Started,
    Ended,
}

impl MemberlistKv {
    /// Reads the files of TLS; nothing else is done before it starts. Blocks.
    pub fn new(options: MemberlistOptions, parts: ServiceParts) -> Result<Self, String> {
        let tcp = Tcp::new(options.transport.clone()).map_err(|error| error.to_string())?;
        Ok(Self::over(Arc::new(tcp), options, parts))
    }

    /// The gossip on another network than that of this machine.
    pub fn over(
        network: Arc<dyn Network>,
        options: MemberlistOptions,
        parts: ServiceParts,
    ) -> Self {
        let shared = Arc::new(Shared {
            options,
            codecs: parts.codecs,
            clock: parts.clock,
            random: parts.random,
            counters: metrics::TransportCounters::new(&parts.metrics),
            gossip: Mutex::new(None),
            changes: watch::Sender::new(0),
            phase: watch::Sender::new(Phase::New),
            sender: Mutex::new(None),
            network,
            push_pulls: Semaphore::new(MAX_PUSH_PULLS),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        });
        metrics::register(&parts.metrics, &shared);
        Self { shared, tasks: TaskGroup::new(&CancellationToken::new()) }
    }

    /// What is known now; empty while the service does not run.
    pub fn status(&self) -> StatusPage {
        let gossip = self.shared.gossip.lock();
        gossip.as_ref().map_or_else(StatusPage::default, |gossip| StatusPage {
            members: gossip.members(),
            values: gossip.values(),
            health_score: gossip.health_score(),
            address: gossip.options().address.to_string(),
        })
    }

    /// The address that others are told, once it has started.
    pub fn address(&self) -> Option<SocketAddr> {
        self.shared.gossip.lock().as_ref().map(|gossip| gossip.options().address)
    }

    /// What a key holds, for the status page.
    pub fn describe(&self, key: &str) -> Option<String> {
        let (value, _) = self.shared.gossip.lock().as_ref()?.get(key);
        value.map(|value| value.describe())
    }

    /// Joins the cluster of a member now.
    pub async fn join(&self, member: SocketAddr) -> io::Result<()> {
        self.shared.push_pull(member, true).await
    }

    async fn start(&self) -> Result<(), BoxError> {
        let listeners = self.shared.network.listen().await?;
        let port = listeners.first().map_or(Ok(0), |l| l.address().map(|a| a.port()))?;
        let address = self.shared.advertised(port);
        let options = GossipOptions { address, ..self.shared.options.gossip.clone() };
        tracing::info!(name = options.name, %address, "gossip starts");
        let (codecs, random) = (self.shared.codecs.clone(), Arc::clone(&self.shared.random));
        let gossip = Gossip::new(options, codecs, random, self.shared.now());
        *self.shared.gossip.lock() = Some(gossip);
        self.spawn_senders(address);
        for listener in listeners {
            let (shared, token) = (Arc::clone(&self.shared), self.tasks.token().clone());
            self.tasks.spawn_until_cancelled("memberlist-accept", async move {
                let connections = TaskGroup::new(&token);
                shared.accept(&*listener, &connections).await;
            });
        }
        let shared = Arc::clone(&self.shared);
        let exchanges = TaskGroup::new(self.tasks.token());
        self.tasks.spawn_until_cancelled("memberlist-timer", async move {
            shared.keep_time(&exchanges).await;
        });
        self.shared.phase.send_replace(Phase::Started);
        self.shared.fast_join().await
    }

    fn spawn_senders(&self, address: SocketAddr) {
        let (sender, receiver) = mpsc::channel(SEND_QUEUE);
        *self.shared.sender.lock() = Some(sender);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        for _ in 0..self.shared.options.transport.max_concurrent_writes.max(1) {
            let (shared, receiver) = (Arc::clone(&self.shared), Arc::clone(&receiver));
            self.tasks.spawn_until_cancelled("memberlist-send", async move {
                loop {
                    let next = receiver.lock().await.recv().await;
                    let Some((to, packet)) = next else { return };
                    shared.send(to, &packet, address).await;
                }
            });
        }
    }

    async fn leave(&self) {
        let shared = &self.shared;
        let alone_or = |is_done: fn(&Gossip) -> bool| {
            let gossip = shared.gossip.lock();
            gossip.as_ref().is_none_or(|gossip| gossip.member_count() < 2 || is_done(gossip))
        };
        let told = async {
            while !alone_or(|gossip| gossip.local_queue_len() == 0) {
                sleep(POLL).await;
            }
        };
        let limit = shared.options.broadcast_timeout;
        if limit.is_zero() {
            told.await;
        } else if timeout(limit, told).await.is_err() {
            tracing::warn!("left the gossip before all changes were told");
        }
        let now = shared.now();
        shared.with(|gossip| gossip.leave(now));
        let left = async {
            while !shared.gossip.lock().as_ref().is_none_or(Gossip::has_told_leaving) {
                sleep(POLL).await;
            }
        };
        if timeout(shared.options.leave_timeout, left).await.is_err() {
            tracing::warn!("left the gossip before everybody was told");
        }
    }
}

impl Shared {
    pub(super) fn now(&self) -> Now {
        Now::of(self.clock.as_ref())
    }

    /// Looks at the gossip, if the service runs.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Gossip) -> T) -> Option<T> {
        self.gossip.lock().as_ref().map(look)
    }

    /// Uses the gossip, and carries out what it says. The commands that need a task of their own
    /// are returned.
    fn with<T>(&self, use_it: impl FnOnce(&mut Gossip) -> T) -> Option<(T, Vec<SocketAddr>)> {
        let (result, commands) = {
            let mut gossip = self.gossip.lock();
            let gossip = gossip.as_mut()?;
            (use_it(gossip), gossip.take_commands())
        };
        let mut exchanges = Vec::new();
        for command in commands {
            match command {
                Command::Send { to, packet } => self.enqueue(to, packet),
                Command::PushPull { to } => exchanges.push(to),
                Command::Changed { .. } => self.changes.send_modify(|changes| *changes += 1),
            }
        }
        Some((result, exchanges))
    }

    fn enqueue(&self, to: SocketAddr, packet: Vec<u8>) {
        let is_queued =
            self.sender.lock().as_ref().is_some_and(|s| s.try_send((to, packet)).is_ok());
        if !is_queued {
            self.counters.dropped_packets.inc();
        }
    }

    async fn send(&self, to: SocketAddr, packet: &[u8], own: SocketAddr) {
        self.counters.sent_packets.inc();
        self.counters.sent_packet_bytes.inc_by(packet.len() as u64);
        self.counters.sent_bytes.inc_by(packet.len() as u64);
        let ways = (self.network.as_ref(), &self.options.transport);
        if let Err(error) = send_packet(to, &own.to_string(), packet, ways).await {
            self.counters.send_errors.inc();
            tracing::debug!(%to, %error, "could not send a gossip packet");
        }
    }

    /// Where others reach this member.
    fn advertised(&self, port: u16) -> SocketAddr {
        if let Some(address) = self.options.advertise_address {
            return SocketAddr::new(address, self.options.advertise_port);
        }
        let bound = self.options.transport.bind_addresses.first();
        let bound = bound.and_then(|address| address.parse::<IpAddr>().ok());
        let ip = match bound {
            Some(ip) if !ip.is_unspecified() => ip,
            Some(ip) => crate::net::instance_address(ip.is_ipv6()),
            None => crate::net::instance_address(false),
        };
        SocketAddr::new(ip, port)
    }

    async fn keep_time(self: &Arc<Self>, exchanges: &TaskGroup) {
        loop {
            let now = self.now();
            let Some(((), due)) = self.with(|gossip| gossip.tick(now)) else { return };
            for to in due {
                let shared = Arc::clone(self);
                exchanges.spawn_until_cancelled("memberlist-push-pull", async move {
                    if let Err(error) = shared.push_pull(to, false).await {
                        tracing::warn!(%to, %error, "could not exchange the gossip's state");
                    }
                });
            }
            let next = self.look(Gossip::next_tick_ms).unwrap_or(0);
            let wait = next.saturating_sub(self.now().monotonic_ms).clamp(1, LONGEST_SLEEP_MS);
            sleep(Duration::from_millis(wait)).await;
        }
    }

    async fn accept(self: &Arc<Self>, listener: &dyn Listener, tasks: &TaskGroup) {
        loop {
            let (from, ready) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a gossip connection");
                    sleep(POLL).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
                tracing::warn!(%from, "too many gossip connections");
                continue;
            };
            let shared = Arc::clone(self);
            tasks.spawn_until_cancelled("memberlist-connection", async move {
                let _permit = permit;
                if let Err(error) = shared.serve((from, ready)).await {
                    shared.counters.receive_errors.inc();
                    tracing::warn!(%from, %error, "gossip connection refused or broken");
                }
            });
        }
    }

    async fn serve(&self, (from, ready): Accepted) -> io::Result<()> {
        let receive = async { read_incoming(ready.await?).await };
        match timeout(RECEIVE_TIMEOUT, receive).await.map_err(io::Error::other)?? {
            Incoming::Packet { from: said, payload } => {
                self.counters.received_packets.inc();
                self.counters.received_packet_bytes.inc_by(payload.len() as u64);
                self.counters.received_bytes.inc_by(payload.len() as u64);
                self.take_packet(&payload, said.parse().unwrap_or(from)).map_err(io::Error::other)
            }
            Incoming::Stream(stream) => {
                self.counters.incoming_streams.inc();
                self.serve_stream(stream).await
            }
        }
    }

    fn take_packet(&self, payload: &[u8], from: SocketAddr) -> Result<(), MessageError> {
        let now = self.now();
        let taken = self.with(|gossip| gossip.handle_packet(now, payload, from));
        taken.map_or(Ok(()), |(result, _)| result)
    }

    /// Waits until the service runs.
    async fn started(&self) -> Result<(), KvError> {
        let mut phase = self.phase.subscribe();
        let phase = phase.wait_for(|phase| *phase != Phase::New).await.map(|phase| *phase);
        match phase {
            Ok(Phase::Started) => Ok(()),
            _ => Err(stopped()),
        }
    }
}

fn stopped() -> KvError {
    KvError::Unavailable { store: "memberlist", message: "the gossip has ended".to_owned() }
}

impl Service for MemberlistKv {
    fn name(&self) -> &'static str {
        "memberlist-kv"
    }

    fn starting(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        self.start().boxed()
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            let join = self.shared.join_and_rejoin();
            stop.run_until_cancelled(join).await.unwrap_or(Ok(()))
        }
        .boxed()
    }

    fn stopping(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            self.leave().await;
            self.tasks.token().cancel();
            self.shared.phase.send_replace(Phase::Ended);
            *self.shared.gossip.lock() = None;
            self.shared.changes.send_modify(|changes| *changes += 1);
            Ok(())
        }
        .boxed()
    }
}
