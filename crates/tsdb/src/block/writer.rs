//! Making a block: series in label order with their chunks, in one pass.
//!
//! The block grows in `<ULID>.tmp-for-creation` and gets its name when everything is on the
//! device, so that a crash leaves either the whole block or none.

use std::ops::Range;
use std::path::{Path, PathBuf};

use model::{Labels, TimestampMs};

use super::chunk_file::{
    CHUNK_FILE_HEADER_LEN, ChunkRecord, MAX_RECORD_OVERHEAD, chunk_file_header, encode_chunk_record,
};
use super::file_writer::FileWriter;
use super::{CHUNKS_DIR, CREATION_SUFFIX, INDEX_FILE, META_FILE, TOMBSTONES_FILE};
use crate::chunk::{ChunkEncoding, sample_count};
use crate::encoding::{MAX_VARINT_LEN32, uvarint_len};
use crate::error::TsdbError;
use crate::fs::SharedFs;
use crate::index::{ChunkMeta, IndexWriter, PostingsSpill, SymbolSet, Symbols};
use crate::meta::{BlockMeta, BlockStats};
use crate::tombstones::Tombstones;

/// The most bytes of a chunk file.
pub const DEFAULT_SEGMENT_BYTES: u64 = 512 << 20;

/// Postings that do not fit memory while the block is written.
const SPILL_FILE: &str = "postings.tmp";

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

/// A chunk for a new block whose record is complete already: in another block, or in a buffer
/// of the caller.
#[derive(Debug, Clone)]
pub(crate) struct StoredChunk<'a> {
    /// Time of the first sample, ms.
    pub(crate) min_time_ms: TimestampMs,
    /// Time of the last sample, ms.
    pub(crate) max_time_ms: TimestampMs,
    /// How the data is encoded.
    pub(crate) encoding: ChunkEncoding,
    /// The number of samples.
    pub(crate) sample_count: u16,
    /// Where the record lies.
    pub(crate) place: RecordPlace<'a>,
}

/// Where a complete record lies.
#[derive(Debug, Clone)]
pub(crate) enum RecordPlace<'a> {
    /// In a mapped file.
    Mapped(&'a [u8]),
    /// In the caller's buffer.
    Buffer(Range<usize>),
}

impl StoredChunk<'_> {
    /// The record; `buffer` is the caller's.
    #[inline]
    pub(crate) fn record<'a>(&'a self, buffer: &'a [u8]) -> &'a [u8] {
        match &self.place {
            RecordPlace::Mapped(record) => record,
            RecordPlace::Buffer(range) => &buffer[range.clone()],
        }
    }
}

