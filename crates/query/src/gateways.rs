//! The store-gateways of a ring: each block belongs to some of the tenant's shard.
//!
//! Called by [`crate::Blocks`]; the ways to the store-gateways are handed in.

use std::sync::Arc;

use config::Overrides;
use model::{Clock, StorageError, TenantId};
use ring::{Operation, Ring, RingView, hash};
use ulid::Ulid;
use wire::client::{GatewayClients, GatewayShare, StoreGateways, TriedGateways};

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
        let size = self.overrides.limits(tenant).store_gateway_tenant_shard_size;
        let shard = (self.ring)().shuffle_shard(tenant.as_str(), size);
        let now_s = self.clock.now_ms() / 1000;
        let mut shares: Vec<GatewayShare> = Vec::new();
        for &block in blocks {
            let address = self.owner((&shard, now_s), block, tried)?;
            match shares.iter_mut().find(|share| share.address == address) {
                Some(share) => share.blocks.push(block),
                None => {
                    let client = self.clients.gateway(&address)?;
                    shares.push(GatewayShare { address, client, blocks: vec![block] });
                }
            }
        }
        Ok(shares)
    }

    fn replication_factor(&self) -> usize {
        (self.ring)().rules().replication_factor
    }
}
