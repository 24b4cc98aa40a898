//! The layout that all samples of a histogram chunk share.
//!
//! ```text
//! zero threshold: 0 | byte n in 1..=254 for 0.5 * 2^(n-243) | 255 + 64 bits
//! spans:  count varbit_uint | { length varbit_uint | offset varbit_int }*
//! bounds: count varbit_uint | { varbit_uint of bound * 1000 + 1, or 0 + 64 bits }*  (schema -53)
//! ```

use std::sync::Arc;

use model::Span;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, MIN_EXPONENTIAL_SCHEMA};

use super::super::bits::{BitReader, BitWriter};
use super::super::varbit::{put_varbit_int, put_varbit_uint, read_varbit_int, read_varbit_uint};
use super::spans::bucket_count;
use crate::error::DecodeError;

/// The finest schema that a chunk may have; those above 8 are reduced when read.
const MAX_STORED_SCHEMA: i32 = 52;
/// The byte before a zero threshold that is no power of two.
const RAW_THRESHOLD: u8 = 255;
/// The largest bound, in thousandths, that is stored as an integer.
const MAX_SHORT_BOUND: f64 = 33_554_430.0;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive_spans: Vec<Span>,
    pub(super) negative_spans: Vec<Span>,
    pub(super) custom_values: Arc<[f64]>,
}

impl Layout {
    pub(super) fn span_count(&self) -> usize {
        self.positive_spans.len() + self.negative_spans.len()
    }

    pub(super) fn put(&self, writer: &mut BitWriter) {
        put_zero_threshold(writer, self.zero_threshold);
        put_varbit_int(writer, i64::from(self.schema));
        put_spans(writer, &self.positive_spans);
        put_spans(writer, &self.negative_spans);
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            put_varbit_uint(writer, self.custom_values.len() as u64);
            self.custom_values.iter().for_each(|&bound| put_bound(writer, bound));
        }
    }

    pub(super) fn read(reader: &mut BitReader<'_>) -> Result<Self, DecodeError> {
        let zero_threshold = read_zero_threshold(reader)?;
        let schema = read_varbit_int(reader)?;
        let known = MIN_EXPONENTIAL_SCHEMA..=MAX_STORED_SCHEMA;
        let schema = i32::try_from(schema)
            .ok()
            .filter(|schema| known.contains(schema) || *schema == CUSTOM_BUCKETS_SCHEMA)
            .ok_or(DecodeError::Invalid("unknown histogram schema"))?;
        Ok(Self {
            schema,
            zero_threshold,
            positive_spans: read_spans(reader)?,
            negative_spans: read_spans(reader)?,
            custom_values: match schema {
                CUSTOM_BUCKETS_SCHEMA => read_bounds(reader)?,
                _ => Arc::default(),
            },
        })
    }
}

fn put_zero_threshold(writer: &mut BitWriter, threshold: f64) {
    match power_of_two_byte(threshold) {
        Some(byte) => writer.byte(byte),
        None => {
            writer.byte(RAW_THRESHOLD);
            writer.bits(threshold.to_bits(), 64);
        }
    }
}

/// The byte of 0 or of a power of two in reach.
fn power_of_two_byte(threshold: f64) -> Option<u8> {
    let bits = threshold.to_bits();
    if bits == 0 {
        return Some(0);
    }
    // `0.5 * 2^(n-243)` has the biased exponent n + 779, and neither sign nor mantissa.
    let exponent = (bits >> 52).checked_sub(779)?;
    let byte = u8::try_from(exponent).ok()?;
    (bits & ((1 << 52) - 1) == 0 && (1..RAW_THRESHOLD).contains(&byte)).then_some(byte)
}

fn read_zero_threshold(reader: &mut BitReader<'_>) -> Result<f64, DecodeError> {
    Ok(match reader.byte()? {
        0 => 0.0,
        RAW_THRESHOLD => f64::from_bits(reader.bits(64)?),
        byte => f64::from_bits((u64::from(byte) + 779) << 52),
    })
}

fn put_spans(writer: &mut BitWriter, spans: &[Span]) {
    put_varbit_uint(writer, spans.len() as u64);
    for span in spans {
        put_varbit_uint(writer, u64::from(span.length));
        put_varbit_int(writer, i64::from(span.offset));
    }
}

/// Checks also that all bucket numbers fit 32 bits and ascend, which later arithmetic relies on.
fn read_spans(reader: &mut BitReader<'_>) -> Result<Vec<Span>, DecodeError> {
    let count = read_varbit_uint(reader)?;
    // A span takes two bits at least.
    if count > reader.remaining() as u64 / 2 {
        return Err(DecodeError::Truncated);
    }
    let mut spans = Vec::with_capacity(count as usize);
    let mut end = 0i64;
    for i in 0..count {
        let length = read_varbit_uint(reader)?;
        let offset = read_varbit_int(reader)?;
        let invalid = DecodeError::Invalid("histogram span is out of range");
        let length = u32::try_from(length).map_err(|_| invalid)?;
        let offset = i32::try_from(offset).map_err(|_| invalid)?;
        end += i64::from(offset) + i64::from(length);
        if (i > 0 && offset < 0) || i32::try_from(end).is_err() {
            return Err(invalid);
        }
        spans.push(Span { offset, length });
    }
    bucket_count(&spans).ok_or(DecodeError::Invalid("too many histogram buckets"))?;
    Ok(spans)
}

fn put_bound(writer: &mut BitWriter, bound: f64) {
    let thousandths = (bound * 1000.0).round();
    if (0.0..=MAX_SHORT_BOUND).contains(&(bound * 1000.0)) && thousandths / 1000.0 == bound {
        put_varbit_uint(writer, thousandths as u64 + 1);
    } else {
        writer.bit(false);
        writer.bits(bound.to_bits(), 64);
    }
}

fn read_bounds(reader: &mut BitReader<'_>) -> Result<Arc<[f64]>, DecodeError> {
    let count = read_varbit_uint(reader)?;
    // A bound takes five bits at least.
    if count > reader.remaining() as u64 / 5 {
        return Err(DecodeError::Truncated);
    }
    let mut bounds = Vec::with_capacity(count as usize);
    for _ in 0..count {
        bounds.push(match read_varbit_uint(reader)? {
            0 => f64::from_bits(reader.bits(64)?),
            thousandths => (thousandths - 1) as f64 / 1000.0,
        });
    }
    Ok(bounds.into())
}
