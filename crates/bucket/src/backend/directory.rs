//! A directory as bucket. Files have no conditional write; whoever needs one locks the directory
//! itself, so that no further file stands among the objects.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::local::LocalFileSystem;

use super::{Backend, cannot_open};
use crate::BucketError;

/// How often it is tried again to lock a directory that somebody else has locked.
const LOCK_RETRY: Duration = Duration::from_millis(5);
/// Who cannot lock a directory for this long gives up.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn open(dir: &Path) -> Result<Backend, BucketError> {
    std::fs::create_dir_all(dir).map_err(local(dir))?;
    let store = LocalFileSystem::new_with_prefix(dir)
        .map_err(cannot_open(&dir.display().to_string()))?
        .with_fsync(true)
        .with_automatic_cleanup(true);
    Ok(Backend { directory: Some(dir.to_owned()), ..Backend::plain(Arc::new(store)) })
}

/// Locks the directory against every other holder of such a lock, in this process and in others,
/// until the file is dropped.
pub(crate) async fn lock(dir: &Path) -> Result<File, BucketError> {
    let file = File::open(dir).map_err(local(dir))?;
    let wait = async {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => rt::time::sleep(LOCK_RETRY).await,
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    };
    let timed_out = |_| Err(std::io::Error::from(ErrorKind::TimedOut));
    rt::time::timeout(LOCK_PATIENCE, wait).await.unwrap_or_else(timed_out).map_err(local(dir))?;
    Ok(file)
}

/// Removes, below `dir`, what writers that died have left: files under the names that they have
/// while they are written, if nothing was written to them since `before`, and directories that
/// hold nothing. Returns how many files.
pub(crate) async fn remove_staged(dir: &Path, before: SystemTime) -> Result<u64, BucketError> {
    let (mut found, mut next) = (vec![dir.to_owned()], 0);
    let mut removed = 0;
    while let Some(dir) = found.get(next).cloned() {
        next += 1;
        for entry in entries(&dir).await? {
            let path = entry.path();
            match entry.metadata().await {
                Ok(metadata) if metadata.is_dir() => found.push(path),
                Ok(metadata)
                    if is_staged(&path) && metadata.modified().is_ok_and(|t| t < before) =>
                {
                    match tokio::fs::remove_file(&path).await {
                        Ok(()) => removed += 1,
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        Err(error) => return Err(local(&path)(error)),
                    }
                }
                // What is gone meanwhile is no concern of ours.
                _ => {}
            }
        }
    }
    // The innermost first. One that holds something stays; a writer that needs one makes it.
    for dir in found.iter().rev() {
        let _ = tokio::fs::remove_dir(dir).await;
    }
    Ok(removed)
}

async fn entries(dir: &Path) -> Result<Vec<tokio::fs::DirEntry>, BucketError> {
    let mut listed = match tokio::fs::read_dir(dir).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(local(dir))?,
    };
    let mut entries = Vec::new();
    while let Some(entry) = listed.next_entry().await.map_err(local(dir))? {
        entries.push(entry);
    }
    Ok(entries)
}

/// Whether it is the name of an object that is being written: its own, `#` and a number. Lists
/// leave such out.
fn is_staged(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let number = name.split_once('#').map(|(_, number)| number);
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

fn local(path: &Path) -> impl FnOnce(std::io::Error) -> BucketError {
    let path = path.to_owned();
    move |source| BucketError::LocalFile { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_killed_writer_left_goes_when_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let file = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
            path
        };
        let kept = ["a/meta.json", "a/with#letters", "index.json.gz"].map(file);
        let staged = ["a/index#1", "b/chunks/000001#12", "index.json.gz#1"].map(file);
        let written = std::fs::metadata(&staged[0]).unwrap().modified().unwrap();
        let hour = Duration::from_secs(3600);
        assert_eq!(remove_staged(dir.path(), written - hour).await.unwrap(), 0);
        assert!(staged.iter().all(|path| path.is_file()));
        assert_eq!(remove_staged(dir.path(), written + hour).await.unwrap(), 3);
        assert!(!staged.iter().any(|path| path.is_file()));
        assert!(kept.iter().all(|path| path.is_file()));
        assert!(!dir.path().join("b").is_dir(), "nothing is left of a block of staged files");
        assert_eq!(remove_staged(&dir.path().join("none"), written).await.unwrap(), 0);
    }
}
