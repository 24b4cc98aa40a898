//! Blocks: directories with the samples of a range of time, never changed once they are there.
//!
//! ```text
//! <ULID>/index          labels, postings, where chunks are
//! <ULID>/chunks/000001  chunks, 512 MiB a file at most
//! <ULID>/tombstones     deleted ranges
//! <ULID>/meta.json      what the block is
//! ```
//!
//! [`BlockWriter`] makes a block, [`Block`] answers queries from one. Files are mapped; every
//! checksum is checked when its data is read. Damaged files are errors of the one query that
//! reads them.

mod chunk_file;
mod delete;
mod file_writer;
mod health;
mod querier;
mod samples;
mod verify;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Querier, QueryContext, Queryable, StorageError, TimeRange};
use ulid::Ulid;

pub use chunk_file::{
    CHUNK_FILE_HEADER_LEN, CHUNK_FILE_MAGIC, ChunkRecord, check_chunk_file_header,
    chunk_record_len, decode_chunk_record,
};
pub(crate) use chunk_file::{RawRecord, encode_chunk_record};
pub use health::BlockHealth;
pub use writer::{BlockChunk, BlockWriter, DEFAULT_SEGMENT_BYTES};
pub(crate) use writer::{BlockWriterOptions, RecordPlace, SealedBlock, StoredChunk};

use crate::error::{DecodeError, TsdbError};
use crate::fs::{FileMap, FileSystem, SharedFs, read_dir_if_exists};
use crate::index::IndexReader;
use crate::meta::BlockMeta;
use crate::tombstones::Tombstones;

/// Name of the index file.
pub const INDEX_FILE: &str = "index";
/// Name of the directory with the chunk files.
pub const CHUNKS_DIR: &str = "chunks";
/// Name of the tombstones file.
pub const TOMBSTONES_FILE: &str = "tombstones";
/// Name of the meta file.
pub const META_FILE: &str = "meta.json";

/// Ending of the directory of a block that is being written.
const CREATION_SUFFIX: &str = ".tmp-for-creation";
/// Ending of the directory of a block that is being deleted.
const DELETION_SUFFIX: &str = ".tmp-for-deletion";
/// The older ending for both.
const LEGACY_SUFFIX: &str = ".tmp";

/// An open block. Cheap to clone; its files may be deleted while it lives.
#[derive(Clone)]
pub struct Block(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    meta: BlockMeta,
    index: IndexReader<FileMap>,
    /// In the order of their names, which references count from 0.
    chunk_files: Vec<FileMap>,
    tombstones: Tombstones,
}

impl Block {
    /// Opens the block in `dir`.
    pub fn open(fs: &dyn FileSystem, dir: &Path) -> Result<Self, TsdbError> {
        let meta = read_meta(fs, dir)?;
        let path = dir.join(INDEX_FILE);
        let map = fs.map(&path).map_err(|e| TsdbError::io("open", &path, e))?;
        let index = IndexReader::open(map, path.display().to_string())?;
        let chunk_files = open_chunk_files(fs, &dir.join(CHUNKS_DIR))?;
        let tombstones = read_tombstones(fs, &dir.join(TOMBSTONES_FILE))?;
        let dir = dir.to_path_buf();
        Ok(Self(Arc::new(Inner { dir, meta, index, chunk_files, tombstones })))
    }

    /// The block's directory.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The content of `meta.json`.
    pub fn meta(&self) -> &BlockMeta {
        &self.0.meta
    }

    /// The block's id.
    pub fn ulid(&self) -> Ulid {
        self.0.meta.ulid
    }

    /// The block's range of time, both ends inclusive.
    pub fn time_range(&self) -> TimeRange {
        TimeRange::new(self.0.meta.min_time_ms, self.0.meta.max_time_ms.saturating_sub(1))
    }

    /// The index.
    pub fn index(&self) -> &IndexReader<FileMap> {
        &self.0.index
    }

    /// The deleted ranges.
    pub fn tombstones(&self) -> &Tombstones {
        &self.0.tombstones
    }

    /// Bytes of the files that queries read.
    pub fn size_bytes(&self) -> u64 {
        let chunks: usize = self.0.chunk_files.iter().map(|file| file.len()).sum();
        (chunks + self.0.index.bytes().len()) as u64
    }

    /// The chunk with this reference; its checksum is checked.
    pub fn chunk(&self, reference: u64) -> Result<ChunkRecord<'_>, TsdbError> {
        self.chunk_bytes(reference)
            .and_then(decode_chunk_record)
            .map_err(|e| self.corrupt_chunk(reference, e))
    }

    /// The record of a chunk as it lies in its file; its checksum is not checked.
    pub(crate) fn raw_chunk(&self, reference: u64) -> Result<RawRecord<'_>, TsdbError> {
        self.chunk_bytes(reference)
            .and_then(RawRecord::find)
            .map_err(|e| self.corrupt_chunk(reference, e))
    }

    /// The error of a damaged chunk.
    pub(crate) fn corrupt_chunk(&self, reference: u64, error: DecodeError) -> TsdbError {
        let dir = self.0.dir.display();
        TsdbError::corrupt(format_args!("{dir}: chunk {reference:#x}"), error)
    }

    /// All bytes from the start of a chunk's record on.
    #[inline]
    fn chunk_bytes(&self, reference: u64) -> Result<&[u8], DecodeError> {
        let file = usize::try_from(reference >> 32).ok();
        let file = file.and_then(|file| self.0.chunk_files.get(file));
        let offset = (reference & 0xffff_ffff) as usize;
        file.and_then(|file| file.get(offset..))
            .filter(|_| offset >= CHUNK_FILE_HEADER_LEN)
            .ok_or(DecodeError::Truncated)
    }
}

