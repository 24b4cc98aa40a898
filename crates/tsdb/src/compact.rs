//! Compaction: any number of blocks become one, or one for each shard.
//!
//! ```text
//! inputs    each block's series in label order, symbols as numbers of the merged table
//! heap      which inputs have the smallest label set
//! populate  the chunks of one series: copied as they are, or decoded where they overlap
//! writers   one a shard: chunk files, series, postings
//! ```
//!
//! Used by [`crate::db`] for local blocks and by the compactor for those of a bucket. Blocks are
//! read once from front to back (twice where series are split) and written once; memory is that
//! of the symbols, one series, and a bounded amount of postings. The same input gives the same
//! bytes. What to compact is decided in [`plan`], which is pure.
//!
//! The result is Prometheus' to the byte where Prometheus accepts the input: chunks that do not
//! overlap keep their bytes, identical ones are kept once, others are merged sample by sample and
//! cut after 120 samples. Of samples with the same time the one counts that Prometheus' chain of
//! iterators meets first, be it a float or a histogram.

mod heap;
mod input;
mod merged_meta;
mod overlap;
pub mod plan;
mod populate;
mod progress;
mod series_merge;
mod symbols;

use std::path::Path;

use ulid::Ulid;

pub use merged_meta::{MetaRules, SHARD_LABEL, shard_label};
pub use progress::{Progress, ProgressReport};

use crate::block::{Block, BlockWriter, BlockWriterOptions, DEFAULT_SEGMENT_BYTES, SealedBlock};
use crate::error::TsdbError;
use crate::fs::SharedFs;
use crate::meta::BlockMeta;
use input::Input;
use populate::Populate;
use series_merge::SeriesMerge;

/// What to write where.
pub struct Compaction<'a> {
    /// The disk.
    pub fs: &'a SharedFs,
    /// Where the new blocks will be. With several shards this must not be the directory of an
    /// open database: after a crash some shards could be there and others not.
    pub parent: &'a Path,
    /// The ids of the new blocks, one for each shard. Series go to shard `hash % count`.
    pub ulids: &'a [Ulid],
    /// How `meta.json` is made.
    pub rules: &'a MetaRules,
    /// The most bytes of a chunk file.
    pub segment_bytes: u64,
    /// So many postings entries of eight bytes a shard are held in memory, one for each label of
    /// each series; more go to a temporary file.
    pub max_postings_entries: usize,
}

/// The default of [`Compaction::max_postings_entries`]: 128 MiB.
pub const DEFAULT_POSTINGS_ENTRIES: usize = 16 << 20;

/// How many series are handled between two looks at the progress.
const SERIES_PER_REPORT: u64 = 1024;

impl<'a> Compaction<'a> {
    /// A compaction with Prometheus' `meta.json` and default sizes.
    pub fn new(fs: &'a SharedFs, parent: &'a Path, ulids: &'a [Ulid]) -> Self {
        Self {
            fs,
            parent,
            ulids,
            rules: &MetaRules::Prometheus,
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            max_postings_entries: DEFAULT_POSTINGS_ENTRIES,
        }
    }

    /// Compacts `blocks`. Returns what stands in the `meta.json` of each shard's block; `None`
    /// where a shard has no samples and therefore no block. After an error, also the one of a
    /// cancellation, nothing is left.
    pub fn run(
        &self,
        blocks: &[Block],
        progress: &Progress,
    ) -> Result<Vec<Option<BlockMeta>>, TsdbError> {
        if blocks.is_empty() || self.ulids.is_empty() {
            return Err(TsdbError::Invalid("compact nothing".to_owned()));
        }
        let mut blocks: Vec<&Block> = blocks.iter().collect();
        blocks.sort_by_key(|block| (block.meta().min_time_ms, block.ulid()));
        progress.begin(blocks.iter().map(|block| block.meta().stats.num_series).sum());
        let metas: Vec<&BlockMeta> = blocks.iter().map(|block| block.meta()).collect();
        let merged = symbols::merge(&blocks)?;
        let symbols = symbols::for_shards(&blocks, &merged, self.ulids.len(), progress)?;
        let mut writers = Writers { writers: Vec::with_capacity(self.ulids.len()) };
        for (shard, symbols) in symbols.into_iter().enumerate() {
            let meta = self.rules.merge(&metas, (shard, self.ulids))?;
            let options = BlockWriterOptions {
                segment_bytes: self.segment_bytes,
                max_postings_entries: Some(self.max_postings_entries),
            };
            let parts = (meta, symbols);
            let created = BlockWriter::with_options(self.fs.clone(), self.parent, parts, &options);
            match created {
                Ok(writer) => writers.writers.push(writer),
                Err(e) => return writers.fail(e),
            }
        }
        match fill(&blocks, &merged, &mut writers.writers, progress) {
            Ok(()) => writers.publish(),
            Err(e) => writers.fail(e),
        }
    }
}

/// Hands every series to the writer of its shard.
fn fill(
    blocks: &[&Block],
    merged: &symbols::Merged,
    writers: &mut [BlockWriter],
    progress: &Progress,
) -> Result<(), TsdbError> {
    let inputs: Result<Vec<_>, _> =
        blocks.iter().zip(&merged.maps).map(|(block, map)| Input::new(block, map)).collect();
    let mut series = SeriesMerge::new(inputs?);
    let mut populate = Populate::new(blocks);
    let shards = writers.len() as u64;
    let mut read = 0;
    while let Some(labels) = series.next(&mut |input| populate.add(input))? {
        populate.finish()?;
        let shard = if shards == 1 { 0 } else { merged.stable_hash(labels) % shards };
        let writer = &mut writers[shard as usize];
        writer.add_stored(labels, populate.chunks(), populate.buffer())?;
        if series.rows_read() >= read + SERIES_PER_REPORT {
            progress.advance(series.rows_read() - read)?;
            read = series.rows_read();
        }
    }
    progress.advance(series.rows_read() - read)
}

/// The writers of all shards: all blocks come into being, or none.
struct Writers {
    writers: Vec<BlockWriter>,
}

impl Writers {
    fn fail<T>(self, error: TsdbError) -> Result<T, TsdbError> {
        for writer in self.writers {
            // What cannot be removed now is removed at the next start.
            let _ = writer.abort();
        }
        Err(error)
    }

    fn publish(self) -> Result<Vec<Option<BlockMeta>>, TsdbError> {
        let mut sealed = Vec::with_capacity(self.writers.len());
        let mut writers = self.writers.into_iter();
        while let Some(writer) = writers.next() {
            match writer.seal() {
                Ok(block) => sealed.push(block),
                Err(e) => {
                    sealed.into_iter().flatten().for_each(|block: SealedBlock| {
                        let _ = block.discard();
                    });
                    return Self { writers: writers.collect() }.fail(e);
                }
            }
        }
        let publish = |block: Option<SealedBlock>| block.map(SealedBlock::publish).transpose();
        sealed.into_iter().map(publish).collect()
    }
}

/// How many bytes a compaction of `blocks` may need on the disk beside the blocks themselves:
/// as much as they take, and the temporary postings.
pub fn needed_disk_bytes(blocks: &[Block]) -> u64 {
    let size = |block: &Block| {
        let index = block.index().bytes().len() as u64;
        // A postings entry takes eight bytes in the temporary file and four in the index.
        let toc = block.index().toc();
        let postings = toc.postings_offsets.saturating_sub(toc.postings).min(index);
        block.size_bytes() + 2 * postings
    };
    let sum: u64 = blocks.iter().map(size).sum();
    // Chunks that are encoded anew can become a little larger.
    sum + sum / 20
}
