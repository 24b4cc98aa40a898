//! Where complete chunks of the head go: to the head chunk files, or into memory where there are
//! none or they cannot be written.

use std::sync::Arc;

use model::TimestampMs;

use super::series::ChunkPlace;
use crate::chunk::ChunkEncoding;

/// What appending needs besides the shard.
#[derive(Clone, Copy)]
pub(super) struct ChunkSink<'a> {
    /// No chunk crosses a multiple of this, ms.
    pub(super) block_range_ms: i64,
    pub(super) _marker: std::marker::PhantomData<&'a ()>,
}

impl ChunkSink<'_> {
    /// Stores a complete chunk whose first and last times are `times`.
    pub(super) fn store(
        &self,
        _series_ref: u64,
        _times: (TimestampMs, TimestampMs),
        encoding: ChunkEncoding,
        data: &[u8],
    ) -> ChunkPlace {
        ChunkPlace::Memory(encoding, Arc::from(data))
    }
}
