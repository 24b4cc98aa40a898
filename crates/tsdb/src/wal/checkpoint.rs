//! Checkpoints: old segments rewritten to what is still needed.
//!
//! A checkpoint is a directory `checkpoint.NNNNNNNN` beside the segments, named by the last
//! segment it covers, with segments of its own inside. It is built under a temporary name and
//! renamed, so that it is there whole or not at all. Called by the head after it was truncated;
//! the segments it covers may be deleted afterwards, not before.

mod filter;

use std::path::{Path, PathBuf};

use model::TimestampMs;

use filter::Filter;

use super::record_dir::{RecordDirWriter, TEMPORARY};
use super::segment::parse_digits;
use super::{Compression, CorruptionKind, SegmentInfo, WalError, WalReader, list_segments};
use crate::fs::{SharedFs, read_dir_if_exists};

/// The start of a checkpoint directory's name.
const PREFIX: &str = "checkpoint.";

/// A checkpoint on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointDir {
    /// The last segment that it covers.
    pub number: u64,
    /// Its directory.
    pub path: PathBuf,
}

/// What to check-point.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointRequest<'a> {
    /// The log's directory.
    pub dir: &'a Path,
    /// The last segment to cover; it must be finished.
    pub last_segment: u64,
    /// Samples, exemplars and tombstones that end before it are left out, ms.
    pub mint: TimestampMs,
    /// Compression of the new records.
    pub compression: Compression,
    /// Size of the new segments, bytes.
    pub segment_bytes: u64,
}

/// What a checkpoint holds and what it left out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointStats {
    /// Series that stayed.
    pub series: u64,
    /// Series that were left out.
    pub dropped_series: u64,
    /// Float samples that stayed.
    pub samples: u64,
    /// Float samples that were left out.
    pub dropped_samples: u64,
    /// Histogram samples that stayed.
    pub histograms: u64,
    /// Histogram samples that were left out.
    pub dropped_histograms: u64,
    /// Tombstones that stayed.
    pub tombstones: u64,
    /// Tombstones that were left out.
    pub dropped_tombstones: u64,
    /// Exemplars that stayed.
    pub exemplars: u64,
    /// Exemplars that were left out.
    pub dropped_exemplars: u64,
    /// Series with metadata.
    pub metadata: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// The checkpoints of a log in ascending order.
pub fn list_checkpoints(fs: &SharedFs, dir: &Path) -> Result<Vec<CheckpointDir>, WalError> {
    let entries = read_dir_if_exists(&**fs, dir).map_err(|e| WalError::io("list", dir, e))?;
    let mut checkpoints: Vec<CheckpointDir> = entries
        .into_iter()
        .filter(|entry| entry.metadata.is_dir)
        .filter_map(|entry| {
            let number = parse_digits(entry.name.strip_prefix(PREFIX)?)?;
            Some(CheckpointDir { number, path: dir.join(entry.name) })
        })
        .collect();
    checkpoints.sort_by_key(|c| c.number);
    Ok(checkpoints)
}

/// The newest checkpoint of a log.
pub fn last_checkpoint(fs: &SharedFs, dir: &Path) -> Result<Option<CheckpointDir>, WalError> {
    Ok(list_checkpoints(fs, dir)?.pop())
}

/// Deletes the checkpoints below `number`. Returns how many.
pub fn delete_checkpoints_before(
    fs: &SharedFs,
    dir: &Path,
    number: u64,
) -> Result<usize, WalError> {
    let mut deleted = 0;
    for old in list_checkpoints(fs, dir)?.iter().filter(|c| c.number < number) {
        fs.remove_dir_all(&old.path).map_err(|e| WalError::io("delete", &old.path, e))?;
        deleted += 1;
    }
    Ok(deleted)
}

/// Deletes checkpoints that an earlier process did not finish. To be called before the log is
/// opened.
pub fn remove_leftovers(fs: &SharedFs, dir: &Path) -> Result<usize, WalError> {
    let entries = read_dir_if_exists(&**fs, dir).map_err(|e| WalError::io("list", dir, e))?;
    let mut deleted = 0;
    for entry in entries {
        if entry.name.starts_with(PREFIX) && entry.name.ends_with(TEMPORARY) {
            let path = dir.join(entry.name);
            fs.remove_dir_all(&path).map_err(|e| WalError::io("delete", &path, e))?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Writes the checkpoint that covers the newest earlier one and the segments up to
/// `request.last_segment`. Series stay for which `keep` is true, each with its latest metadata.
/// After an error the log is as before. Nothing old is deleted here: call
/// [`super::Wal::truncate`] and [`delete_checkpoints_before`] afterwards.
pub fn checkpoint(
    fs: &SharedFs,
    request: CheckpointRequest<'_>,
    keep: &mut dyn FnMut(u64) -> bool,
) -> Result<CheckpointStats, WalError> {
    let Some(segments) = covered_segments(fs, &request)? else {
        return Ok(CheckpointStats::default());
    };
    let target = request.dir.join(format!("{PREFIX}{:08}", request.last_segment));
    let (compression, segment_bytes) = (request.compression, request.segment_bytes);
    let mut output = RecordDirWriter::create(fs, &target, compression, segment_bytes)?;
    match build(fs, &request, segments, &mut output, keep) {
        Ok(stats) => Ok(CheckpointStats { bytes: output.finish()?, ..stats }),
        Err(e) => {
            output.abandon();
            Err(e)
        }
    }
}

/// What the checkpoint is made of; `None` when there is nothing new to cover.
fn covered_segments(
    fs: &SharedFs,
    request: &CheckpointRequest<'_>,
) -> Result<Option<Vec<SegmentInfo>>, WalError> {
    let previous = last_checkpoint(fs, request.dir)?;
    if previous.as_ref().is_some_and(|p| p.number >= request.last_segment) {
        return Ok(None);
    }
    let mut segments = super::replay_segments(fs, request.dir)?;
    let own = list_segments(fs, request.dir)?;
    if !own.iter().any(|s| s.number == request.last_segment) {
        let reason = format!("there is no segment {} to check-point", request.last_segment);
        return Err(WalError::Invalid(reason));
    }
    segments.retain(|s| s.path.parent() != Some(request.dir) || s.number <= request.last_segment);
    Ok(Some(segments))
}

fn build(
    fs: &SharedFs,
    request: &CheckpointRequest<'_>,
    segments: Vec<SegmentInfo>,
    output: &mut RecordDirWriter,
    keep: &mut dyn FnMut(u64) -> bool,
) -> Result<CheckpointStats, WalError> {
    let mut filter = Filter::new(request.mint, keep);
    let mut reader = WalReader::new(fs.clone(), segments);
    while let Some(record) = reader.next_record()? {
        if filter.record(record).is_err() {
            let damage = reader.corruption(CorruptionKind::Record);
            return Err(damage.map_or_else(no_segment, WalError::Corrupt));
        }
        push_kept(output, &mut filter)?;
    }
    filter.finish();
    push_kept(output, &mut filter)?;
    Ok(filter.stats())
}

fn no_segment() -> WalError {
    WalError::Invalid("a record that is in no segment".to_owned())
}

fn push_kept(output: &mut RecordDirWriter, filter: &mut Filter<'_>) -> Result<(), WalError> {
    filter
        .take_kept()
        .into_iter()
        .try_for_each(|record| output.push(|out| out.extend_from_slice(&record)))
}
