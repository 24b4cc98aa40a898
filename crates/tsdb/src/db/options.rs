//! What a database is opened with, and what it tells about itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use model::batch::SeriesHasher;
use model::{Clock, Executor, Random, TimestampMs};
use ulid::Ulid;

use crate::chunk::NewEncodings;
use crate::error::TsdbError;
use crate::fs::SharedFs;

/// Options of a tenant's database.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// The range of a block cut from the head, ms. Mimir allows no other value than 2 h.
    pub block_range_ms: i64,
    /// How far the end of a block must lie before that of the newest one until
    /// [`super::Db::delete_old_blocks`] deletes it, ms; 0 = that does not matter.
    pub retention_ms: i64,
    /// Cut the oldest range as soon as nothing can be appended to it any more, instead of waiting
    /// until the head spans 1.5 ranges.
    pub timely_compaction: bool,
    /// Into how many parts with a lock of their own the series are divided.
    pub shards: usize,
    /// How many samples that came out of order a series keeps before they become a chunk; from 1
    /// to 255.
    pub out_of_order_capacity: usize,
    /// Whether out-of-order samples of past days go to blocks of a day each.
    pub bigger_out_of_order_blocks: bool,
    /// The write-ahead log; `None` keeps everything in memory only (tests and tools).
    pub wal: Option<crate::wal::WalOptions>,
    /// Whether a snapshot of an earlier process is loaded ([`super::Db::write_snapshot`]).
    pub load_snapshots: bool,
    /// The most exemplars that the replay keeps; every append says anew how many there may be.
    pub max_exemplars: u64,
    /// Metrics to which [`crate::head::AppendLimits::max_series_per_metric`] does not apply,
    /// ascending.
    pub unlimited_metrics: Arc<[String]>,
    /// By which part of their duration the ends of float chunks differ from series to series, so
    /// that not all are written at the same moment; 0 to 1.
    pub chunk_end_time_variance: f64,
    /// Whether new chunks of floats are XOR2 chunks, which have start timestamps.
    pub xor2_encoding: bool,
    /// Whether new chunks of histograms have the encodings with start timestamps.
    pub histograms_st_encoding: bool,
    /// Whether start timestamps of samples are stored. Needs [`DbOptions::xor2_encoding`].
    pub st_storage: bool,
}

impl DbOptions {
    /// The encodings of new chunks; fails for switches that contradict each other.
    pub(super) fn encodings(&self) -> Result<NewEncodings, TsdbError> {
        if self.st_storage && !self.xor2_encoding {
            let reason = "start timestamps cannot be stored: XOR chunks do not have them";
            return Err(TsdbError::Invalid(reason.to_owned()));
        }
        Ok(NewEncodings {
            xor2: self.xor2_encoding,
            histogram_start_times: self.histograms_st_encoding,
        })
    }
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            block_range_ms: 2 * 60 * 60 * 1000,
            retention_ms: 0,
            timely_compaction: false,
            shards: 32,
            out_of_order_capacity: crate::head::DEFAULT_OUT_OF_ORDER_CAPACITY,
            bigger_out_of_order_blocks: false,
            wal: Some(crate::wal::WalOptions::default()),
            load_snapshots: true,
            max_exemplars: 0,
            unlimited_metrics: [].into(),
            chunk_end_time_variance: 0.0,
            xor2_encoding: false,
            histograms_st_encoding: false,
            st_storage: false,
        }
    }
}

/// The outside world of a database, handed in.
#[derive(Clone)]
pub struct DbEnv {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Random bits for block ids.
    pub random: Arc<dyn Random>,
    /// Parallel work of replay and compaction.
    pub executor: Arc<dyn Executor>,
    /// The disk.
    pub fs: SharedFs,
    /// The hasher that made the hashes in the batches; batches of another one are hashed again.
    pub hasher: SeriesHasher,
}

/// When [`super::Db::compact_head`] writes blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompactionMode {
    /// As long as the head spans more than 1.5 block ranges (or as long as
    /// [`DbOptions::timely_compaction`] says), its oldest range.
    Regular,
    /// All of the head, if nothing was appended for this long; otherwise as `Regular`.
    Idle(Duration),
    /// All samples up to this time, to have fewer series in memory. Older samples are refused
    /// afterwards.
    Early(TimestampMs),
    /// All of the head now. Samples that are older than its newest one are refused afterwards.
    Forced,
}

/// A block on the local disk.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockInfo {
    /// Its id.
    pub ulid: Ulid,
    /// Its directory.
    pub dir: PathBuf,
    /// First moment, ms.
    pub min_time_ms: TimestampMs,
    /// One after the last moment, ms.
    pub max_time_ms: TimestampMs,
    /// Compaction level; 1 = written from the head.
    pub level: u32,
    /// Samples in it.
    pub sample_count: u64,
    /// Series in it.
    pub series_count: u64,
    /// Bytes of its index and its chunks.
    pub size_bytes: u64,
}

/// Figures for metrics and pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DbStats {
    /// Series in the head.
    pub series: u64,
    /// Series created since opening.
    pub created_series: u64,
    /// Series removed from the head since opening.
    pub removed_series: u64,
    /// Oldest sample of the head, ms; `None` when it is empty.
    pub min_time_ms: Option<TimestampMs>,
    /// Newest sample of the head, ms; `None` when it is empty.
    pub max_time_ms: Option<TimestampMs>,
    /// Older samples are refused, ms; `None` while everything is taken.
    pub min_valid_time_ms: Option<TimestampMs>,
    /// Bytes of WAL segments and checkpoints on disk.
    pub wal_bytes: u64,
    /// Bytes of the log of what came out of order.
    pub wbl_bytes: u64,
    /// Samples that came out of order and were stored, since opening.
    pub out_of_order_samples: u64,
    /// Bytes of head chunk files.
    pub head_chunk_bytes: u64,
    /// Blocks on the local disk.
    pub blocks: u64,
    /// Blocks on the local disk that cannot be read, see [`super::Db::broken_blocks`].
    pub broken_blocks: u64,
    /// Wall-clock time of the last append, ms; 0 = none since opening.
    pub last_append_ms: TimestampMs,
    /// Distinct strings in the head.
    pub symbols: u64,
    /// Estimate of the head's memory, bytes.
    pub memory_bytes: u64,
}

/// What keeping the head small has done since the opening. Plain atomics; they only grow.
#[derive(Debug, Default)]
pub struct MaintenanceStats {
    /// Truncations of the head.
    pub head_truncations: AtomicU64,
    /// Truncations of the head after which files or the log could not be shortened.
    pub failed_head_truncations: AtomicU64,
    /// Times that the log was shortened.
    pub log_shortenings: AtomicU64,
    /// How long that took in all, microseconds.
    pub log_shortening_micros: AtomicU64,
}
