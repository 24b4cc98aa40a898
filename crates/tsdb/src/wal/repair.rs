//! Cutting damage off, so that the log can be written to again.
//!
//! Called by the owner when the replay has met a [`Corruption`]. What is intact before the
//! damage stays; nothing that can still be of use to a human is deleted: damaged files are kept
//! under another name. Safe to be interrupted and called again.

use std::io;
use std::path::PathBuf;

use super::page::padding;
use super::{Corruption, CorruptionKind, WalError, list_segments};
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
    // From the highest down, so that an interruption leaves no gap.
    for later in segments.iter().rev().take_while(|s| s.number > corruption.segment) {
        let aside =
            set_aside(fs, &later.path).map_err(|e| WalError::io("rename", &later.path, e))?;
        outcome.dropped_segments += 1;
        outcome.set_aside.push(aside);
    }
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

/// Cuts the segment at the damage and fills its last page up with zeros.
fn cut(fs: &SharedFs, corruption: &Corruption) -> io::Result<u64> {
    let file = fs.open_append(&corruption.path)?;
    let cut_bytes = file.byte_len()?.saturating_sub(corruption.offset);
    file.set_len(corruption.offset)?;
    file.write_all_at(&vec![0; padding(corruption.offset)], corruption.offset)?;
    file.sync_data()?;
    Ok(cut_bytes)
}
