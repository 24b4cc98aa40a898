//! Which blocks belong to this process, where there are several store-gateways. Asked by the sync;
//! the rules are Mimir's.

use std::sync::Arc;

use config::Overrides;
use model::{Clock, TenantId};
use ring::{Operation, RingView, hash};
use ulid::Ulid;

/// Tells whether a block is one of those that this process keeps the index-headers of.
pub type BlockOwner = Box<dyn Fn(Ulid) -> bool + Send + Sync>;

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
        Some(Box::new(|_| true))
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
}

impl BlockSharding for RingBlocks {
    fn is_known(&self) -> bool {
        (self.ring)().instance_by_id(&self.id).is_some()
    }

    fn share(&self, tenant: &TenantId) -> Option<BlockOwner> {
        let size = self.overrides.limits(tenant).store_gateway_tenant_shard_size;
        let shard = (self.ring)().shard_of_member(&self.id, tenant.as_str(), size)?;
        let (id, now_s) = (self.id.clone(), self.clock.now_ms() / 1000);
        Some(Box::new(move |block| {
            let token = hash::block_token(block.to_bytes());
            let owners = shard.get(token, Operation::BLOCKS_OWNER_SYNC, now_s);
            // Whoever asks finds nobody else either.
            owners.map_or(true, |owners| owners.instances.iter().any(|i| i.id == id))
        }))
    }
}
