//! The file system as a trait: what the write-ahead log, the head chunk files and the blocks
//! need of a disk, and nothing else.
//!
//! [`OsFs`] is the real one and the one place of this crate that calls `std::fs`; [`FaultFs`]
//! lives in memory and fails on demand, so that tests can fill the disk, cut a write short or
//! pull the plug. Callers hold an `Arc<dyn FileSystem>`. An implementation must never reorder
//! two writes of one file as seen by a later read of the same process.

mod aside;
mod fault;
mod map;
mod mark;
mod os;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use aside::{keep_copy, set_aside};
pub use fault::{Crash, FaultFs};
pub use map::FileMap;
pub use mark::{MarkFile, PREPARED_SHUTDOWN_FILE};
pub use os::OsFs;

/// A shared file system.
pub type SharedFs = Arc<dyn FileSystem>;

/// An open file. Offsets are bytes from the start; all methods may be called from many threads.
pub trait FileHandle: Send + Sync {
    /// Writes all of `data` at `offset`, growing the file where needed. After an error any part
    /// of `data` may have been written.
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Reads up to `buffer.len()` bytes at `offset` and returns how many; fewer only at the end
    /// of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Returns when the file's data and length are on the device.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts the file to `length` bytes, or grows it with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn byte_len(&self) -> io::Result<u64>;
}

/// A view of a file that another handle is still appending to.
pub trait GrowingView: Send + Sync {
    /// `length` bytes at `offset`. The caller must know that they have been written: asking for
    /// bytes beyond the end of the file is an error or, on a mapped file, ends the process.
    fn bytes(&self, offset: u64, length: usize) -> io::Result<Cow<'_, [u8]>>;

    /// Gives the memory of pages that were read back to the system, where that is possible.
    fn release_pages(&self) {}
}

/// What [`FileSystem::metadata`] and [`FileSystem::read_dir`] tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length in bytes; 0 for a directory.
    pub length: u64,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The last part of the path. Names that are not UTF-8 are not listed.
    pub name: String,
    /// Kind and length.
    pub metadata: Metadata,
}

/// A file that is locked until this is dropped.
pub trait FileLock: Send + Sync {}

/// A disk. Object-safe; all methods may be called from many threads.
pub trait FileSystem: Send + Sync {
    /// Creates the file, or empties an existing one, and opens it for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>>;
    /// Opens an existing file for reading and writing.
    fn open_append(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>>;
    /// Opens an existing file for reading.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>>;
    /// The whole content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// A view of a file that nobody changes any more; mapped into memory where possible.
    fn map(&self, path: &Path) -> io::Result<FileMap>;
    /// A view of the first `capacity` bytes of a file that is still being appended to.
    fn map_growing(&self, path: &Path, capacity: u64) -> io::Result<Arc<dyn GrowingView>>;
    /// The entries of a directory, sorted by name.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Kind and length of a file or directory; an error of kind `NotFound` where there is none.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
    /// Renames a file or directory, replacing an existing file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Deletes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Deletes a directory with everything in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory and those above it; an existing one is no error.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Returns when creations, renames and deletions in the directory are on the device.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Creates and locks a file against other processes; `None` when another one holds it.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn FileLock>>>;
}

/// Whether there is a file or directory at `path`.
pub fn exists(fs: &dyn FileSystem, path: &Path) -> io::Result<bool> {
    match fs.metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// The entries of a directory, none when it does not exist.
pub fn read_dir_if_exists(fs: &dyn FileSystem, path: &Path) -> io::Result<Vec<DirEntry>> {
    match fs.read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// Writes a whole file so that after a crash there is either the old or the new content: a
/// temporary file beside it, synced, then renamed.
pub fn write_atomically(fs: &dyn FileSystem, path: &Path, data: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let file = fs.create(&temporary)?;
    file.write_all_at(data, 0)?;
    file.sync_data()?;
    drop(file);
    fs.rename(&temporary, path)?;
    fs.sync_dir(parent_dir(path))
}

/// The directory that `path` is in; `.` for a bare name.
pub fn parent_dir(path: &Path) -> &Path {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

/// Adds the path to an error, which the operating system's own message lacks.
pub fn with_path(error: &io::Error, action: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{action} {}: {error}", path.display()))
}

/// Appends to an open file through `std::io::Write`, counting the position.
pub struct Appender {
    file: Arc<dyn FileHandle>,
    position: u64,
}

impl Appender {
    /// Starts at the file's end.
    pub fn at_end(file: Arc<dyn FileHandle>) -> io::Result<Self> {
        let position = file.byte_len()?;
        Ok(Self { file, position })
    }

    /// Where the next byte goes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The file beneath.
    pub fn file(&self) -> &dyn FileHandle {
        &*self.file
    }
}

impl io::Write for Appender {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(data, self.position)?;
        self.position += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
