//! Connections to the ingesters of a ring, by their addresses. Those that nobody asks for any more
//! are dropped by their owner, who knows the ring.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use model::{StorageError, TenantId};
use parking_lot::Mutex;
use rt::BlockingHandle;
use wire::client::{IngesterPushes, IngesterQuery, IngesterReads, PushError, PushErrorCause};

use super::IngesterClient;
use crate::client::ClientOptions;

/// A client for each address.
pub struct IngesterPool {
    options: ClientOptions,
    push_timeout: Duration,
    blocking: BlockingHandle,
    clients: Mutex<HashMap<String, Arc<IngesterClient>>>,
}

impl IngesterPool {
    /// A pool without connections. See [`IngesterClient::new`].
    pub fn new(options: ClientOptions, push_timeout: Duration, blocking: BlockingHandle) -> Self {
        Self { options, push_timeout, blocking, clients: Mutex::default() }
    }

    /// The ingester at `address`.
    pub fn client(&self, address: &str) -> Result<Arc<IngesterClient>, tonic::transport::Error> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(address) {
            return Ok(Arc::clone(client));
        }
        let options = (self.options, self.push_timeout);
        let connect = || IngesterClient::new(address, options, self.blocking.clone());
        let client = Arc::new(self.blocking.enter(connect)?);
        clients.insert(address.to_owned(), Arc::clone(&client));
        Ok(client)
    }

    /// Drops the connections to addresses that `is_known` does not know.
    pub fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.clients.lock().retain(|address, _| is_known(address));
    }
}

impl IngesterPushes for IngesterPool {
    fn push_message(
        &self,
        address: &str,
        tenant: &TenantId,
        message: Bytes,
    ) -> BoxFuture<'static, Result<(), PushError>> {
        let (client, tenant) = (self.client(address), tenant.clone());
        Box::pin(async move {
            let unusable = |error: tonic::transport::Error| {
                PushError::hard(PushErrorCause::ServiceUnavailable, error.to_string())
            };
            client.map_err(unusable)?.push_message(&tenant, message).await
        })
    }
}

impl IngesterReads for IngesterPool {
    fn ingester(&self, address: &str) -> Result<Arc<dyn IngesterQuery>, StorageError> {
        let client = self.client(address);
        Ok(client.map_err(|error| StorageError::Unavailable(error.to_string()))?)
    }
}
