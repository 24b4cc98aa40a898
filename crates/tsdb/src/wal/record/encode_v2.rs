//! Writing records with start timestamps (types 11, 12 and 13), which only a database that stores
//! them writes. Times and start timestamps are told as the distance to the first item, series as
//! the distance to the item before; histograms of all schemas share a record.

use model::{FloatHistogram, Histogram, TimestampMs};

use super::RecordType;
use super::histogram::{put_float_histogram, put_histogram};
use crate::encoding::{put_be64, put_varint};

/// How the start timestamp of an item is told. Persisted, keep stable.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum StartMarker {
    /// It is unknown.
    None = 0,
    /// It is that of the item before.
    Same = 1,
    /// The distance to that of the first item follows.
    Explicit = 2,
}

/// The keys of a record's items.
#[derive(Debug, Default, Clone)]
struct Columns {
    out: Vec<u8>,
    previous_ref: u64,
    previous_start_t: TimestampMs,
    first: (TimestampMs, TimestampMs),
}

impl Columns {
    /// Writes series, time and start timestamp of the next item; what belongs to it goes behind.
    fn begin(
        &mut self,
        record_type: RecordType,
        series_ref: u64,
        (t, start_t): (TimestampMs, TimestampMs),
    ) -> &mut Vec<u8> {
        if self.out.is_empty() {
            self.out.push(record_type as u8);
            put_varint(&mut self.out, series_ref.cast_signed());
            put_varint(&mut self.out, t);
            put_varint(&mut self.out, start_t);
            self.first = (t, start_t);
        } else {
            put_varint(&mut self.out, series_ref.wrapping_sub(self.previous_ref).cast_signed());
            put_varint(&mut self.out, t.wrapping_sub(self.first.0));
            self.put_start(start_t);
        }
        (self.previous_ref, self.previous_start_t) = (series_ref, start_t);
        &mut self.out
    }

    fn put_start(&mut self, start_t: TimestampMs) {
        let marker = match start_t {
            0 => StartMarker::None,
            _ if start_t == self.previous_start_t => StartMarker::Same,
            _ => StartMarker::Explicit,
        };
        self.out.push(marker as u8);
        if matches!(marker, StartMarker::Explicit) {
            put_varint(&mut self.out, start_t.wrapping_sub(self.first.1));
        }
    }
}

/// What all encoders have: the record so far, empty when nothing was pushed.
macro_rules! record_methods {
    () => {
        /// The record; no bytes at all when nothing was pushed.
        pub fn record(&self) -> &[u8] {
            &self.columns.out
        }

        /// Forgets what was pushed and keeps the memory.
        pub fn clear(&mut self) {
            self.columns.out.clear();
        }
    };
}

/// Encodes a record of float samples with start timestamps (type 11).
#[derive(Debug, Default, Clone)]
pub struct SamplesV2Encoder {
    columns: Columns,
}

impl SamplesV2Encoder {
    record_methods!();

    /// Adds a sample with its time and its start timestamp (0 = unknown).
    pub fn push(&mut self, series_ref: u64, times: (TimestampMs, TimestampMs), value: f64) {
        let out = self.columns.begin(RecordType::SamplesV2, series_ref, times);
        put_be64(out, value.to_bits());
    }
}

/// Encodes a record of histograms with integer counts and start timestamps (type 12).
#[derive(Debug, Default, Clone)]
pub struct HistogramsV2Encoder {
    columns: Columns,
}

impl HistogramsV2Encoder {
    record_methods!();

    /// Adds a histogram with its time and its start timestamp (0 = unknown).
    pub fn push(&mut self, series_ref: u64, times: (TimestampMs, TimestampMs), value: &Histogram) {
        put_histogram(self.columns.begin(RecordType::HistogramsV2, series_ref, times), value);
    }
}

/// Encodes a record of histograms with float counts and start timestamps (type 13).
#[derive(Debug, Default, Clone)]
pub struct FloatHistogramsV2Encoder {
    columns: Columns,
}

impl FloatHistogramsV2Encoder {
    record_methods!();

    /// Adds a histogram with its time and its start timestamp (0 = unknown).
    pub fn push(
        &mut self,
        series_ref: u64,
        times: (TimestampMs, TimestampMs),
        value: &FloatHistogram,
    ) {
        let out = self.columns.begin(RecordType::FloatHistogramsV2, series_ref, times);
        put_float_histogram(out, value);
    }
}
