//! Cutting damage off, so that the log can be written to again.
//!
//! [`repair_gap`] (for the log of late samples: [`close_gaps`]) is called before the log is read,
//! [`repair`] when that has met a [`Corruption`].
//! What is intact before the damage stays; nothing that can still be of use to a human is deleted:
//! damaged files are kept under another name. Safe to be interrupted and called again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::page::padding;
use super::segment::sorted_segments;
use super::{
    Corruption, CorruptionKind, SegmentInfo, WalError, last_checkpoint, list_segments, segment_name,
};
use crate::fs::{SharedFs, keep_copy, parent_dir, set_aside};

/// What a repair did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RepairOutcome {
    /// Bytes that were cut off the damaged segment.
    pub cut_bytes: u64,
    /// Later segments that are no longer part of the log.
    pub dropped_segments: usize,
    /// Files that were kept under another name.
    pub set_aside: Vec<PathBuf>,
}

/// Cuts the damaged segment before its first record that is not intact, and takes the later
/// segments of the same directory out of the log. A torn last record is just cut off; otherwise
/// the damaged files stay beside the log with the ending `.corrupt`.
pub fn repair(fs: &SharedFs, corruption: &Corruption) -> Result<RepairOutcome, WalError> {
    let dir = parent_dir(&corruption.path);
    let mut outcome = RepairOutcome::default();
    let segments = list_segments(fs, dir)?;
    let later = segments.iter().filter(|s| s.number > corruption.segment);
    outcome.set_aside = set_all_aside(fs, &later.collect::<Vec<_>>())?;
    outcome.dropped_segments = outcome.set_aside.len();
    if corruption.kind != CorruptionKind::TornRecord
        && let Some(copy) = keep_copy(fs, &corruption.path)
            .map_err(|e| WalError::io("copy", &corruption.path, e))?
    {
        outcome.set_aside.push(copy);
    }
    outcome.cut_bytes =
        cut(fs, corruption).map_err(|e| WalError::io("repair", &corruption.path, e))?;
    fs.sync_dir(dir).map_err(|e| WalError::io("sync directory", dir, e))?;
    Ok(outcome)
}

/// Takes segments, which are in ascending order, out of the log. Returns their new names.
fn set_all_aside(fs: &SharedFs, segments: &[&SegmentInfo]) -> Result<Vec<PathBuf>, WalError> {
    // From the highest down, so that an interruption leaves no gap.
    let aside = |segment: &&SegmentInfo| {
        set_aside(fs, &segment.path).map_err(|e| WalError::io("rename", &segment.path, e))
    };
    segments.iter().rev().map(aside).collect()
}

/// Segments that are missing in the middle of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The first segment that is not there.
    pub missing: PathBuf,
    /// What stood behind it and is no longer part of the log, under its new names.
    pub set_aside: Vec<PathBuf>,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} is missing: the log ends before it", self.missing.display())?;
        for (i, path) in self.set_aside.iter().enumerate() {
            let before = if i == 0 { "; behind it were, now kept as" } else { "," };
            write!(f, "{before} {}", path.display())?;
        }
        Ok(())
    }
}

/// Ends the log at a gap in the numbers of the segments that the newest checkpoint does not cover;
/// `None` where there is none. The name of a segment that nothing was synced to may be lost with
/// the machine though that of a later one is not. What is behind the gap is of no use: series that
/// its samples belong to may be in what is missing.
pub fn repair_gap(fs: &SharedFs, dir: &Path) -> Result<Option<Gap>, WalError> {
    let mut segments = sorted_segments(fs, dir)?;
    let mut expected = segments.first().map_or(0, |first| first.number);
    if let Some(checkpoint) = last_checkpoint(fs, dir)? {
        expected = checkpoint.number + 1;
        segments.retain(|s| s.number >= expected);
    }
    let in_order = segments.iter().zip(expected..).take_while(|(s, number)| s.number == *number);
    let in_order = in_order.count();
    let behind = &segments[in_order..];
    if behind.is_empty() {
        return Ok(None);
    }
    let missing = dir.join(segment_name(expected + in_order as u64));
    let set_aside = set_all_aside(fs, &behind.iter().collect::<Vec<_>>())?;
    fs.sync_dir(dir).map_err(|e| WalError::io("sync directory", dir, e))?;
    Ok(Some(Gap { missing, set_aside }))
}

/// Gives segments behind a gap in the numbers the ones that are missing, for a log of which every
/// record makes sense without those before it.
pub fn close_gaps(fs: &SharedFs, dir: &Path) -> Result<(), WalError> {
    let segments = sorted_segments(fs, dir)?;
    let first = segments.first().map_or(0, |first| first.number);
    let moved = segments.iter().zip(first..).filter(|(segment, number)| segment.number != *number);
    for (segment, number) in moved {
        let path = dir.join(segment_name(number));
        fs.rename(&segment.path, &path).map_err(|e| WalError::io("rename", &segment.path, e))?;
        // One after the other: a name that is taken by the next one must not be its only one.
        fs.sync_dir(dir).map_err(|e| WalError::io("sync directory", dir, e))?;
    }
    Ok(())
}

/// Cuts the segment at the damage and fills its last page up with zeros.
fn cut(fs: &SharedFs, corruption: &Corruption) -> io::Result<u64> {
    let file = fs.open_append(&corruption.path)?;
    let cut_bytes = file.byte_len()?.saturating_sub(corruption.offset);
    file.set_len(corruption.offset)?;
    file.write_all_at(&vec![0; padding(corruption.offset)], corruption.offset)?;
    file.sync_data()?;
    Ok(cut_bytes)
}
