//! A node's disk: `tsdb`'s file system in memory, which a killed process cannot write to any more.

use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use rt::BoxFuture;
use rt::files::{FileReader, FileWriter, Files};
use tokio::io::AsyncWrite;
use tsdb::fs::{
    DirEntry, FaultFs, FileHandle, FileLock, FileMap, FileSystem, GrowingView, Metadata,
};

/// The disk as one process sees it.
#[derive(Clone)]
pub(crate) struct Disk {
    fs: FaultFs,
    is_alive: Arc<AtomicBool>,
}

impl Disk {
    /// `fs` for a process that begins.
    pub(crate) fn new(fs: FaultFs) -> Self {
        Self { fs, is_alive: Arc::new(AtomicBool::new(true)) }
    }

    /// The process has been killed: what is left of it changes nothing any more.
    pub(crate) fn fence(&self) {
        self.is_alive.store(false, Ordering::Relaxed);
    }

    fn check(&self) -> io::Result<()> {
        match self.is_alive.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(io::Error::other("the process was killed")),
        }
    }

    fn handle(&self, inner: Arc<dyn FileHandle>) -> Arc<dyn FileHandle> {
        Arc::new(Handle { disk: self.clone(), inner })
    }
}

struct Handle {
    disk: Disk,
    inner: Arc<dyn FileHandle>,
}

impl FileHandle for Handle {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.disk.check()?;
        self.inner.write_all_at(data, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.check()?;
        self.inner.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.check()?;
        self.inner.set_len(length)
    }

    fn byte_len(&self) -> io::Result<u64> {
        self.inner.byte_len()
    }
}

impl FileSystem for Disk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        self.check()?;
        Ok(self.handle(self.fs.create(path)?))
    }

    fn open_append(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        self.check()?;
        Ok(self.handle(self.fs.open_append(path)?))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        self.fs.open_read(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.fs.read(path)
    }

    fn map(&self, path: &Path) -> io::Result<FileMap> {
        self.fs.map(path)
    }

    fn map_growing(&self, path: &Path, capacity: u64) -> io::Result<Arc<dyn GrowingView>> {
        self.fs.map_growing(path, capacity)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.fs.read_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.fs.metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check()?;
        self.fs.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        self.fs.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        self.fs.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        self.fs.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        self.fs.sync_dir(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn FileLock>>> {
        self.check()?;
        self.fs.try_lock(path)
    }
}

/// The same disk for async code.
impl Files for Disk {
    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<FileReader>> {
        let content = FileSystem::read(self, path);
        async move { Ok(Box::new(Cursor::new(content?)) as FileReader) }.boxed()
    }

    fn create<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<FileWriter>> {
        let file = FileSystem::create(self, path);
        async move { Ok(Box::new(Writer { file: file?, position: 0 }) as FileWriter) }.boxed()
    }

    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Vec<u8>>> {
        std::future::ready(FileSystem::read(self, path)).boxed()
    }

    fn names<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<Vec<String>>> {
        let entries = self.read_dir(dir);
        let names = entries.map(|all| all.into_iter().map(|entry| entry.name).collect());
        std::future::ready(names).boxed()
    }

    fn create_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        std::future::ready(FileSystem::create_dir_all(self, dir)).boxed()
    }

    fn remove_dir_all<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, io::Result<()>> {
        std::future::ready(FileSystem::remove_dir_all(self, dir)).boxed()
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

struct Writer {
    file: Arc<dyn FileHandle>,
    position: u64,
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.file.write_all_at(data, self.position)?;
        self.position += data.len() as u64;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The files below `dir`, sorted.
pub(crate) fn files_below(fs: &FaultFs, dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs.read_dir(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        match entry.metadata.is_dir {
            true => files.extend(files_below(fs, &path)),
            false => files.push(path),
        }
    }
    files
}
