//! Appending floats to the open XOR chunk of a series, and cutting it.
//!
//! Called by `append.rs` and `replay.rs` under the lock of the series' shard.

use model::TimestampMs;

use super::chunks::ChunkSink;
use super::rules::{Newest, chunk_end, range_end};
use super::series::{FullChunk, Open, Series};
use super::shards::Shard;
use super::slab::{ChunkSlab, SlotRef};
use crate::chunk::ChunkEncoding;
use crate::chunk::xor::{NoRoom, XorState};
use crate::encoding::Decoder;
use crate::error::DecodeError;

/// How many samples a chunk should have.
const TARGET_SAMPLES: u16 = 120;
/// How many samples a chunk has at most.
const MAX_SAMPLES: u16 = 2 * TARGET_SAMPLES;
/// A chunk that is longer than this takes no further sample, so that it stays below 1 KiB, bytes.
const MAX_BYTES_BEFORE_APPEND: usize = 1024 - 19;
/// A new chunk gets this much memory, bytes: enough for the first two samples of most series.
const FIRST_BYTES: usize = 24;

/// The newest sample of the series in `slot`, compared with a float.
#[inline]
pub(super) fn newest_for_float(shard: &Shard, slot: u32, t: TimestampMs, bits: u64) -> Newest {
    let series = &shard.series[slot as usize];
    if series.open == Open::Float {
        let last = series.xor.last_time();
        let same = t == last && series.xor.last_value().to_bits() == bits;
        return if same { Newest::Same(last) } else { Newest::Different(last) };
    }
    newest_time_elsewhere(shard, slot).map_or(Newest::Nothing, Newest::Different)
}

/// The newest sample of the series in `slot`, compared with a sample of another kind.
pub(super) fn newest_for_other(shard: &Shard, slot: u32) -> Newest {
    newest_time(shard, slot).map_or(Newest::Nothing, Newest::Different)
}

/// The time of the newest sample of a series that has no open float chunk.
#[cold]
fn newest_time_elsewhere(shard: &Shard, slot: u32) -> Option<TimestampMs> {
    let cold = shard.cold(slot)?;
    match &cold.histogram {
        Some(histogram) => Some(histogram.last_time()),
        None => cold.full_max_time(),
    }
}

/// The time of the newest sample of the series in `slot`.
pub(super) fn newest_time(shard: &Shard, slot: u32) -> Option<TimestampMs> {
    let series = &shard.series[slot as usize];
    match series.open {
        Open::Float => Some(series.xor.last_time()),
        Open::Nothing | Open::Histogram => newest_time_elsewhere(shard, slot),
    }
}

/// Appends a sample that is newer than all others of the series.
#[inline]
pub(super) fn push_float(
    shard: &mut Shard,
    slot: u32,
    (t, value): (TimestampMs, f64),
    sink: &ChunkSink<'_>,
) {
    let series = &mut shard.series[slot as usize];
    if series.open != Open::Float {
        open_after_other_kind(shard, slot, t, sink);
    } else if must_cut(series, &shard.slab, t, sink.block_range_ms) {
        close_float(shard, slot, sink);
        open_float(shard, slot, t, sink.block_range_ms);
    }
    let series = &mut shard.series[slot as usize];
    while let Err(no_room) = series.xor.append(shard.slab.get_mut(series.chunk_slot()), t, value) {
        let NoRoom::Bytes(bytes) = no_room else { unreachable!("chunks are cut long before") };
        enlarge(series, &mut shard.slab, bytes);
    }
}

#[cold]
fn open_after_other_kind(shard: &mut Shard, slot: u32, t: TimestampMs, sink: &ChunkSink<'_>) {
    if shard.series[slot as usize].open == Open::Histogram {
        super::histograms::close_histogram(shard, slot, sink);
    }
    open_float(shard, slot, t, sink.block_range_ms);
}

fn open_float(shard: &mut Shard, slot: u32, t: TimestampMs, block_range_ms: i64) {
    let class = ChunkSlab::class_for(FIRST_BYTES).expect("the first class is no smaller");
    let memory = shard.slab.allocate(class);
    let series = &mut shard.series[slot as usize];
    series.xor = XorState::new();
    series.set_chunk_slot(memory);
    series.open = Open::Float;
    series.next_cut_ms = range_end(t, block_range_ms);
}

