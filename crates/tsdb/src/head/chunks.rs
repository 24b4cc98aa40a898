//! Where complete chunks of the head go: to the head chunk files, or into memory where there are
//! none or they cannot be written.

use model::TimestampMs;

use super::series::ChunkPlace;
use crate::chunk::ChunkEncoding;
use crate::head_chunks::{HeadChunk, HeadChunks};

/// What appending needs besides the shard.
#[derive(Clone, Copy)]
pub(super) struct ChunkSink<'a> {
    /// No chunk crosses a multiple of this, ms.
    pub(super) block_range_ms: i64,
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
        match self.files.map(|files| files.write(chunk)) {
            Some(Ok(disk_ref)) => ChunkPlace::Mapped(disk_ref),
            // The samples are in the WAL; only memory is lost by keeping the chunk there.
            Some(Err(_)) | None => ChunkPlace::memory(encoding, data.to_vec()),
        }
    }
}
