//! Files as byte slices: mapped where the file system can, on the heap where it cannot.
//!
//! Used by readers of blocks, log segments and head chunk files. The one file of this crate that
//! maps memory.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use super::GrowingView;

/// The bytes of a file. Cheap to clone; the file may be deleted while this lives.
#[derive(Clone)]
pub struct FileMap(Inner);

#[derive(Clone)]
enum Inner {
    Mapped(Arc<memmap2::Mmap>),
    Heap(Arc<[u8]>),
}

impl FileMap {
    /// Bytes that are in memory already.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(Inner::Heap(bytes.into()))
    }

    /// Maps a file as it is. An empty file gives an empty slice.
    #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
    pub(super) fn of_file(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self::from_bytes(&[][..]));
        }
        // SAFETY: the caller of `FileSystem::map` promises that nobody changes the file any
        // more: blocks and finished segments are immutable and the data directory is locked
        // against other processes.
        let map = unsafe { memmap2::Mmap::map(file) }?;
        Ok(Self(Inner::Mapped(Arc::new(map))))
    }

    /// Gives the memory of pages that were read back to the system; they are read from the file
    /// again when they are needed.
    #[expect(unsafe_code, reason = "madvise is unsafe for memory that is not backed by a file")]
    pub fn release_pages(&self) {
        if let Inner::Mapped(map) = &self.0 {
            // SAFETY: the mapping is a shared, read-only one of a file: its pages are never
            // dirty, and dropping them loses nothing.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Mapped(map) => map,
            Inner::Heap(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for FileMap {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for FileMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if matches!(self.0, Inner::Mapped(_)) { "mapped" } else { "heap" };
        write!(f, "FileMap({kind}, {} bytes)", self.len())
    }
}

/// A mapping that is longer than its file, which grows into it.
pub(super) struct GrowingMap(memmap2::MmapRaw);

impl GrowingMap {
    /// Reserves address space for `capacity` bytes of the file.
    pub(super) fn of_file(file: &File, capacity: u64) -> io::Result<Self> {
        let capacity = usize::try_from(capacity).map_err(io::Error::other)?;
        let map = memmap2::MmapOptions::new().len(capacity).map_raw_read_only(file)?;
        Ok(Self(map))
    }
}

impl GrowingView for GrowingMap {
    #[expect(unsafe_code, reason = "a slice of a raw mapping")]
    fn bytes(&self, offset: u64, length: usize) -> io::Result<Cow<'_, [u8]>> {
        let end = usize::try_from(offset).ok().and_then(|start| start.checked_add(length));
        let (Ok(start), Some(end)) = (usize::try_from(offset), end) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if end > self.0.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: start..end lies in the mapping, and by the contract of `GrowingView::bytes`
        // these bytes have been written before; the owner of the file appends only and never
        // writes to them again while this view lives.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(start), length) };
        Ok(Cow::Borrowed(bytes))
    }

    #[expect(unsafe_code, reason = "madvise is unsafe for memory that is not backed by a file")]
    fn release_pages(&self) {
        // SAFETY: the mapping is a shared, read-only one of a file: its pages are never dirty, and
        // dropping them loses nothing.
        let _ = unsafe { self.0.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }
}
