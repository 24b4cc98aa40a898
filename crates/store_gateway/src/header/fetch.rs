//! Fetching the parts of an index that make a header, by ranges, into a file on local disk. In
//! pieces: an index of hundreds of millions of series has a header of gigabytes.

use std::future::Future;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use model::StorageError;
use tsdb::error::DecodeError;
use tsdb::fs::FileSystem;
use tsdb::index::{INDEX_HEADER_LEN, Toc, check_index_header};

use super::{HEADER_FILE, START_LEN, Sections, encode_start, encode_toc};

/// So much is fetched and written at a time.
const PIECE_BYTES: u64 = 4 << 20;
/// So much of the start and of the end is fetched first.
const START_BYTES: u64 = 16;
const END_BYTES: u64 = 64 << 10;
/// What a section has around its content: its length and its checksum.
const AROUND_SECTION_BYTES: u64 = 8;

/// The index of a block in the bucket.
pub(crate) trait HeaderSource {
    /// The size of the file.
    fn size_bytes(&self) -> impl Future<Output = Result<u64, StorageError>> + Send;
    /// A part of it, as long as asked for.
    fn read(&self, range: Range<u64>) -> impl Future<Output = Result<Bytes, StorageError>> + Send;
    /// The error for an index that makes no sense.
    fn corrupt(&self, error: DecodeError) -> StorageError;
    /// The error for a local disk that fails.
    fn local(&self, error: &std::io::Error) -> StorageError;
}

/// Start and end of an index file, which are needed to find the rest; of a small one everything.
struct Ends {
    start: Bytes,
    end: Bytes,
    size_bytes: u64,
}

impl Ends {
    async fn fetch(source: &impl HeaderSource) -> Result<Self, StorageError> {
        let size_bytes = source.size_bytes().await?;
        let end_at = size_bytes.saturating_sub(END_BYTES);
        let end = source.read(end_at..size_bytes).await?;
        let start = match end_at {
            0 => end.clone(),
            _ => source.read(0..START_BYTES.min(end_at)).await?,
        };
        Ok(Self { start, end, size_bytes })
    }

    /// A part of the file, from what is there or from the bucket.
    async fn read(
        &self,
        source: &impl HeaderSource,
        range: Range<u64>,
    ) -> Result<Bytes, StorageError> {
        let end_at = self.size_bytes - self.end.len() as u64;
        // Both lengths came from memory.
        if range.end <= self.start.len() as u64 {
            return Ok(self.start.slice(range.start as usize..range.end as usize));
        }
        if range.start >= end_at && range.end <= self.size_bytes {
            let (from, to) = (range.start - end_at, range.end - end_at);
            return Ok(self.end.slice(from as usize..to as usize));
        }
        source.read(range).await
    }
}

/// Where in an index file the parts are.
struct Layout {
    index_version: u8,
    symbols: Range<u64>,
    offsets: Range<u64>,
}

/// Fetches the header of an index into `dir`. After a crash there is the whole file or none.
pub(crate) async fn fetch_header(
    fs: &dyn FileSystem,
    dir: &Path,
    source: &impl HeaderSource,
) -> Result<(), StorageError> {
    let local = |error: std::io::Error| source.local(&error);
    let ends = Ends::fetch(source).await?;
    let layout = layout(source, &ends).await?;
    fs.create_dir_all(dir).map_err(local)?;
    let temporary = dir.join(format!("{HEADER_FILE}.tmp"));
    let file = fs.create(&temporary).map_err(local)?;
    let start = encode_start(layout.index_version, layout.offsets.start);
    file.write_all_at(&start, 0).map_err(local)?;
    let mut at = START_LEN as u64;
    let symbols_at = at;
    for part in [layout.symbols.clone(), layout.offsets.clone()] {
        let mut from = part.start;
        while from < part.end {
            let to = part.end.min(from + PIECE_BYTES);
            let piece = ends.read(source, from..to).await?;
            file.write_all_at(&piece, at).map_err(local)?;
            at += piece.len() as u64;
            from = to;
        }
    }
    let offsets_at = symbols_at + (layout.symbols.end - layout.symbols.start);
    file.write_all_at(&encode_toc(symbols_at, offsets_at), at).map_err(local)?;
    file.sync_data().map_err(local)?;
    drop(file);
    let written = fs.map(&temporary).map_err(local)?;
    let sections = Sections::find(&written).map_err(|e| source.corrupt(e))?;
    sections.verify(&written).map_err(|e| source.corrupt(e))?;
    drop(written);
    fs.rename(&temporary, &dir.join(HEADER_FILE)).map_err(local)?;
    fs.sync_dir(dir).map_err(local)
}

async fn layout(source: &impl HeaderSource, ends: &Ends) -> Result<Layout, StorageError> {
    let corrupt = |error| source.corrupt(error);
    let end = ends.size_bytes.checked_sub(Toc::LEN as u64).ok_or(DecodeError::Truncated);
    let end = end.map_err(corrupt)?;
    let toc = ends.read(source, end..ends.size_bytes).await?;
    let toc = Toc::decode(&toc).map_err(corrupt)?;
    let in_order = toc.symbols >= INDEX_HEADER_LEN as u64
        && toc.symbols <= toc.series
        && toc.series <= toc.postings
        && toc.postings <= toc.postings_offsets
        && toc.postings_offsets <= end;
    if !in_order {
        let error = "table of contents of the index is not in order";
        return Err(corrupt(DecodeError::Invalid(error)));
    }
    let first = ends.read(source, 0..INDEX_HEADER_LEN as u64).await?;
    check_index_header(&first).map_err(corrupt)?;
    let symbols = section(source, ends, toc.symbols..toc.series).await?;
    let offsets = section(source, ends, toc.postings_offsets..end).await?;
    // The check has shown that it has a fifth byte.
    let index_version = first.last().copied().unwrap_or_default();
    Ok(Layout { index_version, symbols, offsets })
}

/// The section at the start of `within` with its length and checksum.
async fn section(
    source: &impl HeaderSource,
    ends: &Ends,
    within: Range<u64>,
) -> Result<Range<u64>, StorageError> {
    let truncated = || source.corrupt(DecodeError::Truncated);
    let Range { start, end } = within;
    if start.saturating_add(AROUND_SECTION_BYTES) > end {
        return Err(truncated());
    }
    let length = ends.read(source, start..start + 4).await?;
    let length = length.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    let section_end = start + AROUND_SECTION_BYTES + u64::from(length.ok_or_else(truncated)?);
    if section_end <= end { Ok(start..section_end) } else { Err(truncated()) }
}
