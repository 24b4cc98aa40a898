//! Samples that come out of order: a list of the newest of them for each series that has any,
//! chunks that may overlap for the rest, and a log of their own, the write-behind log (WBL).
//!
//! Everything here is off the way of samples in order: a series without late samples has nothing
//! of it, and a head without them is asked for nothing. Late samples are collected while a
//! request goes through the shards (`append.rs`) and are then inserted and logged one request
//! after the other, so that the log tells the order in which memory changed.
//!
//! ```text
//! sample.rs    one late sample; many of them as chunks, and back
//! append.rs    inserting the late samples of a request     log.rs      the way to the WBL
//! read.rs      late samples of a series for queries        compact.rs  writing blocks of them
//! marker.rs    which chunks stand in blocks already
//! ```

mod append;
mod compact;
mod log;
mod marker;
mod read;
mod sample;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use model::TimestampMs;

use super::HeadOptions;
use super::series::FullChunk;

pub(super) use append::LateSamples;
pub use compact::{LateBlockCut, LateCompaction};
pub(super) use log::LateLog;
pub(super) use marker::CompactedMarker;
pub(super) use read::{LateView, has_late, late_reader, late_snapshot};
pub(super) use sample::{LateSample, LateValue};

/// How many late samples of a series are kept in memory before they become a chunk.
pub const DEFAULT_OUT_OF_ORDER_CAPACITY: usize = 32;

/// What a head keeps about late samples beside those of its series.
pub(super) struct LateHead {
    /// How many samples a series keeps in memory before they become a chunk.
    pub(super) capacity: usize,
    pub(super) log: LateLog,
    /// Oldest and newest late sample; [`TimestampMs::MAX`] and `MIN` while there is none.
    min_time_ms: AtomicI64,
    max_time_ms: AtomicI64,
    appended_floats: AtomicU64,
    appended_histograms: AtomicU64,
    /// Whether series hold chunks that stand in blocks already.
    has_compacted: AtomicBool,
}

impl LateHead {
    pub(super) fn new(options: &HeadOptions) -> Self {
        Self {
            capacity: options.out_of_order_capacity.max(1),
            log: LateLog::new(options.start_times),
            min_time_ms: AtomicI64::new(TimestampMs::MAX),
            max_time_ms: AtomicI64::new(TimestampMs::MIN),
            appended_floats: AtomicU64::new(0),
            appended_histograms: AtomicU64::new(0),
            has_compacted: AtomicBool::new(false),
        }
    }

    /// Times of the oldest and the newest late sample; `None` when there is none.
    pub(super) fn time_bounds(&self) -> Option<(TimestampMs, TimestampMs)> {
        let min = self.min_time_ms.load(Ordering::Acquire);
        let max = self.max_time_ms.load(Ordering::Acquire);
        (min <= max).then_some((min, max))
    }

    /// Notes that there may be late samples between two times.
    pub(super) fn note_times(&self, min: TimestampMs, max: TimestampMs) {
        self.min_time_ms.fetch_min(min, Ordering::AcqRel);
        self.max_time_ms.fetch_max(max, Ordering::AcqRel);
    }

    /// How many late floats and late histograms were stored since the start.
    pub(super) fn appended(&self) -> (u64, u64) {
        let floats = self.appended_floats.load(Ordering::Relaxed);
        (floats, self.appended_histograms.load(Ordering::Relaxed))
    }
}

/// The late samples of one series.
#[derive(Debug, Default)]
pub(super) struct LateSeries {
    /// The newest ones, ascending in time, each time once.
    samples: Vec<LateSample>,
    /// Chunks in the order in which they were written; they may overlap.
    full: Vec<FullChunk>,
    /// Likewise; a compaction writes them into blocks, or has done so.
    compacting: Vec<FullChunk>,
    /// Samples that were accepted and are not inserted yet: the series must not be removed.
    pending: u32,
}

impl LateSeries {
    /// Whether nothing is there and nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty()
            && self.full.is_empty()
            && self.compacting.is_empty()
            && self.pending == 0
    }

    /// Inserts a sample; false, and nothing changes, where there is one of this time in memory.
    pub(super) fn insert(&mut self, sample: LateSample) -> bool {
        let after = self.samples.last().is_none_or(|last| last.t < sample.t);
        let position = if after {
            self.samples.len()
        } else {
            self.samples.partition_point(|other| other.t < sample.t)
        };
        if self.samples.get(position).is_some_and(|other| other.t == sample.t) {
            return false;
        }
        if self.samples.len() == self.samples.capacity() {
            self.samples.reserve_exact(4.max(self.samples.len() / 2));
        }
        self.samples.insert(position, sample);
        true
    }

    /// The number of samples that are in no chunk.
    pub(super) fn sample_count(&self) -> usize {
        self.samples.len()
    }

    /// Adds a chunk that the head chunk files hold.
    pub(super) fn push_full(&mut self, chunk: FullChunk) {
        self.full.push(chunk);
    }

    /// All chunks, those that a compaction has taken first.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &FullChunk> {
        self.compacting.iter().chain(&self.full)
    }

    /// Times of the oldest and the newest sample that is in no chunk.
    pub(super) fn list_bounds(&self) -> Option<(TimestampMs, TimestampMs)> {
        Some((self.samples.first()?.t, self.samples.last()?.t))
    }

    /// Keeps the samples in no chunk whose times satisfy `keep`.
    pub(super) fn retain_samples(&mut self, keep: impl Fn(TimestampMs) -> bool) {
        self.samples.retain(|sample| keep(sample.t));
    }

    /// Times of the oldest and the newest sample.
    pub(super) fn time_bounds(&self) -> Option<(TimestampMs, TimestampMs)> {
        let list = self.list_bounds();
        let chunks = self.chunks().map(|chunk| (chunk.min_time_ms, chunk.max_time_ms));
        chunks.chain(list).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}
