//! Writing records. Each encoder owns one buffer that grows with what is pushed and is kept by
//! `clear`, so that a request that is like the one before allocates nothing.
//!
//! Used by the head (a set of encoders per appender) and by the checkpoint.

use model::{FloatHistogram, Histogram, TimestampMs};

use super::histogram::{is_custom, put_float_histogram, put_histogram};
use super::{MetricType, RecordType};
use crate::encoding::{
    MAX_VARINT_LEN64, put_be64, put_uvarint, put_uvarint_bytes, put_varint, write_uvarint, zigzag,
};

/// What all encoders have: the record so far, empty when nothing was pushed.
macro_rules! record_methods {
    () => {
        /// The record; no bytes at all when nothing was pushed.
        pub fn record(&self) -> &[u8] {
            &self.out
        }

        /// Forgets what was pushed and keeps the memory.
        pub fn clear(&mut self) {
            self.out.clear();
        }
    };
}

/// Encodes a series record.
#[derive(Debug, Default, Clone)]
pub struct SeriesEncoder {
    out: Vec<u8>,
}

impl SeriesEncoder {
    record_methods!();

    /// Adds a series.
    pub fn push<'a>(
        &mut self,
        series_ref: u64,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        begin(&mut self.out, RecordType::Series);
        put_be64(&mut self.out, series_ref);
        put_labels(&mut self.out, labels);
    }
}

/// Encodes a record of float samples (type 2).
#[derive(Debug, Default, Clone)]
pub struct SamplesEncoder {
    out: Vec<u8>,
    first_ref: u64,
    first_t: TimestampMs,
}

impl SamplesEncoder {
    record_methods!();

    /// Adds a sample. Series and times may come in any order.
    #[inline]
    pub fn push(&mut self, series_ref: u64, t: TimestampMs, value: f64) {
        if self.out.is_empty() {
            (self.first_ref, self.first_t) = (series_ref, t);
            put_header(&mut self.out, RecordType::Samples, (series_ref, t));
        }
        // The most that a sample takes is made room for at once, and what was not needed given
        // back: half the time of pushing byte by byte (`encode_samples` in benches/wal.rs).
        let start = self.out.len();
        self.out.resize(start + MAX_SAMPLE_BYTES, 0);
        let Some(room) = self.out[start..].first_chunk_mut::<MAX_SAMPLE_BYTES>() else { return };
        let ref_delta = series_ref.wrapping_sub(self.first_ref).cast_signed();
        let at = write_varint(room, 0, ref_delta);
        let at = write_varint(room, at, t.wrapping_sub(self.first_t));
        room[at..at + 8].copy_from_slice(&value.to_bits().to_be_bytes());
        self.out.truncate(start + at + 8);
    }
}

/// Encodes histograms with integer counts: exponential ones to a record of type 7, those with
/// custom buckets to one of type 9.
#[derive(Debug, Default, Clone)]
pub struct HistogramsEncoder {
    exponential: Columns,
    custom: Columns,
}

impl HistogramsEncoder {
    /// Adds a histogram.
    pub fn push(&mut self, series_ref: u64, t: TimestampMs, histogram: &Histogram) {
        let (columns, record_type) = if is_custom(histogram.schema) {
            (&mut self.custom, RecordType::CustomHistograms)
        } else {
            (&mut self.exponential, RecordType::Histograms)
        };
        put_histogram(columns.begin(record_type, (series_ref, t)), histogram);
    }

    /// The records in the order in which they are to be logged; either may be empty.
    pub fn records(&self) -> [&[u8]; 2] {
        [&self.exponential.out, &self.custom.out]
    }

    /// Forgets what was pushed and keeps the memory.
    pub fn clear(&mut self) {
        self.exponential.out.clear();
        self.custom.out.clear();
    }
}

/// Encodes histograms with float counts: exponential ones to a record of type 8, those with
/// custom buckets to one of type 10.
#[derive(Debug, Default, Clone)]
pub struct FloatHistogramsEncoder {
    exponential: Columns,
    custom: Columns,
}

impl FloatHistogramsEncoder {
    /// Adds a histogram.
    pub fn push(&mut self, series_ref: u64, t: TimestampMs, histogram: &FloatHistogram) {
        let (columns, record_type) = if is_custom(histogram.schema) {
            (&mut self.custom, RecordType::CustomFloatHistograms)
        } else {
            (&mut self.exponential, RecordType::FloatHistograms)
        };
        put_float_histogram(columns.begin(record_type, (series_ref, t)), histogram);
    }

    /// The records in the order in which they are to be logged; either may be empty.
    pub fn records(&self) -> [&[u8]; 2] {
        [&self.exponential.out, &self.custom.out]
    }

    /// Forgets what was pushed and keeps the memory.
    pub fn clear(&mut self) {
        self.exponential.out.clear();
        self.custom.out.clear();
    }
}

/// Encodes a record of tombstones.
#[derive(Debug, Default, Clone)]
pub struct TombstonesEncoder {
    out: Vec<u8>,
}

impl TombstonesEncoder {
    record_methods!();

