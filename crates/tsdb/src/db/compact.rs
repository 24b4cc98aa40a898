//! Cutting blocks from the head and truncating it.
//!
//! The order of steps makes every moment safe: samples of the range are refused, the block is
//! written and synced, queries see the block instead of the head's part, the head removes its
//! part when no older query needs it, the log is shortened last. A crash in between leaves at
//! worst a block whose samples the next start leaves out of the replay.

use std::sync::atomic::Ordering;

use model::TimestampMs;
use ulid::Ulid;

use super::{CompactionMode, Db};
use crate::block::Block;
use crate::error::TsdbError;
use crate::head::{BlockCut, delete_snapshots};

/// A range to cut, half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    start_ms: TimestampMs,
    end_ms: TimestampMs,
}

/// How much of a head is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The oldest range of a head that spans more than 1.5 ranges.
    Wide,
    /// The oldest range, when its end is more than half a range behind the newest sample: nothing
    /// can be appended to it any more.
    Closed,
    /// Everything up to this time.
    Until(TimestampMs),
}

/// What to cut next from a head with these times of its oldest and newest sample; `None` when
/// nothing is due.
fn plan(times: (TimestampMs, TimestampMs), range_ms: i64, due: Due) -> Option<Cut> {
    let (min, max) = times;
    let start_ms = min.div_euclid(range_ms).saturating_mul(range_ms);
    let end_ms = start_ms.saturating_add(range_ms);
    let range = Cut { start_ms, end_ms };
    match due {
        Due::Wide => (max.saturating_sub(min) > range_ms / 2 * 3).then_some(range),
        Due::Closed => (end_ms < max.saturating_sub(range_ms / 2)).then_some(range),
        Due::Until(last) => {
            let last = max.min(last);
            let end_ms = end_ms.min(last.saturating_add(1));
            (min <= last).then_some(Cut { start_ms, end_ms })
        }
    }
}

impl Db {
    /// Writes blocks from the head and truncates it. Returns the new blocks, oldest first; they
    /// are part of every query from then on. One call at a time works, others wait.
    pub fn compact_head(&self, mode: CompactionMode) -> Result<Vec<Ulid>, TsdbError> {
        let _one_at_a_time = self.compaction.lock();
        let due = self.due(mode);
        let mut written = Vec::new();
        while let Some(cut) = self.next_cut(due) {
            written.extend(self.cut_block(cut)?);
            self.is_late_due.store(true, Ordering::Release);
        }
        // Also what an earlier call could not remove because queries were at work.
        self.truncate_head()?;
        self.compact_late(matches!(due, Due::Until(_)), &mut written)?;
        Ok(written)
    }

    /// Whether a regular compaction would write a block.
    pub fn is_compactable(&self) -> bool {
        self.next_cut(self.due(CompactionMode::Regular)).is_some()
    }

    fn due(&self, mode: CompactionMode) -> Due {
        let newest = || self.head.time_bounds().map_or(TimestampMs::MIN, |(_, max)| max);
        match mode {
            CompactionMode::Forced => Due::Until(TimestampMs::MAX),
            CompactionMode::Early(last) => Due::Until(last),
            // Not what may come in meanwhile.
            CompactionMode::Idle(timeout) if self.is_idle_for(timeout) => Due::Until(newest()),
            _ if self.options.timely_compaction => Due::Closed,
            CompactionMode::Regular | CompactionMode::Idle(_) => Due::Wide,
        }
    }

    fn is_idle_for(&self, timeout: std::time::Duration) -> bool {
        let last = *self.last_append.lock();
        self.env.clock.monotonic().saturating_sub(last) >= timeout
    }

    fn next_cut(&self, due: Due) -> Option<Cut> {
        let (min, max) = self.head.time_bounds()?;
        // What is in blocks already may still be in memory.
        let min = min.max(self.view.read().head_from_ms);
        if min > max {
            return None;
        }
        plan((min, max), self.options.block_range_ms, due)?;
        // Ranges without samples are passed over.
        let min = self.head.oldest_time_from(min)?;
        plan((min, max), self.options.block_range_ms, due)
    }

    /// Writes the block of a range and shows it to queries in place of the head's part.
    fn cut_block(&self, cut: Cut) -> Result<Option<Ulid>, TsdbError> {
        let before = self.head.raise_min_valid_time(cut.end_ms);
        let start_ms = cut.start_ms.max(before);
        let written = self.write_block(Cut { start_ms, ..cut });
        let block = written.inspect_err(|_| self.head.restore_min_valid_time(before))?;
        let ulid = block.as_ref().map(Block::ulid);
        let mut view = self.view.write();
        if let Some(block) = block {
            view.blocks = view.blocks.with(block).into();
        }
        view.head_from_ms = cut.end_ms;
        self.head.retire_leases();
        Ok(ulid)
    }

