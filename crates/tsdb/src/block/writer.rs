//! Making a block: series in label order with their chunks, in one pass.
//!
//! The block grows in `<ULID>.tmp-for-creation` and gets its name when everything is on the
//! device, so that a crash leaves either the whole block or none.

use std::path::{Path, PathBuf};

use model::{Labels, TimestampMs};

use super::chunk_file::{
    CHUNK_FILE_HEADER_LEN, ChunkRecord, MAX_RECORD_OVERHEAD, chunk_file_header, encode_chunk_record,
};
use super::file_writer::FileWriter;
use super::{CHUNKS_DIR, CREATION_SUFFIX, INDEX_FILE, META_FILE, TOMBSTONES_FILE};
use crate::chunk::{ChunkEncoding, sample_count};
use crate::error::TsdbError;
use crate::fs::SharedFs;
use crate::index::{ChunkMeta, IndexWriter, SymbolSet};
use crate::meta::{BlockMeta, BlockStats};
use crate::tombstones::Tombstones;

/// The most bytes of a chunk file.
pub const DEFAULT_SEGMENT_BYTES: u64 = 512 << 20;

/// A chunk for a new block.
#[derive(Debug, Clone, Copy)]
pub struct BlockChunk<'a> {
    /// Time of the first sample, ms.
    pub min_time_ms: TimestampMs,
    /// Time of the last sample, ms.
    pub max_time_ms: TimestampMs,
    /// How the data is encoded.
    pub encoding: ChunkEncoding,
    /// The chunk.
    pub data: &'a [u8],
}

/// Writes a block. Without [`BlockWriter::finish`] there is none, only a directory that
/// [`super::remove_leftovers`] or [`BlockWriter::abort`] removes.
pub struct BlockWriter {
    fs: SharedFs,
    parent: PathBuf,
    dir: PathBuf,
    meta: BlockMeta,
    index: IndexWriter<FileWriter>,
    chunks: ChunkFiles,
    metas: Vec<ChunkMeta>,
}

impl BlockWriter {
    /// Begins the block `meta.ulid` in the directory `parent`. `symbols` are those of all labels
    /// that will come, or more. The stats of `meta` are filled in by the writer.
    pub fn create(
        fs: SharedFs,
        parent: &Path,
        meta: BlockMeta,
        symbols: SymbolSet,
    ) -> Result<Self, TsdbError> {
        Self::with_segment_bytes(fs, parent, (meta, symbols), DEFAULT_SEGMENT_BYTES)
    }

    /// As [`BlockWriter::create`], with another bound for the size of chunk files.
    pub fn with_segment_bytes(
        fs: SharedFs,
        parent: &Path,
        (meta, symbols): (BlockMeta, SymbolSet),
        segment_bytes: u64,
    ) -> Result<Self, TsdbError> {
        let dir = parent.join(format!("{}{CREATION_SUFFIX}", meta.ulid));
        let chunks_dir = dir.join(CHUNKS_DIR);
        fs.create_dir_all(&chunks_dir).map_err(|e| TsdbError::io("create", &chunks_dir, e))?;
        let file = FileWriter::create(&*fs, dir.join(INDEX_FILE))?;
        let index = IndexWriter::new(file, symbols)?;
        let chunks = ChunkFiles::new(fs.clone(), chunks_dir, segment_bytes);
        let meta = BlockMeta { stats: BlockStats::default(), ..meta };
        Ok(Self { fs, parent: parent.to_path_buf(), dir, meta, index, chunks, metas: Vec::new() })
    }

    /// Appends a series, greater than all before, with its chunks in order of time. A series
    /// without chunks is left out.
    pub fn add_series(
        &mut self,
        labels: &Labels,
        chunks: &[BlockChunk<'_>],
    ) -> Result<(), TsdbError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.metas.clear();
        self.chunks.append(chunks, &mut self.metas)?;
        self.index.add_series(labels, &self.metas)?;
        let stats = &mut self.meta.stats;
        stats.num_series += 1;
        stats.num_chunks += chunks.len() as u64;
        for chunk in chunks {
            let count = sample_count(chunk.encoding, chunk.data)
                .map_err(|e| TsdbError::corrupt(format_args!("chunk of series {labels}"), e))?
                as u64;
            stats.num_samples += count;
            match chunk.encoding.is_float() {
                true => stats.num_float_samples += count,
                false => stats.num_histogram_samples += count,
            }
        }
        Ok(())
    }

    /// Counts of what was added so far.
    pub fn stats(&self) -> &BlockStats {
        &self.meta.stats
    }

