//! What stands in the place of gRPC: calls from node to node over the simulated network. The
//! request arrives (or not), the real component works, the answer comes back (or not).

mod gateways;
mod pushes;
mod reads;

use std::collections::BTreeMap;
use std::sync::Arc;

use ingester::Ingester;
use model::storage::DecodedSamples;
use model::{Labels, SampleBuffer, SeriesEntry, SeriesSet, StorageError, TenantId};
use parking_lot::Mutex;
use rt::{BlockingHandle, TaskGroup};
use store_gateway::StoreGateway;
use tokio::sync::oneshot;

pub(crate) use gateways::GatewayLinks;
pub(crate) use pushes::PushLinks;
pub(crate) use reads::ReadLinks;

use crate::network::Network;
use crate::setup;
use crate::truth::Truth;
use crate::world::World;

/// Of a thousand streams so many break off half-way.
const BROKEN_STREAMS: u64 = 20;

/// All that calls between nodes need.
pub(crate) struct Links {
    pub(crate) world: Arc<World>,
    pub(crate) network: Arc<Network>,
    pub(crate) truth: Mutex<Truth>,
    /// The replica of the pair of senders of which samples were taken last, and since when.
    pub(crate) elected: Mutex<Option<(usize, std::time::Duration)>>,
    /// The processes that serve, by the names of their nodes.
    pub(crate) ingesters: Mutex<BTreeMap<String, Arc<Ingester>>>,
    pub(crate) gateways: Mutex<BTreeMap<String, ServedGateway>>,
    /// Requests under way: they go on when their sender has died.
    pub(crate) tasks: TaskGroup,
}

/// A store-gateway and its threads.
#[derive(Clone)]
pub(crate) struct ServedGateway {
    pub(crate) gateway: StoreGateway,
    pub(crate) blocking: BlockingHandle,
}

impl Links {
    fn ingester(&self, node: &str) -> Option<Arc<Ingester>> {
        self.ingesters.lock().get(node).cloned()
    }

    /// The tenant that a request is for when it arrives: the planted bug changes it.
    fn arriving(&self, tenant: &TenantId) -> TenantId {
        let mixes = self.world.bug == Some(crate::bugs::Bug::TenantsMixedUp);
        if mixes && self.world.chance(10) { setup::other_tenant(tenant) } else { tenant.clone() }
    }
}

/// The node at an address.
fn node_of(address: &str) -> &str {
    address.split(':').next().unwrap_or_default()
}

fn no_answer(node: &str) -> StorageError {
    StorageError::Unavailable(format!("{node} did not answer"))
}

/// Waits on a fiber for what comes out of `receiver`.
fn wait_for<T>(
    blocking: &BlockingHandle,
    node: &str,
    receiver: oneshot::Receiver<Result<T, StorageError>>,
) -> Result<T, StorageError> {
    blocking.block_on(receiver).unwrap_or_else(|_| Err(no_answer(node)))
}

/// Series on the wire.
type Sent = Vec<(Labels, SampleBuffer)>;

/// Reads all of a set.
fn drained(mut set: Box<dyn SeriesSet>) -> Result<Sent, StorageError> {
    let mut sent = Vec::new();
    while let Some(mut entry) = set.next_series()? {
        let mut samples = SampleBuffer::default();
        entry.samples.read_all(&mut samples)?;
        sent.push((entry.labels, samples));
    }
    Ok(sent)
}

/// Series as they arrive; the stream may break off.
struct Arriving {
    series: std::vec::IntoIter<(Labels, SampleBuffer)>,
    /// How many come before it breaks off.
    left: Option<u64>,
}

impl Arriving {
    fn new(world: &World, sent: Sent) -> Self {
        let breaks = !sent.is_empty() && world.is_disturbed() && world.chance(BROKEN_STREAMS);
        let left = breaks.then(|| world.below(sent.len() as u64));
        if breaks {
            world.cover("streams broken off");
        }
        Self { series: sent.into_iter(), left }
    }
}

impl SeriesSet for Arriving {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        match &mut self.left {
            Some(0) => return Err(StorageError::Unavailable("the stream broke off".to_owned())),
            Some(left) => *left -= 1,
            None => {}
        }
        let Some((labels, samples)) = self.series.next() else { return Ok(None) };
        Ok(Some(SeriesEntry { labels, samples: Box::new(DecodedSamples::new(samples)) }))
    }
}
