//! The samples of one series of the head, as they were when the query reached the series.
//!
//! Made by `read.rs` under the lock of the series' shard; read without any lock.

use std::sync::Arc;

use model::{EncodedChunk, SampleBuffer, SampleReader, StorageError, TimeRange, TimestampMs};
use smallvec::SmallVec;

use super::cut::clip;
use super::floats::{copy_open_float, first_time};
use super::histograms;
use super::read::ReadLease;
use super::series::{ChunkPlace, FullChunk, Open};
use super::shards::Shard;
use super::xor2;
use crate::chunk::{self, ChunkEncoding};
use crate::error::TsdbError;
use crate::head_chunks::HeadChunks;
use crate::tombstones::{Interval, left_of, push_what_is_left};

/// The samples of a series.
pub(super) enum Snapshot {
    /// Only the newest one.
    Newest(TimestampMs, f64),
    /// Chunks, ascending in time.
    Chunks(SmallVec<[FullChunk; 2]>),
}

/// Copies what a query of `range` needs; `None` when the series has nothing in it.
pub(super) fn snapshot(
    shard: &Shard,
    slot: u32,
    range: TimeRange,
    newest_only: bool,
) -> Option<Snapshot> {
    let series = &shard.series[slot as usize];
    if newest_only && series.open == Open::Float {
        let last = series.xor.last_time();
        if (range.start_ms_incl..=range.end_ms_incl).contains(&last) {
            return Some(Snapshot::Newest(last, series.xor.last_value()));
        }
    }
    let mut chunks = SmallVec::new();
    if let Some(cold) = shard.cold(slot) {
        let overlaps = |c: &&FullChunk| range.overlaps(c.min_time_ms, c.max_time_ms);
        chunks.extend(cold.full.iter().filter(overlaps).cloned());
    }
    chunks.extend(open_chunk(shard, slot, range));
    (!chunks.is_empty()).then_some(Snapshot::Chunks(chunks))
}

/// A copy of the open chunk, if it has samples in `range`.
pub(super) fn open_chunk(shard: &Shard, slot: u32, range: TimeRange) -> Option<FullChunk> {
    let series = &shard.series[slot as usize];
    match series.open {
        Open::Nothing => None,
        Open::Float => {
            let min_time_ms = first_time(shard.slab.get(series.chunk_slot()));
            let max_time_ms = series.xor.last_time();
            range.overlaps(min_time_ms, max_time_ms).then(|| FullChunk {
                min_time_ms,
                max_time_ms,
                place: ChunkPlace::memory(ChunkEncoding::Xor, copy_open_float(series, &shard.slab)),
            })
        }
        Open::Histogram => histograms::copy_open(shard, slot, range),
        Open::Xor2 => xor2::copy_open(shard, slot, range),
    }
}

impl Snapshot {
    /// The number of chunks and their bytes, as far as they are known.
    pub(super) fn size(&self) -> (u64, u64) {
        match self {
            Self::Newest(..) => (0, 0),
            Self::Chunks(chunks) => {
                let bytes = |chunk: &FullChunk| match &chunk.place {
                    ChunkPlace::Memory(memory) => memory.data.len() as u64,
                    ChunkPlace::Mapped(_) => TYPICAL_MAPPED_BYTES,
                };
                (chunks.len() as u64, chunks.iter().map(bytes).sum())
            }
        }
    }
}

/// What a chunk in the files counts as before it is read, bytes.
const TYPICAL_MAPPED_BYTES: u64 = 400;

/// Reads a [`Snapshot`].
pub(super) struct HeadSamples {
    rest: SmallVec<[FullChunk; 2]>,
    files: Option<Arc<HeadChunks>>,
    /// What is left out.
    deleted: Vec<Interval>,
    /// Keeps the files from being deleted.
    _lease: ReadLease,
}