    /// Adds a deleted range; both ends are deleted.
    pub fn push(&mut self, series_ref: u64, mint: TimestampMs, maxt_incl: TimestampMs) {
        begin(&mut self.out, RecordType::Tombstones);
        put_be64(&mut self.out, series_ref);
        put_varint(&mut self.out, mint);
        put_varint(&mut self.out, maxt_incl);
    }
}

/// Encodes a record of exemplars.
#[derive(Debug, Default, Clone)]
pub struct ExemplarsEncoder {
    columns: Columns,
}

impl ExemplarsEncoder {
    /// Adds an exemplar with its own labels.
    pub fn push<'a>(
        &mut self,
        series_ref: u64,
        (t, value): (TimestampMs, f64),
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let out = self.columns.begin(RecordType::Exemplars, (series_ref, t));
        put_be64(out, value.to_bits());
        put_labels(out, labels);
    }

    /// The record; no bytes at all when nothing was pushed.
    pub fn record(&self) -> &[u8] {
        &self.columns.out
    }

    /// Forgets what was pushed and keeps the memory.
    pub fn clear(&mut self) {
        self.columns.out.clear();
    }
}

/// Encodes a record of mmap markers.
#[derive(Debug, Default, Clone)]
pub struct MmapMarkersEncoder {
    out: Vec<u8>,
}

impl MmapMarkersEncoder {
    record_methods!();

    /// Adds a marker; `chunk_ref` 0 = no chunk was moved.
    pub fn push(&mut self, series_ref: u64, chunk_ref: u64) {
        begin(&mut self.out, RecordType::MmapMarkers);
        put_be64(&mut self.out, series_ref);
        put_be64(&mut self.out, chunk_ref);
    }
}

/// Encodes a record of metadata.
#[derive(Debug, Default, Clone)]
pub struct MetadataEncoder {
    out: Vec<u8>,
}

impl MetadataEncoder {
    record_methods!();

    /// Adds the metadata of a series.
    pub fn push(&mut self, series_ref: u64, metric_type: MetricType, unit: &str, help: &str) {
        begin(&mut self.out, RecordType::Metadata);
        put_uvarint(&mut self.out, series_ref);
        self.out.push(metric_type as u8);
        put_uvarint(&mut self.out, 2);
        for text in [UNIT_FIELD, unit, HELP_FIELD, help] {
            put_uvarint_bytes(&mut self.out, text.as_bytes());
        }
    }
}

/// The name of the unit in a metadata record.
pub(super) const UNIT_FIELD: &str = "UNIT";
/// The name of the help text in a metadata record.
pub(super) const HELP_FIELD: &str = "HELP";

/// A record whose items tell series and time as the distance to the first item.
#[derive(Debug, Default, Clone)]
struct Columns {
    out: Vec<u8>,
    first_ref: u64,
    first_t: TimestampMs,
}

impl Columns {
    /// Writes series and time of the next item; what belongs to it goes behind.
    fn begin(&mut self, record_type: RecordType, key: (u64, TimestampMs)) -> &mut Vec<u8> {
        if self.out.is_empty() {
            (self.first_ref, self.first_t) = key;
            put_header(&mut self.out, record_type, key);
        }
        put_deltas(&mut self.out, key, (self.first_ref, self.first_t));
        &mut self.out
    }
}

fn begin(out: &mut Vec<u8>, record_type: RecordType) {
    if out.is_empty() {
        out.push(record_type as u8);
    }
}

fn put_header(out: &mut Vec<u8>, record_type: RecordType, (series_ref, t): (u64, TimestampMs)) {
    out.push(record_type as u8);
    put_be64(out, series_ref);
    put_be64(out, t.cast_unsigned());
}

fn put_deltas(out: &mut Vec<u8>, key: (u64, TimestampMs), first: (u64, TimestampMs)) {
    put_varint(out, key.0.wrapping_sub(first.0).cast_signed());
    put_varint(out, key.1.wrapping_sub(first.1));
}

/// The most that a sample takes: two numbers and a value.
const MAX_SAMPLE_BYTES: usize = 2 * MAX_VARINT_LEN64 + 8;

/// Writes a number at `at`, which leaves room for it, and returns where it ends.
#[inline]
fn write_varint(room: &mut [u8; MAX_SAMPLE_BYTES], mut at: usize, value: i64) -> usize {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        room[at] = rest as u8 | 0x80;
        rest >>= 7;
        at += 1;
    }
    room[at] = rest as u8;
    at + 1
}

/// Writes the number of labels and the labels, counting on the way.
fn put_labels<'a>(out: &mut Vec<u8>, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let count_at = out.len();
    out.push(0);
    let mut count = 0;
    for (name, value) in labels {
        put_uvarint_bytes(out, name.as_bytes());
        put_uvarint_bytes(out, value.as_bytes());
        count += 1;
    }
    if count < 0x80 {
        out[count_at] = count as u8;
    } else {
        let mut bytes = [0; MAX_VARINT_LEN64];
        let length = write_uvarint(&mut bytes, count);
        out.splice(count_at..=count_at, bytes[..length].iter().copied());
    }
}
