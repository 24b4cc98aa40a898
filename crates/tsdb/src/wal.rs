//! The write-ahead log: what was acknowledged and is not in a block yet, in Prometheus' format.
//!
//! [`Wal`] writes (the head logs here before it answers a write), [`WalReader`] reads (restart,
//! checkpoint), [`repair`] cuts damage off, [`checkpoint`] rewrites old segments to what is still
//! needed; [`record`] has the contents. Nothing here starts a thread or looks at a clock: the
//! owner's timers call [`Wal::sync`] and [`checkpoint`]. Byte diagrams: `docs/format/wal.md`.
//!
//! What callers must see to:
//! - A directory belongs to one process: hold [`crate::fs::FileSystem::try_lock`] first.
//! - A series record must be logged, with success, before samples of that series are logged by
//!   anybody; after a failed [`Wal::log`] its series count as not logged.
//! - Two calls of [`Wal::log`] that run at the same time land in either order.

mod batch;
mod checkpoint;
mod page;
mod reader;
pub mod record;
mod record_dir;
mod repair;
mod segment;
pub(crate) mod stats;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use batch::LogScratch;
pub use checkpoint::{
    CheckpointDir, CheckpointRequest, CheckpointStats, checkpoint, delete_checkpoints_before,
    last_checkpoint, list_checkpoints, remove_leftovers,
};
pub use page::{PAGE_BYTES, RECORD_HEADER_BYTES};
pub use reader::{Corruption, CorruptionKind, SegmentReader, WalReader, replay_segments};
pub(crate) use record_dir::{RecordDirWriter, TEMPORARY};
pub use repair::{Gap, RepairOutcome, close_gaps, repair, repair_gap};
pub(crate) use segment::remove_segments_before;
pub use segment::{SegmentInfo, list_segments, segment_name};
pub use stats::WalStats;
pub use writer::Wal;

use crate::error::TsdbError;

/// The usual size of a segment, bytes.
pub const DEFAULT_SEGMENT_BYTES: u64 = 128 << 20;
/// No record is longer, written or decompressed, bytes.
pub const MAX_RECORD_BYTES: usize = 512 << 20;

/// How records are compressed. Readers take all kinds, mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Snappy's block format.
    Snappy,
    /// Zstandard.
    Zstd,
}

/// When written records reach the device. The death of the process alone never loses what was
/// acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// When the operating system likes.
    Never,
    /// The owner calls [`Wal::sync`] every so many milliseconds.
    Interval(u64),
    /// Before [`Wal::log`] returns.
    Always,
}

/// Settings of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalOptions {
    /// Size of a segment, bytes; a multiple of the page.
    pub segment_bytes: u64,
    /// Compression of new records.
    pub compression: Compression,
    /// When to sync.
    pub fsync: FsyncPolicy,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            compression: Compression::None,
            fsync: FsyncPolicy::Interval(1000),
        }
    }
}

/// Why the log could not be written or read. Cheap to clone: every caller of one group gets it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WalError {
    /// A file operation failed.
    #[error("write-ahead log: {operation} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A record is longer than [`MAX_RECORD_BYTES`].
    #[error("write-ahead log: a record of {0} bytes is too large")]
    RecordTooLarge(usize),
    /// Settings that cannot work, or a directory that cannot be a log.
    #[error("write-ahead log: {0}")]
    Invalid(String),
    /// Damaged data; see [`repair`].
    #[error("write-ahead log: {0}")]
    Corrupt(#[from] Corruption),
}

impl WalError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { operation, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether the device is full.
    pub fn is_storage_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}

impl From<WalError> for TsdbError {
    fn from(error: WalError) -> Self {
        match error {
            WalError::Io { operation, path, source } => {
                let source = io::Error::new(source.kind(), source);
                Self::Io { operation, path, source }
            }
            WalError::RecordTooLarge(_) => Self::TooLarge(error.to_string()),
            WalError::Invalid(_) => Self::Invalid(error.to_string()),
            WalError::Corrupt(corruption) => corruption.into(),
        }
    }
}

#[cfg(test)]
mod tests;
