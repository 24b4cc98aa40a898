//! Cutting damage off, so that the log can be written to again.
//!
//! Called by the owner when the replay has met a [`Corruption`]. What is intact before the
//! damage stays; nothing that can still be of use to a human is deleted: damaged files are kept
//! under another name. Safe to be interrupted and called again.

use std::io;
use std::path::{Path, PathBuf};

use super::page::padding;
use super::{Corruption, CorruptionKind, PAGE_BYTES, WalError, list_segments};
use crate::fs::{SharedFs, exists, parent_dir};

/// How many damaged versions of one segment are kept.
const MAX_KEPT_VERSIONS: u32 = 100;

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
        let aside = free_name(fs, &later.path)?;
        fs.rename(&later.path, &aside).map_err(|e| WalError::io("rename", &later.path, e))?;
        outcome.dropped_segments += 1;
        outcome.set_aside.push(aside);
    }
    if corruption.kind != CorruptionKind::TornRecord
        && let Some(copy) = keep_copy(fs, &corruption.path)?
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

/// Copies a damaged segment. A full disk is no reason not to start: there is no copy then.
fn keep_copy(fs: &SharedFs, path: &Path) -> Result<Option<PathBuf>, WalError> {
    let aside = free_name(fs, path)?;
    match copy(fs, path, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(e) if e.kind() == io::ErrorKind::StorageFull => {
            let _ = fs.remove_file(&aside);
            Ok(None)
        }
        Err(e) => Err(WalError::io("copy", path, e)),
    }
}

fn copy(fs: &SharedFs, from: &Path, to: &Path) -> io::Result<()> {
    let (source, target) = (fs.open_read(from)?, fs.create(to)?);
    let mut buffer = vec![0; 32 * PAGE_BYTES];
    let mut offset = 0;
    loop {
        let length = source.read_at(&mut buffer, offset)?;
        if length == 0 {
            return target.sync_data();
        }
        target.write_all_at(&buffer[..length], offset)?;
        offset += length as u64;
    }
}

/// A name for a damaged file that no earlier repair took.
fn free_name(fs: &SharedFs, path: &Path) -> Result<PathBuf, WalError> {
    for version in 0..MAX_KEPT_VERSIONS {
        let mut name = path.as_os_str().to_owned();
        name.push(".corrupt");
        if version > 0 {
            name.push(format!(".{version}"));
        }
        let candidate = PathBuf::from(name);
        if !exists(&**fs, &candidate).map_err(|e| WalError::io("stat", &candidate, e))? {
            return Ok(candidate);
        }
    }
    let reason = format!("too many damaged versions of {}", path.display());
    Err(WalError::Invalid(reason))
}