/// How a block is written.
pub(crate) struct BlockWriterOptions {
    /// The most bytes of a chunk file.
    pub(crate) segment_bytes: u64,
    /// So many postings entries are held in memory, more go to a temporary file.
    pub(crate) max_postings_entries: Option<usize>,
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
        let options = BlockWriterOptions { segment_bytes, max_postings_entries: None };
        Self::with_options(fs, parent, (meta, symbols.into()), &options)
    }

    /// As [`BlockWriter::create`], with options.
    pub(crate) fn with_options(
        fs: SharedFs,
        parent: &Path,
        (meta, symbols): (BlockMeta, Symbols),
        options: &BlockWriterOptions,
    ) -> Result<Self, TsdbError> {
        let dir = parent.join(format!("{}{CREATION_SUFFIX}", meta.ulid));
        let begun = Self::begin(&fs, &dir, symbols, options);
        let (index, chunks) = begun.inspect_err(|_| {
            // What cannot be removed now is removed at the next start.
            let _ = fs.remove_dir_all(&dir);
        })?;
        let meta = BlockMeta { stats: BlockStats::default(), ..meta };
        Ok(Self { fs, parent: parent.to_path_buf(), dir, meta, index, chunks, metas: Vec::new() })
    }

    fn begin(
        fs: &SharedFs,
        dir: &Path,
        symbols: Symbols,
        options: &BlockWriterOptions,
    ) -> Result<(IndexWriter<FileWriter>, ChunkFiles), TsdbError> {
        let chunks_dir = dir.join(CHUNKS_DIR);
        fs.create_dir_all(&chunks_dir).map_err(|e| TsdbError::io("create", &chunks_dir, e))?;
        let file = FileWriter::create(&**fs, dir.join(INDEX_FILE))?;
        let spill = options.max_postings_entries.map(|max_entries| PostingsSpill {
            fs: fs.clone(),
            path: dir.join(SPILL_FILE),
            max_entries,
        });
        let index = IndexWriter::with_spill(file, symbols, spill)?;
        let chunks = ChunkFiles::new(fs.clone(), chunks_dir, options.segment_bytes);
        Ok((index, chunks))
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
        self.chunks.append(chunks, &mut self.metas, |chunk, out| {
            let record = ChunkRecord { encoding: chunk.encoding, data: chunk.data };
            encode_chunk_record(out, record);
        })?;
        self.index.add_series(labels, &self.metas)?;
        self.meta.stats.num_series += 1;
        for chunk in chunks {
            let count = sample_count(chunk.encoding, chunk.data)
                .map_err(|e| TsdbError::corrupt(format_args!("chunk of series {labels}"), e))?;
            count_chunk(&mut self.meta.stats, chunk.encoding, count as u64);
        }
        Ok(())
    }

    /// As [`BlockWriter::add_series`], with labels as [`IndexWriter::add_numbered`] takes them
    /// and chunks that are records already, in files or in `buffer`.
    pub(crate) fn add_stored(
        &mut self,
        labels: &[u64],
        chunks: &[StoredChunk<'_>],
        buffer: &[u8],
    ) -> Result<(), TsdbError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.metas.clear();
        let put = |chunk: &StoredChunk<'_>, out: &mut Vec<u8>| {
            out.extend_from_slice(chunk.record(buffer));
        };
        self.chunks.append(chunks, &mut self.metas, put)?;
        self.index.add_numbered(labels, &self.metas)?;
        self.meta.stats.num_series += 1;
        for chunk in chunks {
            count_chunk(&mut self.meta.stats, chunk.encoding, u64::from(chunk.sample_count));
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
        self.seal()?.map(SealedBlock::publish).transpose()
    }

    /// Brings everything to the device. `None`, and nothing is left, where there is no sample.
    /// Nothing is left after an error, either.
    pub(crate) fn seal(self) -> Result<Option<SealedBlock>, TsdbError> {
        if self.meta.stats.num_samples == 0 {
            self.abort()?;
            return Ok(None);
        }
        let (fs, dir) = (self.fs.clone(), self.dir.clone());
        let sealed = self.finish_files();
        sealed.map(Some).inspect_err(|_| {
            // What cannot be removed now is removed at the next start.
            let _ = fs.remove_dir_all(&dir);
        })
    }

    fn finish_files(self) -> Result<SealedBlock, TsdbError> {
        let Self { fs, parent, dir, mut meta, index, chunks, .. } = self;
        if let Some(thanos) = &mut meta.thanos {
            thanos.segment_files = (1..=chunks.count).map(chunk_file_name).collect();
        }
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
        Ok(SealedBlock { fs, parent, dir, meta })
    }

    /// Gives up and removes what was written.
    pub fn abort(self) -> Result<(), TsdbError> {
        let Self { fs, dir, .. } = self;
        fs.remove_dir_all(&dir).map_err(|e| TsdbError::io("delete", &dir, e))
    }
}

/// A block that is complete and on the device, and has no name yet.
pub(crate) struct SealedBlock {
    fs: SharedFs,
    parent: PathBuf,
    dir: PathBuf,
    meta: BlockMeta,
}

impl SealedBlock {
    /// Gives the block its name.
    pub(crate) fn publish(self) -> Result<BlockMeta, TsdbError> {
        let Self { fs, parent, dir, meta } = self;
        let named = parent.join(meta.ulid.to_string());
        fs.rename(&dir, &named).map_err(|e| TsdbError::io("rename", &dir, e))?;
        fs.sync_dir(&parent).map_err(|e| TsdbError::io("sync", &parent, e))?;
        Ok(meta)
    }

    /// Removes it.
    pub(crate) fn discard(self) -> Result<(), TsdbError> {
        self.fs.remove_dir_all(&self.dir).map_err(|e| TsdbError::io("delete", &self.dir, e))
    }
}

fn count_chunk(stats: &mut BlockStats, encoding: ChunkEncoding, samples: u64) {
    stats.num_chunks += 1;
    stats.num_samples += samples;
    match encoding.is_float() {
        true => stats.num_float_samples += samples,
        false => stats.num_histogram_samples += samples,
    }
}

fn chunk_file_name(number: u64) -> String {
    format!("{number:06}")
}

