//! The operating system's files. The one place of this crate that calls `std::fs`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::map::GrowingMap;
use super::{
    DirEntry, FileHandle, FileLock, FileMap, FileSystem, GrowingView, Metadata, with_path,
};

/// The real file system. Errors carry the path.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsFs;

impl OsFs {
    /// The real file system, shared.
    pub fn shared() -> super::SharedFs {
        Arc::new(Self)
    }
}

impl FileSystem for OsFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        let mut options = OpenOptions::new();
        open(options.read(true).write(true).create(true).truncate(true), "create", path)
    }

    fn open_append(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        open(OpenOptions::new().read(true).write(true), "open", path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        open(OpenOptions::new().read(true), "open", path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path).map_err(|e| with_path(&e, "read", path))
    }

    fn map(&self, path: &Path) -> io::Result<FileMap> {
        let mapped = File::open(path).and_then(|file| FileMap::of_file(&file));
        mapped.map_err(|e| with_path(&e, "map", path))
    }

    fn map_growing(&self, path: &Path, capacity: u64) -> io::Result<Arc<dyn GrowingView>> {
        let mapped = File::open(path).and_then(|file| GrowingMap::of_file(&file, capacity));
        Ok(Arc::new(mapped.map_err(|e| with_path(&e, "map", path))?))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(|e| with_path(&e, "list", path))? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, metadata: convert(&entry.metadata()?) });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        fs::metadata(path).map(|m| convert(&m)).map_err(|e| with_path(&e, "stat", path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to).map_err(|e| with_path(&e, "rename", from))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path).map_err(|e| with_path(&e, "delete", path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path).map_err(|e| with_path(&e, "delete", path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path).map_err(|e| with_path(&e, "create directory", path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let synced = File::open(path).and_then(|dir| dir.sync_all());
        synced.map_err(|e| with_path(&e, "sync directory", path))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn FileLock>>> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = opened.map_err(|e| with_path(&e, "open", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(OsLock { _file: file }))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(with_path(&e, "lock", path)),
        }
    }
}

fn open(options: &OpenOptions, action: &str, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
    let file = options.open(path).map_err(|e| with_path(&e, action, path))?;
    Ok(Arc::new(OsFile(file)))
}

fn convert(metadata: &fs::Metadata) -> Metadata {
    let is_dir = metadata.is_dir();
    Metadata { is_dir, length: if is_dir { 0 } else { metadata.len() } }
}

struct OsFile(File);

impl FileHandle for OsFile {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn read_at(&self, mut buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while !buffer.is_empty() {
            match self.0.read_at(buffer, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => {
                    done += n;
                    buffer = &mut buffer[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

struct OsLock {
    // The operating system releases the lock when the file is closed.
    _file: File,
}

impl FileLock for OsLock {}
