//! The samples of one series of a block, decoded chunk by chunk.

use std::sync::Arc;

use model::{EncodedChunk, QueryContext, SampleBuffer, SampleReader, StorageError};

use super::{Block, ChunkRecord};
use crate::chunk::decode;
use crate::error::{DecodeError, TsdbError};
use crate::index::ChunkMeta;
use crate::tombstones::{Interval, push_what_is_left};

pub(super) struct BlockSamples {
    block: Block,
    context: Arc<QueryContext>,
    chunks: std::vec::IntoIter<ChunkMeta>,
    deleted: Vec<Interval>,
}

impl BlockSamples {
    pub(super) fn new(
        block: Block,
        context: Arc<QueryContext>,
        chunks: Vec<ChunkMeta>,
        deleted: Vec<Interval>,
    ) -> Self {
        Self { block, context, chunks: chunks.into_iter(), deleted }
    }

    fn read(&self, chunk: &ChunkMeta) -> Result<ChunkRecord<'_>, StorageError> {
        let record = self.block.chunk(chunk.reference)?;
        self.context.add_chunks(0, record.data.len() as u64)?;
        Ok(record)
    }

    fn is_touched(&self, chunk: &ChunkMeta) -> bool {
        let touches = |i: &Interval| i.min_ms <= chunk.max_time_ms && chunk.min_time_ms <= i.max_ms;
        self.deleted.iter().any(touches)
    }

    fn decode(
        &self,
        chunk: &ChunkMeta,
        record: ChunkRecord<'_>,
        out: &mut SampleBuffer,
    ) -> Result<(), StorageError> {
        let result = if self.is_touched(chunk) {
            self.decode_what_is_left(record, out)
        } else {
            decode(record.encoding, record.data, out)
        };
        result.map_err(|e| {
            let dir = self.block.dir().display();
            TsdbError::corrupt(format_args!("{dir}: chunk {:#x}", chunk.reference), e).into()
        })
    }

    fn decode_what_is_left(
        &self,
        record: ChunkRecord<'_>,
        out: &mut SampleBuffer,
    ) -> Result<(), DecodeError> {
        let mut all = SampleBuffer::default();
        decode(record.encoding, record.data, &mut all)?;
        push_what_is_left(all, &self.deleted, out)
    }
}

impl SampleReader for BlockSamples {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        let Some(chunk) = self.chunks.next() else { return Ok(false) };
        let before = out.len();
        let record = self.read(&chunk)?;
        self.decode(&chunk, record, out)?;
        self.context.add_samples((out.len() - before) as u64);
        Ok(true)
    }

    fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    fn encoded_chunks(&mut self) -> Result<Option<Vec<EncodedChunk>>, StorageError> {
        if self.chunks.as_slice().iter().any(|chunk| self.is_touched(chunk)) {
            return Ok(None);
        }
        let chunks = std::mem::take(&mut self.chunks);
        let mut encoded = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let record = self.read(&chunk)?;
            encoded.push(EncodedChunk {
                min_time_ms: chunk.min_time_ms,
                max_time_ms: chunk.max_time_ms,
                encoding: record.encoding.number(),
                data: record.data.into(),
            });
        }
        Ok(Some(encoded))
    }
}
