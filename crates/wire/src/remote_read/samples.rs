//! The answer as one message: series with their samples.

use model::batch::{BatchHistogram, BatchSample, HistogramValue};
use model::{FloatHistogram, Histogram, Labels, Span};

use crate::protobuf_writer::{
    put_bytes, put_chosen_double, put_chosen_number, put_double, put_message, put_number,
    put_packed_doubles, put_packed_zigzags, put_string, put_zigzag,
};

/// Appends a series to the result of a query.
pub fn put_series(
    out: &mut Vec<u8>,
    labels: &Labels,
    samples: &[BatchSample],
    histograms: &[BatchHistogram],
) {
    put_message(out, 1, |out| {
        put_labels(out, labels);
        for sample in samples {
            put_message(out, 2, |out| {
                put_double(out, 1, sample.value);
                put_number(out, 2, sample.timestamp_ms.cast_unsigned());
            });
        }
        for histogram in histograms {
            put_message(out, 4, |out| put_histogram(out, histogram));
        }
    });
}

/// Appends the result of a query, all series of which are in `result`, to the response `out`.
pub fn end_result(out: &mut Vec<u8>, result: &[u8]) {
    put_bytes(out, 1, result);
}

/// The labels of a `TimeSeries` or `ChunkedSeries`.
pub(super) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    for label in labels.iter() {
        put_message(out, 1, |out| {
            put_string(out, 1, label.name);
            put_string(out, 2, label.value);
        });
    }
}

pub(crate) fn put_histogram(out: &mut Vec<u8>, histogram: &BatchHistogram) {
    match &histogram.value {
        HistogramValue::Int(value) => put_int_histogram(out, value),
        HistogramValue::Float(value) => put_float_histogram(out, value),
    }
    put_number(out, 15, histogram.timestamp_ms.cast_unsigned());
}

fn put_int_histogram(out: &mut Vec<u8>, h: &Histogram) {
    put_chosen_number(out, 1, h.count);
    put_head(out, (h.sum, h.schema, h.zero_threshold));
    put_chosen_number(out, 6, h.zero_count);
    put_spans(out, 8, &h.negative_spans);
    put_packed_zigzags(out, 9, &h.negative_buckets);
    put_spans(out, 11, &h.positive_spans);
    put_packed_zigzags(out, 12, &h.positive_buckets);
    put_number(out, 14, h.counter_reset_hint as u64);
    put_packed_doubles(out, 16, &h.custom_values);
}

fn put_float_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    put_chosen_double(out, 2, h.count);
    put_head(out, (h.sum, h.schema, h.zero_threshold));
    put_chosen_double(out, 7, h.zero_count);
    put_spans(out, 8, &h.negative_spans);
    put_packed_doubles(out, 10, &h.negative_buckets);
    put_spans(out, 11, &h.positive_spans);
    put_packed_doubles(out, 13, &h.positive_buckets);
    put_number(out, 14, h.counter_reset_hint as u64);
    put_packed_doubles(out, 16, &h.custom_values);
}

fn put_head(out: &mut Vec<u8>, (sum, schema, zero_threshold): (f64, i32, f64)) {
    put_double(out, 3, sum);
    put_zigzag(out, 4, i64::from(schema));
    put_double(out, 5, zero_threshold);
}

fn put_spans(out: &mut Vec<u8>, field: u32, spans: &[Span]) {
    for span in spans {
        put_message(out, field, |out| {
            put_zigzag(out, 1, i64::from(span.offset));
            put_number(out, 2, u64::from(span.length));
        });
    }
}
