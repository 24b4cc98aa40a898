//! Which chunks of late samples in the head chunk files stand in blocks already. They stay in
//! their files as long as those have anything else, and a restart must not bring them back: what
//! was deleted from the blocks would be there again.
//!
//! One line of text beside the logs: where the newest such chunk is, and what it is, so that it is
//! not mistaken for another one at its place. Prometheus ignores the file, and takes the chunks
//! once more.

use std::path::{Path, PathBuf};

use model::TimestampMs;

use crate::encoding::crc32c;
use crate::error::TsdbError;
use crate::fs::{SharedFs, write_atomically};
use crate::head_chunks::{ChunkDiskRef, HeadChunk};

/// The name of the file.
const FILE_NAME: &str = "out_of_order_compacted";

/// The newest chunk of late samples that stands in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::head) struct CompactedMarker {
    disk_ref: ChunkDiskRef,
    series_ref: u64,
    min_time_ms: TimestampMs,
    max_time_ms: TimestampMs,
    crc: u32,
}

impl CompactedMarker {
    pub(super) fn new(disk_ref: ChunkDiskRef, chunk: &HeadChunk<'_>) -> Self {
        Self {
            disk_ref,
            series_ref: chunk.series_ref,
            min_time_ms: chunk.mint,
            max_time_ms: chunk.maxt_incl,
            crc: crc32c(chunk.data),
        }
    }

    /// Whether it is about this chunk: it and all before it stand in blocks.
    pub(in crate::head) fn is_of(&self, disk_ref: ChunkDiskRef, chunk: &HeadChunk<'_>) -> bool {
        self.disk_ref == disk_ref && *self == Self::new(disk_ref, chunk)
    }

    /// Writes it to the directory of the database.
    pub(super) fn write(&self, fs: &SharedFs, dir: &Path) -> Result<(), TsdbError> {
        let Self { disk_ref, series_ref, min_time_ms, max_time_ms, crc } = self;
        let number = disk_ref.number();
        let text = format!("{number} {series_ref} {min_time_ms} {max_time_ms} {crc}\n");
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
        Some(Self {
            disk_ref: ChunkDiskRef::from_number(fields.next()?.parse().ok()?),
            series_ref: fields.next()?.parse().ok()?,
            min_time_ms: fields.next()?.parse().ok()?,
            max_time_ms: fields.next()?.parse().ok()?,
            crc: fields.next()?.parse().ok()?,
        })
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
        let marker = CompactedMarker::new(disk_ref, &chunk);
        marker.write(&fs, dir).unwrap();
        let read = CompactedMarker::read(&fs, dir).unwrap().unwrap();
        assert!(read.is_of(disk_ref, &chunk));
        assert!(!read.is_of(ChunkDiskRef::new(3, 9), &chunk));
        assert!(!read.is_of(disk_ref, &HeadChunk { data: b"y", ..chunk }));
        fs.create(&path(dir)).unwrap().write_all_at(b"1 2", 0).unwrap();
        assert_eq!(CompactedMarker::read(&fs, dir).unwrap(), None);
    }
}
