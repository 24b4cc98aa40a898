//! Connections to the processes of a ring, by their addresses. Those of instances that left the
//! ring, and of instances that do not say that they serve, are dropped; the next call makes new
//! ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use parking_lot::Mutex;
use rt::BlockingHandle;
use tonic::transport::Error;

use crate::client::Connection;

/// How many processes are asked for their health at once.
const MAX_CONCURRENT_CHECKS: usize = 16;

type Connect<C> = Box<dyn Fn(&str) -> Result<C, Error> + Send + Sync>;

/// How processes are asked whether they serve.
#[derive(Debug, Clone, Copy)]
pub struct HealthCheck {
    /// How long the answer may take.
    pub timeout: Duration,
    /// How long a process may fail to say that it serves before its connection is dropped.
    pub grace_period: Duration,
}

/// A client that has a connection.
pub(crate) trait Connected: Send + Sync {
    /// Its connection.
    fn connection(&self) -> &Connection;
}

/// A client for each address.
pub(crate) struct Pool<C> {
    connect: Connect<C>,
    blocking: BlockingHandle,
    clients: Mutex<HashMap<String, Entry<C>>>,
}

struct Entry<C> {
    client: Arc<C>,
    /// Since when it does not say that it serves, in monotonic time.
    failing_since: Option<Duration>,
}

impl<C: Connected> Pool<C> {
    /// A pool without clients, which `connect` makes inside of the runtime.
    pub(crate) fn new(
        blocking: BlockingHandle,
        connect: impl Fn(&str) -> Result<C, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { connect: Box::new(connect), blocking, clients: Mutex::default() }
    }

    /// The client of `address`.
    pub(crate) fn client(&self, address: &str) -> Result<Arc<C>, Error> {
        let mut clients = self.clients.lock();
        if let Some(entry) = clients.get(address) {
            return Ok(Arc::clone(&entry.client));
        }
        let client = Arc::new(self.blocking.enter(|| (self.connect)(address))?);
        let entry = Entry { client: Arc::clone(&client), failing_since: None };
        clients.insert(address.to_owned(), entry);
        Ok(client)
    }

    /// How many clients there are.
    pub(crate) fn len(&self) -> usize {
        self.clients.lock().len()
    }

    /// Drops the clients of addresses that are not among `known`, the instances of the ring, and
    /// with `check` those of processes that do not serve at the monotonic time `now`.
    pub(crate) async fn tend(&self, known: &[String], now: Duration, check: Option<HealthCheck>) {
        self.clients.lock().retain(|address, _| {
            let is_known = known.contains(address);
            if !is_known {
                tracing::info!(address, "dropped the connection to an instance that has left");
            }
            is_known
        });
        let Some(check) = check else { return };
        let all: Vec<(String, Arc<C>)> = {
            let clients = self.clients.lock();
            let all = clients.iter().map(|(address, e)| (address.clone(), Arc::clone(&e.client)));
            all.collect()
        };
        let checks = all.into_iter().map(|(address, client)| async move {
            let healthy = client.connection().check_health(check.timeout).await;
            self.checked(&address, &client, (healthy, now, check.grace_period));
        });
        futures::stream::iter(checks).buffer_unordered(MAX_CONCURRENT_CHECKS).collect::<()>().await;
    }

    fn checked(
        &self,
        address: &str,
        client: &Arc<C>,
        (healthy, now, grace): (Result<(), tonic::Status>, Duration, Duration),
    ) {
        let mut clients = self.clients.lock();
        let entry = clients.get_mut(address).filter(|entry| Arc::ptr_eq(&entry.client, client));
        let Some(entry) = entry else { return };
        let Err(status) = healthy else {
            entry.failing_since = None;
            return;
        };
        let since = *entry.failing_since.get_or_insert(now);
        if grace <= now.saturating_sub(since) {
            tracing::warn!(address, error = %status, "dropped a connection that is not healthy");
            clients.remove(address);
        }
    }
}
