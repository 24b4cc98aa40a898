//! The store-gateways of a ring, by their addresses.

use std::sync::Arc;

use model::StorageError;
use rt::BlockingHandle;
use wire::client::StoreGatewayClient;

use super::RemoteStoreGateway;
use crate::client::ClientOptions;
use crate::pool::Pool;

/// A client for each store-gateway.
pub struct GatewayPool {
    clients: Pool<RemoteStoreGateway>,
}

impl GatewayPool {
    /// A pool without connections.
    pub fn new(options: ClientOptions, blocking: BlockingHandle) -> Self {
        let handle = blocking.clone();
        let connect =
            move |address: &str| RemoteStoreGateway::new(address, &options, handle.clone());
        Self { clients: Pool::new(blocking, connect) }
    }

    /// The store-gateway at `address`.
    pub fn client(&self, address: &str) -> Result<Arc<dyn StoreGatewayClient>, StorageError> {
        let client = self.clients.client(address);
        Ok(client.map_err(|error| StorageError::Unavailable(error.to_string()))?)
    }
}
