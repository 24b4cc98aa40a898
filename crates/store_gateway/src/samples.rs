//! The samples of one series of one block: chunks that have been fetched, decoded when they are
//! read.

use std::sync::Arc;

use model::{EncodedChunk, SampleBuffer, SampleReader, StorageError};
use tsdb::chunk::decode;
use tsdb::index::ChunkMeta;

use crate::block::Block;
use crate::chunks::StoredChunk;
use crate::request::{Request, Reservation};

/// Fetched chunks of one series, in order of time.
pub(crate) struct ChunkSamples {
    block: Arc<Block>,
    request: Request,
    chunks: std::vec::IntoIter<(ChunkMeta, StoredChunk)>,
    _held: Reservation,
}

impl ChunkSamples {
    /// A reader of `chunks`, whose memory is counted until it is dropped.
    pub(crate) fn new(
        request: &Request,
        block: &Arc<Block>,
        chunks: Vec<(ChunkMeta, StoredChunk)>,
    ) -> Result<Self, StorageError> {
        let bytes = chunks.iter().map(|(_, chunk)| chunk.data.len() as u64).sum();
        let held = request.reserve(bytes)?;
        request.context.add_chunks(0, bytes)?;
        request.store.metrics.chunks_touched.observe(bytes as f64);
        let (block, request) = (Arc::clone(block), request.clone());
        Ok(Self { block, request, chunks: chunks.into_iter(), _held: held })
    }
}

impl SampleReader for ChunkSamples {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        let Some((meta, chunk)) = self.chunks.next() else { return Ok(false) };
        let before = out.len();
        decode(chunk.encoding, &chunk.data, out).map_err(|error| {
            let (segment, offset) = (meta.reference >> 32, meta.reference & 0xffff_ffff);
            self.block.corrupt(format_args!("chunk at {segment}:{offset}"), &error)
        })?;
        self.request.context.add_samples((out.len() - before) as u64);
        Ok(true)
    }

    fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    fn encoded_chunks(&mut self) -> Result<Option<Vec<EncodedChunk>>, StorageError> {
        let chunks = std::mem::take(&mut self.chunks);
        let encoded = |(meta, chunk): (ChunkMeta, StoredChunk)| EncodedChunk {
            min_time_ms: meta.min_time_ms,
            max_time_ms: meta.max_time_ms,
            encoding: chunk.encoding.number(),
            data: chunk.data,
        };
        Ok(Some(chunks.map(encoded).collect()))
    }
}