/// A chunk that can be appended to a chunk file.
trait NewChunk {
    /// Times of the first and the last sample.
    fn times(&self) -> (TimestampMs, TimestampMs);
    /// Bytes of the record at most, as Prometheus counts them.
    fn max_record_len(&self) -> u64;
}

impl NewChunk for BlockChunk<'_> {
    fn times(&self) -> (TimestampMs, TimestampMs) {
        (self.min_time_ms, self.max_time_ms)
    }

    fn max_record_len(&self) -> u64 {
        (self.data.len() + MAX_RECORD_OVERHEAD) as u64
    }
}

impl NewChunk for StoredChunk<'_> {
    fn times(&self) -> (TimestampMs, TimestampMs) {
        (self.min_time_ms, self.max_time_ms)
    }

    #[inline]
    fn max_record_len(&self) -> u64 {
        let len = match &self.place {
            RecordPlace::Mapped(record) => record.len(),
            RecordPlace::Buffer(range) => range.len(),
        };
        // The record has its length as a varint in it, which may be shorter than the longest.
        let data = |varint: usize| len - varint - 5;
        let varint = (1..=MAX_VARINT_LEN32).find(|&n| uvarint_len(data(n) as u64) == n);
        (data(varint.unwrap_or(1)) + MAX_RECORD_OVERHEAD) as u64
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
    /// Which chunks of a series begin a file.
    starts: Vec<usize>,
}

impl ChunkFiles {
    fn new(fs: SharedFs, dir: PathBuf, segment_bytes: u64) -> Self {
        Self { fs, dir, segment_bytes, file: None, count: 0, starts: Vec::new() }
    }

    /// Appends the chunks of one series and tells where they are. They go to a new file together
    /// if they do not fit the open one, and to several if they do not fit one at all; where a
    /// file ends is Prometheus' choice to the byte.
    fn append<C: NewChunk>(
        &mut self,
        chunks: &[C],
        metas: &mut Vec<ChunkMeta>,
        put: impl Fn(&C, &mut Vec<u8>),
    ) -> Result<(), TsdbError> {
        if self.file.is_none() {
            self.begin_file()?;
        }
        let filled = self.file.as_ref().map_or(0, FileWriter::position);
        let first_limit = self.segment_bytes.saturating_sub(filled);
        let later_limit = self.segment_bytes.saturating_sub(CHUNK_FILE_HEADER_LEN as u64);
        let mut is_fresh = filled == CHUNK_FILE_HEADER_LEN as u64;
        let (mut limit, mut batch) = (first_limit, 0);
        for (i, chunk) in chunks.iter().enumerate() {
            let size = chunk.max_record_len();
            batch += size;
            if batch > limit && !(i == 0 && is_fresh) {
                self.starts.push(i);
                (limit, batch, is_fresh) = (later_limit, size, false);
            }
        }
        let mut starts = std::mem::take(&mut self.starts);
        for (i, chunk) in chunks.iter().enumerate() {
            if starts.contains(&i) {
                self.begin_file()?;
            }
            metas.push(self.put(chunk, &put)?);
        }
        starts.clear();
        self.starts = starts;
        Ok(())
    }

    #[inline]
    fn put<C: NewChunk>(
        &mut self,
        chunk: &C,
        put: &impl Fn(&C, &mut Vec<u8>),
    ) -> Result<ChunkMeta, TsdbError> {
        let file = self.file.as_mut().ok_or_else(|| {
            TsdbError::Invalid("a chunk file is written to before it is begun".to_owned())
        })?;
        let offset = file.position();
        if offset > u64::from(u32::MAX) {
            return Err(TsdbError::TooLarge("a chunk file takes more than 4 GiB".to_owned()));
        }
        put(chunk, file.buffer());
        file.flush_if_full()?;
        let (min_time_ms, max_time_ms) = chunk.times();
        Ok(ChunkMeta { min_time_ms, max_time_ms, reference: (self.count - 1) << 32 | offset })
    }

    fn begin_file(&mut self) -> Result<(), TsdbError> {
        if let Some(file) = self.file.take() {
            file.finish()?;
        }
        self.count += 1;
        let mut file = FileWriter::create(&*self.fs, self.dir.join(chunk_file_name(self.count)))?;
        file.buffer().extend_from_slice(&chunk_file_header());
        self.file = Some(file);
        Ok(())
    }

    fn finish(self) -> Result<(), TsdbError> {
        self.file.map_or(Ok(()), |file| file.finish().map(|_| ()))
    }
}
