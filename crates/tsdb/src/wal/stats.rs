//! Counters of a log, for the owner's metrics. Plain atomics; nothing is registered here.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a log has done since it was opened. All but the last two only grow.
#[derive(Debug, Default)]
pub struct WalStats {
    /// Records that were logged with success.
    pub records: AtomicU64,
    /// Bytes of these before compression.
    pub record_bytes: AtomicU64,
    /// Bytes of these as they went into the pages, without headers.
    pub payload_bytes: AtomicU64,
    /// Calls of write(2).
    pub writes: AtomicU64,
    /// Bytes written with success, headers and padding included.
    pub written_bytes: AtomicU64,
    /// Pages that became full.
    pub completed_pages: AtomicU64,
    /// Groups of records that could not be written.
    pub failed_writes: AtomicU64,
    /// Syncs of segments.
    pub syncs: AtomicU64,
    /// Syncs that failed.
    pub failed_syncs: AtomicU64,
    /// Segments that were begun.
    pub cut_segments: AtomicU64,
    /// Calls of `truncate`.
    pub truncations: AtomicU64,
    /// Calls of `truncate` that failed.
    pub failed_truncations: AtomicU64,
    /// Checkpoints that were begun.
    pub checkpoints: AtomicU64,
    /// Checkpoints that failed.
    pub failed_checkpoints: AtomicU64,
    /// Times that older checkpoints were deleted.
    pub checkpoint_deletions: AtomicU64,
    /// Times that failed.
    pub failed_checkpoint_deletions: AtomicU64,
    /// The number of the segment that is written to.
    pub current_segment: AtomicU64,
    /// Bytes of all segments on disk.
    pub disk_bytes: AtomicU64,
}

/// Counts.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
