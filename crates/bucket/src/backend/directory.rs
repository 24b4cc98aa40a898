//! A directory as bucket. Files have no conditional write; whoever needs one locks the directory
//! itself, so that no further file stands among the objects.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

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
    let timed_out = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut));
    rt::time::timeout(LOCK_PATIENCE, wait).await.unwrap_or_else(timed_out).map_err(local(dir))?;
    Ok(file)
}

fn local(path: &Path) -> impl FnOnce(std::io::Error) -> BucketError {
    let path = path.to_owned();
    move |source| BucketError::LocalFile { path, source }
}
