//! How the components of this process and those of others come together: who is asked stands in
//! the rings, and the ways there are gRPC.
//!
//! A node that cannot have company by its configuration (rings in memory, or gossip that joins
//! nobody and that nobody has joined) calls its own components directly, whatever replication
//! factor is set: that is the process that just starts.

use std::sync::Arc;
use std::time::Duration;

use config::{Config, KvBackend};
use model::{Matcher, Queryable, SeriesExemplars, StorageError, TenantId, TimeRange, WriteBatch};
use ring::{InstanceState, Operation, Ring, RingView, hash};
use rpc::ClientOptions;
use rpc::ingester::IngesterPool;
use rpc::store_gateway::GatewayPool;
use ulid::Ulid;
use wire::client::{
    CardinalityQuery, CountVisitor, GatewayShare, IngesterPush, IngesterQuery, MetadataFilter,
    OwnedMetadata, PushError, SeriesVisitor, StoreGatewayClient, StoreGateways, TriedGateways,
    UserStats, ValueVisitor,
};

use crate::env::Env;
use crate::rings::JoinedRing;

/// How long making a connection to another process may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How this process sees a ring.
pub(crate) fn view(ring: &JoinedRing) -> RingView {
    let reader = Arc::clone(&ring.reader);
    Arc::new(move || reader.ring())
}

/// Whether a ring in such a store can have members that this process does not start.
fn may_have_company(config: &Config, store: KvBackend) -> bool {
    match store {
        KvBackend::Inmemory => false,
        KvBackend::Memberlist => !config.memberlist.join_members.0.is_empty(),
        _ => true,
    }
}

/// Bounds of messages to and from other processes.
pub(crate) fn client_options(env: &Env) -> ClientOptions {
    let limits = env.grpc_limits();
    ClientOptions {
        connect_timeout: CONNECT_TIMEOUT,
        max_recv_message_bytes: limits.max_recv_message_bytes,
        max_send_message_bytes: limits.max_send_message_bytes,
    }
}

/// The connections to the ingesters.
pub(crate) fn ingester_pool(env: &Env) -> Arc<IngesterPool> {
    let timeout = env.config.distributor.remote_timeout.std();
    Arc::new(IngesterPool::new(client_options(env), timeout, env.blocking.clone()))
}

/// Where the samples of this process go and come from: its own ingester while it is alone, else
/// the ring's.
pub(crate) struct Ingesters<L, R> {
    alone: Alone,
    local: Option<L>,
    ring: R,
}

/// Tells whether this process is alone in a ring.
#[derive(Clone)]
pub(crate) struct Alone {
    view: RingView,
    may_have_company: bool,
}

impl Alone {
    /// Alone in `ring`, which lies in `store`.
    pub(crate) fn new(config: &Config, store: KvBackend, ring: &JoinedRing) -> Self {
        Self { view: view(ring), may_have_company: may_have_company(config, store) }
    }

    fn is_alone(&self) -> bool {
        !self.may_have_company && (self.view)().instances().len() <= 1
    }
}

impl<L, R> Ingesters<L, R> {
    /// `local` while it is alone, else `ring`.
    pub(crate) fn new(alone: Alone, local: Option<L>, ring: R) -> Self {
        Self { alone, local, ring }
    }

    /// The local ingester, where it is to be used.
    fn own(&self) -> Option<&L> {
        self.local.as_ref().filter(|_| self.alone.is_alone())
    }
}

impl<R: IngesterPush> IngesterPush for Ingesters<Arc<dyn IngesterPush>, R> {
    fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
        match self.own() {
            Some(own) => own.push(tenant, batch),
            None => self.ring.push(tenant, batch),
        }
    }
}

impl<R: IngesterQuery> Ingesters<Arc<dyn IngesterQuery>, R> {
    fn chosen(&self) -> &dyn IngesterQuery {
        match self.own() {
            Some(own) => &**own,
            None => &self.ring,
        }
    }
}

