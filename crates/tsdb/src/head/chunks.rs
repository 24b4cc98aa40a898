//! Where complete chunks of the head go: to the head chunk files, or into memory where there are
//! none or they cannot be written.

use model::{EncodedChunk, TimestampMs};

use super::series::ChunkPlace;
use super::spread::ChunkSpread;
use crate::chunk::{ChunkEncoding, NewEncodings};
use crate::error::DecodeError;
use crate::head_chunks::{HeadChunk, HeadChunks};

/// What appending needs besides the shard.
#[derive(Clone, Copy)]
pub(super) struct ChunkSink<'a> {
    /// No chunk crosses a multiple of this, ms.
    pub(super) block_range_ms: i64,
    /// The encodings of new chunks.
    pub(super) encodings: NewEncodings,
    /// How the ends of chunks are spread; `None` = not at all.
    pub(super) spread: Option<ChunkSpread<'a>>,
    /// The head chunk files.
    pub(super) files: Option<&'a HeadChunks>,
}

impl ChunkSink<'_> {
    /// Stores a complete chunk whose first and last times are `times`.
    pub(super) fn store(
        &self,
        series_ref: u64,
        times: (TimestampMs, TimestampMs),
        encoding: ChunkEncoding,
        data: &[u8],
    ) -> ChunkPlace {
        let chunk = HeadChunk {
            series_ref,
            mint: times.0,
            maxt_incl: times.1,
            encoding: encoding.number(),
            is_out_of_order: false,
            data,
        };
        self.write(chunk, encoding)
    }

    /// Stores a chunk of samples that came out of order.
    pub(super) fn store_late(
        &self,
        series_ref: u64,
        chunk: &EncodedChunk,
    ) -> Result<ChunkPlace, DecodeError> {
        let encoding = ChunkEncoding::from_number(chunk.encoding)?;
        let chunk = HeadChunk {
            series_ref,
            mint: chunk.min_time_ms,
            maxt_incl: chunk.max_time_ms,
            encoding: encoding.number(),
            is_out_of_order: true,
            data: &chunk.data,
        };
        Ok(self.write(chunk, encoding))
    }

    fn write(&self, chunk: HeadChunk<'_>, encoding: ChunkEncoding) -> ChunkPlace {
        let data = chunk.data;
        match self.files.map(|files| files.write(chunk)) {
            Some(Ok(disk_ref)) => ChunkPlace::Mapped(disk_ref),
            // The samples are in the log; only memory is lost by keeping the chunk there.
            Some(Err(_)) | None => ChunkPlace::memory(encoding, data.to_vec()),
        }
    }
}
