//! Which work of its component belongs to this process: jobs of tenants, and blocks whose
//! index-headers are kept. Called by the wiring. Rules are Mimir's.

use std::sync::Arc;

use compactor::JobSharding;
use config::Overrides;
use model::{Clock, TenantId};
use ring::{Operation, Ring, hash};
use store_gateway::{BlockOwner, BlockSharding};

use super::Alone;
use crate::env::Env;
use crate::rings::JoinedRing;

/// This process among those of a ring.
struct Member {
    alone: Alone,
    id: String,
    overrides: Arc<Overrides>,
    clock: Arc<dyn Clock>,
}

impl Member {
    fn new(env: &Env, alone: Alone, ring: &JoinedRing) -> Self {
        let (overrides, clock) = (Arc::clone(&env.overrides), Arc::clone(&env.clock));
        Self { alone, id: ring.lifecycler.id().to_owned(), overrides, clock }
    }

    fn now_s(&self) -> i64 {
        self.clock.now_ms() / 1000
    }

    /// The members that a tenant has, `size` of them, or all with 0; `None` when this process is
    /// none of them.
    fn shard(&self, tenant: &TenantId, size: u64) -> Option<Arc<Ring>> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let shard = (self.alone.view)().shuffle_shard(tenant.as_str(), size);
        shard.instance_by_id(&self.id).is_some().then_some(shard)
    }
}

/// Jobs that are shared by the compactors of a ring.
struct RingJobs(Member);

impl RingJobs {
    fn owns(&self, tenant: &TenantId, key: &str) -> bool {
        let member = &self.0;
        if member.alone.is_alone() {
            return true;
        }
        let size = member.overrides.limits(tenant).compactor_tenant_shard_size;
        let Some(shard) = member.shard(tenant, size) else { return false };
        shard.is_owner(&member.id, key, member.now_s())
    }
}

impl JobSharding for RingJobs {
    fn cleans(&self, tenant: &TenantId) -> bool {
        self.owns(tenant, tenant.as_str())
    }

    fn compacts(&self, tenant: &TenantId) -> bool {
        let size = self.0.overrides.limits(tenant).compactor_tenant_shard_size;
        self.0.alone.is_alone() || self.0.shard(tenant, size).is_some()
    }

    fn runs(&self, tenant: &TenantId, job: &str) -> bool {
        self.owns(tenant, job)
    }
}

/// The work of this process' compactor: all while it is alone, none before it is in the ring.
pub(crate) fn job_sharding(env: &Env, ring: &JoinedRing) -> Arc<dyn JobSharding> {
    let store = env.config.compactor.sharding_ring.kvstore.store;
    let alone = Alone::new(&env.config, store, ring);
    Arc::new(RingJobs(Member::new(env, alone, ring)))
}

/// Blocks that are shared by the store-gateways of a ring.
struct RingBlocks(Member);

impl BlockSharding for RingBlocks {
    fn is_known(&self) -> bool {
        let member = &self.0;
        member.alone.is_alone() || (member.alone.view)().instance_by_id(&member.id).is_some()
    }

    fn share(&self, tenant: &TenantId) -> Option<BlockOwner> {
        let member = &self.0;
        if member.alone.is_alone() {
            return Some(Box::new(|_| true));
        }
        let size = member.overrides.limits(tenant).store_gateway_tenant_shard_size;
        let shard = member.shard(tenant, size)?;
        let (id, now_s) = (member.id.clone(), member.now_s());
        Some(Box::new(move |block| {
            let token = hash::block_token(block.to_bytes());
            let owners = shard.get(token, Operation::BLOCKS_OWNER_SYNC, now_s);
            // Whoever asks finds nobody else either.
            owners.map_or(true, |owners| owners.instances.iter().any(|i| i.id == id))
        }))
    }
}

/// The blocks of this process' store-gateway: all while it is alone.
pub(crate) fn block_sharding(env: &Env, ring: &JoinedRing) -> Arc<dyn BlockSharding> {
    let store = env.config.store_gateway.sharding_ring.kvstore.store;
    let alone = Alone::new(&env.config, store, ring);
    Arc::new(RingBlocks(Member::new(env, alone, ring)))
}
