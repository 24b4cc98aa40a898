//! Samples that stand in the log behind newer ones of their series: sorted in.
//!
//! Happens where two requests for one series raced for the log. The chunks that reach to the
//! first late sample or beyond it are decoded and appended again together with the late ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::batch::HistogramValue;
use model::{SampleBuffer, TimeRange, TimestampMs};

use super::super::chunks::ChunkSink;
use super::super::floats::push_float;
use super::super::histograms::push_histogram;
use super::super::samples::{open_chunk, with_chunk};
use super::super::series::Open;
use super::super::shards::Shard;
use super::decode::{SampleItem, SampleValue};
use crate::chunk::histogram::{Floats, HistogramKind, HistogramReader, Integers};
use crate::chunk::{self, ChunkEncoding};
use crate::error::{DecodeError, TsdbError};

/// Sorts `late` into the series of a shard. A sample whose time is taken is left out.
pub(super) fn insert(shard: &mut Shard, late: &[SampleItem], sink: &ChunkSink<'_>) {
    let mut by_slot: BTreeMap<u32, Vec<&SampleItem>> = BTreeMap::new();
    for item in late {
        by_slot.entry(item.slot).or_default().push(item);
    }
    for (slot, items) in by_slot {
        let items: Vec<&SampleItem> =
            items.into_iter().filter(|item| !is_newest(shard, item)).collect();
        let Some(first) = items.iter().map(|item| item.t).min() else { continue };
        let Ok(mut samples) = take_from(shard, slot, first, sink) else { continue };
        for item in items {
            samples.entry(item.t).or_insert_with(|| item.value.clone());
        }
        for (t, value) in samples {
            match value {
                SampleValue::Float(value) => push_float(shard, slot, (t, value), sink),
                SampleValue::Histogram(value) => {
                    // It was in a chunk before, or was checked when it was accepted.
                    let _ = push_histogram(shard, slot, (t, &value), sink);
                }
            }
        }
    }
}

/// Whether a sample repeats the newest one of its series: the common case, a logged duplicate.
fn is_newest(shard: &Shard, item: &SampleItem) -> bool {
    let series = &shard.series[item.slot as usize];
    series.open == Open::Float && series.xor.last_time() == item.t
}

/// Takes the open chunk and the full chunks that end at or after `from` off a series and returns
/// their samples. After an error the series is as before.
fn take_from(
    shard: &mut Shard,
    slot: u32,
    from: TimestampMs,
    sink: &ChunkSink<'_>,
) -> Result<BTreeMap<TimestampMs, SampleValue>, TsdbError> {
    let everything = TimeRange::new(TimestampMs::MIN, TimestampMs::MAX);
    let full = shard.cold(slot).map_or(&[][..], |cold| &cold.full);
    let kept = full.partition_point(|chunk| chunk.max_time_ms < from);
    let mut samples = BTreeMap::new();
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
    samples: &mut BTreeMap<TimestampMs, SampleValue>,
) -> Result<(), TsdbError> {
    let decoded = match encoding {
        ChunkEncoding::Xor | ChunkEncoding::Xor2 => {
            let mut buffer = SampleBuffer::default();
            chunk::decode(encoding, data, &mut buffer).map(|()| {
                let floats = buffer.float_times.iter().zip(&buffer.float_values);
                samples.extend(floats.map(|(&t, &value)| (t, SampleValue::Float(value))));
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
    samples: &mut BTreeMap<TimestampMs, SampleValue>,
    value: impl Fn(K::Histogram) -> HistogramValue,
) -> Result<(), DecodeError> {
    let has_start_times =
        matches!(encoding, ChunkEncoding::HistogramSt | ChunkEncoding::FloatHistogramSt);
    let mut reader = HistogramReader::<K>::new(data, has_start_times)?;
    while let Some((t, _)) = reader.advance()? {
        let value = SampleValue::Histogram(Arc::new(value(reader.histogram())));
        samples.insert(t, value);
    }
    Ok(())
}
