//! Watching a compaction from outside, and stopping it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::TsdbError;

/// Shared between a compaction and those who watch it.
#[derive(Debug, Default)]
pub struct Progress {
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

/// How far a compaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressReport {
    /// Series of source blocks that were read.
    pub series_done: u64,
    /// All series of the source blocks, as their `meta.json` say.
    pub series_total: u64,
}

impl Progress {
    /// Makes the compaction fail soon, with nothing left behind.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// How far it is.
    pub fn report(&self) -> ProgressReport {
        ProgressReport {
            series_done: self.done.load(Ordering::Relaxed),
            series_total: self.total.load(Ordering::Relaxed),
        }
    }

    pub(super) fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Counts series; fails after [`Progress::cancel`].
    pub(super) fn advance(&self, series: u64) -> Result<(), TsdbError> {
        self.done.fetch_add(series, Ordering::Relaxed);
        self.check()
    }

    pub(super) fn check(&self) -> Result<(), TsdbError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(TsdbError::Invalid("the compaction was cancelled".to_owned()));
        }
        Ok(())
    }
}
