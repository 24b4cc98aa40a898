//! Which blocks belong to this process, where there are several store-gateways. Asked by the sync;
//! the rules are Mimir's.

use std::sync::Arc;

use config::Overrides;
use model::{Clock, TenantId, TimestampMs};
use ring::{BlockReplication, Operation, ReplicatedKey, RingView, hash};
use ulid::Ulid;

/// Tells whether a block, with the time after its newest sample, is one of those that this process
/// keeps the index-headers of.
pub type BlockOwner = Box<dyn Fn(Ulid, TimestampMs) -> bool + Send + Sync>;

/// Which blocks belong to this process now, where there are several store-gateways. Others are
/// answered for as well when somebody asks.
pub trait BlockSharding: Send + Sync {
    /// Whether it can be told; before that nothing is brought up to date.
    fn is_known(&self) -> bool;
    /// Which of the tenant's blocks are its own; `None` when it has none of this tenant's.
    fn share(&self, tenant: &TenantId) -> Option<BlockOwner>;
}

/// There is one store-gateway.
pub struct AllBlocks;

impl BlockSharding for AllBlocks {
    fn is_known(&self) -> bool {
        true
    }

    fn share(&self, _: &TenantId) -> Option<BlockOwner> {
        Some(Box::new(|_, _| true))
    }
}

/// The store-gateways of a ring share blocks by their tokens.
pub struct RingBlocks {
    /// The ring as this process sees it.
    pub ring: RingView,
    /// The own instance.
    pub id: String,
    /// Limits of the tenants: the size of a tenant's shard.
    pub overrides: Arc<Overrides>,
    /// Time, for heartbeats.
    pub clock: Arc<dyn Clock>,
    /// How many own a block.
    pub replication: BlockReplication,
}

impl BlockSharding for RingBlocks {
    fn is_known(&self) -> bool {
        (self.ring)().instance_by_id(&self.id).is_some()
    }

    fn share(&self, tenant: &TenantId) -> Option<BlockOwner> {
        let ring = (self.ring)();
        let size = ring::store_gateway_shard_size(&ring, &self.overrides.limits(tenant));
        let shard = ring.shard_of_member(&self.id, tenant.as_str(), size)?;
        let (id, now_ms) = (self.id.clone(), self.clock.now_ms());
        let replication = self.replication;
        Some(Box::new(move |block, max_time_ms| {
            let factor = replication.factor(max_time_ms, now_ms);
            let key = ReplicatedKey { key: hash::block_token(block.to_bytes()), factor };
            let owners = shard.get_replicated(key, Operation::BLOCKS_OWNER_SYNC, now_ms / 1000);
            // Whoever asks finds nobody else either.
            owners.map_or(true, |owners| owners.instances.iter().any(|i| i.id == id))
        }))
    }
}
