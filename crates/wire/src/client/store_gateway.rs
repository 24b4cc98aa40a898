//! How queriers ask store-gateways: for named blocks, so that they can check that every block was
//! looked at.

use std::sync::Arc;

use hashbrown::HashMap;
use model::storage::TextSet;
use model::{
    Matcher, QueryContext, SelectHints, SeriesSet, StorageError, TenantId, TimeRange, TimestampMs,
};
use ulid::Ulid;

/// What a store-gateway is asked for: a part of some of a tenant's blocks.
#[derive(Clone, Copy)]
pub struct BlocksRequest<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The blocks.
    pub blocks: &'a [Ulid],
    /// The time range.
    pub range: TimeRange,
    /// What it counts on.
    pub context: &'a Arc<QueryContext>,
}

/// A store-gateway's answer.
pub struct BlocksAnswer<T> {
    /// What is in the blocks that were looked at.
    pub value: T,
    /// The blocks that it is from. Blocks that the store-gateway does not have are missing here.
    pub queried: Vec<Ulid>,
    /// Blocks that it has and could not read.
    pub failed: Vec<Ulid>,
}

/// One store-gateway.
///
/// An error of [`StorageError::Unavailable`] or [`StorageError::Internal`] means that another one
/// may be able to answer, also where a stream fails later that was handed out; after all others
/// asking again elsewhere would be no use.
pub trait StoreGatewayClient: Send + Sync {
    /// The series that satisfy all matchers, in label order.
    fn select(
        &self,
        request: BlocksRequest<'_>,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<BlocksAnswer<Box<dyn SeriesSet>>, StorageError>;

    /// The label names of series that satisfy all matchers; at most `limit` (0 = all).
    fn label_names(
        &self,
        request: BlocksRequest<'_>,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError>;

    /// The values of a label in series that satisfy all matchers; at most `limit` (0 = all).
    fn label_values(
        &self,
        request: BlocksRequest<'_>,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError>;
}

/// The ways to the store-gateways of a ring, by their addresses.
pub trait GatewayClients: Send + Sync {
    /// The store-gateway at `address`.
    fn gateway(&self, address: &str) -> Result<Arc<dyn StoreGatewayClient>, StorageError>;
}

/// Which store-gateways were asked for each block, by their address.
pub type TriedGateways = HashMap<Ulid, Vec<String>>;

/// A store-gateway and the blocks that it is to be asked for.
pub struct GatewayShare {
    /// Tells it from others.
    pub address: String,
    /// The way to it.
    pub client: Arc<dyn StoreGatewayClient>,
    /// Blocks that it owns.
    pub blocks: Vec<Ulid>,
}

/// A block that somebody is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedBlock {
    /// Which it is.
    pub id: Ulid,
    /// Time after its newest sample: recent blocks can have more owners.
    pub max_time_ms: TimestampMs,
}

/// All store-gateways: who owns which block.
pub trait StoreGateways: Send + Sync {
    /// Divides the blocks among store-gateways that own them and were not tried for them. Fails
    /// when there is none for one of the blocks.
    fn share(
        &self,
        tenant: &TenantId,
        blocks: &[WantedBlock],
        tried: &TriedGateways,
    ) -> Result<Vec<GatewayShare>, StorageError>;

    /// How many store-gateways own a block at most.
    fn replication_factor(&self) -> usize;
}

/// The one store-gateway of this process.
pub struct SingleGateway(pub Arc<dyn StoreGatewayClient>);

impl StoreGateways for SingleGateway {
    fn share(
        &self,
        _: &TenantId,
        blocks: &[WantedBlock],
        tried: &TriedGateways,
    ) -> Result<Vec<GatewayShare>, StorageError> {
        if blocks.iter().any(|block| tried.contains_key(&block.id)) {
            return Err(StorageError::Unavailable(
                "no store-gateway is left that was not asked for the block".to_owned(),
            ));
        }
        let (address, client) = ("in process".to_owned(), Arc::clone(&self.0));
        let blocks = blocks.iter().map(|block| block.id).collect();
        Ok(vec![GatewayShare { address, client, blocks }])
    }

    fn replication_factor(&self) -> usize {
        1
    }
}
