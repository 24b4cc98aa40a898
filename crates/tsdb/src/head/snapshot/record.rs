//! The records of a snapshot.
//!
//! ```text
//! series      1 | ref be64 | label count uvarint | { name, value }* | 0 be64
//!               | 0 uvarint                                         nothing is open
//!               | 1 uvarint | mint be64 | maxt be64 | encoding | data (uvarint length) | last
//! tombstones  2 | uvarint length | version 1 | { ref uvarint | mint varint | maxt varint }*
//! exemplars   3 | as in the log, without the type
//! ```
//!
//! `last` repeats the newest sample: four pairs of time and value of which only the last value
//! counts for floats, the body of a log record for histograms. It is written for Prometheus;
//! here it is decoded from the chunk and not read.

use model::TimestampMs;
use model::batch::HistogramValue;

use crate::chunk::ChunkEncoding;
use crate::encoding::{Decoder, put_be64, put_uvarint, put_uvarint_bytes, put_varint};
use crate::error::DecodeError;
use crate::tombstones::{Interval, Tombstones};
use crate::wal::record::{put_float_histogram, put_histogram, read_labels};

const SERIES: u8 = 1;
const TOMBSTONES: u8 = 2;
const EXEMPLARS: u8 = 3;
/// The version of the tombstones in a record.
const TOMBSTONES_VERSION: u8 = 1;
/// Samples that an old reader expects before the last one.
const UNUSED_SAMPLES: usize = 3;

/// The open chunk of a series.
pub(super) struct OpenChunk<'a> {
    pub(super) min_time_ms: TimestampMs,
    pub(super) max_time_ms: TimestampMs,
    pub(super) encoding: ChunkEncoding,
    pub(super) data: &'a [u8],
    pub(super) last: LastValue,
}

/// The newest value of a series.
pub(super) enum LastValue {
    Float(f64),
    Histogram(HistogramValue),
}

/// Begins the record of a series.
pub(super) fn put_series<'a>(
    out: &mut Vec<u8>,
    series_ref: u64,
    labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) {
    out.push(SERIES);
    put_be64(out, series_ref);
    put_uvarint(out, labels.clone().count() as u64);
    for (name, value) in labels {
        put_uvarint_bytes(out, name.as_bytes());
        put_uvarint_bytes(out, value.as_bytes());
    }
    put_be64(out, 0);
}

/// Ends the record of a series.
pub(super) fn put_chunk(out: &mut Vec<u8>, chunk: Option<OpenChunk<'_>>) {
    let Some(chunk) = chunk else { return put_uvarint(out, 0) };
    put_uvarint(out, 1);
    put_be64(out, chunk.min_time_ms.cast_unsigned());
    put_be64(out, chunk.max_time_ms.cast_unsigned());
    out.push(chunk.encoding.number());
    put_uvarint_bytes(out, chunk.data);
    match &chunk.last {
        LastValue::Float(value) => {
            out.extend_from_slice(&[0; UNUSED_SAMPLES * 16]);
            put_be64(out, 0);
            put_be64(out, value.to_bits());
        }
        LastValue::Histogram(HistogramValue::Int(value)) => put_histogram(out, value),
        LastValue::Histogram(HistogramValue::Float(value)) => put_float_histogram(out, value),
    }
}

/// Appends the record of all deleted ranges, by reference.
pub(super) fn put_tombstones(out: &mut Vec<u8>, tombstones: &Tombstones) {
    out.push(TOMBSTONES);
    let mut stones = vec![TOMBSTONES_VERSION];
    for (series_ref, intervals) in tombstones.iter() {
        for interval in intervals {
            put_uvarint(&mut stones, series_ref);
            put_varint(&mut stones, interval.min_ms);
            put_varint(&mut stones, interval.max_ms);
        }
    }
    put_uvarint_bytes(out, &stones);
}

fn decode_tombstones(mut stones: Decoder<'_>) -> Result<Tombstones, DecodeError> {
    if stones.byte()? != TOMBSTONES_VERSION {
        return Err(DecodeError::Invalid("unknown version of tombstones"));
    }
    let mut tombstones = Tombstones::default();
    while !stones.is_empty() {
        let series_ref = stones.uvarint()?;
        let interval = Interval { min_ms: stones.varint()?, max_ms: stones.varint()? };
        tombstones.add(series_ref, interval);
    }
    Ok(tombstones)
}

