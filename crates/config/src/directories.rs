//! The directories that the components of a process use, and the check that no two parts of
//! it share one. Called by the checks and by the wiring, which tries whether they can be written.

use std::path::{Component, Path, PathBuf};

use crate::Config;
use crate::options::BackendName;

/// A directory that a component of this process uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDirectory {
    /// What it is for.
    pub what: &'static str,
    /// The option that names it.
    pub option: &'static str,
    /// Its path as it is written in the configuration.
    pub path: String,
    /// Whether it is written; the bucket is only read by some components.
    pub is_written: bool,
    /// What stands in front of everything that is written into it.
    prefix: String,
}

impl Config {
    /// The directories of the components that this process runs: a configuration is shared by
    /// processes that lack each other's disks.
    pub fn data_directories(&self) -> Vec<DataDirectory> {
        let storage = &self.blocks_storage;
        let bucket_users = ["ingester", "querier", "store-gateway", "compactor"];
        let uses_bucket = storage.bucket.backend == BackendName::Filesystem
            && bucket_users.iter().any(|component| self.runs(component));
        let rows = [
            (
                uses_bucket,
                "blocks storage filesystem directory",
                "-blocks-storage.filesystem.dir",
                &storage.bucket.filesystem.dir,
            ),
            (
                self.runs("ingester"),
                "tsdb directory",
                "-blocks-storage.tsdb.dir",
                &storage.tsdb.dir,
            ),
            (
                self.runs("store-gateway"),
                "bucket store sync directory",
                "-blocks-storage.bucket-store.sync-dir",
                &storage.bucket_store.sync_dir,
            ),
            (
                self.runs("compactor"),
                "compactor data directory",
                "-compactor.data-dir",
                &self.compactor.data_dir,
            ),
        ];
        let mut used: Vec<DataDirectory> = rows
            .into_iter()
            .filter(|(is_used, ..)| *is_used)
            .map(|(_, what, option, path)| DataDirectory {
                what,
                option,
                path: path.clone(),
                is_written: true,
                prefix: String::new(),
            })
            .collect();
        if uses_bucket && let Some(bucket) = used.first_mut() {
            bucket.prefix.clone_from(&storage.bucket.storage_prefix);
            bucket.is_written = self.runs("ingester") || self.runs("compactor");
        }
        used
    }
}

/// No part of the process may write where another one does. A path that cannot be made absolute is
/// left out, as in Mimir: the check must not be what keeps a process from starting.
pub(crate) fn check_apart(directories: &[DataDirectory]) -> Result<(), String> {
    for (i, first) in directories.iter().enumerate() {
        for second in &directories[i + 1..] {
            let (Some(a), Some(b)) = (first.absolute(), second.absolute()) else { continue };
            if a.starts_with(&b) || b.starts_with(&a) {
                return Err(format!(
                    "the configured {} {:?} cannot overlap with the configured {} {:?}; please set \
                     different paths, also ensuring one is not a subdirectory of the other one",
                    first.what, first.path, second.what, second.path
                ));
            }
        }
    }
    Ok(())
}

impl DataDirectory {
    fn absolute(&self) -> Option<PathBuf> {
        absolute(&Path::new(&self.path).join(&self.prefix))
    }
}

/// The absolute path without `.` and `..`, links not followed.
fn absolute(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in std::path::absolute(path).ok()?.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            component => clean.push(component),
        }
    }
    Some(clean)
}
