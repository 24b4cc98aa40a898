//! The in-memory head: the newest samples of a tenant, appended by many threads, written ahead
//! to the log, and cut into blocks.
//!
//! Owned by [`crate::db::Db`], which decides when blocks are cut and the head is truncated. The
//! parts:
//!
//! ```text
//! shards.rs      series by hash, a lock a shard      series.rs   one series: hot line, cold part
//! table.rs       hash -> slot                        slab.rs     memory of open chunks
//! labels.rs      labels of a shard as numbers        symbols.rs  strings of the tenant, once
//! postings.rs    label pair -> series                append.rs   a write request (locate, create)
//! rules.rs       which samples are taken             floats.rs, histograms.rs, xor2.rs   open chunks
//! log.rs         the way to the WAL                  chunks.rs   where complete chunks go
//! delete.rs      deleted ranges                      spread.rs   where chunks of floats end
//! ooo.rs         samples that come out of order      zeros.rs    zeros where counters begin
//! find.rs        matchers -> series                  activity.rs who took samples lately
//! any_order.rs   series for those who count
//! cardinality.rs how many
//! exemplars.rs   a ring of exemplars                 metadata.rs type, unit and help of series
//! ```

mod activity;
mod any_order;
mod append;
mod cardinality;
mod checkpoint;
mod chunks;
mod conflicts;
mod create;
mod cut;
mod delete;
mod exemplars;
mod find;
mod floats;
mod histograms;
mod labels;
mod locate;
mod log;
mod metadata;
mod ooo;
mod order;
mod outcome;
mod postings;
mod read;
mod replay;
mod rules;
mod sample_records;
mod samples;
mod series;
mod shards;
mod slab;
mod snapshot;
mod spread;
mod symbols;
mod table;
mod truncate;
mod xor2;
mod zeros;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use model::batch::{BatchSeries, SeriesHasher};
use model::{Labels, TimestampMs, WriteBatch};
use parking_lot::{Mutex, RwLock};

pub use append::AppendScratch;
pub use cardinality::{ActiveCounts, CountVisitor, CountedSeries, SeriesVisitor, ValueVisitor};
pub(crate) use checkpoint::remove_covered_segments;
pub use cut::BlockCut;
pub use exemplars::ExemplarStats;
pub use metadata::{Metadata, SeriesMetadata};
pub use ooo::{DEFAULT_OUT_OF_ORDER_CAPACITY, LateBlockCut, LateCompaction};
pub use outcome::{
    AppendLimits, AppendOutcome, DuplicateFloat, ExemplarOutcome, ExemplarRejection,
    ExemplarRejectionKind, Rejection, RejectionKind,
};
pub use read::{HeadQuerier, HeadQueryable};
pub use replay::{ReplayProgress, ReplayReport, ReplaySources, ReplayStage};
pub use snapshot::SnapshotStats;
pub(crate) use snapshot::delete_snapshots;

use activity::Activity;
use chunks::ChunkSink;
use delete::DeletedRanges;
use exemplars::Exemplars;
use log::HeadLog;
use metadata::MetadataTable;
use ooo::LateHead;
use order::LabelOrder;
use postings::Postings;
use read::ReadLease;
use rules::NO_MAX_TIME;
use shards::Shards;
use spread::ChunkSpread;
use symbols::Symbols;

use crate::chunk::NewEncodings;
use crate::fs::SharedFs;
use crate::head_chunks::HeadChunks;
use crate::wal::{Wal, WalOptions};

/// Options of a head.
#[derive(Debug, Clone)]
pub struct HeadOptions {
    /// The range of a block, ms; no chunk crosses a multiple of it.
    pub block_range_ms: i64,
    /// Into how many parts with a lock of their own the series are divided.
    pub shards: usize,
    /// The hasher that made the hashes in the batches.
    pub hasher: SeriesHasher,
    /// How many samples that came out of order a series keeps before they become a chunk.
    pub out_of_order_capacity: usize,
    /// The encodings of new chunks.
    pub encodings: NewEncodings,
    /// Whether start timestamps of samples are kept: in the logs, and in chunks whose encoding
    /// has them.
    pub start_times: bool,
    /// By which part of their duration the ends of chunks differ from series to series, 0 to 1.
    pub chunk_end_time_variance: f64,
    /// Metrics to which [`AppendLimits::max_series_per_metric`] does not apply, ascending.
    pub unlimited_metrics: Arc<[String]>,
}

/// The head of one tenant.
pub struct Head {
    options: HeadOptions,
    hasher: SeriesHasher,
    shards: Shards,
    symbols: RwLock<Symbols>,
    postings: RwLock<Postings>,
    order: LabelOrder,
    activity: Activity,
    log: HeadLog,
    deleted: DeletedRanges,
    late: LateHead,
    exemplars: Exemplars,
    metadata: MetadataTable,
    files: Option<Arc<HeadChunks>>,
    /// Cloned by every query; replaced when something is going to be removed.
    lease: Mutex<ReadLease>,
    /// References without a series whose records may stand in the log, and until which segment.
    needed_refs: Mutex<HashMap<u64, u64>>,
    /// References in the log that lead to a series which has another one: that one, then the
    /// reference.
    second_refs: Mutex<Vec<(u64, u64)>>,
    retired_leases: Mutex<Vec<Weak<()>>>,
    /// Held for reading while a select finds its series, for writing while they are renumbered.
    /// Taken before the lock of any shard.
    selects: RwLock<()>,
    next_series_ref: AtomicU64,
    series_count: AtomicU64,
    created_series: AtomicU64,
    removed_series: AtomicU64,
    /// Oldest and newest sample; [`TimestampMs::MAX`] and [`NO_MAX_TIME`] while there is none.
    min_time_ms: AtomicI64,
    max_time_ms: AtomicI64,
    /// Older samples belong to blocks that are written already.
    min_valid_time_ms: AtomicI64,
}

