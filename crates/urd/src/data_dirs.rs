//! The directories of a node: made where they are missing, and tried whether they can be written.
//! Checked at start, before anything is read or written. The ingester itself holds its directory
//! against a second process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use config::Config;

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

/// Makes the directories of the components that this process runs, and tries those that they write.
pub(crate) fn prepare(config: &Config) -> Result<(), NotWritable> {
    for directory in config.data_directories() {
        let path = PathBuf::from(&directory.path);
        let tried = fs::create_dir_all(&path).and_then(|()| match directory.is_written {
            true => try_writing(&path),
            false => Ok(()),
        });
        tried.map_err(|source| NotWritable { path, option: directory.option, source })?;
    }
    Ok(())
}

fn try_writing(directory: &Path) -> io::Result<()> {
    let probe = directory.join(PROBE_FILE);
    fs::write(&probe, b"x")?;
    match fs::remove_file(&probe) {
        // Processes that share a bucket's directory start at the same time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
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
    fn a_process_touches_the_directories_of_its_own_components_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        config.target.0 = vec!["compactor".to_owned()];
        prepare(&config).unwrap();
        let mut made: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        made.sort();
        assert_eq!(made, ["blocks", "data-compactor"]);
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
