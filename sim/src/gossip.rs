//! The network below the gossip: the real members, of which each packet and each exchange goes
//! over the simulated network, late, out of order, or not at all.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use model::{Clock, Random};
use parking_lot::Mutex;
use ring::RingCodec;
use ring::memberlist::{
    Accepted, Connection, GossipOptions, JoinOptions, Listener, MemberlistKv, MemberlistOptions,
    Network as GossipNetwork, ServiceParts, TransportOptions,
};
use rt::{BoxFuture, Metrics};
use tokio::sync::mpsc;

use crate::network::Network;
use crate::setup;

/// The port of every member.
const PORT: u16 = 7946;
/// Connections that wait to be taken.
const BACKLOG: usize = 256;
/// Bytes that are under way on a connection.
const PIPE_BYTES: usize = 1 << 20;

/// Who listens where.
#[derive(Default)]
pub(crate) struct Ports(Mutex<BTreeMap<SocketAddr, (String, mpsc::Sender<Accepted>)>>);

/// The address of a node: its kind, zone and number.
fn address_of(node: &str) -> SocketAddr {
    let mut parts = node.split('-');
    let mut byte = |from: u8| parts.next()?.bytes().next()?.checked_sub(from);
    let (kind, zone, number) = (byte(b'a'), byte(b'a'), byte(b'0'));
    let ip = Ipv4Addr::new(
        10,
        kind.unwrap_or_default(),
        zone.unwrap_or_default(),
        number.unwrap_or_default(),
    );
    SocketAddr::new(IpAddr::V4(ip), PORT)
}

/// A process' way to the others, until it is killed.
pub(crate) struct NodeGossip {
    pub(crate) ports: Arc<Ports>,
    pub(crate) network: Arc<Network>,
    pub(crate) node: String,
    is_alive: AtomicBool,
}

impl NodeGossip {
    /// The way of a process of `node`.
    pub(crate) fn new(ports: &Arc<Ports>, network: &Arc<Network>, node: &str) -> Arc<Self> {
        Arc::new(Self {
            ports: Arc::clone(ports),
            network: Arc::clone(network),
            node: node.to_owned(),
            is_alive: AtomicBool::new(true),
        })
    }

    /// The process has been killed: nothing reaches it, and what is left of it reaches nobody.
    pub(crate) fn fence(&self) {
        if self.is_alive.swap(false, Ordering::Relaxed) {
            self.ports.0.lock().remove(&address_of(&self.node));
        }
    }

    async fn reach(&self, to: SocketAddr) -> io::Result<Box<dyn Connection>> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let found = self.ports.0.lock().get(&to).map(|(node, _)| node.clone());
        let node = found.ok_or_else(refused)?;
        self.network.carry(&self.node, &node).await.map_err(|_| refused())?;
        if !self.is_alive.load(Ordering::Relaxed) {
            return Err(refused());
        }
        // It may be another process by now, or none.
        let sender = self.ports.0.lock().get(&to).map(|(_, sender)| sender.clone());
        let (here, there) = tokio::io::duplex(PIPE_BYTES);
        let there = Box::new(there) as Box<dyn Connection>;
        let accepted = (address_of(&self.node), std::future::ready(Ok(there)).boxed());
        sender.ok_or_else(refused)?.try_send(accepted).map_err(|_| refused())?;
        Ok(Box::new(here))
    }
}

impl GossipNetwork for NodeGossip {
    fn listen(&self) -> BoxFuture<'_, io::Result<Vec<Box<dyn Listener>>>> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let address = address_of(&self.node);
        self.ports.0.lock().insert(address, (self.node.clone(), sender));
        let port = Port { address, receiver: tokio::sync::Mutex::new(receiver) };
        async move { Ok(vec![Box::new(port) as Box<dyn Listener>]) }.boxed()
    }

    fn connect(
        &self,
        to: SocketAddr,
        limit: Duration,
    ) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        let reach = self.reach(to);
        async move { rt::time::timeout(limit, reach).await.map_err(io::Error::other)? }.boxed()
    }
}

struct Port {
    address: SocketAddr,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Accepted>>,
}

impl Listener for Port {
    fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Accepted>> {
        async {
            let next = self.receiver.lock().await.recv().await;
            match next {
                Some(accepted) => Ok(accepted),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}

/// The gossip of a process: everything is rarer than by default, as all else is.
pub(crate) fn member(
    way: &Arc<NodeGossip>,
    (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
    metrics: Metrics,
) -> Arc<MemberlistKv> {
    let address = address_of(&way.node);
    let gossip = GossipOptions {
        retransmit_factor: 2,
        gossip_interval_ms: 1_000,
        ..GossipOptions::new(&way.node, address)
    };
    let first = setup::nodes().into_iter().map(|(_, name)| address_of(&name).ip().to_string());
    let options = MemberlistOptions {
        gossip,
        advertise_address: Some(address.ip()),
        advertise_port: address.port(),
        transport: TransportOptions {
            bind_addresses: Vec::new(),
            bind_port: PORT,
            packet_dial_timeout: Duration::from_millis(500),
            packet_write_timeout: Duration::from_secs(5),
            stream_timeout: Duration::from_secs(2),
            max_concurrent_writes: 5,
            acquire_writer_timeout: Duration::from_millis(250),
            tls: None,
        },
        join: JoinOptions {
            members: first.step_by(3).collect(),
            rejoin_interval: Duration::from_secs(60),
            ..JoinOptions::default()
        },
        leave_timeout: Duration::from_secs(5),
        broadcast_timeout: Duration::from_secs(5),
        notify_interval: Duration::from_secs(1),
    };
    let codecs: Vec<Arc<dyn ring::kv::Codec>> = vec![Arc::new(RingCodec)];
    let parts = ServiceParts { clock, random, metrics, codecs };
    Arc::new(MemberlistKv::over(Arc::clone(way) as _, options, parts))
}
