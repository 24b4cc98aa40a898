//! Deleting samples, in the head and in the blocks on the local disk.

use model::{Matcher, TimeRange};

use super::Db;
use crate::block::Block;
use crate::error::TsdbError;

impl Db {
    /// Deletes the samples in `range` of the series that satisfy all matchers; queries that begin
    /// afterwards do not see them, and blocks that are cut do not have them. Samples that are
    /// appended later are not deleted. Returns how many series had something there, counted once
    /// for the head and for each block. `Ok` means that it survives the end of the process; after
    /// an error a part may be deleted, and the call can be repeated.
    ///
    /// Only what is here is deleted: a block that was uploaded elsewhere stays there as it was.
    pub fn delete(&self, range: TimeRange, matchers: &[Matcher]) -> Result<u64, TsdbError> {
        let _no_compaction = self.compaction.lock();
        // What came out of order is deleted as blocks are: later samples may lie in the range.
        self.flush_late(range)?;
        let mut count = 0;
        let blocks = self.view.read().blocks.clone();
        for block in blocks.overlapping(range)? {
            let (changed, series) = block.delete(&self.env.fs, range, matchers)?;
            if series > 0 {
                self.replace_block(changed);
                count += series;
            }
        }
        let head_from_ms = self.view.read().head_from_ms;
        if range.end_ms_incl >= head_from_ms {
            let start = range.start_ms_incl.max(head_from_ms);
            count += self.head.delete(TimeRange::new(start, range.end_ms_incl), matchers)?;
        }
        Ok(count)
    }

    fn replace_block(&self, block: Block) {
        let mut view = self.view.write();
        view.blocks = view.blocks.without(&[block.ulid()]).with(block).into();
    }
}
