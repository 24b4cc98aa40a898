//! Appending floats to the open XOR chunk of a series, and cutting it.
//!
//! Called by `append.rs` and `replay.rs` under the lock of the series' shard. Where the options ask
//! for XOR2 chunks, `xor2.rs` does the work.

use model::TimestampMs;

use super::chunks::ChunkSink;
use super::labels::LabelArena;
use super::rules::{Newest, range_end};
use super::series::{FullChunk, Open, Series};
use super::shards::Shard;
use super::slab::{ChunkSlab, SlotRef};
use super::spread::predicted_end;
use super::xor2::{self, open_xor2, push_xor2};
use crate::chunk::ChunkEncoding;
use crate::chunk::xor::{NoRoom, XorState};
use crate::encoding::Decoder;
use crate::error::DecodeError;

/// How many samples a chunk should have.
pub(super) const TARGET_SAMPLES: u16 = 120;
/// How many samples a chunk has at most.
pub(super) const MAX_SAMPLES: u16 = 2 * TARGET_SAMPLES;
/// A chunk that is longer than this takes no further sample, so that it stays below 1 KiB, bytes.
pub(super) const MAX_BYTES_BEFORE_APPEND: usize = 1024 - 19;
/// A new chunk gets this much memory, bytes: enough for the first two samples of most series.
const FIRST_BYTES: usize = 24;

/// A float on its way into a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct FloatSample {
    /// Time, ms.
    pub(super) t: TimestampMs,
    /// Start timestamp, ms; 0 = unknown. XOR chunks do not have it.
    pub(super) start_t: TimestampMs,
    /// Value.
    pub(super) value: f64,
}

/// The newest sample of the series in `slot`, compared with a float.
#[inline]
pub(super) fn newest_for_float(shard: &Shard, slot: u32, t: TimestampMs, bits: u64) -> Newest {
    let series = &shard.series[slot as usize];
    if series.open == Open::Float {
        let last = series.xor.last_time();
        let same = t == last && series.xor.last_value().to_bits() == bits;
        return if same { Newest::Same(last) } else { Newest::Different(last) };
    }
    if let Some(open) = open_xor2(shard, slot) {
        return xor2::newest_for_float(open, t, bits);
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
    match &cold.open {
        Some(open) => Some(open.last_time()),
        None => cold.full_max_time(),
    }
}

/// The time of the newest sample of the series in `slot`.
pub(super) fn newest_time(shard: &Shard, slot: u32) -> Option<TimestampMs> {
    let series = &shard.series[slot as usize];
    match series.open {
        Open::Float => Some(series.xor.last_time()),
        Open::Nothing | Open::Histogram | Open::Xor2 => newest_time_elsewhere(shard, slot),
    }
}

/// Appends a sample that is newer than all others of the series.
#[inline]
pub(super) fn push_float(shard: &mut Shard, slot: u32, sample: FloatSample, sink: &ChunkSink<'_>) {
    let FloatSample { t, value, .. } = sample;
    let series = &mut shard.series[slot as usize];
    if series.open != Open::Float {
        if sink.encodings.xor2 {
            return push_xor2(shard, slot, sample, sink);
        }
        open_after_other_kind(shard, slot, t, sink);
    } else if must_cut(series, (&shard.slab, &shard.labels), t, sink) {
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
    super::histograms::close_open(shard, slot, sink);
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
fn must_cut(
    series: &mut Series,
    (slab, labels): (&ChunkSlab, &LabelArena),
    t: TimestampMs,
    sink: &ChunkSink<'_>,
) -> bool {
    let count = series.xor.count();
    if count == TARGET_SAMPLES / 4 {
        let times = (first_time(slab.get(series.chunk_slot())), series.xor.last_time());
        series.next_cut_ms = predicted_end(times, (labels, series.labels), sink);
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
    sink: &ChunkSink<'_>,
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
    let is_predicted = state.count() > TARGET_SAMPLES / 4;
    let series = &mut shard.series[slot as usize];
    series.next_cut_ms = match is_predicted {
        true => predicted_end((start, resumed.nth_time), (&shard.labels, series.labels), sink),
        false => range_end(start, sink.block_range_ms),
    };
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