impl Head {
    /// An empty head without a log; `files` takes its complete chunks.
    pub fn new(options: HeadOptions, files: Option<Arc<HeadChunks>>) -> Self {
        let seed = options.hasher.hash(&[]);
        Self {
            hasher: options.hasher,
            shards: Shards::new(options.shards),
            symbols: RwLock::new(Symbols::new(seed)),
            postings: RwLock::default(),
            order: LabelOrder::default(),
            activity: Activity::default(),
            log: HeadLog::default(),
            deleted: DeletedRanges::default(),
            late: LateHead::new(&options),
            exemplars: Exemplars::default(),
            metadata: MetadataTable::default(),
            files,
            lease: Mutex::default(),
            needed_refs: Mutex::default(),
            second_refs: Mutex::default(),
            retired_leases: Mutex::default(),
            selects: RwLock::default(),
            next_series_ref: AtomicU64::new(1),
            series_count: AtomicU64::new(0),
            created_series: AtomicU64::new(0),
            removed_series: AtomicU64::new(0),
            min_time_ms: AtomicI64::new(TimestampMs::MAX),
            max_time_ms: AtomicI64::new(NO_MAX_TIME),
            min_valid_time_ms: AtomicI64::new(TimestampMs::MIN),
            options,
        }
    }

    /// Forgets everything but the valid time; for a replay that must begin anew.
    fn clear(&self) {
        for index in 0..self.shards.len() {
            *self.shards.lock(index) = shards::Shard::default();
        }
        *self.symbols.write() = Symbols::new(self.hasher.hash(&[]));
        *self.postings.write() = Postings::default();
        self.deleted.clear();
        self.series_count.store(0, Ordering::Release);
        self.created_series.store(0, Ordering::Relaxed);
        self.min_time_ms.store(TimestampMs::MAX, Ordering::Release);
        self.max_time_ms.store(NO_MAX_TIME, Ordering::Release);
    }

    /// Logs to `wal` from now on. To be called once, after the replay and before any append.
    pub fn attach_wal(&self, wal: Wal) {
        self.log.attach(wal);
    }

    /// Logs samples that come out of order to a log in `dir` from now on. To be called once, after
    /// the replay; there is no file before the first of them.
    pub fn attach_wbl(&self, fs: SharedFs, dir: PathBuf, options: WalOptions) {
        self.late.log.attach(fs, dir, options);
    }

    /// Series created and removed since the start.
    pub fn series_turnover(&self) -> (u64, u64) {
        let created = self.created_series.load(Ordering::Relaxed);
        (created, self.removed_series.load(Ordering::Relaxed))
    }

    /// The number of distinct strings in labels.
    pub fn symbol_count(&self) -> usize {
        self.symbols.read().len()
    }

    /// The number of series.
    pub fn series_count(&self) -> u64 {
        self.series_count.load(Ordering::Acquire)
    }

    /// The write-ahead log; `None` without one.
    pub fn wal(&self) -> Option<&Wal> {
        self.log.wal()
    }

    /// The head chunk files; `None` without them.
    pub fn files(&self) -> Option<&Arc<HeadChunks>> {
        self.files.as_ref()
    }

    /// Times of the oldest and the newest sample; `None` when there is none.
    pub fn time_bounds(&self) -> Option<(TimestampMs, TimestampMs)> {
        let min = self.min_time_ms.load(Ordering::Acquire);
        let max = self.max_time_ms.load(Ordering::Acquire);
        (min <= max).then_some((min, max))
    }

    fn lease(&self) -> ReadLease {
        self.lease.lock().clone()
    }

    fn chunk_sink(&self) -> ChunkSink<'_> {
        ChunkSink {
            block_range_ms: self.options.block_range_ms,
            encodings: self.options.encodings,
            spread: self.chunk_spread(),
            files: self.files.as_deref(),
        }
    }

    fn chunk_spread(&self) -> Option<ChunkSpread<'_>> {
        let variance = self.options.chunk_end_time_variance;
        (variance > 0.0).then_some(ChunkSpread { variance, symbols: &self.symbols })
    }

    /// About what the tables hold, by part, bytes. Cheap.
    pub fn memory_parts(&self) -> Vec<(&'static str, usize)> {
        let mut parts = vec![
            ("symbols", self.symbols.read().memory_bytes()),
            ("postings", self.postings.read().memory_bytes()),
            ("label order", self.order.memory_bytes()),
        ];
        for index in 0..self.shards.len() {
            for (name, bytes) in self.shards.lock(index).memory_parts() {
                match parts.iter_mut().find(|part| part.0 == name) {
                    Some(part) => part.1 += bytes,
                    None => parts.push((name, bytes)),
                }
            }
        }
        parts
    }

    /// About how many bytes the tables hold. Cheap.
    pub fn memory_bytes(&self) -> usize {
        self.memory_parts().iter().map(|(_, bytes)| bytes).sum()
    }
}

fn labels_of_batch(batch: &WriteBatch<'_>, series: &BatchSeries) -> Labels {
    Labels::from_sorted(batch.labels_of(series).iter().map(|label| (label.name, label.value)))
}
