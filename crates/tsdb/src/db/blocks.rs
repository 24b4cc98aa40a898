//! The blocks on the local disk.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use model::{TimeRange, TimestampMs};
use ulid::Ulid;

use super::BlockInfo;
use crate::block::{Block, list_blocks, read_meta};
use crate::error::TsdbError;
use crate::fs::SharedFs;

/// The blocks of a database, oldest first.
#[derive(Clone, Default)]
pub(super) struct BlockList {
    blocks: Vec<Block>,
    broken: Vec<BrokenBlock>,
}

/// A block that cannot be opened.
#[derive(Clone)]
struct BrokenBlock {
    ulid: Ulid,
    /// What it covers; everything where not even that can be read.
    range: TimeRange,
    reason: Arc<str>,
}

impl BlockList {
    /// Looks at the directory; blocks that `before` has open stay open.
    pub(super) fn load(fs: &SharedFs, dir: &Path, before: &Self) -> Result<Self, TsdbError> {
        let mut list = Self::default();
        for ulid in list_blocks(&**fs, dir)? {
            if let Some(open) = before.blocks.iter().find(|block| block.ulid() == ulid) {
                list.blocks.push(open.clone());
                continue;
            }
            let block_dir = dir.join(ulid.to_string());
            match Block::open(&**fs, &block_dir) {
                Ok(block) => list.blocks.push(block),
                Err(e) => list.broken.push(BrokenBlock {
                    ulid,
                    range: match read_meta(&**fs, &block_dir) {
                        Ok(meta) => TimeRange::new(meta.min_time_ms, meta.max_time_ms - 1),
                        Err(_) => TimeRange::new(TimestampMs::MIN, TimestampMs::MAX),
                    },
                    reason: Arc::from(e.to_string()),
                }),
            }
        }
        list.drop_replaced();
        list.sort();
        Ok(list)
    }

    /// Leaves out the blocks that another one was compacted from.
    fn drop_replaced(&mut self) {
        let parents = self.blocks.iter().flat_map(|block| &block.meta().compaction.parents);
        let parents: BTreeSet<Ulid> = parents.map(|parent| parent.ulid).collect();
        self.blocks.retain(|block| !parents.contains(&block.ulid()));
        self.broken.retain(|block| !parents.contains(&block.ulid));
    }

    fn sort(&mut self) {
        self.blocks.sort_by_key(|block| (block.meta().min_time_ms, block.ulid()));
    }

    /// With one block more.
    pub(super) fn with(&self, block: Block) -> Self {
        let mut list = self.clone();
        list.blocks.push(block);
        list.sort();
        list
    }

    /// Without some blocks.
    pub(super) fn without(&self, ulids: &[Ulid]) -> Self {
        let mut list = self.clone();
        list.blocks.retain(|block| !ulids.contains(&block.ulid()));
        list
    }

    /// The blocks with data in `range`. Fails where one of them cannot be read: an answer
    /// without it would be wrong.
    pub(super) fn overlapping(&self, range: TimeRange) -> Result<Vec<&Block>, TsdbError> {
        let overlaps = |r: &TimeRange| range.overlaps(r.start_ms_incl, r.end_ms_incl);
        if let Some(broken) = self.broken.iter().find(|broken| overlaps(&broken.range)) {
            let reason = format!("block {} cannot be read: {}", broken.ulid, broken.reason);
            return Err(TsdbError::Invalid(reason));
        }
        Ok(self.blocks.iter().filter(|block| overlaps(&block.time_range())).collect())
    }

    /// The end of the newest block that holds all of its range: nothing before it is taken by
    /// the head any more.
    pub(super) fn min_valid_time(&self) -> TimestampMs {
        let whole = self.blocks.iter().map(Block::meta);
        let whole = whole.filter(|meta| meta.compaction.hints.is_empty() && !meta.out_of_order);
        whole.map(|meta| meta.max_time_ms).max().unwrap_or(TimestampMs::MIN)
    }

    /// The blocks that can be read, oldest first.
    pub(super) fn open(&self) -> &[Block] {
        &self.blocks
    }

    /// The number of blocks.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Ids and reasons of the blocks that cannot be read.
    pub(super) fn broken(&self) -> Vec<(Ulid, String)> {
        self.broken.iter().map(|broken| (broken.ulid, broken.reason.to_string())).collect()
    }

    /// The blocks as their users see them.
    pub(super) fn infos(&self) -> Vec<BlockInfo> {
        self.blocks.iter().map(info).collect()
    }
}

fn info(block: &Block) -> BlockInfo {
    let meta = block.meta();
    BlockInfo {
        ulid: meta.ulid,
        dir: block.dir().to_path_buf(),
        min_time_ms: meta.min_time_ms,
        max_time_ms: meta.max_time_ms,
        level: meta.compaction.level,
        sample_count: meta.stats.num_samples,
        series_count: meta.stats.num_series,
        size_bytes: block.size_bytes(),
    }
}
