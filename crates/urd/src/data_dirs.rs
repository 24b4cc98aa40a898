//! The directories of a node: made where they are missing, and tried whether they can be written.
//! Checked at start, before anything is read or written. The ingester itself holds its directory
//! against a second process.

use std::fs;
use std::io;
use std::path::PathBuf;

use config::{BackendName, Config};

/// The name of the file that is written and removed to try a directory.
const PROBE_FILE: &str = ".urd-write-check";

/// A directory that cannot be made or written.
#[derive(Debug, thiserror::Error)]
#[error("directory {} ({option}) cannot be written: {source}", path.display())]
pub(crate) struct NotWritable {
    path: PathBuf,
    option: &'static str,
    source: io::Error,
}

/// Makes and tries the directories of this configuration.
pub(crate) fn prepare(config: &Config) -> Result<(), NotWritable> {
    let storage = &config.blocks_storage;
    check_writable(&storage.tsdb.dir, "-blocks-storage.tsdb.dir")?;
    check_writable(&storage.bucket_store.sync_dir, "-blocks-storage.bucket-store.sync-dir")?;
    check_writable(&config.compactor.data_dir, "-compactor.data-dir")?;
    if storage.bucket.backend == BackendName::Filesystem {
        check_writable(&storage.bucket.filesystem.dir, "-blocks-storage.filesystem.dir")?;
    }
    Ok(())
}

fn check_writable(path: &str, option: &'static str) -> Result<(), NotWritable> {
    let path = PathBuf::from(path);
    let probe = path.join(PROBE_FILE);
    let check = || {
        fs::create_dir_all(&path)?;
        fs::write(&probe, b"x")?;
        match fs::remove_file(&probe) {
            // Processes that share a bucket's directory start at the same time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    };
    check().map_err(|source| NotWritable { path: path.clone(), option, source })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(dir: &Path) -> Config {
        let mut config = Config::default();
        let below = |name: &str| dir.join(name).to_string_lossy().into_owned();
        config.blocks_storage.tsdb.dir = below("tsdb");
        config.blocks_storage.bucket_store.sync_dir = below("sync");
        config.blocks_storage.bucket.filesystem.dir = below("blocks");
        config.compactor.data_dir = below("data-compactor");
        config
    }

    #[test]
    fn directories_are_made_and_left_empty() {
        let dir = tempfile::tempdir().unwrap();
        prepare(&config(dir.path())).unwrap();
        for name in ["tsdb", "sync", "blocks"] {
            assert_eq!(fs::read_dir(dir.path().join(name)).unwrap().count(), 0, "{name}");
        }
    }

    #[test]
    fn processes_that_share_a_directory_may_start_at_the_same_time() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| prepare(&config).unwrap()));
            }
        });
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named_with_its_option() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        config.blocks_storage.bucket.filesystem.dir = file.join("x").to_string_lossy().into_owned();
        let message = prepare(&config).unwrap_err().to_string();
        let want = "file/x (-blocks-storage.filesystem.dir) cannot be written: Not a directory";
        assert!(message.contains(want), "{message}");
    }
}
