//! Writing one file of a block from its beginning to its end.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::TsdbError;
use crate::fs::{FileHandle, FileSystem};
use crate::index::IndexSink;

/// So many bytes are gathered before they are written.
const BUFFER_LEN: usize = 256 << 10;

/// A file that is being written.
pub(super) struct FileWriter {
    file: Arc<dyn FileHandle>,
    path: PathBuf,
    written: u64,
    buffer: Vec<u8>,
}

impl FileWriter {
    pub(super) fn create(fs: &dyn FileSystem, path: PathBuf) -> Result<Self, TsdbError> {
        let file = fs.create(&path).map_err(|e| TsdbError::io("create", &path, e))?;
        Ok(Self { file, path, written: 0, buffer: Vec::with_capacity(BUFFER_LEN) })
    }

    /// The position of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// For encoding right into the buffer; followed by [`FileWriter::flush_if_full`].
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(super) fn flush_if_full(&mut self) -> Result<(), TsdbError> {
        if self.buffer.len() < BUFFER_LEN { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), TsdbError> {
        self.file
            .write_all_at(&self.buffer, self.written)
            .map_err(|e| TsdbError::io("write", &self.path, e))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left and brings all to the device. Returns the length.
    pub(super) fn finish(mut self) -> Result<u64, TsdbError> {
        self.flush()?;
        self.file.sync_data().map_err(|e| TsdbError::io("sync", &self.path, e))?;
        Ok(self.written)
    }
}

impl IndexSink for FileWriter {
    fn append(&mut self, data: &[u8]) -> Result<(), TsdbError> {
        self.buffer.extend_from_slice(data);
        self.flush_if_full()
    }
}
