//! The checksums of a block that lies in a bucket: of every chunk and of every part of the index,
//! read from front to back in pieces. Memory does not depend on the size of the block.

use bucket::{Bucket, BucketError};
use bytes::{Buf as _, BytesMut};
use tsdb::block::{
    CHUNK_FILE_HEADER_LEN, check_chunk_file_header, chunk_record_len, decode_chunk_record,
};
use tsdb::encoding::{Crc32c, Decoder};
use tsdb::error::DecodeError;
use tsdb::index::{
    INDEX_HEADER_LEN, SERIES_ALIGNMENT, SeriesRow, Toc, check_index_header, decode_series,
    series_entry_len,
};

/// What is fetched at once.
const PIECE_BYTES: u64 = 4 << 20;
/// A chunk or a series that says that it is larger is damaged.
const MAX_ENTRY_BYTES: usize = 256 << 20;
/// More than the length in front of a chunk or a series takes.
const LENGTH_BYTES: usize = 10;

/// Why a file is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("at {offset}: {source}")]
    Damaged { offset: u64, source: DecodeError },
}

/// What an index lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Listed {
    pub(super) series: u64,
    pub(super) chunks: u64,
}

/// Checks a chunk file. Returns how many chunks it holds.
pub(super) async fn chunk_file(
    bucket: &Bucket,
    (key, size_bytes): (String, u64),
) -> Result<u64, FileError> {
    let mut file = Stream::new(bucket, key, size_bytes);
    let header = file.peek(CHUNK_FILE_HEADER_LEN).await?;
    check_chunk_file_header(header).map_err(|error| file.damaged(error))?;
    file.advance(CHUNK_FILE_HEADER_LEN);
    let mut chunks = 0;
    while file.position() < size_bytes {
        let length = chunk_record_len(file.peek_some(LENGTH_BYTES).await?);
        let length = length.map_err(|error| file.damaged(error))?;
        let record = decode_chunk_record(file.peek(length).await?).map(drop);
        record.map_err(|error| file.damaged(error))?;
        file.advance(length);
        chunks += 1;
    }
    Ok(chunks)
}

/// Checks an index. Returns what it lists.
pub(super) async fn index(
    bucket: &Bucket,
    (key, size_bytes): (String, u64),
) -> Result<Listed, FileError> {
    let toc_start = size_bytes.saturating_sub(Toc::LEN as u64);
    let mut end = Stream::new(bucket, key.clone(), size_bytes);
    end.skip_to(toc_start);
    let bytes = end.peek(Toc::LEN).await?;
    let parts = Parts::decode(bytes).map_err(|error| end.damaged(error))?;
    let mut file = Stream::new(bucket, key, size_bytes);
    let header = file.peek(INDEX_HEADER_LEN).await?;
    check_index_header(header).map_err(|error| file.damaged(error))?;
    file.skip_to(parts.toc.symbols);
    section(&mut file).await?;
    let listed = series(&mut file, (parts.toc.series, parts.label_indices)).await?;
    for (from, to) in [
        (parts.label_indices, parts.toc.postings),
        (parts.toc.postings, parts.label_table),
        (parts.label_table, parts.toc.postings_offsets),
        (parts.toc.postings_offsets, toc_start),
    ] {
        sections(&mut file, from, to).await?;
    }
    Ok(listed)
}

/// The table of contents with the two sections that old writers have and nobody reads. Where they
/// are missing their places are those of what follows.
struct Parts {
    toc: Toc,
    label_indices: u64,
    label_table: u64,
}

impl Parts {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let toc = Toc::decode(bytes)?;
        let mut decoder = Decoder::new(bytes);
        decoder.skip(2 * 8)?;
        let or = |place: u64, default: u64| if place == 0 { default } else { place };
        let label_indices = or(decoder.be64()?, toc.postings);
        let label_table = or(decoder.be64()?, toc.postings_offsets);
        let order = [
            toc.symbols,
            toc.series,
            label_indices,
            toc.postings,
            label_table,
            toc.postings_offsets,
        ];
        if !order.is_sorted() {
            return Err(DecodeError::Invalid("sections are not in order"));
        }
        Ok(Self { toc, label_indices, label_table })
    }
}