/// Appends a record of exemplars from one of the log.
pub(super) fn put_exemplars(out: &mut Vec<u8>, log_record: &[u8]) {
    out.push(EXEMPLARS);
    out.extend_from_slice(log_record.get(1..).unwrap_or_default());
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum SnapshotRecord<'a> {
    Series {
        series_ref: u64,
        /// Labels in the order of their names.
        labels: Vec<(&'a str, &'a str)>,
        chunk: Option<SnapshotChunk<'a>>,
    },
    /// The deleted ranges by reference. Stands behind the last series.
    Tombstones(Tombstones),
    /// As in a log record of exemplars, without the type.
    Exemplars(&'a [u8]),
}

/// The open chunk of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct SnapshotChunk<'a> {
    pub(in super::super) min_time_ms: TimestampMs,
    pub(in super::super) max_time_ms: TimestampMs,
    /// Number of its encoding.
    pub(in super::super) encoding: u8,
    pub(in super::super) data: &'a [u8],
}

impl<'a> SnapshotRecord<'a> {
    /// Decodes a record.
    pub(in super::super) fn decode(record: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(record);
        match input.byte()? {
            SERIES => decode_series(&mut input),
            TOMBSTONES => {
                decode_tombstones(Decoder::new(input.uvarint_bytes()?)).map(Self::Tombstones)
            }
            EXEMPLARS => Ok(Self::Exemplars(input.rest())),
            _ => Err(DecodeError::Invalid("unknown type of snapshot record")),
        }
    }
}

fn decode_series<'a>(input: &mut Decoder<'a>) -> Result<SnapshotRecord<'a>, DecodeError> {
    let series_ref = input.be64()?;
    // No writer gives it out: a file of head chunks could not tell it from its end.
    if series_ref == 0 {
        return Err(DecodeError::Invalid("a series without a reference"));
    }
    let mut labels = Vec::new();
    read_labels(input, &mut labels)?;
    // Earlier versions stored the range of the head's chunks here.
    input.skip(8)?;
    let chunk = match input.uvarint()? {
        0 => None,
        _ => Some(SnapshotChunk {
            min_time_ms: input.be64()?.cast_signed(),
            max_time_ms: input.be64()?.cast_signed(),
            encoding: input.byte()?,
            data: input.uvarint_bytes()?,
        }),
    };
    Ok(SnapshotRecord::Series { series_ref, labels, chunk })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_series_with_an_open_float_chunk_has_the_bytes_of_the_format() {
        let mut out = Vec::new();
        put_series(&mut out, 0x0102, [("a", "bc")].into_iter());
        put_chunk(
            &mut out,
            Some(OpenChunk {
                min_time_ms: 5,
                max_time_ms: -1,
                encoding: ChunkEncoding::Xor,
                data: &[7, 8, 9],
                last: LastValue::Float(1.0),
            }),
        );
        let mut want = vec![1, 0, 0, 0, 0, 0, 0, 1, 2, 1, 1, b'a', 2, b'b', b'c'];
        want.extend([0; 8]);
        want.extend([1, 0, 0, 0, 0, 0, 0, 0, 5, 255, 255, 255, 255, 255, 255, 255, 255]);
        want.extend([1, 3, 7, 8, 9]);
        want.extend([0; 56]);
        want.extend(1.0f64.to_be_bytes());
        assert_eq!(out, want);
        let chunk =
            SnapshotChunk { min_time_ms: 5, max_time_ms: -1, encoding: 1, data: &[7, 8, 9] };
        let (series_ref, labels, chunk) = (0x0102, vec![("a", "bc")], Some(chunk));
        let series = SnapshotRecord::Series { series_ref, labels, chunk };
        assert_eq!(SnapshotRecord::decode(&out), Ok(series));
    }

    #[test]
    fn the_end_is_a_list_of_tombstones() {
        let mut out = Vec::new();
        let mut tombstones = Tombstones::default();
        put_tombstones(&mut out, &tombstones);
        assert_eq!(out, [2, 1, 1]);
        assert_eq!(
            SnapshotRecord::decode(&out),
            Ok(SnapshotRecord::Tombstones(tombstones.clone()))
        );
        tombstones.add(200, Interval { min_ms: -1, max_ms: 1 });
        out.clear();
        put_tombstones(&mut out, &tombstones);
        assert_eq!(out, [2, 5, 1, 200, 1, 1, 2]);
        assert_eq!(SnapshotRecord::decode(&out), Ok(SnapshotRecord::Tombstones(tombstones)));
        assert_eq!(SnapshotRecord::decode(&[3, 1]), Ok(SnapshotRecord::Exemplars(&[1])));
        assert!(SnapshotRecord::decode(&[4]).is_err());
        assert!(SnapshotRecord::decode(&[]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = SnapshotRecord::decode(&bytes);
            let mut series = vec![SERIES];
            series.extend_from_slice(&bytes);
            let _ = SnapshotRecord::decode(&series);
        }
    }
}
