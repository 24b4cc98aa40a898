//! One series in memory: a hot part of one cache line, which an append of a float touches and
//! nothing else, and a cold part for what few series have or few operations need.
//!
//! Owned by a shard (`shards.rs`); everything here happens under the shard's lock.

use std::sync::Arc;

use model::TimestampMs;

use super::activity::Tick;
use super::histograms::OpenHistogram;
use super::ooo::LateSeries;
use super::slab::SlotRef;
use super::xor2::OpenXor2;
use crate::chunk::ChunkEncoding;
use crate::chunk::xor::XorState;
use crate::head_chunks::ChunkDiskRef;

/// "There is none" for indices.
pub(super) const NONE: u32 = u32::MAX;

/// The number of a series that is not in the postings yet.
const UNNUMBERED: u32 = u32::MAX - 1;

/// What kind of chunk a series is appending to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Open {
    /// To none: nothing was appended yet, or all of it is in full chunks.
    #[default]
    Nothing,
    /// To an XOR chunk.
    Float,
    /// To a histogram chunk in the cold part.
    Histogram,
    /// To an XOR2 chunk in the cold part.
    Xor2,
}

/// An open chunk in the cold part.
#[derive(Debug)]
pub(super) enum ColdChunk {
    Histogram(OpenHistogram),
    Xor2(OpenXor2),
}

impl ColdChunk {
    /// Time of the newest sample, ms.
    pub(super) fn last_time(&self) -> TimestampMs {
        match self {
            Self::Histogram(open) => open.last_time(),
            Self::Xor2(open) => open.last_time(),
        }
    }
}

/// The hot part of a series: one cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Series {
    /// State of the open XOR chunk; the newest float sample stands in it.
    pub(super) xor: XorState,
    /// The open chunk is cut by the first sample at or after this time.
    pub(super) next_cut_ms: TimestampMs,
    ref_low: u32,
    /// Where its labels start in the shard's arena.
    pub(super) labels: u32,
    /// Index of its cold part, or [`NONE`].
    pub(super) cold: u32,
    chunk_address: u32,
    /// Its number in the postings.
    pub(super) number: u32,
    ref_high: u8,
    /// The class of its chunk's memory, and [`LOGGED`].
    class_and_logged: u8,
    /// What it is appending to.
    pub(super) open: Open,
    /// When it last took a sample (`activity.rs`).
    pub(super) activity: Tick,
}

const _: () = assert!(size_of::<Series>() == 64, "the hot part is one cache line");

/// Set where the WAL has the labels of the series; always set without a WAL.
const LOGGED: u8 = 1 << 7;

/// References of series have 40 bits, because head chunk references leave no more.
pub(super) const MAX_SERIES_REF: u64 = (1 << 40) - 1;

impl Series {
    /// A series without samples that has no number in the postings yet. `logged`: whether the
    /// WAL has its labels.
    pub(super) fn new(series_ref: u64, labels: u32, logged: bool) -> Self {
        debug_assert!(series_ref <= MAX_SERIES_REF);
        Self {
            xor: XorState::new(),
            next_cut_ms: 0,
            ref_low: series_ref as u32,
            labels,
            cold: NONE,
            chunk_address: 0,
            number: UNNUMBERED,
            ref_high: (series_ref >> 32) as u8,
            class_and_logged: if logged { LOGGED } else { 0 },
            open: Open::Nothing,
            activity: Tick::NEVER,
        }
    }

    /// What stands in a slot that belongs to no series.
    pub(super) fn vacant() -> Self {
        Self { number: NONE, ..Self::new(0, 0, true) }
    }

    /// Whether the slot belongs to a series.
    pub(super) fn is_live(&self) -> bool {
        self.number != NONE
    }

    /// Its reference in WAL and head chunks; from 1.
    #[inline]
    pub(super) fn series_ref(&self) -> u64 {
        u64::from(self.ref_high) << 32 | u64::from(self.ref_low)
    }

    /// The memory of its open XOR chunk.
    #[inline]
    pub(super) fn chunk_slot(&self) -> SlotRef {
        SlotRef { class: self.class_and_logged & !LOGGED, address: self.chunk_address }
    }

    /// Changes the memory of its open XOR chunk.
    pub(super) fn set_chunk_slot(&mut self, slot: SlotRef) {
        debug_assert!(slot.class < LOGGED);
        self.class_and_logged = self.class_and_logged & LOGGED | slot.class;
        self.chunk_address = slot.address;
    }

    /// Whether the WAL has its labels; always true without a WAL.
    #[inline]
    pub(super) fn is_logged(&self) -> bool {
        self.class_and_logged & LOGGED != 0
    }

