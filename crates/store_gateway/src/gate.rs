//! A bound on how much is done at the same time; what comes later waits for its turn.

use std::sync::Arc;
use std::time::Duration;

use model::{Clock, StorageError};
use rt::metrics::Histogram;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets so many in at a time.
pub(crate) struct Gate {
    what: &'static str,
    turns: Option<Arc<Semaphore>>,
    timeout: Option<Duration>,
    clock: Arc<dyn Clock>,
    waited: Histogram,
}

/// A turn; it ends when this is dropped.
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Gate {
    /// `concurrency` turns at a time (0 = no bound), each waited for at most `timeout` (0 = as
    /// long as it takes). `what` is named in the error.
    pub(crate) fn new(
        what: &'static str,
        (concurrency, timeout): (usize, Duration),
        clock: Arc<dyn Clock>,
        waited: Histogram,
    ) -> Self {
        let turns = (concurrency > 0)
            .then(|| Arc::new(Semaphore::new(concurrency.min(Semaphore::MAX_PERMITS))));
        let timeout = (!timeout.is_zero()).then_some(timeout);
        Self { what, turns, timeout, clock, waited }
    }

    /// Waits for a turn.
    pub(crate) async fn enter(&self) -> Result<Turn, StorageError> {
        let Some(turns) = &self.turns else { return Ok(Turn { _permit: None }) };
        let start = self.clock.monotonic();
        let permit = Arc::clone(turns).acquire_owned();
        let permit = match self.timeout {
            Some(timeout) => rt::time::timeout(timeout, permit).await.ok(),
            None => Some(permit.await),
        };
        self.waited.observe(self.clock.monotonic().saturating_sub(start).as_secs_f64());
        match permit {
            Some(Ok(permit)) => Ok(Turn { _permit: Some(permit) }),
            Some(Err(_)) | None => Err(StorageError::Unavailable(format!(
                "the store-gateway is busy: no turn for {} within {:?}",
                self.what,
                self.timeout.unwrap_or_default()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::env::ManualClock;

    #[tokio::test]
    async fn who_finds_no_turn_in_time_is_refused() {
        let clock = Arc::new(ManualClock::new(0));
        let waited = rt::Metrics::new().histogram("x", "x", &[1.0]);
        let gate = Gate::new("a test", (1, Duration::from_millis(1)), clock, waited);
        let first = gate.enter().await.unwrap();
        let error = gate.enter().await.map(drop).unwrap_err().to_string();
        assert_eq!(error, "the store-gateway is busy: no turn for a test within 1ms");
        drop(first);
        assert!(gate.enter().await.is_ok());
    }
}
