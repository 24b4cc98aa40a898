//! The part of a chunk that lies in a range of time.

use model::{EncodedChunk, TimeRange};

use crate::chunk::ChunkEncoding;
use crate::chunk::encoder::FinishedChunk;
use crate::error::TsdbError;

/// Appends what `chunk` has in `range` to `out`: the chunk itself where it lies inside, otherwise
/// new chunks (histograms may need several).
pub(in crate::head) fn clip(
    chunk: EncodedChunk,
    range: TimeRange,
    out: &mut Vec<EncodedChunk>,
) -> Result<(), TsdbError> {
    let is_in = |t| range.start_ms_incl <= t && t <= range.end_ms_incl;
    if is_in(chunk.min_time_ms) && is_in(chunk.max_time_ms) {
        out.push(chunk);
        return Ok(());
    }
    let mut sink = |part: FinishedChunk<'_>| {
        out.push(EncodedChunk {
            min_time_ms: part.min_time_ms,
            max_time_ms: part.max_time_ms,
            encoding: part.encoding.number(),
            data: part.data.into(),
        });
    };
    ChunkEncoding::from_number(chunk.encoding)
        .and_then(|encoding| crate::chunk::clip::clip((encoding, &chunk.data), &is_in, &mut sink))
        .map_err(|e| TsdbError::corrupt("chunk of the head", e))
}