    /// Notes that the WAL has its labels.
    pub(super) fn set_logged(&mut self) {
        self.class_and_logged |= LOGGED;
    }
}

/// The cold part of a series.
#[derive(Debug, Default)]
pub(super) struct Cold {
    /// Chunks that are complete, ascending in time, not overlapping.
    pub(super) full: Vec<FullChunk>,
    /// The chunk that is being appended to, unless it is an XOR chunk.
    pub(super) open: Option<Box<ColdChunk>>,
    /// Samples that came out of order.
    pub(super) late: Option<Box<LateSeries>>,
}

impl Cold {
    /// Adds a full chunk, later than all others. A series of a head has few of them, so that
    /// doubling the memory would waste most of it.
    pub(super) fn push_full(&mut self, chunk: FullChunk) {
        if self.full.len() == self.full.capacity() {
            self.full.reserve_exact(2);
        }
        self.full.push(chunk);
    }

    /// Adds a full chunk at its place, instead of those that it overlaps if `replaces` says so of
    /// each; otherwise false, and nothing changes.
    pub(super) fn insert_full(
        &mut self,
        chunk: FullChunk,
        replaces: impl Fn(&FullChunk) -> bool,
    ) -> bool {
        let first = self.full.partition_point(|full| full.max_time_ms < chunk.min_time_ms);
        let end = self.full.partition_point(|full| full.min_time_ms <= chunk.max_time_ms);
        let is_right = self.full[first..end].iter().all(replaces);
        if is_right {
            self.full.splice(first..end, [chunk]);
        }
        is_right
    }

    /// The newest time in full chunks.
    pub(super) fn full_max_time(&self) -> Option<TimestampMs> {
        self.full.last().map(|chunk| chunk.max_time_ms)
    }

    /// The open histogram chunk.
    pub(super) fn histogram(&self) -> Option<&OpenHistogram> {
        match self.open.as_deref() {
            Some(ColdChunk::Histogram(open)) => Some(open),
            Some(ColdChunk::Xor2(_)) | None => None,
        }
    }

    /// The open histogram chunk.
    pub(super) fn histogram_mut(&mut self) -> Option<&mut OpenHistogram> {
        match self.open.as_deref_mut() {
            Some(ColdChunk::Histogram(open)) => Some(open),
            Some(ColdChunk::Xor2(_)) | None => None,
        }
    }

    /// The open XOR2 chunk.
    pub(super) fn xor2(&self) -> Option<&OpenXor2> {
        match self.open.as_deref() {
            Some(ColdChunk::Xor2(open)) => Some(open),
            Some(ColdChunk::Histogram(_)) | None => None,
        }
    }

    /// The open XOR2 chunk.
    pub(super) fn xor2_mut(&mut self) -> Option<&mut OpenXor2> {
        match self.open.as_deref_mut() {
            Some(ColdChunk::Xor2(open)) => Some(open),
            Some(ColdChunk::Histogram(_)) | None => None,
        }
    }

    /// Whether nothing is left in it.
    pub(super) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.open.is_none() && !self.has_late()
    }

    /// Whether there are samples that came out of order, or some are on their way.
    pub(super) fn has_late(&self) -> bool {
        self.late.as_ref().is_some_and(|late| !late.is_empty())
    }

    /// The part for samples that came out of order, made now if there is none.
    pub(super) fn late_or_new(&mut self) -> &mut LateSeries {
        self.late.get_or_insert_default()
    }
}

/// A complete chunk.
#[derive(Debug, Clone)]
pub(super) struct FullChunk {
    /// Time of its first sample.
    pub(super) min_time_ms: TimestampMs,
    /// Time of its last sample.
    pub(super) max_time_ms: TimestampMs,
    /// Where its bytes are.
    pub(super) place: ChunkPlace,
}

/// Where the bytes of a complete chunk are.
#[derive(Debug, Clone)]
pub(super) enum ChunkPlace {
    /// In the head chunk files.
    Mapped(ChunkDiskRef),
    /// In memory: the files could not be written, or there are none.
    Memory(Arc<MemoryChunk>),
}

/// A complete chunk in memory.
#[derive(Debug)]
pub(super) struct MemoryChunk {
    pub(super) encoding: ChunkEncoding,
    pub(super) data: Vec<u8>,
}

impl ChunkPlace {
    /// In memory.
    pub(super) fn memory(encoding: ChunkEncoding, data: Vec<u8>) -> Self {
        Self::Memory(Arc::new(MemoryChunk { encoding, data }))
    }
}

const _: () = assert!(size_of::<FullChunk>() == 32, "a series may have many");
