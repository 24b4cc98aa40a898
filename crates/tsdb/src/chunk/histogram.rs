//! Histogram chunks: encodings 2 (integer counts) and 3 (float counts), and 5 and 6, which are the
//! same with start timestamps.
//!
//! ```text
//! 2, 3:  count be16 | counter reset header, high 2 bits of a byte | bit stream
//! 5, 6:  counter reset header 2 bits, count 14 bits | start time header | bit stream
//! bit stream: layout | { t | count | zero count | sum | buckets | [start time] }*
//! layout: zero threshold | schema varbit_int | positive spans | negative spans | [bounds]
//! ```
//!
//! One layout serves all samples of a chunk: [`HistogramAppender`] widens samples or writes the
//! chunk again where layouts differ, or asks for a new chunk. A stale marker has a time and a sum
//! and no buckets; only stale markers follow it in a chunk.

mod append;
mod kind;
mod layout;
mod read;
mod sample;
mod spans;

pub use append::{AppendOutcome, HistogramAppender};
pub use kind::{Floats, HistogramKind, Integers};
pub use read::HistogramReader;

use std::sync::Arc;

use model::{CounterResetHint, SampleBuffer};

use crate::error::DecodeError;

/// What a chunk's header says about its first sample. Numbers are the bits in the header byte:
/// persisted, keep stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum CounterResetHeader {
    /// Nothing known.
    #[default]
    Unknown = 0x00,
    /// No reset since the chunk before.
    NotCounterReset = 0x40,
    /// A reset since the chunk before.
    CounterReset = 0x80,
    /// All samples are gauges.
    Gauge = 0xc0,
}

impl CounterResetHeader {
    fn from_byte(byte: u8) -> Self {
        match byte & 0xc0 {
            0x40 => Self::NotCounterReset,
            0x80 => Self::CounterReset,
            0xc0 => Self::Gauge,
            _ => Self::Unknown,
        }
    }

    /// The hint of sample `index` of a chunk with this header. That of a first sample is not
    /// known whatever the header says: the chunk before may be missing.
    fn hint(self, index: u16) -> CounterResetHint {
        match (self, index) {
            (Self::Gauge, _) => CounterResetHint::Gauge,
            (_, 0) => CounterResetHint::Unknown,
            _ => CounterResetHint::NotCounterReset,
        }
    }
}

/// Appends the samples of a histogram chunk to `out`; see [`super::decode`].
pub(super) fn decode<K: HistogramKind>(
    data: &[u8],
    has_start_times: bool,
    out: &mut SampleBuffer,
) -> Result<(), DecodeError> {
    let mut reader = HistogramReader::<K>::new(data, has_start_times)?;
    let last_time = out.histogram_times.last().copied();
    while let Some((t, start)) = reader.advance()? {
        super::check_order(last_time, t)?;
        let histogram = Arc::new(reader.float_histogram()?);
        out.push_histogram_with_start(t, histogram, start);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
