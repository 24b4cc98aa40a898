//! A directory of records that is written once and is there whole or not at all: checkpoints
//! and snapshots of the head.
//!
//! Built under a temporary name, brought to the device, then renamed.

use std::path::{Path, PathBuf};

use super::segment::SegmentWriter;
use super::{Compression, LogScratch, WalError};
use crate::fs::{SharedFs, exists, parent_dir};

/// The end of the name of a directory that is being built.
pub(crate) const TEMPORARY: &str = ".tmp";
/// Records are written when so many bytes have gathered.
const FLUSH_BYTES: usize = 1 << 20;

/// Writes records into the segments of a new directory.
pub(crate) struct RecordDirWriter {
    fs: SharedFs,
    target: PathBuf,
    temporary: PathBuf,
    writer: SegmentWriter,
    compression: Compression,
    scratch: LogScratch,
    /// Records that were not written yet, one behind the other, and where they end.
    pending: Vec<u8>,
    ends: Vec<usize>,
    written_bytes: u64,
}

impl RecordDirWriter {
    /// Begins the directory `target`; what an earlier attempt left of it is deleted.
    pub(crate) fn create(
        fs: &SharedFs,
        target: &Path,
        compression: Compression,
        segment_bytes: u64,
    ) -> Result<Self, WalError> {
        let mut temporary = target.as_os_str().to_owned();
        temporary.push(TEMPORARY);
        let temporary = PathBuf::from(temporary);
        remove_if_exists(fs, &temporary)?;
        fs.create_dir_all(&temporary)
            .map_err(|e| WalError::io("create directory", &temporary, e))?;
        let writer = SegmentWriter::create(fs.clone(), &temporary, (0, &[]), segment_bytes, true)
            .inspect_err(|_| drop(fs.remove_dir_all(&temporary)))?;
        Ok(Self {
            fs: fs.clone(),
            target: target.to_owned(),
            temporary,
            writer,
            compression,
            scratch: LogScratch::default(),
            pending: Vec::new(),
            ends: Vec::new(),
            written_bytes: 0,
        })
    }

    /// Where the directory is being built; other files can be put there.
    pub(crate) fn dir(&self) -> &Path {
        &self.temporary
    }

    /// Adds the record that `encode` appends to the buffer; none where it appends nothing.
    pub(crate) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), WalError> {
        encode(&mut self.pending);
        if self.ends.last().copied().unwrap_or(0) < self.pending.len() {
            self.ends.push(self.pending.len());
        }
        if self.pending.len() >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), WalError> {
        let mut start = 0;
        let mut records = Vec::with_capacity(self.ends.len());
        for &end in &self.ends {
            records.push(&self.pending[start..end]);
            start = end;
        }
        let batch = self.scratch.compress(self.compression, &records)?;
        self.written_bytes += self.writer.write(batch.payloads())?.bytes;
        self.pending.clear();
        self.ends.clear();
        Ok(())
    }

    /// Writes the rest and gives the directory its name, in place of an earlier one. Returns its
    /// bytes.
    pub(crate) fn finish(mut self) -> Result<u64, WalError> {
        match self.complete() {
            Ok(()) => Ok(self.written_bytes),
            Err(e) => {
                self.abandon();
                Err(e)
            }
        }
    }

    fn complete(&mut self) -> Result<(), WalError> {
        self.flush()?;
        self.writer.finish()?;
        let (fs, target, temporary) = (&self.fs, &self.target, &self.temporary);
        fs.sync_dir(temporary).map_err(|e| WalError::io("sync directory", temporary, e))?;
        remove_if_exists(fs, target)?;
        fs.rename(temporary, target).map_err(|e| WalError::io("rename", temporary, e))?;
        let parent = parent_dir(target);
        fs.sync_dir(parent).map_err(|e| WalError::io("sync directory", parent, e))
    }

    /// Deletes what was written. What a failure leaves is deleted at the next start.
    pub(crate) fn abandon(self) {
        let _ = self.fs.remove_dir_all(&self.temporary);
    }
}

fn remove_if_exists(fs: &SharedFs, dir: &Path) -> Result<(), WalError> {
    if exists(&**fs, dir).map_err(|e| WalError::io("stat", dir, e))? {
        fs.remove_dir_all(dir).map_err(|e| WalError::io("delete", dir, e))?;
    }
    Ok(())
}
