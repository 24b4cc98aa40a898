//! Which store-gateways are asked for which blocks. Called by the querier.

use std::sync::Arc;

use model::{StorageError, TenantId};
use ring::{Operation, Ring, hash};
use rpc::store_gateway::GatewayPool;
use ulid::Ulid;
use wire::client::{GatewayShare, StoreGatewayClient, StoreGateways, TriedGateways};

use super::Alone;

/// The store-gateways of a ring: each block belongs to some of the tenant's shard.
pub(crate) struct RingGateways {
    pub(crate) alone: Alone,
    pub(crate) own: Option<Arc<dyn StoreGatewayClient>>,
    pub(crate) pool: Arc<GatewayPool>,
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
