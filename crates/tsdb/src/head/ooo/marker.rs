//! Which chunks of late samples in the head chunk files, and which segments of their log, stand in
//! blocks already. Chunks stay in their files as long as those have anything else, and a crash of
//! the machine may bring segments back; a restart must not take them in: what was deleted from the
//! blocks would be there again.
//!
//! One line of text beside the logs: where the newest such chunk is, and what it is, so that it is
//! not mistaken for another one at its place, then the first segment that is needed. Prometheus
//! ignores the file, and takes the chunks once more.

use std::path::{Path, PathBuf};

use model::TimestampMs;

use crate::encoding::crc32c;
use crate::error::TsdbError;
use crate::fs::{SharedFs, write_atomically};
use crate::head_chunks::{ChunkDiskRef, HeadChunk};

/// The name of the file.
const FILE_NAME: &str = "out_of_order_compacted";

/// The newest chunk of late samples that stands in a block, and what stands there of their log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::head) struct CompactedMarker {
    chunk: ChunkIdentity,
    /// Segments of the log before this one are not needed.
    first_segment: Option<u64>,
}

/// What tells a chunk from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ChunkIdentity {
    disk_ref: ChunkDiskRef,
    series_ref: u64,
    min_time_ms: TimestampMs,
    max_time_ms: TimestampMs,
    crc: u32,
}

impl ChunkIdentity {
    fn new(disk_ref: ChunkDiskRef, chunk: &HeadChunk<'_>) -> Self {
        Self {
            disk_ref,
            series_ref: chunk.series_ref,
            min_time_ms: chunk.mint,
            max_time_ms: chunk.maxt_incl,
            crc: crc32c(chunk.data),
        }
    }
}

impl CompactedMarker {
    /// `chunk` is at `disk_ref`.
    pub(super) fn new(
        (disk_ref, chunk): (ChunkDiskRef, &HeadChunk<'_>),
        first_segment: Option<u64>,
    ) -> Self {
        Self { chunk: ChunkIdentity::new(disk_ref, chunk), first_segment }
    }

    /// The first segment of the log that is needed, where that is known.
    pub(in crate::head) fn first_segment(&self) -> Option<u64> {
        self.first_segment
    }

    /// Whether it is about this chunk: it and all before it stand in blocks.
    pub(in crate::head) fn is_of(&self, disk_ref: ChunkDiskRef, chunk: &HeadChunk<'_>) -> bool {
        self.chunk.disk_ref == disk_ref && self.chunk == ChunkIdentity::new(disk_ref, chunk)
    }

    /// Forgets which segments are not needed, here and on the disk, when they are gone: their
    /// numbers may be given to others.
    pub(in crate::head) fn forget_segments(
        &mut self,
        fs: &SharedFs,
        dir: &Path,
    ) -> Result<(), TsdbError> {
        self.first_segment = None;
        self.write(fs, dir)
    }

    /// Writes it to the directory of the database.
    pub(super) fn write(&self, fs: &SharedFs, dir: &Path) -> Result<(), TsdbError> {
        let ChunkIdentity { disk_ref, series_ref, min_time_ms, max_time_ms, crc } = self.chunk;
        let number = disk_ref.number();
        let first_segment = self.first_segment.map_or_else(String::new, |n| format!(" {n}"));
        let text =
            format!("{number} {series_ref} {min_time_ms} {max_time_ms} {crc}{first_segment}\n");
        let path = path(dir);
        write_atomically(&**fs, &path, text.as_bytes())
            .map_err(|e| TsdbError::io("write", &path, e))
    }

    /// Reads it; `None` where there is none, or nothing that makes sense.
    pub(in crate::head) fn read(fs: &SharedFs, dir: &Path) -> Result<Option<Self>, TsdbError> {
        let path = path(dir);
        match fs.read(&path) {
            Ok(bytes) => Ok(std::str::from_utf8(&bytes).ok().and_then(Self::parse)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(TsdbError::io("read", &path, e)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace();
        let chunk = ChunkIdentity {
            disk_ref: ChunkDiskRef::from_number(fields.next()?.parse().ok()?),
            series_ref: fields.next()?.parse().ok()?,
            min_time_ms: fields.next()?.parse().ok()?,
            max_time_ms: fields.next()?.parse().ok()?,
            crc: fields.next()?.parse().ok()?,
        };
        let first_segment = fields.next().map(str::parse).transpose().ok()?;
        Some(Self { chunk, first_segment })
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fs::FaultFs;

    #[test]
    fn what_is_written_is_read_and_other_chunks_are_not_mistaken_for_it() {
        let fs: SharedFs = Arc::new(FaultFs::new());
        let dir = Path::new("/tenant");
        fs.create_dir_all(dir).unwrap();
        assert_eq!(CompactedMarker::read(&fs, dir).unwrap(), None);
        let chunk = HeadChunk {
            series_ref: 7,
            mint: -5,
            maxt_incl: 9,
            encoding: 1,
            is_out_of_order: true,
            data: b"x",
        };
        let disk_ref = ChunkDiskRef::new(3, 8);
        let marker = CompactedMarker::new((disk_ref, &chunk), Some(4));
        marker.write(&fs, dir).unwrap();
        let mut read = CompactedMarker::read(&fs, dir).unwrap().unwrap();
        assert_eq!((read, read.first_segment()), (marker, Some(4)));
        read.forget_segments(&fs, dir).unwrap();
        let read = CompactedMarker::read(&fs, dir).unwrap().unwrap();
        assert_eq!(read.first_segment(), None);
        assert!(read.is_of(disk_ref, &chunk));
        assert!(!read.is_of(ChunkDiskRef::new(3, 9), &chunk));
        assert!(!read.is_of(disk_ref, &HeadChunk { data: b"y", ..chunk }));
        fs.create(&path(dir)).unwrap().write_all_at(b"1 2", 0).unwrap();
        assert_eq!(CompactedMarker::read(&fs, dir).unwrap(), None);
    }
}