impl<R: IngesterQuery> IngesterQuery for Ingesters<Arc<dyn IngesterQuery>, R> {
    fn queryable(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Queryable>>, StorageError> {
        self.chosen().queryable(tenant)
    }

    fn metadata(
        &self,
        tenant: &TenantId,
        filter: &MetadataFilter,
    ) -> Result<Vec<OwnedMetadata>, StorageError> {
        self.chosen().metadata(tenant, filter)
    }

    fn exemplars(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        selectors: &[Vec<Matcher>],
    ) -> Result<Vec<SeriesExemplars>, StorageError> {
        self.chosen().exemplars(tenant, range, selectors)
    }

    fn user_stats(&self, tenant: &TenantId) -> Result<UserStats, StorageError> {
        self.chosen().user_stats(tenant)
    }

    fn label_names_and_values(
        &self,
        query: CardinalityQuery<'_>,
        visit: ValueVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.chosen().label_names_and_values(query, visit)
    }

    fn label_values_cardinality(
        &self,
        query: CardinalityQuery<'_>,
        name: &str,
        visit: CountVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.chosen().label_values_cardinality(query, name, visit)
    }

    fn series_count(&self, query: CardinalityQuery<'_>) -> Result<u64, StorageError> {
        self.chosen().series_count(query)
    }

    fn active_series(
        &self,
        query: CardinalityQuery<'_>,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.chosen().active_series(query, visit)
    }
}

/// Which tenants belong to this process' compactor: those whose token it owns in the ring. All of
/// them while it is alone; none before it is in the ring.
pub(crate) fn tenant_owner(env: &Env, ring: &JoinedRing) -> compactor::TenantOwner {
    const OWNER: Operation = Operation::new(&[InstanceState::Active], &[]);
    let store = env.config.compactor.sharding_ring.kvstore.store;
    let alone = Alone::new(&env.config, store, ring);
    let (clock, id) = (Arc::clone(&env.clock), ring.lifecycler.id().to_owned());
    Arc::new(move |tenant| {
        if alone.is_alone() {
            return true;
        }
        let token = hash::name_token(tenant.as_str());
        let owners = (alone.view)().get(token, OWNER, clock.now_ms() / 1000);
        owners.is_ok_and(|owners| owners.instances.first().is_some_and(|i| i.id == id))
    })
}

/// The store-gateways of a ring: each block belongs to some of the tenant's shard.
pub(crate) struct RingGateways {
    pub(crate) alone: Alone,
    pub(crate) own: Option<Arc<dyn StoreGatewayClient>>,
    pub(crate) pool: GatewayPool,
    pub(crate) overrides: Arc<config::Overrides>,
    pub(crate) clock: Arc<dyn model::Clock>,
}

impl RingGateways {
    /// The first owner of a block that was not tried.
    fn owner(
        &self,
        (shard, now_s): (&Ring, i64),
        block: Ulid,
        tried: &TriedGateways,
    ) -> Result<String, StorageError> {
        let token = hash::block_token(block.to_bytes());
        let owners = shard.get(token, Operation::BLOCKS_READ, now_s);
        let owners = owners.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let tried = tried.get(&block).map(Vec::as_slice).unwrap_or_default();
        let untried = owners.instances.iter().find(|i| !tried.contains(&i.addr));
        untried.map(|instance| instance.addr.clone()).ok_or_else(|| {
            StorageError::Unavailable(format!(
                "no store-gateway is left that was not asked for the block {block}"
            ))
        })
    }
}

impl StoreGateways for RingGateways {
    fn share(
        &self,
        tenant: &TenantId,
        blocks: &[Ulid],
        tried: &TriedGateways,
    ) -> Result<Vec<GatewayShare>, StorageError> {
        if let Some(own) = self.own.as_ref().filter(|_| self.alone.is_alone()) {
            return wire::client::SingleGateway(Arc::clone(own)).share(tenant, blocks, tried);
        }
        let size = self.overrides.limits(tenant).store_gateway_tenant_shard_size;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let shard = (self.alone.view)().shuffle_shard(tenant.as_str(), size);
        let now_s = self.clock.now_ms() / 1000;
        let mut shares: Vec<GatewayShare> = Vec::new();
        for &block in blocks {
            let address = self.owner((&shard, now_s), block, tried)?;
            match shares.iter_mut().find(|share| share.address == address) {
                Some(share) => share.blocks.push(block),
                None => {
                    let client = self.pool.client(&address)?;
                    shares.push(GatewayShare { address, client, blocks: vec![block] });
                }
            }
        }
        Ok(shares)
    }

    fn replication_factor(&self) -> usize {
        if self.own.is_some() && self.alone.is_alone() {
            return 1;
        }
        (self.alone.view)().rules().replication_factor
    }
}
