//! One request as the reading functions see it: the store, and the accounts that everything it
//! takes is booked on. Waits on a compute thread for the bucket, as long as the query may go on.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use model::{LimitError, LimitKind, QueryContext, StorageError};

use crate::budget::Budget;
use crate::store::Store;

/// How often a query that waits for the bucket looks whether it should stop.
const CHECK_PERIOD: Duration = Duration::from_millis(100);

/// One request. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) store: Arc<Store>,
    pub(crate) context: Arc<QueryContext>,
    own: Arc<Budget>,
}

impl Request {
    /// A request that has taken nothing.
    pub(crate) fn new(store: &Arc<Store>, context: &Arc<QueryContext>) -> Self {
        let own = Arc::new(Budget::new(store.config.max_request_memory_bytes));
        Self { store: Arc::clone(store), context: Arc::clone(context), own }
    }

    /// Blocks until `future` is ready, or fails soon after the query has been stopped.
    pub(crate) fn wait<T>(
        &self,
        future: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        self.context.check()?;
        self.store.blocking.block_on(async {
            let mut future = pin!(future);
            loop {
                match rt::time::timeout(CHECK_PERIOD, future.as_mut()).await {
                    Ok(result) => return result,
                    Err(_) => self.context.check()?,
                }
            }
        })
    }

    /// Takes `bytes` of memory until the result is dropped: of the query's, of this request's and
    /// of the store's.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation, LimitError> {
        let mut reservation = Reservation { request: self.clone(), bytes: 0 };
        reservation.grow(bytes)?;
        Ok(reservation)
    }
}

/// Memory of a request, given back when it is dropped.
pub(crate) struct Reservation {
    request: Request,
    bytes: u64,
}

impl Reservation {
    /// Takes more. What was taken before stays taken when it fails.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), LimitError> {
        let request = &self.request;
        request.own.take(bytes, LimitKind::StoreRequestMemory)?;
        if let Err(error) = request.store.budget.take(bytes, LimitKind::StoreMemory) {
            request.own.give_back(bytes);
            return Err(error);
        }
        // Also what the context refuses has been counted there and must be given back.
        self.bytes += bytes;
        request.context.reserve_memory(bytes)
    }

    /// What is taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.request.context.release_memory(bytes);
        self.request.store.budget.give_back(bytes);
        self.request.own.give_back(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.clear();
    }
}
