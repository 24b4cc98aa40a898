//! The store-gateways of a ring: each block belongs to some of the tenant's shard.
//!
//! Called by [`crate::Blocks`]; the ways to the store-gateways are handed in.

use std::sync::Arc;

use config::Overrides;
use model::{Clock, Random, StorageError, TenantId};
use ring::{BlockReplication, InstanceDesc, Operation, ReplicatedKey, Ring, RingView, hash};
use wire::client::{GatewayClients, GatewayShare, StoreGateways, TriedGateways, WantedBlock};

/// The store-gateways of a ring.
pub struct RingGateways {
    /// The ring as this process sees it.
    pub ring: RingView,
    /// The ways to them.
    pub clients: Arc<dyn GatewayClients>,
    /// Limits of the tenants: the size of a tenant's shard.
    pub overrides: Arc<Overrides>,
    /// Time, for heartbeats.
    pub clock: Arc<dyn Clock>,
    /// Whom of a block's owners to ask: the load is spread over all of them.
    pub random: Arc<dyn Random>,
    /// How many own a block.
    pub replication: BlockReplication,
    /// Zones whose store-gateways are asked before others.
    pub preferred_zones: Vec<String>,
}

impl RingGateways {
    /// An owner of a block that was not tried.
    fn owner(
        &self,
        (shard, now_ms): (&Ring, i64),
        block: WantedBlock,
        tried: &TriedGateways,
    ) -> Result<String, StorageError> {
        let factor = self.replication.factor(block.max_time_ms, now_ms);
        let key = ReplicatedKey { key: hash::block_token(block.id.to_bytes()), factor };
        let owners = shard.get_replicated(key, Operation::BLOCKS_READ, now_ms / 1000);
        let owners = owners.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let tried = tried.get(&block.id).map(Vec::as_slice).unwrap_or_default();
        let untried = owners.instances.iter().filter(|i| !tried.contains(&i.addr));
        let (preferred, others): (Vec<_>, Vec<_>) =
            untried.partition(|i| self.preferred_zones.contains(&i.zone));
        let owner = self.one_of(&preferred).or_else(|| self.one_of(&others));
        owner.map(|instance| instance.addr.clone()).ok_or_else(|| {
            StorageError::Unavailable(format!(
                "no store-gateway is left that was not asked for the block {}",
                block.id
            ))
        })
    }

    fn one_of<'a>(&self, instances: &[&'a Arc<InstanceDesc>]) -> Option<&'a InstanceDesc> {
        let at = self.random.below(instances.len() as u64);
        instances.get(usize::try_from(at).unwrap_or(0)).map(|instance| &***instance)
    }
}

impl StoreGateways for RingGateways {
    fn share(
        &self,
        tenant: &TenantId,
        blocks: &[WantedBlock],
        tried: &TriedGateways,
    ) -> Result<Vec<GatewayShare>, StorageError> {
        let ring = (self.ring)();
        let size = ring::store_gateway_shard_size(&ring, &self.overrides.limits(tenant));
        let shard = ring.shuffle_shard(tenant.as_str(), size);
        let now_ms = self.clock.now_ms();
        let mut shares: Vec<GatewayShare> = Vec::new();
        for &block in blocks {
            let address = self.owner((&shard, now_ms), block, tried)?;
            match shares.iter_mut().find(|share| share.address == address) {
                Some(share) => share.blocks.push(block.id),
                None => {
                    let client = self.clients.gateway(&address)?;
                    shares.push(GatewayShare { address, client, blocks: vec![block.id] });
                }
            }
        }
        Ok(shares)
    }

