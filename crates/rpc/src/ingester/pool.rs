//! The ingesters of a ring, by their addresses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use model::{StorageError, TenantId};
use rt::BlockingHandle;
use wire::client::{IngesterPushes, IngesterQuery, IngesterReads, PushError, PushErrorCause};

use super::IngesterClient;
use crate::client::ClientOptions;
use crate::pool::{HealthCheck, Pool};

/// A client for each ingester.
pub struct IngesterPool {
    clients: Pool<IngesterClient>,
}

impl IngesterPool {
    /// A pool without connections. See [`IngesterClient::new`].
    pub fn new(options: ClientOptions, push_timeout: Duration, blocking: BlockingHandle) -> Self {
        let handle = blocking.clone();
        let clients = Pool::new(blocking, move |address| {
            IngesterClient::new(address, (&options, push_timeout), handle.clone())
        });
        Self { clients }
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

impl IngesterPushes for IngesterPool {
    fn push_message(
        &self,
        address: &str,
        tenant: &TenantId,
        message: Bytes,
    ) -> BoxFuture<'static, Result<(), PushError>> {
        let (client, tenant) = (self.clients.client(address), tenant.clone());
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
        let client = self.clients.client(address);
        Ok(client.map_err(|error| StorageError::Unavailable(error.to_string()))?)
    }
}
