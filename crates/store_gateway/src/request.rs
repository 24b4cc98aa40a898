//! One query as the reading functions see it: the store, and the account that everything it takes
//! is booked on. Waits on a compute thread for the bucket, as long as the query may go on.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use model::{LimitError, QueryContext, StorageError};

use crate::store::Store;

/// How often a query that waits for the bucket looks whether it should stop.
const CHECK_PERIOD: Duration = Duration::from_millis(100);

/// One query. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) store: Arc<Store>,
    pub(crate) context: Arc<QueryContext>,
}

impl Request {
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

    /// Takes `bytes` of the query's memory until the result is dropped.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation, LimitError> {
        let mut reservation = Reservation { context: Arc::clone(&self.context), bytes: 0 };
        reservation.grow(bytes)?;
        Ok(reservation)
    }
}

/// Memory of a query, given back when it is dropped.
pub(crate) struct Reservation {
    context: Arc<QueryContext>,
    bytes: u64,
}

impl Reservation {
    /// Takes more. What was taken before stays taken when it fails.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), LimitError> {
        // Also what failed has been counted and must be given back.
        self.bytes += bytes;
        self.context.reserve_memory(bytes)
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        self.context.release_memory(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.clear();
    }
}
