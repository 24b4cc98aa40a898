//! Files that do not count yet: those that a replay of the log writes. It meets the samples of a
//! series in another order than they were appended in, so that a chunk may lack samples that
//! stand further on in the log; what comes after it in the files makes up for that only when the
//! replay has reached its end. The marker `<number>.replay` says from which file on they are.

use std::path::{Path, PathBuf};

use crate::error::TsdbError;
use crate::fs::{SharedFs, read_dir_if_exists};

const ENDING: &str = ".replay";

fn marker(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:06}{ENDING}"))
}

/// Marks the files from `number` on.
pub(super) fn mark(fs: &SharedFs, dir: &Path, number: u32) -> Result<(), TsdbError> {
    let path = marker(dir, number);
    let made = fs.create(&path).and_then(|_| fs.sync_dir(dir));
    made.map_err(|e| TsdbError::io("create", &path, e))
}

/// Takes the marker away.
pub(super) fn unmark(fs: &SharedFs, dir: &Path, number: u32) -> Result<(), TsdbError> {
    let path = marker(dir, number);
    fs.remove_file(&path).map_err(|e| TsdbError::io("delete", &path, e))
}

/// Deletes the files that an earlier process did not confirm, then their marker.
pub(super) fn remove(fs: &SharedFs, dir: &Path) -> Result<(), TsdbError> {
    let entries = read_dir_if_exists(&**fs, dir).map_err(|e| TsdbError::io("list", dir, e))?;
    let numbers = |name: &str| name.strip_suffix(ENDING)?.parse::<u32>().ok();
    let Some(first) = entries.iter().filter_map(|entry| numbers(&entry.name)).min() else {
        return Ok(());
    };
    let remove = |name: &str| {
        let path = dir.join(name);
        fs.remove_file(&path).map_err(|e| TsdbError::io("delete", &path, e))
    };
    let files = entries.iter().filter_map(|e| Some((e.name.parse::<u32>().ok()?, &e.name)));
    let mut files: Vec<_> = files.filter(|(number, _)| *number >= first).collect();
    files.sort_unstable();
    // The highest first, so that an interruption leaves no gap.
    files.iter().rev().try_for_each(|(_, name)| remove(name))?;
    let mut markers = entries.iter().filter(|entry| numbers(&entry.name).is_some());
    markers.try_for_each(|entry| remove(&entry.name))
}
