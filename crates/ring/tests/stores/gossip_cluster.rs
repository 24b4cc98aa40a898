//! Gossip between members over loopback: they find each other, agree, lose each other and meet
//! again; and others are kept out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::kv::{Client, Store};
use ring::memberlist::{
    GossipOptions, JoinOptions, MemberlistKv, MemberlistOptions, NodeState, ServiceParts,
    TransportOptions,
};
use ring::{Desc, RingCodec};
use rt::time::{sleep, timeout};
use rt::tls::TlsOptions;
use rt::{Metrics, Service, SystemClock, SystemRandom};

use crate::suite;

const LIMIT: Duration = Duration::from_secs(30);

/// A member with quick intervals.
struct Node {
    kv: Arc<MemberlistKv>,
    client: Client<Desc>,
}

#[derive(Clone, Default)]
struct Setup {
    name: String,
    label: String,
    port: u16,
    join: Vec<SocketAddr>,
    must_join: bool,
    tls: Option<TlsOptions>,
}

fn options(setup: &Setup) -> MemberlistOptions {
    let loopback = "127.0.0.1:0".parse().unwrap();
    let mut gossip = GossipOptions::new(&setup.name, loopback);
    gossip.envelope.label.clone_from(&setup.label);
    gossip.gossip_interval_ms = 20;
    gossip.push_pull_interval_ms = 500;
    gossip.probe_interval_ms = 200;
    gossip.probe_timeout_ms = 100;
    let second = Duration::from_secs(1);
    MemberlistOptions {
        gossip,
        advertise_address: None,
        advertise_port: 0,
        transport: TransportOptions {
            bind_addresses: vec!["127.0.0.1".to_owned()],
            bind_port: setup.port,
            packet_dial_timeout: second,
            packet_write_timeout: second,
            stream_timeout: 2 * second,
            max_concurrent_writes: 3,
            acquire_writer_timeout: second,
            tls: setup.tls.clone(),
        },
        join: JoinOptions {
            members: setup.join.iter().map(ToString::to_string).collect(),
            rejoin_interval: second / 2,
            abort_if_fast_join_fails: setup.must_join,
            abort_if_join_fails: setup.must_join,
            ..JoinOptions::default()
        },
        leave_timeout: 2 * second,
        broadcast_timeout: 2 * second,
        notify_interval: Duration::ZERO,
    }
}

async fn start(setup: Setup) -> Node {
    let parts = ServiceParts {
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom::new().unwrap()),
        metrics: Metrics::new(),
        codecs: vec![Arc::new(RingCodec)],
    };
    let kv = Arc::new(MemberlistKv::new(options(&setup), parts).unwrap());
    kv.starting().await.unwrap();
    let client = suite::client(Arc::clone(&kv) as Arc<dyn Store>);
    Node { kv, client }
}

impl Node {
    fn address(&self) -> SocketAddr {
        self.kv.address().unwrap()
    }

    fn alive(&self) -> usize {
        let members = self.kv.status().members;
        members.iter().filter(|member| member.state == NodeState::Alive).count()
    }

    async fn ids(&self) -> Vec<String> {
        suite::ids(self.client.get("ring").await.unwrap())
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn cluster(count: usize, label: &str) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for i in 0..count {
        let join = nodes.first().map(Node::address).into_iter().collect();
        let (name, label) = (format!("n{i}"), label.to_owned());
        nodes.push(start(Setup { name, label, join, ..Setup::default() }).await);
    }
    nodes
}

#[tokio::test]
async fn one_member_alone_does_what_every_store_does() {
    let node = start(Setup { name: "alone".to_owned(), ..Setup::default() }).await;
    suite::check(Arc::clone(&node.kv) as Arc<dyn Store>).await;
    node.kv.stopping().await.unwrap();
    assert!(node.client.get("ring").await.is_err());
}

#[tokio::test]
async fn five_members_agree_and_notice_who_leaves_and_who_dies() {
    let nodes = cluster(5, "cluster").await;
    for (i, node) in nodes.iter().enumerate() {
        node.client.cas("ring", suite::add(&format!("i{i}"), 100)).await.unwrap();
    }
    for node in &nodes {
        until("all agree", async || node.ids().await.len() == 5 && node.alive() == 5).await;
    }
    // A deletion is a change like any other.
    let remove = |desc: Option<Desc>| {
        let mut desc = desc.unwrap_or_default();
        desc.ingesters.remove("i3");
        Ok(Some(desc))
    };
    nodes[3].client.cas("ring", remove).await.unwrap();
    until("the deletion arrives", async || nodes[0].ids().await.len() == 4).await;
    nodes[1].kv.stopping().await.unwrap();
    let mut nodes = nodes;
    drop(nodes.remove(1));
    until("who left is gone", async || nodes.iter().all(|node| node.alive() == 4)).await;
    // Without a word.
    drop(nodes.pop());
    until("who died is gone", async || nodes.iter().all(|node| node.alive() == 3)).await;
}

#[tokio::test]
async fn a_member_that_was_away_comes_back() {
    let nodes = cluster(3, "").await;
    for node in &nodes {
        until("all are there", async || node.alive() == 3).await;
    }
    let mut nodes = nodes;
    let lost = nodes.pop().unwrap();
    let port = lost.address().port();
    drop(lost);
    nodes[0].client.cas("ring", suite::add("while-away", 100)).await.unwrap();
    until("it is missed", async || nodes[0].alive() == 2).await;
    let join = vec![nodes[0].address()];
    let setup = Setup { name: "n2".to_owned(), port, join, ..Setup::default() };
    let back = start(setup).await;
    until("it is back", async || nodes.iter().all(|node| node.alive() == 3)).await;
    until("it knows", async || back.ids().await == ["while-away"]).await;
}

#[tokio::test]
async fn the_first_member_of_a_cluster_joins_itself() {
    // A name of a service has the member's own address alone as long as there is nobody else.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = free.local_addr().unwrap();
    let port = own.port();
    drop(free);
    let name = "first".to_owned();
    let setup = Setup { name, port, join: vec![own], must_join: true, ..Setup::default() };
    let first = start(setup).await;
    assert_eq!(first.address(), own);
    assert_eq!(first.alive(), 1);
}

#[tokio::test]
async fn another_cluster_is_refused() {
    let ours = cluster(2, "ours").await;
    let join = vec![ours[0].address()];
    let label = "theirs".to_owned();
    let stranger = start(Setup { name: "stranger".to_owned(), label, join, ..Setup::default() });
    let stranger = stranger.await;
    stranger.client.cas("ring", suite::add("strange", 100)).await.unwrap();
    assert!(stranger.kv.join(ours[1].address()).await.is_err());
    until("ours agree", async || ours.iter().all(|node| node.alive() == 2)).await;
    assert_eq!((stranger.alive(), ours[0].ids().await.len()), (1, 0));
}