/// Series between two places.
async fn series(file: &mut Stream<'_>, (from, to): (u64, u64)) -> Result<Listed, FileError> {
    let mut listed = Listed::default();
    let mut row = SeriesRow::default();
    let mut at = from.next_multiple_of(SERIES_ALIGNMENT);
    while at < to {
        file.skip_to(at);
        let length = series_entry_len(file.peek_some(LENGTH_BYTES).await?);
        let length = length.map_err(|error| file.damaged(error))?;
        let bytes = file.peek(length).await?;
        decode_series(bytes, &mut row).map_err(|error| file.damaged(error))?;
        file.advance(length);
        listed.series += 1;
        listed.chunks += row.chunks.len() as u64;
        at = file.position().next_multiple_of(SERIES_ALIGNMENT);
    }
    Ok(listed)
}

/// Sections one after the other, each at a multiple of four bytes.
async fn sections(file: &mut Stream<'_>, from: u64, to: u64) -> Result<(), FileError> {
    let mut at = from.next_multiple_of(4);
    while at < to {
        file.skip_to(at);
        section(file).await?;
        at = file.position().next_multiple_of(4);
    }
    Ok(())
}

/// `length be32 | content | CRC`.
async fn section(file: &mut Stream<'_>) -> Result<(), FileError> {
    let start = file.position();
    let length = file.peek(4).await?.get_u32();
    file.advance(4);
    let (mut left, mut crc) = (u64::from(length), Crc32c::default());
    while left > 0 {
        let piece = file.peek_some(usize::try_from(left.min(PIECE_BYTES)).unwrap_or(1)).await?;
        let taken = piece.len();
        if taken == 0 {
            return Err(FileError::Damaged { offset: start, source: DecodeError::Truncated });
        }
        crc.update(piece);
        file.advance(taken);
        left -= taken as u64;
    }
    let expected = file.peek(4).await?.get_u32();
    file.advance(4);
    if expected == crc.value() {
        return Ok(());
    }
    let source = DecodeError::Checksum { expected, actual: crc.value() };
    Err(FileError::Damaged { offset: start, source })
}

/// A file of a bucket, from front to back.
struct Stream<'a> {
    bucket: &'a Bucket,
    key: String,
    size_bytes: u64,
    /// Where the next piece begins.
    next: u64,
    buffer: BytesMut,
}

impl<'a> Stream<'a> {
    fn new(bucket: &'a Bucket, key: String, size_bytes: u64) -> Self {
        Self { bucket, key, size_bytes, next: 0, buffer: BytesMut::new() }
    }

    fn position(&self) -> u64 {
        self.next - self.buffer.len() as u64
    }

    fn damaged(&self, source: DecodeError) -> FileError {
        FileError::Damaged { offset: self.position(), source }
    }

    /// The next bytes, fewer than `count` only at the end of the file.
    async fn peek_some(&mut self, count: usize) -> Result<&[u8], FileError> {
        while self.buffer.len() < count && self.next < self.size_bytes {
            let end = self.size_bytes.min(self.next + PIECE_BYTES);
            let piece = self.bucket.get_range(&self.key, self.next..end).await?;
            if piece.is_empty() {
                return Err(self.damaged(DecodeError::Truncated));
            }
            self.next += piece.len() as u64;
            self.buffer.extend_from_slice(&piece);
        }
        Ok(&self.buffer[..self.buffer.len().min(count)])
    }

    /// The next `count` bytes.
    async fn peek(&mut self, count: usize) -> Result<&[u8], FileError> {
        let fits = self.position() + count as u64 <= self.size_bytes;
        if !fits || count > MAX_ENTRY_BYTES {
            return Err(self.damaged(DecodeError::Truncated));
        }
        self.peek_some(count).await
    }

    fn advance(&mut self, count: usize) {
        self.buffer.advance(count);
    }

    /// Goes on at a later place.
    fn skip_to(&mut self, offset: u64) {
        if offset >= self.next {
            self.buffer.clear();
            self.next = offset;
        } else if let Some(count) = offset.checked_sub(self.position()) {
            self.buffer.advance(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }
}
