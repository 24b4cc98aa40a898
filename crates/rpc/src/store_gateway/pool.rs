//! Connections to the store-gateways of a ring, by their addresses.

use std::collections::HashMap;
use std::sync::Arc;

use model::StorageError;
use parking_lot::Mutex;
use rt::BlockingHandle;
use wire::client::StoreGatewayClient;

use super::RemoteStoreGateway;
use crate::client::ClientOptions;

/// A client for each address.
pub struct GatewayPool {
    options: ClientOptions,
    blocking: BlockingHandle,
    clients: Mutex<HashMap<String, Arc<dyn StoreGatewayClient>>>,
}

impl GatewayPool {
    /// A pool without connections.
    pub fn new(options: ClientOptions, blocking: BlockingHandle) -> Self {
        Self { options, blocking, clients: Mutex::default() }
    }

    /// The store-gateway at `address`.
    pub fn client(&self, address: &str) -> Result<Arc<dyn StoreGatewayClient>, StorageError> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(address) {
            return Ok(Arc::clone(client));
        }
        let blocking = self.blocking.clone();
        let client = blocking.clone().enter(|| {
            RemoteStoreGateway::new(address, self.options, blocking)
                .map_err(|error| StorageError::Unavailable(error.to_string()))
        })?;
        let client: Arc<dyn StoreGatewayClient> = Arc::new(client);
        clients.insert(address.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}
