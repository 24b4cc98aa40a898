//! Zero samples at the time when a counter began: a sender that knows the start timestamp of a
//! series lets the first increase be seen, which otherwise has nothing to be compared with.
//!
//! Called by `append.rs`, under the lock of the series' shard, before the samples of the series.
//! A zero is stored only where it is in order; everywhere else it is left out silently, because
//! the start timestamp comes again with every request.

use model::batch::{BatchSeries, HistogramValue};
use model::{CounterResetHint, FloatHistogram, Histogram, TimestampMs};

use super::append::{AppendScratch, Request};
use super::floats::{FloatSample, newest_for_float, push_float};
use super::histograms::{newest_for_histogram, push_histogram};
use super::rules::{Verdict, judge};
use super::shards::Shard;

/// Stores a zero at the start timestamp of a series, if it is before its first sample and later
/// than everything that is stored.
#[cold]
pub(super) fn append_zero(
    request: &mut Request<'_, '_>,
    scratch: &mut AppendScratch,
    (shard, slot): (&mut Shard, u32),
    series: &BatchSeries,
) {
    let start_ms = series.created_timestamp_ms;
    let batch = request.batch;
    let floats = batch.samples_of(series).iter().map(|sample| sample.timestamp_ms);
    let float_ms = floats.filter(|&t| start_ms < t).min();
    let histograms = batch.histograms_of(series).iter();
    let histogram = histograms.filter(|h| start_ms < h.timestamp_ms).min_by_key(|h| h.timestamp_ms);
    match (float_ms, histogram) {
        (None, None) => {}
        (Some(float), histogram) if histogram.is_none_or(|h| float <= h.timestamp_ms) => {
            append_float_zero(request, scratch, (shard, slot), start_ms);
        }
        (_, histogram) => {
            if let Some(value) = histogram.map(|h| zero_like(&h.value)) {
                append_histogram_zero(request, scratch, (shard, slot), (start_ms, &value));
            }
        }
    }
}

fn append_float_zero(
    request: &mut Request<'_, '_>,
    scratch: &mut AppendScratch,
    (shard, slot): (&mut Shard, u32),
    t: TimestampMs,
) {
    let newest = newest_for_float(shard, slot, t, 0f64.to_bits());
    if judge(newest, t, &request.bounds) == Verdict::Append {
        let sample = FloatSample { t, start_t: 0, value: 0.0 };
        push_float(shard, slot, sample, &request.sink);
        request.accept(t);
        request.outcome.accepted_floats += 1;
        let series_ref = shard.series[slot as usize].series_ref();
        scratch.records.samples.push_float(series_ref, sample);
    }
}

fn append_histogram_zero(
    request: &mut Request<'_, '_>,
    scratch: &mut AppendScratch,
    (shard, slot): (&mut Shard, u32),
    (t, value): (TimestampMs, &HistogramValue),
) {
    let newest = newest_for_histogram(shard, slot, t, value);
    if judge(newest, t, &request.bounds) != Verdict::Append
        || push_histogram(shard, slot, (t, 0, value), &request.sink).is_err()
    {
        return;
    }
    request.accept(t);
    request.outcome.accepted_histograms += 1;
    let series_ref = shard.series[slot as usize].series_ref();
    scratch.records.samples.push_histogram(series_ref, (t, 0), value);
}

/// A histogram without observations that fits into one chunk with `value`. It is a counter reset
/// by definition.
fn zero_like(value: &HistogramValue) -> HistogramValue {
    let counter_reset_hint = CounterResetHint::CounterReset;
    match value {
        HistogramValue::Int(h) => HistogramValue::Int(Box::new(Histogram {
            counter_reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            custom_values: h.custom_values.clone(),
            ..Histogram::default()
        })),
        HistogramValue::Float(h) => HistogramValue::Float(Box::new(FloatHistogram {
            counter_reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            custom_values: h.custom_values.clone(),
            ..FloatHistogram::default()
        })),
    }
}