    fn write_block(&self, cut: Cut) -> Result<Option<Block>, TsdbError> {
        let cut = BlockCut {
            fs: &self.env.fs,
            parent: &self.dir,
            ulid: self.new_ulid(),
            min_time_ms: cut.start_ms,
            max_time_ms: cut.end_ms,
        };
        let Some(meta) = self.head.write_block(&cut)? else { return Ok(None) };
        Block::open(&*self.env.fs, &self.dir.join(meta.ulid.to_string())).map(Some)
    }

    /// Removes what stands in blocks from memory, head chunk files and log. False when queries
    /// need it still.
    pub(super) fn truncate_head(&self) -> Result<bool, TsdbError> {
        let mint = self.view.read().head_from_ms;
        let mut truncated_until = self.truncated_until_ms.lock();
        let is_truncated = mint <= *truncated_until;
        if is_truncated && !self.head.has_compacted_late() {
            return Ok(true);
        }
        if !self.head.drop_compacted_late() || !self.head.truncate(mint) {
            return Ok(false);
        }
        *truncated_until = mint;
        self.maintenance.head_truncations.fetch_add(1, Ordering::Relaxed);
        self.shorten_files(mint, !is_truncated).inspect_err(|_| {
            self.maintenance.failed_head_truncations.fetch_add(1, Ordering::Relaxed);
        })?;
        Ok(true)
    }

    /// Removes what is before `mint` from head chunk files, and from the log where it has not been
    /// shortened to there before.
    fn shorten_files(&self, mint: TimestampMs, shortens_log: bool) -> Result<(), TsdbError> {
        // Its chunks may be among those that go now.
        delete_snapshots(&self.env.fs, &self.dir, None)?;
        if let Some(files) = self.head.files() {
            files.truncate(mint, &|| self.head.first_late_file())?;
        }
        if !shortens_log {
            return Ok(());
        }
        let start = self.env.clock.monotonic();
        self.head.checkpoint_wal(&self.env.fs, mint)?;
        let took = self.env.clock.monotonic().saturating_sub(start);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.maintenance.log_shortenings.fetch_add(1, Ordering::Relaxed);
        self.maintenance.log_shortening_micros.fetch_add(micros, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn new_ulid(&self) -> Ulid {
        let now = self.env.clock.now_ms().try_into().unwrap_or(0);
        let random = &self.env.random;
        let bits = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        Ulid::from_parts(now, bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: i64 = 7_200_000;
    const ALL: Due = Due::Until(i64::MAX);

    #[test]
    fn a_head_of_more_than_one_and_a_half_ranges_is_cut_at_aligned_times() {
        let start = 10 * RANGE;
        assert_eq!(plan((start + 5, start + 5 + RANGE / 2 * 3), RANGE, Due::Wide), None);
        let cut = Some(Cut { start_ms: start, end_ms: start + RANGE });
        assert_eq!(plan((start + 5, start + 6 + RANGE / 2 * 3), RANGE, Due::Wide), cut);
        assert_eq!(plan((start, start + 10 * RANGE), RANGE, Due::Wide), cut);
    }

    #[test]
    fn all_of_a_head_is_cut_range_by_range_and_ends_with_its_newest_sample() {
        let start = 10 * RANGE;
        let cut = plan((start + 5, start + RANGE + 7), RANGE, ALL);
        assert_eq!(cut, Some(Cut { start_ms: start, end_ms: start + RANGE }));
        let cut = plan((start + RANGE, start + RANGE + 7), RANGE, ALL);
        assert_eq!(cut, Some(Cut { start_ms: start + RANGE, end_ms: start + RANGE + 8 }));
    }

    #[test]
    fn an_early_cut_ends_with_its_time() {
        let start = 10 * RANGE;
        let early = |min, last| plan((min, start + 3 * RANGE), RANGE, Due::Until(last));
        let cut = Some(Cut { start_ms: start, end_ms: start + RANGE });
        assert_eq!(early(start + 5, start + RANGE + 9), cut);
        let cut = Some(Cut { start_ms: start + RANGE, end_ms: start + RANGE + 10 });
        assert_eq!(early(start + RANGE, start + RANGE + 9), cut);
        assert_eq!(early(start + RANGE, start + RANGE - 1), None);
    }

    #[test]
    fn a_timely_cut_waits_for_half_a_range_only() {
        let start = 10 * RANGE;
        let timely = |max| plan((start + RANGE - 1, max), RANGE, Due::Closed);
        assert_eq!(timely(start + RANGE / 2 * 3), None);
        let cut = Some(Cut { start_ms: start, end_ms: start + RANGE });
        assert_eq!(timely(start + RANGE / 2 * 3 + 1), cut);
    }

    #[test]
    fn times_at_the_ends_of_the_range_do_not_overflow() {
        let whole = plan((i64::MIN, i64::MAX), RANGE, Due::Wide).unwrap();
        assert!(whole.start_ms < whole.end_ms);
        let last = plan((i64::MAX, i64::MAX), RANGE, ALL).unwrap();
        assert!(last.start_ms < last.end_ms);
    }

    #[test]
    fn negative_times_are_aligned_downwards() {
        let cut = plan((-5, 5), RANGE, ALL);
        assert_eq!(cut, Some(Cut { start_ms: -RANGE, end_ms: 0 }));
    }
}