    fn replication_factor(&self) -> usize {
        (self.ring)().rules().replication_factor.max(self.replication.max_factor())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use config::{Config, DynamicReplicationConfig};
    use model::env::{ManualClock, SeededRandom};
    use ring::{Desc, InstanceState, RingRules, Strategy};
    use ulid::Ulid;
    use wire::client::StoreGatewayClient;

    use super::*;

    const NOW_MS: i64 = 2_000_000_000;
    const HOUR_MS: i64 = 3_600_000;

    struct NoClients;

    impl GatewayClients for NoClients {
        fn gateway(&self, address: &str) -> Result<Arc<dyn StoreGatewayClient>, StorageError> {
            Err(StorageError::Unavailable(address.to_owned()))
        }
    }

    /// Nine store-gateways in three zones; three own a block.
    fn gateways(preferred: &[&str], dynamic: bool) -> RingGateways {
        let mut desc = Desc::default();
        for i in 0..9_u32 {
            let instance = InstanceDesc {
                addr: i.to_string(),
                timestamp: NOW_MS / 1000,
                state: InstanceState::Active as i32,
                tokens: (0..16).map(|n| (n * 9 + i) * 29_826_161).collect(),
                zone: format!("zone-{}", i % 3),
                ..InstanceDesc::default()
            };
            desc.ingesters.insert(format!("gateway-{i}"), instance);
        }
        let strategy = Strategy::IgnoreUnhealthy;
        let rules = RingRules { zone_awareness: true, strategy, ..RingRules::default() };
        let ring = Arc::new(Ring::new(desc, rules));
        let config = DynamicReplicationConfig {
            enabled: dynamic,
            multiple: 2,
            ..DynamicReplicationConfig::default()
        };
        RingGateways {
            ring: Arc::new(move || Arc::clone(&ring)),
            clients: Arc::new(NoClients),
            overrides: Arc::new(Overrides::new(&Config::default())),
            clock: Arc::new(ManualClock::new(NOW_MS)),
            random: Arc::new(SeededRandom::new(1)),
            replication: BlockReplication::of_queries(&config, 3),
            preferred_zones: preferred.iter().map(|&zone| zone.to_owned()).collect(),
        }
    }

    /// Who is asked for a block of that age in many queries.
    fn asked(gateways: &RingGateways, age_ms: i64, tried: &[&str]) -> BTreeSet<String> {
        let block = WantedBlock { id: Ulid(7), max_time_ms: NOW_MS - age_ms };
        let tried = tried.iter().map(|&address| address.to_owned()).collect();
        let tried = TriedGateways::from_iter([(block.id, tried)]);
        let ring = (gateways.ring)();
        (0..200).map(|_| gateways.owner((&ring, NOW_MS), block, &tried).unwrap()).collect()
    }

    fn zones(addresses: &BTreeSet<String>) -> BTreeSet<u32> {
        addresses.iter().map(|address| address.parse::<u32>().unwrap() % 3).collect()
    }

    #[test]
    fn all_owners_are_asked_in_turn_one_of_each_zone() {
        let owners = asked(&gateways(&[], false), HOUR_MS, &[]);
        assert_eq!((owners.len(), zones(&owners).len()), (3, 3));
        let first = owners.first().unwrap().as_str();
        let rest = asked(&gateways(&[], false), HOUR_MS, &[first]);
        assert_eq!(rest.len(), 2, "not who was tried");
        assert!(!rest.contains(first));
    }

    #[test]
    fn preferred_zones_come_first_and_the_others_when_they_have_failed() {
        let gateways = gateways(&["zone-1"], false);
        let near = asked(&gateways, HOUR_MS, &[]);
        assert_eq!((near.len(), zones(&near)), (1, BTreeSet::from([1])));
        let far = asked(&gateways, HOUR_MS, &[near.first().unwrap()]);
        assert_eq!(zones(&far), BTreeSet::from([0, 2]));
    }

    #[test]
    fn recent_blocks_have_more_owners_where_that_is_wanted() {
        let more = gateways(&[], true);
        assert_eq!(asked(&more, HOUR_MS, &[]).len(), 6);
        assert_eq!(asked(&more, 26 * HOUR_MS, &[]).len(), 3);
        assert_eq!(more.replication_factor(), 6);
        assert_eq!(asked(&gateways(&[], false), HOUR_MS, &[]).len(), 3);
    }
}