#[cold]
fn enlarge(series: &mut Series, slab: &mut ChunkSlab, bytes: usize) {
    let used = series.xor.byte_len();
    let larger = slab.enlarge(series.chunk_slot(), used, bytes);
    series.set_chunk_slot(larger.expect("a chunk is cut before it outgrows the largest class"));
}

/// Whether the sample at `t` begins a new chunk. Predicts the end of the chunk at a quarter of
/// the target.
#[inline]
fn must_cut(series: &mut Series, slab: &ChunkSlab, t: TimestampMs, range_ms: i64) -> bool {
    let count = series.xor.count();
    if count == TARGET_SAMPLES / 4 {
        let start = first_time(slab.get(series.chunk_slot()));
        let end = range_end(start, range_ms);
        series.next_cut_ms = chunk_end(start, series.xor.last_time(), end, 4.0);
    }
    t >= series.next_cut_ms
        || count >= MAX_SAMPLES
        || series.xor.byte_len() > MAX_BYTES_BEFORE_APPEND
}

/// The time of the first sample of an XOR chunk with samples.
pub(super) fn first_time(chunk: &[u8]) -> TimestampMs {
    let first = Decoder::new(&chunk[2..]).varint();
    first.expect("the chunk was written by this process and has a first sample")
}

/// Moves the open XOR chunk to the full chunks.
#[cold]
pub(super) fn close_float(shard: &mut Shard, slot: u32, sink: &ChunkSink<'_>) {
    let series = &shard.series[slot as usize];
    let (state, memory) = (series.xor, series.chunk_slot());
    let chunk = &mut shard.slab.get_mut(memory)[..state.byte_len()];
    state.write_count(chunk);
    let times = (first_time(chunk), state.last_time());
    let place = sink.store(series.series_ref(), times, ChunkEncoding::Xor, chunk);
    let full = FullChunk { min_time_ms: times.0, max_time_ms: times.1, place };
    shard.cold_or_new(slot).push_full(full);
    shard.drop_open_float(slot);
}

/// Makes `chunk`, later than all else of the series, its open chunk: as if it had been appended
/// sample by sample. `times` are those of its first and last sample. False, and nothing changed,
/// when it is too long to go on with.
pub(super) fn resume_float(
    shard: &mut Shard,
    slot: u32,
    (chunk, times): (&[u8], (TimestampMs, TimestampMs)),
    block_range_ms: i64,
) -> Result<bool, DecodeError> {
    let resumed = XorState::resume(chunk, TARGET_SAMPLES / 4)?;
    let (state, start) = (resumed.state, resumed.first_time);
    if (start, state.last_time()) != times {
        return Err(DecodeError::Invalid("times of a chunk"));
    }
    let length = state.byte_len();
    if length > MAX_BYTES_BEFORE_APPEND || state.count() > MAX_SAMPLES {
        return Ok(false);
    }
    let class = ChunkSlab::class_for(length.max(FIRST_BYTES));
    let memory = shard.slab.allocate(class.expect("chunks of that length have a class"));
    shard.slab.get_mut(memory)[..length].copy_from_slice(&chunk[..length]);
    let end = range_end(start, block_range_ms);
    let is_predicted = state.count() > TARGET_SAMPLES / 4;
    let series = &mut shard.series[slot as usize];
    series.next_cut_ms =
        if is_predicted { chunk_end(start, resumed.nth_time, end, 4.0) } else { end };
    series.xor = state;
    series.set_chunk_slot(memory);
    series.open = Open::Float;
    Ok(true)
}

/// A copy of the open XOR chunk, complete.
pub(super) fn copy_open_float(series: &Series, slab: &ChunkSlab) -> Vec<u8> {
    let slot: SlotRef = series.chunk_slot();
    let mut bytes = Vec::with_capacity(series.xor.byte_len());
    series.xor.copy_to(slab.get(slot), &mut bytes);
    bytes
}
