//! Writing head chunk files: one file at a time, begun at the first chunk, never continued by a
//! later process. Called under the lock of [`HeadChunks`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::provisional;
use super::record::{FILE_HEADER_BYTES, HeadChunk, file_header, put};
use super::{ChunkDiskRef, ChunkFile, HeadChunks, View};
use crate::error::TsdbError;
use crate::fs::FileHandle;

/// Buffers that stay allocated are no larger than this, bytes.
const RETAINED_BYTES: usize = 64 * 1024;

/// The file that is written to, if any.
pub(super) struct Writer {
    next_number: u32,
    current: Option<Current>,
    buffer: Vec<u8>,
    provisional: Provisional,
}

/// Whether the files of this process count only when they are confirmed.
#[derive(PartialEq, Eq)]
enum Provisional {
    No,
    /// There is none yet.
    Unmarked,
    Marked,
}

struct Current {
    file: Arc<ChunkFile>,
    handle: Arc<dyn FileHandle>,
    /// A failed write may have left something behind the end.
    is_damaged: bool,
}

impl Writer {
    /// Writes nothing until the first chunk comes.
    pub(super) fn new(next_number: u32) -> Self {
        let provisional = Provisional::No;
        Self { next_number, current: None, buffer: Vec::new(), provisional }
    }

    /// The number of the file that is begun next.
    pub(super) fn next_number(&self) -> u32 {
        self.next_number
    }

    /// The file that is written to.
    pub(super) fn current(&self) -> Option<(PathBuf, Arc<dyn FileHandle>)> {
        self.current.as_ref().map(|c| (c.file.path.clone(), c.handle.clone()))
    }

    /// The next chunk begins a new file. The finished one is synced: if its end broke in a crash
    /// while a later file survived, the samples between the two would be missed by nobody.
    pub(super) fn finish_file(&mut self) -> Result<(), TsdbError> {
        if let Some(current) = &self.current {
            let synced = current.handle.sync_data();
            synced.map_err(|e| TsdbError::io("sync", &current.file.path, e))?;
        }
        self.current = None;
        Ok(())
    }

    /// As [`HeadChunks::begin_provisional`].
    pub(super) fn begin_provisional(&mut self) {
        self.provisional = Provisional::Unmarked;
    }

    /// As [`HeadChunks::confirm`].
    pub(super) fn confirm(&mut self, chunks: &HeadChunks, synced: bool) -> Result<(), TsdbError> {
        if self.provisional == Provisional::Marked {
            if synced {
                self.finish_file()?;
            }
            provisional::unmark(&chunks.fs, &chunks.dir, chunks.first_own)?;
        }
        self.provisional = Provisional::No;
        Ok(())
    }

    /// Forgets the file that is written to.
    pub(super) fn drop_file(&mut self) {
        self.current = None;
    }

    /// The next file has this number, which is free.
    pub(super) fn begin_at(&mut self, number: u32) {
        self.next_number = number;
    }

    /// Appends a chunk.
    pub(super) fn write(
        &mut self,
        chunks: &HeadChunks,
        chunk: HeadChunk<'_>,
    ) -> Result<ChunkDiskRef, TsdbError> {
        self.buffer.clear();
        self.buffer.shrink_to(RETAINED_BYTES);
        put(&mut self.buffer, &chunk);
        let length = self.buffer.len() as u64;
        if length > chunks.max_file_bytes - FILE_HEADER_BYTES {
            return Err(TsdbError::TooLarge(format!("a head chunk of {length} bytes")));
        }
        let is_full = |c: &Current| c.end() + length > chunks.max_file_bytes;
        if self.current.as_ref().is_none_or(is_full) {
            self.finish_file()?;
            self.current = Some(self.begin(chunks)?);
        }
        let Some(current) = &mut self.current else {
            return Err(TsdbError::Invalid("no head chunk file is open".to_owned()));
        };
        current.append(&self.buffer, chunk.maxt_incl)
    }

    fn begin(&mut self, chunks: &HeadChunks) -> Result<Current, TsdbError> {
        let number = self.next_number;
        if self.provisional == Provisional::Unmarked {
            provisional::mark(&chunks.fs, &chunks.dir, chunks.first_own)?;
            self.provisional = Provisional::Marked;
        }
        let path = chunks.dir.join(format!("{number:06}"));
        let created = chunks.fs.create(&path).and_then(|handle| {
            handle.write_all_at(&file_header(), 0)?;
            Ok((handle, chunks.fs.map_growing(&path, chunks.max_file_bytes)?))
        });
        let (handle, view) = created.map_err(|e| {
            // The next attempt uses the same name.
            let _ = chunks.fs.remove_file(&path);
            TsdbError::io("create", &path, e)
        })?;
        let next = number.checked_add(1);
        self.next_number = next.ok_or_else(|| TsdbError::TooLarge("head chunk files".into()))?;
        let file = Arc::new(ChunkFile {
            number,
            path,
            view: View::Growing(view),
            end: AtomicU64::new(FILE_HEADER_BYTES),
            maxt: AtomicI64::new(i64::MIN),
        });
        chunks.files.write().insert(number, file.clone());
        Ok(Current { file, handle, is_damaged: false })
    }
}

impl Current {
    fn end(&self) -> u64 {
        self.file.end.load(Ordering::Acquire)
    }

    fn append(&mut self, record: &[u8], maxt: i64) -> Result<ChunkDiskRef, TsdbError> {
        let (file, offset) = (&self.file, self.end());
        let end = offset + record.len() as u64;
        assert!(end <= u64::from(u32::MAX), "the size of a file is bounded so that offsets fit");
        let failed = |e| TsdbError::io("write", &file.path, e);
        if self.is_damaged {
            self.handle.set_len(offset).map_err(failed)?;
            self.is_damaged = false;
        }
        if let Err(e) = self.handle.write_all_at(record, offset) {
            self.is_damaged = self.handle.set_len(offset).is_err();
            return Err(failed(e));
        }
        file.maxt.fetch_max(maxt, Ordering::AcqRel);
        // Readers may look below the end as soon as they see it.
        file.end.store(end, Ordering::Release);
        Ok(ChunkDiskRef::new(file.number, offset as u32))
    }
}
