//! Connections to the processes of a ring, by their addresses. One that was made stays: the number
//! of them is that of the addresses that the ring ever had.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rt::BlockingHandle;
use tonic::transport::Error;

type Connect<C> = Box<dyn Fn(&str) -> Result<C, Error> + Send + Sync>;

/// A client for each address.
pub(crate) struct Pool<C> {
    connect: Connect<C>,
    blocking: BlockingHandle,
    clients: Mutex<HashMap<String, Arc<C>>>,
}

impl<C> Pool<C> {
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
        if let Some(client) = clients.get(address) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(self.blocking.enter(|| (self.connect)(address))?);
        clients.insert(address.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}
