//! Samples that stand in the log behind newer ones of their series: sorted in.
//!
//! Happens where two requests for one series raced for the log. The chunks that reach to the
//! first late sample or beyond it are decoded and appended again together with the late ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::batch::HistogramValue;
use model::{SampleBuffer, TimeRange, TimestampMs};

use super::super::chunks::ChunkSink;
use super::super::floats::{FloatSample, newest_time, push_float};
use super::super::histograms::push_histogram;
use super::super::samples::{open_chunk, with_chunk};
use super::super::shards::Shard;
use super::decode::{SampleItem, SampleValue};
use crate::chunk::histogram::{Floats, HistogramKind, HistogramReader, Integers};
use crate::chunk::{self, ChunkEncoding};
use crate::error::{DecodeError, TsdbError};

/// A sample that comes late, and its start timestamp (0 = unknown).
pub(super) struct LateItem {
    pub(super) item: SampleItem,
    pub(super) start_t: TimestampMs,
}

/// Samples by time, with their start timestamps.
pub(super) type SamplesByTime = BTreeMap<TimestampMs, (TimestampMs, SampleValue)>;

/// Sorts `late` into the series of a shard. A sample whose time is taken is left out.
pub(super) fn insert(shard: &mut Shard, late: &[LateItem], sink: &ChunkSink<'_>) {
    let mut by_slot: BTreeMap<u32, Vec<&LateItem>> = BTreeMap::new();
    for late in late {
        by_slot.entry(late.item.slot).or_default().push(late);
    }
    for (slot, items) in by_slot {
        // The common case is a logged duplicate of the newest sample.
        let newest = newest_time(shard, slot);
        let items: Vec<&LateItem> =
            items.into_iter().filter(|late| newest != Some(late.item.t)).collect();
        let Some(first) = items.iter().map(|late| late.item.t).min() else { continue };
        let Ok(mut samples) = take_from(shard, slot, first, sink) else { continue };
        for LateItem { item, start_t } in items {
            samples.entry(item.t).or_insert_with(|| (*start_t, item.value.clone()));
        }
        for (t, (start_t, value)) in samples {
            match value {
                SampleValue::Float(value) => {
                    push_float(shard, slot, FloatSample { t, start_t, value }, sink);
                }
                SampleValue::Histogram(value) => {
                    // It was in a chunk before, or was checked when it was accepted.
                    let _ = push_histogram(shard, slot, (t, start_t, &value), sink);
                }
            }
        }
    }
}

/// Takes the open chunk and the full chunks that end at or after `from` off a series and returns
/// their samples. After an error the series is as before.
fn take_from(
    shard: &mut Shard,
    slot: u32,
    from: TimestampMs,
    sink: &ChunkSink<'_>,
) -> Result<SamplesByTime, TsdbError> {
    let everything = TimeRange::new(TimestampMs::MIN, TimestampMs::MAX);
    let full = shard.cold(slot).map_or(&[][..], |cold| &cold.full);
    let kept = full.partition_point(|chunk| chunk.max_time_ms < from);
    let mut samples = SamplesByTime::new();
    for chunk in full[kept..].iter().chain(&open_chunk(shard, slot, everything)) {
        with_chunk(sink.files, &chunk.place, |encoding, data| {
            decode_into(encoding, data, &mut samples)
        })??;
    }
    shard.drop_open(slot);
    if let Some(cold) = shard.cold_mut(slot) {
        cold.full.truncate(kept);
    }
    Ok(samples)
}

/// Adds the samples of a chunk.
pub(super) fn decode_into(
    encoding: ChunkEncoding,
    data: &[u8],
    samples: &mut SamplesByTime,
) -> Result<(), TsdbError> {
    let decoded = match encoding {
        ChunkEncoding::Xor | ChunkEncoding::Xor2 => {
            let mut buffer = SampleBuffer::default();
            chunk::decode(encoding, data, &mut buffer).map(|()| {
                let mut starts = buffer.float_start_times.iter();
                let floats = buffer.float_times.iter().zip(&buffer.float_values);
                samples.extend(floats.map(|(&t, &value)| {
                    let start_t = starts.next().copied().unwrap_or(0);
                    (t, (start_t, SampleValue::Float(value)))
                }));
            })
        }
        ChunkEncoding::Histogram | ChunkEncoding::HistogramSt => {
            let value = |h| HistogramValue::Int(Box::new(h));
            decode_histograms::<Integers>(encoding, data, samples, value)
        }
        ChunkEncoding::FloatHistogram | ChunkEncoding::FloatHistogramSt => {
            let value = |h| HistogramValue::Float(Box::new(h));
            decode_histograms::<Floats>(encoding, data, samples, value)
        }
    };
    decoded.map_err(|source| TsdbError::corrupt("chunk of the head", source))
}

fn decode_histograms<K: HistogramKind>(
    encoding: ChunkEncoding,
    data: &[u8],
    samples: &mut SamplesByTime,
    value: impl Fn(K::Histogram) -> HistogramValue,
) -> Result<(), DecodeError> {
    let has_start_times =
        matches!(encoding, ChunkEncoding::HistogramSt | ChunkEncoding::FloatHistogramSt);
    let mut reader = HistogramReader::<K>::new(data, has_start_times)?;
    while let Some((t, start_t)) = reader.advance()? {
        let value = SampleValue::Histogram(Arc::new(value(reader.histogram())));
        samples.insert(t, (start_t, value));
    }
    Ok(())
}
