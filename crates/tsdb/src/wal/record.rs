//! The records of the write-ahead log: what stands in them, how they are written and read.
//!
//! The head encodes with the structs of [`encode`], the replay and the checkpoint read with
//! [`Record::decode`]. All are bytes in memory: no IO, no container. Decoding takes any bytes
//! and never panics. Byte diagrams: `docs/format/wal.md`.

pub mod decode;
pub mod encode;
mod encode_v2;
mod histogram;
mod reduce;

pub use model::batch::MetricType;
use model::{FloatHistogram, Histogram, TimestampMs};

pub use decode::{
    ExemplarIter, FloatHistogramIter, HistogramIter, MetadataIter, MmapMarkerIter, SampleIter,
    SeriesIter, TombstoneIter,
};
pub use encode::{
    ExemplarsEncoder, FloatHistogramsEncoder, HistogramsEncoder, MetadataEncoder,
    MmapMarkersEncoder, SamplesEncoder, SeriesEncoder, TombstonesEncoder,
};

pub use encode_v2::{FloatHistogramsV2Encoder, HistogramsV2Encoder, SamplesV2Encoder};

pub(crate) use decode::read_labels;
pub(crate) use histogram::{put_float_histogram, put_histogram};

use crate::error::DecodeError;

/// The first byte of a record. Persisted, keep stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RecordType {
    /// Labels of series.
    Series = 1,
    /// Float samples.
    Samples = 2,
    /// Deleted ranges.
    Tombstones = 3,
    /// Exemplars.
    Exemplars = 4,
    /// Chunks that moved to the head chunk files.
    MmapMarkers = 5,
    /// Type, unit and help of series.
    Metadata = 6,
    /// Histograms with integer counts and exponential buckets.
    Histograms = 7,
    /// Histograms with float counts and exponential buckets.
    FloatHistograms = 8,
    /// Histograms with integer counts and custom buckets.
    CustomHistograms = 9,
    /// Histograms with float counts and custom buckets.
    CustomFloatHistograms = 10,
    /// Float samples with start timestamps.
    SamplesV2 = 11,
    /// Histograms with integer counts and start timestamps, all schemas.
    HistogramsV2 = 12,
    /// Histograms with float counts and start timestamps, all schemas.
    FloatHistogramsV2 = 13,
}

impl RecordType {
    /// The type of a number; `None` for one that this version does not know.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Series,
            2 => Self::Samples,
            3 => Self::Tombstones,
            4 => Self::Exemplars,
            5 => Self::MmapMarkers,
            6 => Self::Metadata,
            7 => Self::Histograms,
            8 => Self::FloatHistograms,
            9 => Self::CustomHistograms,
            10 => Self::CustomFloatHistograms,
            11 => Self::SamplesV2,
            12 => Self::HistogramsV2,
            13 => Self::FloatHistogramsV2,
            _ => return None,
        })
    }
}

/// A record, ready to be walked through. Each iterator ends after its first error.
#[derive(Debug, Clone)]
pub enum Record<'a> {
    /// Type 1.
    Series(SeriesIter<'a>),
    /// Types 2 and 11.
    Samples(SampleIter<'a>),
    /// Type 3.
    Tombstones(TombstoneIter<'a>),
    /// Type 4.
    Exemplars(ExemplarIter<'a>),
    /// Type 5.
    MmapMarkers(MmapMarkerIter<'a>),
    /// Type 6.
    Metadata(MetadataIter<'a>),
    /// Types 7, 9 and 12.
    Histograms(HistogramIter<'a>),
    /// Types 8, 10 and 13.
    FloatHistograms(FloatHistogramIter<'a>),
    /// A type of a later version, to be skipped.
    Unknown(u8),
}

impl<'a> Record<'a> {
    /// Looks at the type and the header of a record. A record without bytes is an error.
    pub fn decode(record: &'a [u8]) -> Result<Self, DecodeError> {
        let (&number, body) = record.split_first().ok_or(DecodeError::Truncated)?;
        let Some(record_type) = RecordType::from_number(number) else {
            return Ok(Self::Unknown(number));
        };
        Ok(match record_type {
            RecordType::Series => Self::Series(SeriesIter::new(body)),
            RecordType::Samples => Self::Samples(SampleIter::v1(body)?),
            RecordType::SamplesV2 => Self::Samples(SampleIter::v2(body)),
            RecordType::Tombstones => Self::Tombstones(TombstoneIter::new(body)),
            RecordType::Exemplars => Self::Exemplars(ExemplarIter::new(body)?),
            RecordType::MmapMarkers => Self::MmapMarkers(MmapMarkerIter::new(body)),
            RecordType::Metadata => Self::Metadata(MetadataIter::new(body)),
            RecordType::Histograms | RecordType::CustomHistograms => {
                Self::Histograms(HistogramIter::v1(body)?)
            }
            RecordType::FloatHistograms | RecordType::CustomFloatHistograms => {
                Self::FloatHistograms(FloatHistogramIter::v1(body)?)
            }
            RecordType::HistogramsV2 => Self::Histograms(HistogramIter::v2(body)),
            RecordType::FloatHistogramsV2 => Self::FloatHistograms(FloatHistogramIter::v2(body)),
        })
    }
}

/// A series: its reference, and its labels as they stand in the record (an empty value may
/// occur), in the caller's scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesRecord<'a, 'b> {
    /// The series' reference.
    pub series_ref: u64,
    /// Names and values.
    pub labels: &'b [(&'a str, &'a str)],
}

/// A float sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleRecord {
    /// The series' reference.
    pub series_ref: u64,
    /// Time, ms.
    pub t: TimestampMs,
    /// Start timestamp, ms; 0 = unknown.
    pub start_t: TimestampMs,
    /// Value; NaN payloads are kept.
    pub value: f64,
}

/// A histogram sample; `H` is [`Histogram`] or [`FloatHistogram`].
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramRecord<H> {
    /// The series' reference.
    pub series_ref: u64,
    /// Time, ms.
    pub t: TimestampMs,
    /// Start timestamp, ms; 0 = unknown.
    pub start_t: TimestampMs,
    /// The histogram, with a schema that `model` knows.
    pub histogram: H,
}

/// A histogram sample with integer counts.
pub type IntHistogramRecord = HistogramRecord<Histogram>;
/// A histogram sample with float counts.
pub type FloatHistogramRecord = HistogramRecord<FloatHistogram>;

/// A deleted range of a series. Both ends are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TombstoneRecord {
    /// The series' reference.
    pub series_ref: u64,
    /// First deleted time, ms.
    pub mint: TimestampMs,
    /// Last deleted time, ms.
    pub maxt_incl: TimestampMs,
}

/// An exemplar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExemplarRecord<'a, 'b> {
    /// The series' reference.
    pub series_ref: u64,
    /// Time, ms.
    pub t: TimestampMs,
    /// Value.
    pub value: f64,
    /// The exemplar's own labels.
    pub labels: &'b [(&'a str, &'a str)],
}

/// Tells that a series' chunk moved to the head chunk files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MmapMarkerRecord {
    /// The series' reference.
    pub series_ref: u64,
    /// Where the chunk is; 0 = nowhere.
    pub chunk_ref: u64,
}

/// Type, unit and help of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataRecord<'a> {
    /// The series' reference.
    pub series_ref: u64,
    /// The kind of metric.
    pub metric_type: MetricType,
    /// The unit, often empty.
    pub unit: &'a str,
    /// The help text.
    pub help: &'a str,
}

#[cfg(test)]
mod tests;
