//! Shortening the write-ahead log after the head was truncated.
//!
//! The older two thirds of the segments are rewritten to a checkpoint with what is still needed
//! and then deleted. Series records are needed longer than their series: as long as a segment
//! that stays may hold samples of them.

use std::path::Path;

use model::TimestampMs;

use super::Head;
use crate::error::TsdbError;
use crate::fs::SharedFs;
use crate::wal::stats::add;
use crate::wal::{
    CheckpointRequest, checkpoint, delete_checkpoints_before, last_checkpoint, list_segments,
    remove_segments_before,
};

impl Head {
    /// Writes a checkpoint without samples before `mint` and deletes the segments that it
    /// covers. Does nothing where there are too few segments.
    pub fn checkpoint_wal(&self, fs: &SharedFs, mint: TimestampMs) -> Result<(), TsdbError> {
        let Some(wal) = self.log.wal() else { return Ok(()) };
        let Some(first) = list_segments(fs, wal.dir())?.first().map(|s| s.number) else {
            return Ok(());
        };
        let finished = wal.cut_segment()?.saturating_sub(1);
        // The newest finished segment holds little that could be left out.
        let Some(newest) = finished.checked_sub(1).filter(|newest| *newest > first) else {
            return Ok(());
        };
        let last = first + (newest - first) * 2 / 3;
        if last <= first {
            return Ok(());
        }
        let live = self.live_refs();
        let request = CheckpointRequest {
            dir: wal.dir(),
            last_segment: last,
            mint,
            compression: wal.options().compression,
            segment_bytes: wal.options().segment_bytes,
        };
        let stats = wal.stats();
        add(&stats.checkpoints, 1);
        checkpoint(fs, request, &mut |series_ref| {
            live.binary_search(&series_ref).is_ok() || self.is_needed_after(series_ref, last)
        })
        .inspect_err(|_| add(&stats.failed_checkpoints, 1))?;
        wal.truncate(last + 1)?;
        add(&stats.checkpoint_deletions, 1);
        delete_checkpoints_before(fs, wal.dir(), last)
            .inspect_err(|_| add(&stats.failed_checkpoint_deletions, 1))?;
        self.needed_refs.lock().retain(|_, until| *until > last);
        Ok(())
    }

    /// Notes that records of these references, which have no series any more, may stand in
    /// segments up to the current one.
    pub(super) fn keep_refs(&self, refs: &[u64]) {
        let until = self.log.wal().map_or(0, crate::wal::Wal::current_segment);
        self.keep_refs_until(refs, until);
    }

    /// As [`Head::keep_refs`], up to the segment `until`.
    pub(super) fn keep_refs_until(&self, refs: &[u64], until: u64) {
        self.needed_refs.lock().extend(refs.iter().map(|&series_ref| (series_ref, until)));
    }

    fn is_needed_after(&self, series_ref: u64, segment: u64) -> bool {
        self.needed_refs.lock().get(&series_ref).is_some_and(|until| *until > segment)
    }

    /// The references of all series, ascending.
    fn live_refs(&self) -> Vec<u64> {
        let mut refs = Vec::new();
        for index in 0..self.shards.len() {
            let shard = self.shards.lock(index);
            refs.extend(shard.live_slots().map(|slot| shard.series[slot as usize].series_ref()));
        }
        refs.sort_unstable();
        refs
    }
}

/// Deletes segments that the newest checkpoint covers: a crash may bring some of them back after
/// they were deleted, and leave a gap. To be called before the log is read.
pub(crate) fn remove_covered_segments(fs: &SharedFs, wal_dir: &Path) -> Result<(), TsdbError> {
    if let Some(checkpoint) = last_checkpoint(fs, wal_dir)? {
        remove_segments_before(fs, wal_dir, checkpoint.number + 1)?;
    }
    Ok(())
}