impl HeadSamples {
    /// A reader of `chunks`.
    pub(super) fn new(
        mut chunks: SmallVec<[FullChunk; 2]>,
        files: Option<Arc<HeadChunks>>,
        lease: ReadLease,
    ) -> Self {
        chunks.reverse();
        Self { rest: chunks, files, deleted: Vec::new(), _lease: lease }
    }

    /// Leaves out what is deleted.
    pub(super) fn without(mut self, deleted: Vec<Interval>) -> Self {
        self.deleted = deleted;
        self
    }

    fn is_touched(&self, chunk: &FullChunk) -> bool {
        let touches = |i: &Interval| i.min_ms <= chunk.max_time_ms && chunk.min_time_ms <= i.max_ms;
        self.deleted.iter().any(touches)
    }

    /// Hands the samples of a chunk that are left to `out`.
    #[cold]
    fn decode_what_is_left(
        &self,
        chunk: &FullChunk,
        out: &mut SampleBuffer,
    ) -> Result<(), TsdbError> {
        let mut all = SampleBuffer::default();
        with_chunk(self.files.as_deref(), &chunk.place, |encoding, data| {
            chunk::decode(encoding, data, &mut all)
        })?
        .and_then(|()| push_what_is_left(all, &self.deleted, out))
        .map_err(|source| TsdbError::corrupt("chunk of the head", source))
    }
}

impl SampleReader for HeadSamples {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        let Some(chunk) = self.rest.pop() else { return Ok(false) };
        if self.is_touched(&chunk) {
            self.decode_what_is_left(&chunk, out)?;
            return Ok(true);
        }
        with_chunk(self.files.as_deref(), &chunk.place, |encoding, data| {
            chunk::decode(encoding, data, out)
                .map_err(|source| TsdbError::corrupt("chunk of the head", source))
        })??;
        Ok(true)
    }

    fn chunk_count(&self) -> usize {
        self.rest.len()
    }

    fn encoded_chunks(&mut self) -> Result<Option<Vec<EncodedChunk>>, StorageError> {
        let mut chunks = Vec::with_capacity(self.rest.len());
        while let Some(chunk) = self.rest.pop() {
            let copy = |encoding, data: &[u8]| (encoding, Arc::from(data));
            let (encoding, data) = with_chunk(self.files.as_deref(), &chunk.place, copy)?;
            let encoded = EncodedChunk {
                min_time_ms: chunk.min_time_ms,
                max_time_ms: chunk.max_time_ms,
                encoding: encoding.number(),
                data,
            };
            if !self.is_touched(&chunk) {
                chunks.push(encoded);
                continue;
            }
            let whole = TimeRange::new(chunk.min_time_ms, chunk.max_time_ms);
            for part in left_of(whole, &self.deleted) {
                clip(encoded.clone(), part, &mut chunks)?;
            }
        }
        Ok(Some(chunks))
    }
}

/// Hands the bytes of a chunk to `visit`, wherever they are.
pub(super) fn with_chunk<R>(
    files: Option<&HeadChunks>,
    place: &ChunkPlace,
    visit: impl FnOnce(ChunkEncoding, &[u8]) -> R,
) -> Result<R, TsdbError> {
    match (place, files) {
        (ChunkPlace::Memory(memory), _) => Ok(visit(memory.encoding, &memory.data)),
        (ChunkPlace::Mapped(disk_ref), Some(files)) => {
            let read = files.read(*disk_ref, |chunk| {
                ChunkEncoding::from_number(chunk.encoding)
                    .map(|encoding| visit(encoding, chunk.data))
            })?;
            read.map_err(|source| TsdbError::corrupt("head chunk file", source))
        }
        (ChunkPlace::Mapped(_), None) => {
            Err(TsdbError::Invalid("a head without files has a chunk in a file".to_owned()))
        }
    }
}

/// The newest sample alone.
pub(super) struct NewestSample(pub(super) Option<(TimestampMs, f64)>);

impl SampleReader for NewestSample {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        let Some((t, value)) = self.0.take() else { return Ok(false) };
        out.push_float(t, value);
        Ok(true)
    }
}
