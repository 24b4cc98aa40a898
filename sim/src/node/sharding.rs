//! A process among those of its ring: which jobs and blocks are its own, as `urd` wires it.

use std::sync::Arc;

use compactor::JobSharding;
use config::Overrides;
use model::{Clock, TenantId};
use ring::{Operation, Ring, RingView, hash};
use store_gateway::{BlockOwner, BlockSharding};

/// A process in a ring.
pub(super) struct Member {
    pub(super) ring: RingView,
    pub(super) id: String,
    pub(super) overrides: Arc<Overrides>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Member {
    /// The tenant's members, where this process is one of them.
    fn shard(&self, tenant: &TenantId, size: u64) -> Option<Arc<Ring>> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let shard = (self.ring)().shuffle_shard(tenant.as_str(), size);
        shard.instance_by_id(&self.id).is_some().then_some(shard)
    }

    fn jobs_shard(&self, tenant: &TenantId) -> Option<Arc<Ring>> {
        self.shard(tenant, self.overrides.limits(tenant).compactor_tenant_shard_size)
    }
}

impl JobSharding for Member {
    fn cleans(&self, tenant: &TenantId) -> bool {
        self.runs(tenant, tenant.as_str())
    }

    fn compacts(&self, tenant: &TenantId) -> bool {
        self.jobs_shard(tenant).is_some()
    }

    fn runs(&self, tenant: &TenantId, job: &str) -> bool {
        let now_s = self.clock.now_ms() / 1000;
        self.jobs_shard(tenant).is_some_and(|shard| shard.is_owner(&self.id, job, now_s))
    }
}

impl BlockSharding for Member {
    fn is_known(&self) -> bool {
        (self.ring)().instance_by_id(&self.id).is_some()
    }

    fn share(&self, tenant: &TenantId) -> Option<BlockOwner> {
        let shard =
            self.shard(tenant, self.overrides.limits(tenant).store_gateway_tenant_shard_size)?;
        let (id, now_s) = (self.id.clone(), self.clock.now_ms() / 1000);
        Some(Box::new(move |block| {
            let token = hash::block_token(block.to_bytes());
            let owners = shard.get(token, Operation::BLOCKS_OWNER_SYNC, now_s);
            owners.map_or(true, |owners| owners.instances.iter().any(|i| i.id == id))
        }))
    }
}
