//! `Histogram` of remote write: integer or float counts by which of the two count fields is set.
//!
//! ```text
//! 1 count_int (uint64)   2 count_float (double)   3 sum (double)   4 schema (sint32)
//! 5 zero_threshold (double)   6 zero_count_int (uint64)   7 zero_count_float (double)
//! 8 negative_spans*   9 negative_deltas (sint64)   10 negative_counts (double)
//! 11 positive_spans*  12 positive_deltas (sint64)  13 positive_counts (double)
//! 14 reset_hint   15 timestamp (int64, ms)   16 custom_values (double)
//! BucketSpan: 1 offset (sint32)   2 length (uint32)
//! ```

use std::sync::Arc;

use model::batch::{BatchHistogram, HistogramValue};
use model::{CounterResetHint, FloatHistogram, Histogram, Span};

use super::DecodeError;
use super::protobuf::{Reader, WireType};

const NAME: &str = "Histogram";

/// All fields as they stand in the message.
#[derive(Default)]
struct Fields {
    count: Count,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: Count,
    negative_spans: Vec<Span>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    reset_hint: CounterResetHint,
    timestamp_ms: i64,
    custom_values: Vec<f64>,
}

/// A protobuf `oneof` of an integer and a float.
#[derive(Clone, Copy)]
enum Count {
    Int(u64),
    Float(f64),
}

impl Default for Count {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl Count {
    fn as_int(self) -> u64 {
        match self {
            Self::Int(count) => count,
            Self::Float(count) => count as u64,
        }
    }

    fn as_float(self) -> f64 {
        match self {
            Self::Int(count) => count as f64,
            Self::Float(count) => count,
        }
    }
}

pub(super) fn decode(message: &[u8]) -> Result<BatchHistogram, DecodeError> {
    let mut fields = Fields::default();
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 | 4 | 6 | 14 | 15 => {
                wire_type.expect(WireType::Varint, NAME, field)?;
                fields.set_varint(field, &mut reader)?;
            }
            2 | 3 | 5 | 7 => {
                wire_type.expect(WireType::Fixed64, NAME, field)?;
                fields.set_double(field, reader.double()?);
            }
            8 | 11 => {
                wire_type.expect(WireType::Bytes, NAME, field)?;
                let span = decode_span(reader.bytes()?)?;
                fields.spans(field).push(span);
            }
            9 | 12 => push_deltas(fields.deltas(field), &mut reader, (field, wire_type))?,
            10 | 13 | 16 => push_doubles(fields.doubles(field), &mut reader, (field, wire_type))?,
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(fields.finish())
}

impl Fields {
    fn set_varint(&mut self, field: u32, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        match field {
            1 => self.count = Count::Int(reader.varint()?),
            4 => self.schema = reader.zigzag()? as i32,
            6 => self.zero_count = Count::Int(reader.varint()?),
            14 => self.reset_hint = reset_hint(reader.varint()?),
            _ => self.timestamp_ms = reader.varint()? as i64,
        }
        Ok(())
    }

    fn set_double(&mut self, field: u32, value: f64) {
        match field {
            2 => self.count = Count::Float(value),
            3 => self.sum = value,
            5 => self.zero_threshold = value,
            _ => self.zero_count = Count::Float(value),
        }
    }

    fn spans(&mut self, field: u32) -> &mut Vec<Span> {
        if field == 8 { &mut self.negative_spans } else { &mut self.positive_spans }
    }

    fn deltas(&mut self, field: u32) -> &mut Vec<i64> {
        if field == 9 { &mut self.negative_deltas } else { &mut self.positive_deltas }
    }

    fn doubles(&mut self, field: u32) -> &mut Vec<f64> {
        match field {
            10 => &mut self.negative_counts,
            13 => &mut self.positive_counts,
            _ => &mut self.custom_values,
        }
    }

    fn finish(self) -> BatchHistogram {
        let custom_values: Arc<[f64]> = Arc::from(self.custom_values);
        let value = match self.count {
            Count::Int(count) => HistogramValue::Int(Box::new(Histogram {
                counter_reset_hint: self.reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count.as_int(),
                count,
                sum: self.sum,
                positive_spans: self.positive_spans,
                negative_spans: self.negative_spans,
                positive_buckets: self.positive_deltas,
                negative_buckets: self.negative_deltas,
                custom_values,
            })),
            Count::Float(count) => HistogramValue::Float(Box::new(FloatHistogram {
                counter_reset_hint: self.reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count.as_float(),
                count,
                sum: self.sum,
                positive_spans: self.positive_spans,
                negative_spans: self.negative_spans,
                positive_buckets: self.positive_counts,
                negative_buckets: self.negative_counts,
                custom_values,
            })),
        };
        BatchHistogram { timestamp_ms: self.timestamp_ms, value }
    }
}

/// The number of spans, buckets and bounds, each of which takes 8 bytes.
pub(super) fn bucket_count(histogram: &BatchHistogram) -> usize {
    match &histogram.value {
        HistogramValue::Int(h) => {
            let spans = h.positive_spans.len() + h.negative_spans.len();
            spans + h.positive_buckets.len() + h.negative_buckets.len() + h.custom_values.len()
        }
        HistogramValue::Float(h) => {
            let spans = h.positive_spans.len() + h.negative_spans.len();
            spans + h.positive_buckets.len() + h.negative_buckets.len() + h.custom_values.len()
        }
    }
}

/// Numbers that are not known count as "unknown", as an enum of protobuf does.
fn reset_hint(number: u64) -> CounterResetHint {
    u8::try_from(number).ok().and_then(CounterResetHint::from_number).unwrap_or_default()
}

fn decode_span(message: &[u8]) -> Result<Span, DecodeError> {
    let mut span = Span::default();
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Varint, "BucketSpan", field)?;
                span.offset = reader.zigzag()? as i32;
            }
            2 => {
                wire_type.expect(WireType::Varint, "BucketSpan", field)?;
                span.length = reader.varint()? as u32;
            }
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(span)
}

/// A repeated `sint64`, packed or one by one.
fn push_deltas(
    out: &mut Vec<i64>,
    reader: &mut Reader<'_>,
    (field, wire_type): (u32, WireType),
) -> Result<(), DecodeError> {
    if wire_type == WireType::Varint {
        out.push(reader.zigzag()?);
        return Ok(());
    }
    wire_type.expect(WireType::Bytes, NAME, field)?;
    let mut packed = Reader::new(reader.bytes()?);
    while !packed.rest().is_empty() {
        out.push(packed.zigzag()?);
    }
    Ok(())
}

/// A repeated `double`, packed or one by one.
fn push_doubles(
    out: &mut Vec<f64>,
    reader: &mut Reader<'_>,
    (field, wire_type): (u32, WireType),
) -> Result<(), DecodeError> {
    if wire_type == WireType::Fixed64 {
        out.push(reader.double()?);
        return Ok(());
    }
    wire_type.expect(WireType::Bytes, NAME, field)?;
    let mut packed = Reader::new(reader.bytes()?);
    while !packed.rest().is_empty() {
        out.push(packed.double()?);
    }
    Ok(())
}
