//! Which work belongs to this process, where there are several compactors. Asked by the two loops;
//! the rules are Mimir's.

use std::sync::Arc;

use config::Overrides;
use model::{Clock, TenantId};
use ring::{Ring, RingView};

/// Which work belongs to this process now, where there are several compactors.
pub trait JobSharding: Send + Sync {
    /// Whether it cleans the tenant's blocks and writes its bucket index; one process does.
    fn cleans(&self, tenant: &TenantId) -> bool;
    /// Whether some of the tenant's jobs may be its own.
    fn compacts(&self, tenant: &TenantId) -> bool;
    /// Whether it runs the job with this sharding key; one process does.
    fn runs(&self, tenant: &TenantId, job: &str) -> bool;
}

/// There is one compactor.
pub struct AllJobs;

impl JobSharding for AllJobs {
    fn cleans(&self, _: &TenantId) -> bool {
        true
    }

    fn compacts(&self, _: &TenantId) -> bool {
        true
    }

    fn runs(&self, _: &TenantId, _: &str) -> bool {
        true
    }
}

/// The compactors of a ring share tenants, and the jobs of each tenant. Nothing belongs to a
/// process that is not in the ring.
pub struct RingJobs {
    /// The ring as this process sees it.
    pub ring: RingView,
    /// The own instance.
    pub id: String,
    /// Limits of the tenants: the size of a tenant's shard.
    pub overrides: Arc<Overrides>,
    /// Time, for heartbeats.
    pub clock: Arc<dyn Clock>,
}

impl RingJobs {
    /// The tenant's compactors, where this process is one of them.
    fn shard(&self, tenant: &TenantId) -> Option<Arc<Ring>> {
        let size = self.overrides.limits(tenant).compactor_tenant_shard_size;
        (self.ring)().shard_of_member(&self.id, tenant.as_str(), size)
    }
}

impl JobSharding for RingJobs {
    fn cleans(&self, tenant: &TenantId) -> bool {
        self.runs(tenant, tenant.as_str())
    }

    fn compacts(&self, tenant: &TenantId) -> bool {
        self.shard(tenant).is_some()
    }

    fn runs(&self, tenant: &TenantId, job: &str) -> bool {
        let now_s = self.clock.now_ms() / 1000;
        self.shard(tenant).is_some_and(|shard| shard.is_owner(&self.id, job, now_s))
    }
}
