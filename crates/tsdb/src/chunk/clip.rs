//! What is left of a chunk when some of its samples are left out.
//!
//! Called by compaction (tombstones) and by the head where a chunk reaches over the end of a
//! block.

use model::{SampleBuffer, TimestampMs};

use super::encoder::{ChunkEncoder, FinishedChunk};
use super::histogram::{Floats, HistogramReader, Integers};
use super::{ChunkEncoding, decode};
use crate::error::DecodeError;

/// Hands the samples of a chunk whose times `keep` accepts to `sink` as chunks: one, or none
/// where nothing is left; a histogram chunk that was damaged may become several.
pub fn clip(
    (encoding, data): (ChunkEncoding, &[u8]),
    keep: &dyn Fn(TimestampMs) -> bool,
    sink: &mut dyn FnMut(FinishedChunk<'_>),
) -> Result<(), DecodeError> {
    let has_start_times = encoding.has_start_times();
    let mut encoder = ChunkEncoder::new(u16::MAX, has_start_times);
    match encoding {
        ChunkEncoding::Xor | ChunkEncoding::Xor2 => {
            let mut samples = SampleBuffer::default();
            decode(encoding, data, &mut samples)?;
            for (i, (t, value)) in samples.float_times.iter().zip(&samples.float_values).enumerate()
            {
                if keep(*t) {
                    let start = samples.float_start_times.get(i..=i).unwrap_or_default();
                    encoder.push_floats(&[*t], &[*value], start, sink)?;
                }
            }
        }
        ChunkEncoding::Histogram | ChunkEncoding::HistogramSt => {
            let mut reader = HistogramReader::<Integers>::new(data, has_start_times)?;
            while let Some((t, start)) = reader.advance()? {
                if keep(t) {
                    encoder.push_int_histogram(t, &reader.histogram(), start, sink)?;
                }
            }
        }
        ChunkEncoding::FloatHistogram | ChunkEncoding::FloatHistogramSt => {
            let mut reader = HistogramReader::<Floats>::new(data, has_start_times)?;
            while let Some((t, start)) = reader.advance()? {
                if keep(t) {
                    encoder.push_float_histogram(t, &reader.histogram(), start, sink)?;
                }
            }
        }
    }
    encoder.finish(sink);
    Ok(())
}
