//! Writing a range of the head as a block.
//!
//! Chunks are copied as they are; only one that reaches over an end of the range is encoded
//! again. The head goes on taking newer samples meanwhile.

mod clip;

use std::path::Path;
use std::sync::Arc;

use model::{Querier, QueryContext, SelectHints, TimeRange, TimestampMs};
use ulid::Ulid;

pub(super) use clip::clip;

use super::Head;
use super::read::HeadQuerier;
use crate::block::{BlockChunk, BlockWriter};
use crate::chunk::ChunkEncoding;
use crate::error::TsdbError;
use crate::fs::SharedFs;
use crate::index::SymbolSet;
use crate::meta::BlockMeta;

/// After so many bytes of chunks the pages of the head chunk files that were read are given back:
/// they would count as the process' memory. 16 MiB of chunks lie on up to three times as much.
const RELEASE_EVERY_BYTES: usize = 16 << 20;

/// What block to write.
pub struct BlockCut<'a> {
    /// The disk.
    pub fs: &'a SharedFs,
    /// Where the block's directory will be.
    pub parent: &'a Path,
    /// The block's id.
    pub ulid: Ulid,
    /// First moment, ms.
    pub min_time_ms: TimestampMs,
    /// One after the last moment, ms.
    pub max_time_ms: TimestampMs,
}

impl Head {
    /// Writes the samples of a range as a block; `None` where there are none. Samples of the
    /// range must not be appended any more: see [`Head::raise_min_valid_time`].
    pub fn write_block(
        self: &Arc<Self>,
        cut: &BlockCut<'_>,
    ) -> Result<Option<BlockMeta>, TsdbError> {
        let symbols = SymbolSet::collect(self.symbols.read().iter())?;
        let meta = BlockMeta::new(cut.ulid, cut.min_time_ms, cut.max_time_ms);
        let mut writer = BlockWriter::create(cut.fs.clone(), cut.parent, meta, symbols)?;
        match self.write_series(cut, &mut writer) {
            Ok(()) => writer.finish(),
            Err(e) => {
                // What cannot be removed now is removed at the next start.
                let _ = writer.abort();
                Err(e)
            }
        }
    }

    fn write_series(
        self: &Arc<Self>,
        cut: &BlockCut<'_>,
        writer: &mut BlockWriter,
    ) -> Result<(), TsdbError> {
        let range = TimeRange::new(cut.min_time_ms, cut.max_time_ms - 1);
        let context = Arc::new(QueryContext::unlimited());
        let querier = HeadQuerier::new(self.clone(), range, context);
        let failed = |e: model::StorageError| TsdbError::Invalid(format!("read the head: {e}"));
        let mut series = querier.select(&[], &SelectHints::default()).map_err(failed)?;
        let mut read_bytes = 0;
        while let Some(mut entry) = series.next_series().map_err(failed)? {
            let chunks = entry.samples.encoded_chunks().map_err(failed)?.unwrap_or_default();
            let mut clipped = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                clip(chunk, range, &mut clipped)?;
            }
            let chunks: Vec<BlockChunk<'_>> =
                clipped.iter().map(block_chunk).collect::<Result<_, _>>()?;
            writer.add_series(&entry.labels, &chunks)?;
            read_bytes += chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
            if read_bytes >= RELEASE_EVERY_BYTES {
                read_bytes = 0;
                self.files().inspect(|files| files.release_pages());
            }
        }
        self.files().inspect(|files| files.release_pages());
        Ok(())
    }
}

fn block_chunk(chunk: &model::EncodedChunk) -> Result<BlockChunk<'_>, TsdbError> {
    let encoding = ChunkEncoding::from_number(chunk.encoding)
        .map_err(|e| TsdbError::corrupt("chunk of the head", e))?;
    Ok(BlockChunk {
        min_time_ms: chunk.min_time_ms,
        max_time_ms: chunk.max_time_ms,
        encoding,
        data: &chunk.data,
    })
}
