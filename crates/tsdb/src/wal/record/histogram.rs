//! The body of a histogram in a record, both kinds.
//!
//! `hint | schema | zero threshold | zero count | count | sum | positive spans | negative spans
//! | positive buckets | negative buckets | custom bounds, only with custom buckets`. A float
//! histogram has its counts as eight-byte floats. Used by encode and decode alone.

use std::sync::Arc;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{CounterResetHint, FloatHistogram, Histogram, Span};

use crate::encoding::{Decoder, put_be64, put_uvarint, put_varint};
use crate::error::DecodeError;

/// Whether a schema has custom buckets.
pub(super) fn is_custom(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA
}

/// Appends the body of a histogram with integer counts.
pub(crate) fn put_histogram(out: &mut Vec<u8>, h: &Histogram) {
    out.push(h.counter_reset_hint as u8);
    put_varint(out, i64::from(h.schema));
    put_be64(out, h.zero_threshold.to_bits());
    put_uvarint(out, h.zero_count);
    put_uvarint(out, h.count);
    put_be64(out, h.sum.to_bits());
    put_spans(out, &h.positive_spans);
    put_spans(out, &h.negative_spans);
    for buckets in [&h.positive_buckets, &h.negative_buckets] {
        put_uvarint(out, buckets.len() as u64);
        for &bucket in buckets {
            put_varint(out, bucket);
        }
    }
    if is_custom(h.schema) {
        put_floats(out, &h.custom_values);
    }
}

/// Appends the body of a histogram with float counts.
pub(crate) fn put_float_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    out.push(h.counter_reset_hint as u8);
    put_varint(out, i64::from(h.schema));
    for value in [h.zero_threshold, h.zero_count, h.count, h.sum] {
        put_be64(out, value.to_bits());
    }
    put_spans(out, &h.positive_spans);
    put_spans(out, &h.negative_spans);
    put_floats(out, &h.positive_buckets);
    put_floats(out, &h.negative_buckets);
    if is_custom(h.schema) {
        put_floats(out, &h.custom_values);
    }
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_uvarint(out, spans.len() as u64);
    for span in spans {
        put_varint(out, i64::from(span.offset));
        put_uvarint(out, u64::from(span.length));
    }
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_uvarint(out, values.len() as u64);
    for value in values {
        put_be64(out, value.to_bits());
    }
}

/// Reads the body of a histogram with integer counts.
pub(super) fn read_histogram(input: &mut Decoder<'_>) -> Result<Histogram, DecodeError> {
    let counter_reset_hint = read_hint(input)?;
    let schema = read_schema(input)?;
    Ok(Histogram {
        counter_reset_hint,
        schema,
        zero_threshold: input.be64_float()?,
        zero_count: input.uvarint()?,
        count: input.uvarint()?,
        sum: input.be64_float()?,
        positive_spans: read_spans(input)?,
        negative_spans: read_spans(input)?,
        positive_buckets: read_deltas(input)?,
        negative_buckets: read_deltas(input)?,
        custom_values: read_custom_values(input, schema)?,
    })
}

/// Reads the body of a histogram with float counts.
pub(super) fn read_float_histogram(input: &mut Decoder<'_>) -> Result<FloatHistogram, DecodeError> {
    let counter_reset_hint = read_hint(input)?;
    let schema = read_schema(input)?;
    Ok(FloatHistogram {
        counter_reset_hint,
        schema,
        zero_threshold: input.be64_float()?,
        zero_count: input.be64_float()?,
        count: input.be64_float()?,
        sum: input.be64_float()?,
        positive_spans: read_spans(input)?,
        negative_spans: read_spans(input)?,
        positive_buckets: read_floats(input)?,
        negative_buckets: read_floats(input)?,
        custom_values: read_custom_values(input, schema)?,
    })
}

fn read_hint(input: &mut Decoder<'_>) -> Result<CounterResetHint, DecodeError> {
    Ok(CounterResetHint::from_number(input.byte()?).unwrap_or_default())
}

fn read_schema(input: &mut Decoder<'_>) -> Result<i32, DecodeError> {
    i32::try_from(input.varint()?).map_err(|_| DecodeError::Invalid("histogram schema too large"))
}

/// A number of items of which each takes `item_bytes` or more of what is left.
fn read_count(input: &mut Decoder<'_>, item_bytes: usize) -> Result<usize, DecodeError> {
    let count = input.uvarint_len()?;
    if count > input.len() / item_bytes { Err(DecodeError::Truncated) } else { Ok(count) }
}

fn read_spans(input: &mut Decoder<'_>) -> Result<Vec<Span>, DecodeError> {
    let count = read_count(input, 2)?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let offset = i32::try_from(input.varint()?);
        let offset = offset.map_err(|_| DecodeError::Invalid("span offset too large"))?;
        spans.push(Span { offset, length: input.uvarint32()? });
    }
    Ok(spans)
}

fn read_deltas(input: &mut Decoder<'_>) -> Result<Vec<i64>, DecodeError> {
    let count = read_count(input, 1)?;
    let mut buckets = Vec::with_capacity(count);
    for _ in 0..count {
        buckets.push(input.varint()?);
    }
    Ok(buckets)
}

fn read_floats(input: &mut Decoder<'_>) -> Result<Vec<f64>, DecodeError> {
    let count = read_count(input, 8)?;
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(input.be64_float()?);
    }
    Ok(values)
}

fn read_custom_values(input: &mut Decoder<'_>, schema: i32) -> Result<Arc<[f64]>, DecodeError> {
    Ok(if is_custom(schema) { Arc::from(read_floats(input)?) } else { Arc::default() })
}
