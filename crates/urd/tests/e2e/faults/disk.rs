//! A small disk of its own for one process, which can be filled.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of a few megabytes in memory.
#[derive(Debug)]
pub(super) struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// A disk at `dir`; `None`, said loudly, where this user may not mount.
    pub(super) fn at(dir: &Path) -> Option<Self> {
        std::fs::create_dir_all(dir).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=32m", "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(dir).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: the full disk: this user may not mount a file system");
            return None;
        }
        Some(Self { dir: dir.to_owned() })
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    /// Leaves no byte free.
    pub(super) fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Frees what was filled.
    pub(super) fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}
