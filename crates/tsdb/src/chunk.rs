//! Chunks: runs of samples of one series in one of Prometheus' encodings, without the framing
//! (length, encoding byte, checksum) that files put around them.
//!
//! Written by the head and by compaction, decoded by every reader. Decoding takes foreign bytes:
//! it must never panic, never read outside and never loop without consuming input. The formats
//! are drawn in `docs/format/chunks.md`.

pub mod bits;
pub mod clip;
pub mod encoder;
mod field;
pub mod histogram;
mod start_time;
mod varbit;
pub mod xor;
pub mod xor2;

use histogram::{Floats, Integers};
use model::{SampleBuffer, TimestampMs};

use crate::error::DecodeError;

/// The encoding of a chunk. Numbers are those of block and head chunk files: persisted, keep
/// stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChunkEncoding {
    /// Floats.
    Xor = 1,
    /// Histograms with integer counts.
    Histogram = 2,
    /// Histograms with float counts.
    FloatHistogram = 3,
    /// Floats, with cheap stale markers and optional start timestamps.
    Xor2 = 4,
    /// [`ChunkEncoding::Histogram`] with start timestamps.
    HistogramSt = 5,
    /// [`ChunkEncoding::FloatHistogram`] with start timestamps.
    FloatHistogramSt = 6,
}

/// Bit 7 of the encoding byte in head chunk files: the chunk holds out-of-order samples.
pub const OUT_OF_ORDER_BIT: u8 = 0x80;

impl ChunkEncoding {
    /// The encoding of a file's number (without [`OUT_OF_ORDER_BIT`]).
    pub fn from_number(number: u8) -> Result<Self, DecodeError> {
        Ok(match number {
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramSt,
            6 => Self::FloatHistogramSt,
            _ => return Err(DecodeError::Invalid("unknown chunk encoding")),
        })
    }

    /// Its number in files.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Whether its samples are floats (else histograms).
    pub fn is_float(self) -> bool {
        matches!(self, Self::Xor | Self::Xor2)
    }

    /// Whether its samples can have start timestamps.
    pub fn has_start_times(self) -> bool {
        matches!(self, Self::Xor2 | Self::HistogramSt | Self::FloatHistogramSt)
    }
}

/// Which encodings new chunks have where there is a choice. Readers take all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewEncodings {
    /// Floats as [`ChunkEncoding::Xor2`], which has start timestamps.
    pub xor2: bool,
    /// Histograms in the encodings with start timestamps.
    pub histogram_start_times: bool,
}

/// Appends all samples of a chunk to `out`, whose samples must all be earlier.
///
/// Timestamps that do not ascend, also from those in `out` to the chunk's, are an error. After an error `out` is as it was before.
pub fn decode(
    encoding: ChunkEncoding,
    data: &[u8],
    out: &mut SampleBuffer,
) -> Result<(), DecodeError> {
    let before = (out.float_times.len(), out.histogram_times.len());
    let result = match encoding {
        ChunkEncoding::Xor => xor::decode(data, out),
        ChunkEncoding::Xor2 => xor2::decode(data, out),
        ChunkEncoding::Histogram => histogram::decode::<Integers>(data, false, out),
        ChunkEncoding::HistogramSt => histogram::decode::<Integers>(data, true, out),
        ChunkEncoding::FloatHistogram => histogram::decode::<Floats>(data, false, out),
        ChunkEncoding::FloatHistogramSt => histogram::decode::<Floats>(data, true, out),
    };
    if result.is_err() {
        truncate(out, before);
    }
    result
}

/// Fails unless a chunk that begins at `first` comes after `last`.
pub(crate) fn check_order(
    last: Option<TimestampMs>,
    first: TimestampMs,
) -> Result<(), DecodeError> {
    if last.is_some_and(|last| first <= last) {
        return Err(DecodeError::Invalid("chunk overlaps the samples before it"));
    }
    Ok(())
}

/// Drops all but the first so many floats and histograms.
fn truncate(out: &mut SampleBuffer, (floats, histograms): (usize, usize)) {
    out.float_times.truncate(floats);
    out.float_values.truncate(floats);
    out.float_start_times.truncate(floats);
    out.histogram_times.truncate(histograms);
    out.histograms.truncate(histograms);
    out.histogram_start_times.truncate(histograms);
}

/// The number of samples that a chunk says it holds.
pub fn sample_count(encoding: ChunkEncoding, data: &[u8]) -> Result<usize, DecodeError> {
    let header = data.first_chunk::<2>().ok_or(DecodeError::Truncated)?;
    let count = usize::from(u16::from_be_bytes(*header));
    Ok(match encoding {
        // The two highest bits are the counter reset header.
        ChunkEncoding::HistogramSt | ChunkEncoding::FloatHistogramSt => count & 0x3fff,
        _ => count,
    })
}

/// The times of the first and the last sample, both inclusive; `None` for a chunk without
/// samples. Decodes the whole chunk.
pub fn time_bounds(
    encoding: ChunkEncoding,
    data: &[u8],
) -> Result<Option<(TimestampMs, TimestampMs)>, DecodeError> {
    let mut samples = SampleBuffer::default();
    decode(encoding, data, &mut samples)?;
    let times = if encoding.is_float() { &samples.float_times } else { &samples.histogram_times };
    Ok(times.first().copied().zip(times.last().copied()))
}
