//! Which work of its component belongs to this process: all of it while it is alone, else what the
//! component's ring says. Called by the wiring.

use std::sync::Arc;

use compactor::{JobSharding, RingJobs};
use model::TenantId;
use ring::BlockReplication;
use store_gateway::{AllBlocks, BlockOwner, BlockSharding, RingBlocks};

use super::{Alone, view};
use crate::env::Env;
use crate::rings::JoinedRing;

/// The work of a compactor.
struct Jobs {
    alone: Alone,
    ring: RingJobs,
}

impl JobSharding for Jobs {
    fn cleans(&self, tenant: &TenantId) -> bool {
        self.alone.is_alone() || self.ring.cleans(tenant)
    }

    fn compacts(&self, tenant: &TenantId) -> bool {
        self.alone.is_alone() || self.ring.compacts(tenant)
    }

    fn runs(&self, tenant: &TenantId, job: &str) -> bool {
        self.alone.is_alone() || self.ring.runs(tenant, job)
    }
}

/// The work of this process' compactor.
pub(crate) fn job_sharding(env: &Env, ring: &JoinedRing) -> anyhow::Result<Arc<dyn JobSharding>> {
    let store = env.config.compactor.sharding_ring.kvstore.store;
    let alone = Alone::new(&env.config, store, ring);
    let (overrides, clock) = (Arc::clone(&env.overrides), Arc::clone(&env.clock));
    let id = ring.instance()?.id().to_owned();
    Ok(Arc::new(Jobs { alone, ring: RingJobs { ring: view(ring), id, overrides, clock } }))
}

/// The blocks of a store-gateway.
struct Blocks {
    alone: Alone,
    ring: RingBlocks,
}

impl BlockSharding for Blocks {
    fn is_known(&self) -> bool {
        self.alone.is_alone() || self.ring.is_known()
    }

    fn share(&self, tenant: &TenantId) -> Option<BlockOwner> {
        match self.alone.is_alone() {
            true => AllBlocks.share(tenant),
            false => self.ring.share(tenant),
        }
    }
}

/// The blocks of this process' store-gateway.
pub(crate) fn block_sharding(
    env: &Env,
    ring: &JoinedRing,
) -> anyhow::Result<Arc<dyn BlockSharding>> {
    let config = &env.config.store_gateway;
    let alone = Alone::new(&env.config, config.sharding_ring.kvstore.store, ring);
    let (overrides, clock) = (Arc::clone(&env.overrides), Arc::clone(&env.clock));
    let replication = BlockReplication::of_syncs(
        &config.dynamic_replication,
        config.sharding_ring.replication_factor,
        env.config.blocks_storage.bucket_store.sync_interval,
    );
    let id = ring.instance()?.id().to_owned();
    let ring = RingBlocks { ring: view(ring), id, overrides, clock, replication };
    Ok(Arc::new(Blocks { alone, ring }))
}
