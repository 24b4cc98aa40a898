//! Appending floats to the open XOR2 chunk of a series, and cutting it: where the options ask for
//! that encoding instead of XOR.
//!
//! Called by `floats.rs` under the lock of the series' shard. The open chunk lives in the cold part
//! of the series, so that series with XOR chunks pay nothing for it. Where chunks end is the rule
//! of XOR chunks.

use model::{TimeRange, TimestampMs};

use super::chunks::ChunkSink;
use super::floats::{FloatSample, MAX_BYTES_BEFORE_APPEND, MAX_SAMPLES, TARGET_SAMPLES};
use super::labels::LabelArena;
use super::rules::{Newest, range_end};
use super::series::{ChunkPlace, ColdChunk, FullChunk, Open};
use super::shards::Shard;
use super::spread::predicted_end;
use crate::chunk::ChunkEncoding;
use crate::chunk::xor2::Xor2Appender;

/// An open XOR2 chunk with at least one sample.
#[derive(Debug)]
pub(super) struct OpenXor2 {
    appender: Xor2Appender,
    first_time_ms: TimestampMs,
    last_bits: u64,
}

impl OpenXor2 {
    /// Time of the first sample, ms.
    pub(super) fn first_time(&self) -> TimestampMs {
        self.first_time_ms
    }

    /// Time of the newest sample, ms.
    pub(super) fn last_time(&self) -> TimestampMs {
        self.appender.last_time()
    }

    /// Bits of the newest value.
    pub(super) fn last_bits(&self) -> u64 {
        self.last_bits
    }

    fn new(sample: FloatSample) -> Self {
        let mut open =
            Self { appender: Xor2Appender::default(), first_time_ms: sample.t, last_bits: 0 };
        open.push(sample);
        open
    }

    fn push(&mut self, sample: FloatSample) {
        let appended = self.appender.append(sample.t, sample.value, sample.start_t);
        assert!(appended, "chunks are cut long before");
        self.last_bits = sample.value.to_bits();
    }

    /// Whether a sample at `t` begins a new chunk that would otherwise end at `next_cut_ms`.
    fn must_cut(&self, next_cut_ms: TimestampMs, t: TimestampMs) -> bool {
        t >= next_cut_ms
            || self.appender.count() >= MAX_SAMPLES
            || self.appender.bytes().len() > MAX_BYTES_BEFORE_APPEND
    }

    /// When the chunk should end, if now is the time to predict it: at a quarter of the target.
    fn predicted_end(
        &self,
        labels: (&LabelArena, u32),
        sink: &ChunkSink<'_>,
    ) -> Option<TimestampMs> {
        let times = (self.first_time_ms, self.last_time());
        let is_time = self.appender.count() == TARGET_SAMPLES / 4;
        is_time.then(|| predicted_end(times, labels, sink))
    }
}

/// The open XOR2 chunk of the series in `slot`.
pub(super) fn open_xor2(shard: &Shard, slot: u32) -> Option<&OpenXor2> {
    shard.cold(slot)?.xor2()
}

/// The newest sample of an open chunk, compared with a float.
pub(super) fn newest_for_float(open: &OpenXor2, t: TimestampMs, bits: u64) -> Newest {
    let last = open.last_time();
    let same = t == last && open.last_bits == bits;
    if same { Newest::Same(last) } else { Newest::Different(last) }
}

/// Appends a sample that is newer than all others of the series.
#[cold]
pub(super) fn push_xor2(shard: &mut Shard, slot: u32, sample: FloatSample, sink: &ChunkSink<'_>) {
    let series = &shard.series[slot as usize];
    let labels = (&shard.labels, series.labels);
    let predicted = open_xor2(shard, slot).and_then(|open| open.predicted_end(labels, sink));
    let next_cut_ms = predicted.unwrap_or(series.next_cut_ms);
    let open = shard.cold_mut(slot).and_then(|cold| cold.xor2_mut());
    if let Some(open) = open
        && !open.must_cut(next_cut_ms, sample.t)
    {
        open.push(sample);
        shard.series[slot as usize].next_cut_ms = next_cut_ms;
        return;
    }
    super::histograms::close_open(shard, slot, sink);
    let chunk = ColdChunk::Xor2(OpenXor2::new(sample));
    shard.cold_or_new(slot).open = Some(Box::new(chunk));
    let series = &mut shard.series[slot as usize];
    series.open = Open::Xor2;
    series.next_cut_ms = range_end(sample.t, sink.block_range_ms);
}

/// Moves the open XOR2 chunk to the full chunks.
pub(super) fn close_xor2(shard: &mut Shard, slot: u32, sink: &ChunkSink<'_>) {
    let series_ref = shard.series[slot as usize].series_ref();
    shard.series[slot as usize].open = Open::Nothing;
    let Some(cold) = shard.cold_mut(slot) else { return };
    let Some(ColdChunk::Xor2(open)) = cold.open.take().map(|open| *open) else { return };
    let times = (open.first_time_ms, open.last_time());
    let place = sink.store(series_ref, times, ChunkEncoding::Xor2, open.appender.bytes());
    cold.push_full(FullChunk { min_time_ms: times.0, max_time_ms: times.1, place });
}

/// A copy of the open chunk, if it has samples in `range`.
pub(super) fn copy_open(shard: &Shard, slot: u32, range: TimeRange) -> Option<FullChunk> {
    let open = open_xor2(shard, slot)?;
    let (min_time_ms, max_time_ms) = (open.first_time_ms, open.last_time());
    range.overlaps(min_time_ms, max_time_ms).then(|| FullChunk {
        min_time_ms,
        max_time_ms,
        place: ChunkPlace::memory(ChunkEncoding::Xor2, open.appender.bytes().to_vec()),
    })
}
