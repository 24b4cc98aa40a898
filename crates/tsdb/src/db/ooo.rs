//! Blocks of what came out of order. Written whenever the head was cut, after it, so that they
//! become one block for each range of the head's size; a block carries the hint
//! `from-out-of-order`.

use std::sync::atomic::Ordering;

use model::{TimeRange, TimestampMs};
use ulid::Ulid;

use super::Db;
use crate::block::{Block, delete_block};
use crate::error::TsdbError;
use crate::head::LateBlockCut;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The range that the block with the sample at `t` covers, half-open. Samples before `days_until`
/// go to blocks of a day.
fn range_of(
    t: TimestampMs,
    range_ms: i64,
    days_until: Option<TimestampMs>,
) -> (TimestampMs, TimestampMs) {
    let range_ms = if days_until.is_some_and(|until| t < until) { DAY_MS } else { range_ms };
    let start = t.div_euclid(range_ms).saturating_mul(range_ms);
    (start, start.saturating_add(range_ms))
}

impl Db {
    /// Writes blocks of what came out of order, if the head was cut since the last time or `now`
    /// says so. Adds their ids to `written`.
    pub(super) fn compact_late(&self, now: bool, written: &mut Vec<Ulid>) -> Result<(), TsdbError> {
        let is_due = now || self.is_late_due.load(Ordering::Acquire);
        // What an earlier call could not drop is in blocks already.
        if !is_due || self.head.out_of_order_bounds().is_none() || self.head.has_compacted_late() {
            return Ok(());
        }
        let compaction = self.head.begin_late_compaction()?;
        let mut blocks = Vec::new();
        if let Err(e) = self.write_late_blocks(&mut blocks) {
            for block in blocks {
                // What cannot be deleted now holds nothing that is wrong.
                let _ = delete_block(&*self.env.fs, &self.dir, block.ulid());
            }
            return Err(e);
        }
        written.extend(blocks.iter().map(Block::ulid));
        {
            let mut view = self.view.write();
            let mut list = (*view.blocks).clone();
            for block in blocks {
                list = list.with(block);
            }
            view.blocks = list.into();
            self.head.note_late_compacted();
            self.head.retire_leases();
        }
        self.is_late_due.store(false, Ordering::Release);
        self.head.shorten_late_log(&compaction, (&self.env.fs, &self.dir))?;
        self.truncate_head()?;
        Ok(())
    }

    /// Brings everything in `range` that came out of order into blocks.
    pub(super) fn flush_late(&self, range: TimeRange) -> Result<(), TsdbError> {
        let has_late = |db: &Self| {
            let bounds = db.head.out_of_order_bounds();
            bounds.is_some_and(|(min, max)| range.overlaps(min, max))
        };
        if !has_late(self) {
            return Ok(());
        }
        self.truncate_head()?;
        if self.head.has_compacted_late() {
            let reason = "queries are at work that need samples of before; try again";
            return Err(TsdbError::Invalid(reason.to_owned()));
        }
        self.compact_late(true, &mut Vec::new())
    }

    fn write_late_blocks(&self, blocks: &mut Vec<Block>) -> Result<(), TsdbError> {
        let newest = self.head.time_bounds().map(|(_, max)| max);
        let days_until = newest.filter(|_| self.options.bigger_out_of_order_blocks);
        let days_until = days_until.map(|max| max.div_euclid(DAY_MS).saturating_mul(DAY_MS));
        let mut from = TimestampMs::MIN;
        while let Some(t) = self.head.oldest_compacting_from(from) {
            let (start, end) = range_of(t, self.options.block_range_ms, days_until);
            let cut = LateBlockCut {
                fs: &self.env.fs,
                parent: &self.dir,
                ulid: self.new_ulid(),
                min_time_ms: start,
                max_time_ms: end,
            };
            if let Some(meta) = self.head.write_late_block(&cut)? {
                blocks.push(Block::open(&*self.env.fs, &self.dir.join(meta.ulid.to_string()))?);
            }
            if end <= from {
                break;
            }
            from = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: i64 = 7_200_000;

    #[test]
    fn ranges_are_aligned_and_past_days_may_be_whole() {
        assert_eq!(range_of(RANGE + 5, RANGE, None), (RANGE, 2 * RANGE));
        assert_eq!(range_of(-1, RANGE, None), (-RANGE, 0));
        let today = 3 * DAY_MS;
        assert_eq!(range_of(today - 1, RANGE, Some(today)), (2 * DAY_MS, today));
        assert_eq!(range_of(today, RANGE, Some(today)), (today, today + RANGE));
        let (start, end) = range_of(TimestampMs::MAX, RANGE, None);
        assert!(start < end);
    }
}