    /// Brings everything to the device and gives the block its name. Returns what stands in
    /// `meta.json`; `None`, and nothing is left, where there is no sample.
    pub fn finish(self) -> Result<Option<BlockMeta>, TsdbError> {
        if self.meta.stats.num_samples == 0 {
            self.abort()?;
            return Ok(None);
        }
        let Self { fs, parent, dir, meta, index, chunks, .. } = self;
        chunks.finish()?;
        index.finish()?.finish()?;
        let files = [(TOMBSTONES_FILE, Tombstones::default().encode()), (META_FILE, meta.encode())];
        for (name, content) in files {
            let mut file = FileWriter::create(&*fs, dir.join(name))?;
            file.buffer().extend_from_slice(&content);
            file.finish()?;
        }
        let sync_dir = |dir: &Path| fs.sync_dir(dir).map_err(|e| TsdbError::io("sync", dir, e));
        sync_dir(&dir.join(CHUNKS_DIR))?;
        sync_dir(&dir)?;
        let named = parent.join(meta.ulid.to_string());
        fs.rename(&dir, &named).map_err(|e| TsdbError::io("rename", &dir, e))?;
        sync_dir(&parent)?;
        Ok(Some(meta))
    }

    /// Gives up and removes what was written.
    pub fn abort(self) -> Result<(), TsdbError> {
        let Self { fs, dir, .. } = self;
        fs.remove_dir_all(&dir).map_err(|e| TsdbError::io("delete", &dir, e))
    }
}

/// The chunk files of a block that is being written.
struct ChunkFiles {
    fs: SharedFs,
    dir: PathBuf,
    segment_bytes: u64,
    file: Option<FileWriter>,
    /// Files that were begun.
    count: u64,
}

impl ChunkFiles {
    fn new(fs: SharedFs, dir: PathBuf, segment_bytes: u64) -> Self {
        Self { fs, dir, segment_bytes, file: None, count: 0 }
    }

    /// Appends the chunks of one series and tells where they are. They go to a new file together
    /// if they do not fit the open one, and to several if they do not fit one at all; where a
    /// file ends is Prometheus' choice to the byte.
    fn append(
        &mut self,
        chunks: &[BlockChunk<'_>],
        metas: &mut Vec<ChunkMeta>,
    ) -> Result<(), TsdbError> {
        if self.file.is_none() {
            self.begin_file()?;
        }
        let filled = self.file.as_ref().map_or(0, FileWriter::position);
        let first_limit = self.segment_bytes.saturating_sub(filled);
        let later_limit = self.segment_bytes.saturating_sub(CHUNK_FILE_HEADER_LEN as u64);
        let mut is_fresh = filled == CHUNK_FILE_HEADER_LEN as u64;
        let (mut limit, mut batch) = (first_limit, 0);
        let mut starts = Vec::new();
        for (i, chunk) in chunks.iter().enumerate() {
            let size = (chunk.data.len() + MAX_RECORD_OVERHEAD) as u64;
            batch += size;
            if batch > limit && !(i == 0 && is_fresh) {
                starts.push(i);
                (limit, batch, is_fresh) = (later_limit, size, false);
            }
        }
        for (i, chunk) in chunks.iter().enumerate() {
            if starts.contains(&i) {
                self.begin_file()?;
            }
            metas.push(self.put(chunk)?);
        }
        Ok(())
    }

    fn put(&mut self, chunk: &BlockChunk<'_>) -> Result<ChunkMeta, TsdbError> {
        let file = self.file.as_mut().ok_or_else(|| {
            TsdbError::Invalid("a chunk file is written to before it is begun".to_owned())
        })?;
        let offset = file.position();
        if offset > u64::from(u32::MAX) {
            return Err(TsdbError::TooLarge("a chunk file takes more than 4 GiB".to_owned()));
        }
        let record = ChunkRecord { encoding: chunk.encoding, data: chunk.data };
        encode_chunk_record(file.buffer(), record);
        file.flush_if_full()?;
        Ok(ChunkMeta {
            min_time_ms: chunk.min_time_ms,
            max_time_ms: chunk.max_time_ms,
            reference: (self.count - 1) << 32 | offset,
        })
    }

    fn begin_file(&mut self) -> Result<(), TsdbError> {
        if let Some(file) = self.file.take() {
            file.finish()?;
        }
        self.count += 1;
        let mut file = FileWriter::create(&*self.fs, self.dir.join(format!("{:06}", self.count)))?;
        file.buffer().extend_from_slice(&chunk_file_header());
        self.file = Some(file);
        Ok(())
    }

    fn finish(self) -> Result<(), TsdbError> {
        self.file.map_or(Ok(()), |file| file.finish().map(|_| ()))
    }
}
