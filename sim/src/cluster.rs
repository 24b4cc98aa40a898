//! All nodes of a simulation, and what clients see of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use crate::links::Links;
use crate::network::Network;
use crate::node::{Node, Process, Shared};
use crate::objects::Objects;
use crate::setup::{self, Kind, Variant};
use crate::world::World;

/// The cluster.
pub(crate) struct Cluster {
    pub(crate) shared: Arc<Shared>,
    pub(crate) nodes: Mutex<BTreeMap<String, Arc<Node>>>,
}

/// What a client is answered; `None` when the connection broke.
pub(crate) type Answer = Option<(StatusCode, Vec<u8>)>;

impl Cluster {
    /// A cluster whose nodes are off.
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        let variant = Variant::of(world);
        world.log(format_args!("{variant:?}"));
        world.cover(if variant.gossips { "rings by gossip" } else { "rings in a store" });
        let network = Network::new(world);
        let config = setup::config(variant);
        let links = Links {
            world: Arc::clone(world),
            network: Arc::clone(&network),
            truth: Mutex::default(),
            elected: Mutex::default(),
            ingesters: Mutex::default(),
            gateways: Mutex::default(),
            tasks: rt::TaskGroup::new(&rt::CancellationToken::new()),
        };
        let shared = Arc::new(Shared {
            world: Arc::clone(world),
            links: Arc::new(links),
            objects: Objects::new(world, &network),
            kv: Arc::default(),
            ports: Arc::default(),
            overrides: setup::overrides(&config, variant),
            config,
            variant,
        });
        let nodes = setup::nodes().into_iter().map(|(kind, name)| {
            let node = Node::new(&shared, kind, &name);
            (name, node)
        });
        Arc::new(Self { nodes: Mutex::new(nodes.collect()), shared: Arc::clone(&shared) })
    }

    /// Starts all nodes.
    pub(crate) async fn start(&self) {
        let nodes = self.all();
        futures::future::join_all(nodes.iter().map(Node::start)).await;
    }

    /// All nodes, in order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<Node>> {
        self.nodes.lock().values().cloned().collect()
    }

    /// The nodes of a kind.
    pub(crate) fn of(&self, kind: Kind) -> Vec<Arc<Node>> {
        self.all().into_iter().filter(|node| node.kind == kind).collect()
    }

    /// Adds a node that is off.
    pub(crate) fn add(&self, kind: Kind, name: &str) -> Arc<Node> {
        let node = Node::new(&self.shared, kind, name);
        self.nodes.lock().insert(name.to_owned(), Arc::clone(&node));
        node
    }

    /// A process of this kind that is ready, any of them.
    pub(crate) fn any_ready(&self, kind: Kind) -> Option<(Arc<Node>, Arc<Process>)> {
        let ready = |node: Arc<Node>| node.ready().map(|process| (node, process));
        let mut ready: Vec<_> = self.of(kind).into_iter().filter_map(ready).collect();
        let at = self.shared.world.below(ready.len() as u64) as usize;
        (!ready.is_empty()).then(|| ready.swap_remove(at))
    }
}

/// Sends a request to a process, and waits for its answer.
pub(crate) async fn ask(process: &Arc<Process>, request: Request<Body>) -> Answer {
    let router = process.router.clone()?;
    let (sender, receiver) = oneshot::channel();
    process.spawn(async move {
        // The client may have given up.
        let _ = sender.send(serve(router, request).await);
    });
    receiver.await.ok().flatten()
}

async fn serve(router: Router, request: Request<Body>) -> Answer {
    let Ok(response) = router.oneshot(request).await;
    let status = response.status();
    let body = response.into_body().collect().await.ok()?;
    Some((status, body.to_bytes().to_vec()))
}