impl Queryable for Block {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(querier::BlockQuerier::new(self.clone(), range, context.clone())))
    }
}

/// Reads `meta.json` of the block in `dir`.
pub fn read_meta(fs: &dyn FileSystem, dir: &Path) -> Result<BlockMeta, TsdbError> {
    let path = dir.join(META_FILE);
    let json = fs.read(&path).map_err(|e| TsdbError::io("read", &path, e))?;
    BlockMeta::decode(&json).map_err(|e| TsdbError::Invalid(format!("{}: {e}", path.display())))
}

/// Writes `meta.json` of the block in `dir` anew. A block that is open keeps the old one.
pub fn write_meta(fs: &SharedFs, dir: &Path, meta: &BlockMeta) -> Result<(), TsdbError> {
    let path = dir.join(META_FILE);
    crate::fs::write_atomically(&**fs, &path, &meta.encode())
        .map_err(|e| TsdbError::io("write", &path, e))
}

fn read_tombstones(fs: &dyn FileSystem, path: &Path) -> Result<Tombstones, TsdbError> {
    match fs.read(path) {
        Ok(file) => Tombstones::decode(&file).map_err(|e| TsdbError::corrupt(path.display(), e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Tombstones::default()),
        Err(e) => Err(TsdbError::io("read", path, e)),
    }
}

/// All chunk files. Their numbers must have no gap: references count files.
fn open_chunk_files(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<FileMap>, TsdbError> {
    let entries = fs.read_dir(dir).map_err(|e| TsdbError::io("list", dir, e))?;
    let mut files = Vec::with_capacity(entries.len());
    for entry in entries {
        let Ok(number) = entry.name.parse::<usize>() else { continue };
        let path = dir.join(&entry.name);
        let corrupt = |e| TsdbError::corrupt(path.display(), e);
        if number != files.len() + 1 {
            return Err(corrupt(DecodeError::Invalid("chunk file before it is missing")));
        }
        let file = fs.map(&path).map_err(|e| TsdbError::io("open", &path, e))?;
        check_chunk_file_header(&file).map_err(corrupt)?;
        files.push(file);
    }
    Ok(files)
}

/// The ids of the blocks in `parent`, ascending.
pub fn list_blocks(fs: &dyn FileSystem, parent: &Path) -> Result<Vec<Ulid>, TsdbError> {
    let entries = read_dir_if_exists(fs, parent).map_err(|e| TsdbError::io("list", parent, e))?;
    let dirs = entries.iter().filter(|entry| entry.metadata.is_dir);
    Ok(dirs.filter_map(|entry| block_id(&entry.name)).collect())
}

/// The id that is the name of a block's directory.
fn block_id(name: &str) -> Option<Ulid> {
    let id = Ulid::from_string(name).ok()?;
    (id.to_string() == name).then_some(id)
}

/// Deletes the block `ulid` in `parent`, so that a crash leaves no half of it in use.
pub fn delete_block(fs: &dyn FileSystem, parent: &Path, ulid: Ulid) -> Result<(), TsdbError> {
    let dir = parent.join(ulid.to_string());
    let doomed = parent.join(format!("{ulid}{DELETION_SUFFIX}"));
    fs.rename(&dir, &doomed).map_err(|e| TsdbError::io("rename", &dir, e))?;
    fs.remove_dir_all(&doomed).map_err(|e| TsdbError::io("delete", &doomed, e))
}

/// Removes directories of blocks that were being written or deleted when the process ended.
/// Returns their names.
pub fn remove_leftovers(fs: &dyn FileSystem, parent: &Path) -> Result<Vec<String>, TsdbError> {
    let entries = read_dir_if_exists(fs, parent).map_err(|e| TsdbError::io("list", parent, e))?;
    let suffixes = [CREATION_SUFFIX, DELETION_SUFFIX, LEGACY_SUFFIX];
    let mut removed = Vec::new();
    for entry in entries {
        let block = suffixes.iter().find_map(|suffix| entry.name.strip_suffix(suffix));
        if entry.metadata.is_dir && block.and_then(block_id).is_some() {
            let path = parent.join(&entry.name);
            fs.remove_dir_all(&path).map_err(|e| TsdbError::io("delete", &path, e))?;
            removed.push(entry.name);
        }
    }
    Ok(removed)
}

/// Writes the tombstones file of the block in `dir` anew. A block that is open keeps the old ones.
pub fn write_tombstones(
    fs: &SharedFs,
    dir: &Path,
    tombstones: &Tombstones,
) -> Result<(), TsdbError> {
    let path = dir.join(TOMBSTONES_FILE);
    crate::fs::write_atomically(&**fs, &path, &tombstones.encode())
        .map_err(|e| TsdbError::io("write", &path, e))
}

#[cfg(test)]
mod tests;
