//! The store-gateways of a ring, by their addresses.

use std::sync::Arc;
use std::time::Duration;

use model::StorageError;
use rt::BlockingHandle;
use wire::client::{GatewayClients, StoreGatewayClient};

use super::RemoteStoreGateway;
use crate::client::ClientOptions;
use crate::pool::{HealthCheck, Pool};

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

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops connections to instances that are not among `known`, the addresses of the ring, and
    /// with `check` to those that do not serve at the monotonic time `now`.
    pub async fn tend(&self, known: &[String], now: Duration, check: Option<HealthCheck>) {
        self.clients.tend(known, now, check).await;
    }
}

impl GatewayClients for GatewayPool {
    fn gateway(&self, address: &str) -> Result<Arc<dyn StoreGatewayClient>, StorageError> {
        let client = self.clients.client(address);
        Ok(client.map_err(|error| StorageError::Unavailable(error.to_string()))?)
    }
}
