//! The ingester's place in its ring: what the ring makes of the tenants' limits, and what the
//! ingester does when it leaves. Without a ring (tests) the ingester is alone.

use std::sync::{Arc, OnceLock};

use config::Limits;
use futures::FutureExt as _;
use ring::RingView;
use ring::lifecycler::Lifecycler;

use crate::Ingester;

/// The ring, and this process' instance in it.
pub struct RingMembership {
    /// The ring as this process sees it.
    pub ring: RingView,
    /// The own instance.
    pub lifecycler: Arc<Lifecycler>,
}

/// Set once, before the ingester starts.
#[derive(Default)]
pub(crate) struct Membership(OnceLock<RingMembership>);

impl Membership {
    pub(crate) fn lifecycler(&self) -> Option<&Arc<Lifecycler>> {
        self.0.get().map(|membership| &membership.lifecycler)
    }
}

/// Among how many ingesters the series of a tenant are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Ingesters that have each series.
    pub(crate) replicas: u64,
    /// 1 without zones.
    pub(crate) zones: u64,
    /// Ingesters of the own zone that may have series of the tenant.
    pub(crate) ingesters: u64,
}

impl Shares {
    /// An ingester that has everything.
    pub(crate) const ALONE: Self = Self { replicas: 1, zones: 1, ingesters: 1 };

    /// The part of a global limit that one ingester may use: every zone has the same part of all
    /// replicas, and every ingester of a zone the same part of that. 0 stands for no limit, and
    /// comes out where there is nobody to divide among.
    pub(crate) fn local(self, global: u64) -> u64 {
        if global == 0 || self.ingesters == 0 {
            return 0;
        }
        let of_zone = (global as f64 * self.replicas as f64) / self.zones.max(1) as f64;
        (of_zone / self.ingesters as f64) as u64
    }
}

impl Ingester {
    /// Takes the place in the ring; to be called once, before the start.
    pub fn join_ring(self: &Arc<Self>, membership: RingMembership) {
        let ingester = Arc::downgrade(self);
        membership.lifecycler.set_before_leaving(Arc::new(move || {
            let ingester = ingester.upgrade();
            async move {
                if let Some(ingester) = ingester {
                    ingester.before_leaving().await;
                }
            }
            .boxed()
        }));
        assert!(self.membership.0.set(membership).is_ok(), "the ring is joined once");
    }

    /// How the limits of a tenant are divided at this moment.
    pub(crate) fn shares(&self, limits: &Limits) -> Shares {
        let Some(membership) = self.membership.0.get() else { return Shares::ALONE };
        let ring = (membership.ring)();
        let rules = ring.rules();
        let all = ring.writable_count() as u64;
        let zones = if rules.zone_awareness { (ring.zones().len() as u64).max(1) } else { 1 };
        let mut ingesters = match zones {
            1 => all,
            _ => ring.writable_count_in_zone(&self.config.ring.instance_availability_zone) as u64,
        };
        let shard = limits.ingestion_tenant_shard_size;
        if shard > 0 {
            ingesters = ingesters.min(shard.div_ceil(zones));
        }
        // A series is not more often there than there are ingesters.
        let replicas = (rules.replication_factor as u64).min(all);
        Shares { replicas, zones, ingesters }
    }

    /// The part of a tenant's exemplars that this ingester keeps; 0 is none of them.
    pub(crate) fn local_exemplars(&self, limits: &Limits) -> u64 {
        let global = limits.max_global_exemplars_per_user;
        match self.shares(limits).local(global) {
            0 => global,
            local => local,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three replicas everywhere: `global * 3 / zones / ingesters of the zone`, by hand.
    #[test]
    fn the_local_part_of_a_global_limit() {
        for (global, replicas, zones, ingesters, want) in [
            (0, 3, 1, 10, 0),
            (1000, 1, 1, 1, 1000),
            (1000, 3, 1, 3, 1000),
            (1000, 3, 1, 10, 300),
            (1000, 3, 3, 10, 100),
            (1000, 3, 2, 7, 214),
            (1000, 3, 1, 0, 0),
            (1, 3, 1, 10, 0),
            (u64::MAX, 3, 1, 1, u64::MAX),
        ] {
            let shares = Shares { replicas, zones, ingesters };
            assert_eq!(shares.local(global), want, "{global} by {shares:?}");
        }
    }
}
