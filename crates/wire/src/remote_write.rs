//! Remote write 1.0: snappy block, then one pass over the protobuf `WriteRequest` that borrows
//! every string from the body.
//!
//! Called by `distributor`. Allocates nothing for a series but its places in the arenas of
//! [`WriteBatch`]; the memory of those is bounded by the size of the body. Semantic rules (limits,
//! names, times) are not checked here. Text that is not UTF-8 takes only its own series out, see
//! [`WriteBatch::undecodable`]; an exemplar with such text has no labels, a help or unit ends
//! before it, and metadata of a family with such a name, which no series can have, are left out.
//!
//! ```text
//! WriteRequest  1 timeseries*  3 metadata*
//! TimeSeries    1 labels*  2 samples*  3 exemplars*  4 histograms*  6 created_timestamp
//! Label         1 name  2 value
//! Sample        1 value (double)  2 timestamp (int64, ms)
//! Exemplar      1 labels*  2 value (double)  3 timestamp (int64, ms)
//! Metadata      1 type  2 metric_family_name  4 help  5 unit
//! ```
//! Source of the numbers: prometheus/prompb/remote.proto and types.proto.

mod encode;
mod histogram;
mod labels;
mod metadata;
mod names;
pub(crate) mod protobuf;
mod series;
mod snappy;

use model::WriteBatch;
use model::batch::{BatchSample, BatchSeries};

pub use encode::encode;
pub use snappy::{SnappyError, decompress, decompressed_len};

use protobuf::{Reader, WireType};

/// Why a request could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("unexpected end of protobuf message")]
    UnexpectedEnd,
    /// A varint has more than ten bytes or overflows 64 bits.
    #[error("protobuf varint overflows 64 bits")]
    VarintOverflow,
    /// A field has a wire type that its number does not allow.
    #[error("wrong wire type {wire_type} for field {field} of {message}")]
    WrongWireType {
        /// The message's name.
        message: &'static str,
        /// The field's number.
        field: u32,
        /// The wire type found.
        wire_type: u8,
    },
    /// A field number 0, a group or an unknown wire type.
    #[error("illegal protobuf tag {0}")]
    IllegalTag(u64),
    /// A string is not UTF-8.
    #[error("{0} is not valid UTF-8")]
    InvalidUtf8(&'static str),
    /// The decoded form would take far more memory than the request has bytes.
    #[error("the request holds too many empty items for its size")]
    TooManyItems,
}

/// Decoded items may take this many bytes of memory for each byte of the body ...
const MAX_EXPANSION: usize = 10;
/// ... and this many more.
const EXPANSION_ALLOWANCE_BYTES: usize = 1 << 20;

/// Decodes an uncompressed `WriteRequest` into `batch`, which must be empty. After an error the
/// batch holds a part of the request and must not be used.
pub fn decode<'a>(body: &'a [u8], batch: &mut WriteBatch<'a>) -> Result<(), DecodeError> {
    debug_assert!(batch.series.is_empty() && batch.labels.is_empty());
    let budget_bytes = body.len() * MAX_EXPANSION + EXPANSION_ALLOWANCE_BYTES;
    let mut decoder = series::SeriesDecoder::default();
    let mut reader = Reader::new(body);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Bytes, "WriteRequest", field)?;
                decoder.decode(reader.bytes()?, batch)?;
                if arena_bytes(batch) + decoder.bucket_bytes() > budget_bytes {
                    return Err(DecodeError::TooManyItems);
                }
            }
            3 => {
                wire_type.expect(WireType::Bytes, "WriteRequest", field)?;
                batch.metadata.extend(metadata::decode(reader.bytes()?)?);
                if arena_bytes(batch) + decoder.bucket_bytes() > budget_bytes {
                    return Err(DecodeError::TooManyItems);
                }
            }
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(())
}

fn arena_bytes(batch: &WriteBatch<'_>) -> usize {
    batch.series.len() * size_of::<BatchSeries>()
        + (batch.labels.len() + batch.exemplar_labels.len()) * size_of::<model::Label<'_>>()
        + batch.samples.len() * size_of::<BatchSample>()
        + batch.exemplars.len() * size_of::<model::batch::BatchExemplar>()
        + batch.histograms.len() * HISTOGRAM_BYTES
        + batch.metadata.len() * size_of::<model::batch::MetricMetadata<'_>>()
        + batch.undecodable.bytes()
}

/// What a histogram without buckets takes.
const HISTOGRAM_BYTES: usize =
    size_of::<model::batch::BatchHistogram>() + size_of::<model::FloatHistogram>();

#[cfg(test)]
mod tests;
