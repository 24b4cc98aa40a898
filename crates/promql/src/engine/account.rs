//! The count of samples that a query holds at one time, against the engine's limit, and the
//! estimate of its memory, against the query's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Interrupted, QueryContext};

use super::QueryError;

/// What a query holds.
pub(crate) struct SampleAccount {
    context: Arc<QueryContext>,
    max_samples: u64,
    current: AtomicU64,
    peak: AtomicU64,
    current_bytes: AtomicU64,
}

impl SampleAccount {
    /// Nothing is held yet. 0 = no bound.
    pub(crate) fn new(max_samples: u64, context: Arc<QueryContext>) -> Self {
        let (current, peak) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { context, max_samples, current, peak, current_bytes: AtomicU64::new(0) }
    }

    /// Fails when the query must stop.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        self.context.check()
    }

    /// How many bytes more could be held now; `None` where there is no limit.
    pub(crate) fn memory_left(&self) -> Option<u64> {
        self.context.memory_left()
    }

    /// The bytes that are held now.
    pub(crate) fn current_bytes(&self) -> u64 {
        self.current_bytes.load(Ordering::Relaxed)
    }

    /// The most samples that were held at one time.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Takes room for samples and bytes, until the reservation is dropped.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        samples: u64,
        bytes: u64,
    ) -> Result<Reservation, QueryError> {
        let reservation = Reservation { account: Arc::clone(self), samples, bytes };
        let now = self.current.fetch_add(samples, Ordering::Relaxed) + samples;
        self.peak.fetch_max(now, Ordering::Relaxed);
        self.current_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.context.reserve_memory(bytes)?;
        if self.max_samples != 0 && now > self.max_samples {
            return Err(QueryError::TooManySamples);
        }
        Ok(reservation)
    }

    /// Fails where `cells` could never be held.
    pub(crate) fn check_size(&self, cells: usize) -> Result<(), QueryError> {
        /// Where nothing else bounds a query: 2^31 cells take 16 GiB.
        const MAX_CELLS: u64 = 1 << 31;
        let max = if self.max_samples == 0 { MAX_CELLS } else { self.max_samples };
        if cells as u64 > max { Err(QueryError::TooManySamples) } else { Ok(()) }
    }
}

/// Room that is taken; given back when dropped.
pub(crate) struct Reservation {
    account: Arc<SampleAccount>,
    samples: u64,
    bytes: u64,
}

impl Reservation {
    /// Takes room for `bytes` more.
    fn grow(&mut self, bytes: u64) -> Result<(), QueryError> {
        self.bytes += bytes;
        self.account.current_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.account.context.reserve_memory(bytes)?;
        Ok(())
    }
}

/// Room for something that grows piece by piece.
pub(crate) struct Meter {
    reservation: Reservation,
    pending_bytes: u64,
}

impl Meter {
    /// Nothing is held yet.
    pub(crate) fn new(account: &Arc<SampleAccount>) -> Self {
        let reservation = Reservation { account: Arc::clone(account), samples: 0, bytes: 0 };
        Self { reservation, pending_bytes: 0 }
    }

    /// Where it counts.
    pub(crate) fn account(&self) -> &Arc<SampleAccount> {
        &self.reservation.account
    }

    /// Takes room for `bytes` more, until the meter is dropped.
    #[inline]
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), QueryError> {
        /// Fewer bytes than this may be held before they are counted.
        const PIECE: u64 = 16 << 10;
        self.pending_bytes += bytes as u64;
        if self.pending_bytes < PIECE {
            return Ok(());
        }
        self.reservation.grow(std::mem::take(&mut self.pending_bytes))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.current.fetch_sub(self.samples, Ordering::Relaxed);
        self.account.current_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.account.context.release_memory(self.bytes);
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reservation({} samples, {} bytes)", self.samples, self.bytes)
    }
}
