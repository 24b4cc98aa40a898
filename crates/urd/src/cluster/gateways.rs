//! Which store-gateways are asked for which blocks. Called by the querier.

use std::sync::Arc;

use model::{StorageError, TenantId};
use query::RingGateways;
use wire::client::{
    GatewayShare, SingleGateway, StoreGatewayClient, StoreGateways, TriedGateways, WantedBlock,
};

use super::Alone;

/// The store-gateway of this process while it is alone, else the ring's.
pub(crate) struct Gateways {
    pub(crate) alone: Alone,
    pub(crate) own: Option<Arc<dyn StoreGatewayClient>>,
    pub(crate) ring: RingGateways,
}

impl Gateways {
    /// The store-gateway of this process, where it is to be used.
    fn own(&self) -> Option<SingleGateway> {
        let own = self.own.as_ref().filter(|_| self.alone.is_alone());
        own.map(|own| SingleGateway(Arc::clone(own)))
    }
}

impl StoreGateways for Gateways {
    fn share(
        &self,
        tenant: &TenantId,
        blocks: &[WantedBlock],
        tried: &TriedGateways,
    ) -> Result<Vec<GatewayShare>, StorageError> {
        match self.own() {
            Some(own) => own.share(tenant, blocks, tried),
            None => self.ring.share(tenant, blocks, tried),
        }
    }

    fn replication_factor(&self) -> usize {
        self.own().map_or_else(|| self.ring.replication_factor(), |own| own.replication_factor())
    }
}
