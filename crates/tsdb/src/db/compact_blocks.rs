//! Compacting the blocks of the local disk by Prometheus' plan. For those who use the database
//! by itself; an ingester's blocks are compacted in the bucket.
//!
//! The new block stands beside its sources until queries see it instead of them, then the sources
//! are deleted. A crash in between leaves both; the new block names its parents, and the next
//! start does not see those.

use ulid::Ulid;

use super::Db;
use crate::block::{Block, delete_block, write_meta};
use crate::compact::plan::leveled;
use crate::compact::{Compaction, Progress};
use crate::error::TsdbError;
use crate::meta::BlockMeta;

impl Db {
    /// Compacts blocks as long as something is due. `ranges_ms` are the lengths of the levels,
    /// ascending: see [`leveled::ranges`]. Returns the new blocks. Queries go on meanwhile; a
    /// compaction of the head waits. Blocks that are damaged are marked as failed and left alone
    /// from then on.
    pub fn compact_blocks(
        &self,
        ranges_ms: &[i64],
        progress: &Progress,
    ) -> Result<Vec<Ulid>, TsdbError> {
        let _one_at_a_time = self.compaction.lock();
        let mut written = Vec::new();
        loop {
            let blocks = self.view.read().blocks.open().to_vec();
            let metas: Vec<BlockMeta> = blocks.iter().map(|block| block.meta().clone()).collect();
            let chosen = leveled::plan(&metas, ranges_ms);
            if chosen.is_empty() {
                return Ok(written);
            }
            let sources: Vec<Block> =
                blocks.into_iter().filter(|block| chosen.contains(&block.ulid())).collect();
            match self.compact_sources(&sources, progress) {
                Ok(ulid) => written.extend(ulid),
                Err(e) if e.is_corrupt() => {
                    self.mark_failed(&sources)?;
                    return Err(e);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Replaces blocks by one, or by none where nothing is left of them.
    fn compact_sources(
        &self,
        sources: &[Block],
        progress: &Progress,
    ) -> Result<Option<Ulid>, TsdbError> {
        let ulid = self.new_ulid();
        let ulids = [ulid];
        let metas = Compaction::new(&self.env.fs, &self.dir, &ulids).run(sources, progress)?;
        let dir = self.dir.join(ulid.to_string());
        let is_there = metas.iter().any(Option::is_some);
        let block = is_there.then(|| Block::open(&*self.env.fs, &dir)).transpose()?;
        let replaced: Vec<Ulid> = sources.iter().map(Block::ulid).collect();
        {
            let mut view = self.view.write();
            let rest = view.blocks.without(&replaced);
            view.blocks = match &block {
                Some(block) => rest.with(block.clone()),
                None => rest,
            }
            .into();
        }
        for &source in &replaced {
            delete_block(&*self.env.fs, &self.dir, source)?;
        }
        Ok(block.map(|block| block.ulid()))
    }

    fn mark_failed(&self, sources: &[Block]) -> Result<(), TsdbError> {
        for block in sources {
            let mut meta = block.meta().clone();
            meta.compaction.failed = true;
            write_meta(&self.env.fs, block.dir(), &meta)?;
            let reopened = Block::open(&*self.env.fs, block.dir())?;
            let mut view = self.view.write();
            view.blocks = view.blocks.without(&[block.ulid()]).with(reopened).into();
        }
        Ok(())
    }
}
