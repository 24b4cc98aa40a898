//! Local files as async code reads and writes them: blocks on their way to and from the bucket.
//!
//! A trait, so that a simulated disk can stand behind it; [`OsFiles`] is the real one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::BoxFuture;

/// A file that is read from its beginning.
pub type FileReader = Box<dyn AsyncRead + Send + Unpin>;
/// A file that is written from its beginning.
pub type FileWriter = Box<dyn AsyncWrite + Send + Unpin>;

/// A local disk.
pub trait Files: Send + Sync {
    /// Opens a file for reading.
    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<FileReader>>;
    /// Creates a file, or empties an existing one. It is whole when the writer was flushed.
    fn create<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<FileWriter>>;
    /// The whole content of a file.
    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Vec<u8>>>;
    /// The names in a directory, sorted.
    fn names<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<Vec<String>>>;
    /// Creates a directory and those above it; an existing one is no error.
    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>>;
    /// Deletes a directory with everything in it.
    fn remove_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>>;
    /// How many bytes may still be written to the file system of `path`, which must exist.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The disk of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsFiles;

impl OsFiles {
    /// The one for everybody.
    pub fn shared() -> Arc<dyn Files> {
        Arc::new(Self)
    }
}

impl Files for OsFiles {
    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<FileReader>> {
        async move { Ok(Box::new(tokio::fs::File::open(path).await?) as FileReader) }.boxed()
    }

    fn create<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<FileWriter>> {
        async move { Ok(Box::new(tokio::fs::File::create(path).await?) as FileWriter) }.boxed()
    }

    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Vec<u8>>> {
        tokio::fs::read(path).boxed()
    }

    fn names<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<Vec<String>>> {
        async move {
            let (mut entries, mut names) = (tokio::fs::read_dir(dir).await?, Vec::new());
            while let Some(entry) = entries.next_entry().await? {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            Ok(names)
        }
        .boxed()
    }

    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        tokio::fs::create_dir_all(dir).boxed()
    }

    fn remove_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        tokio::fs::remove_dir_all(dir).boxed()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        crate::disk::free_bytes(path)
    }
}
