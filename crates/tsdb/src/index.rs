//! The index file of a block: symbols, series, postings and where they lie. Version 2 is
//! written, version 1 can be read.
//!
//! [`IndexReader`] reads a file that is mapped or in memory; [`IndexWriter`] streams one out. The
//! parts decode from byte ranges and do no IO ([`Toc`], [`SymbolTable`], [`PostingsOffsets`],
//! [`decode_postings`], [`decode_series`]), so that a bucket's index can be read by ranges with
//! the same code. The format is drawn in `docs/format/index.md`. Foreign bytes: never a panic.

mod offsets;
mod reader;
mod series;
mod symbols;
mod toc;
mod v1;
mod writer;

pub use offsets::{PostingsOffset, PostingsOffsets, SampledName, ValueCursor};
pub use reader::{IndexReader, LabelMemo};
pub use series::{ChunkMeta, SeriesRow, decode_series, series_entry_len};
pub use symbols::SymbolTable;
pub use toc::Toc;
pub use writer::{IndexSink, IndexWriter, PostingsSpill, SymbolMarks, SymbolSet, Symbols};

use std::ops::Range;

use crate::encoding::{Decoder, check_crc};
use crate::error::DecodeError;
use crate::postings::PostingsList;

/// The first four bytes of an index file.
pub const INDEX_MAGIC: u32 = 0xbaaa_d700;
/// The version that is written.
pub const INDEX_VERSION: u8 = 2;
/// Length of magic and version, bytes.
pub const INDEX_HEADER_LEN: usize = 5;
/// Series start at multiples of this; the number of a series is its offset divided by it.
pub const SERIES_ALIGNMENT: u64 = 16;
/// Every so many entries of sorted tables a reader remembers where the entry is.
const SAMPLING: usize = 32;

/// Checks magic and version; version 1 can only be read as a whole file, by [`IndexReader`].
pub fn check_index_header(file: &[u8]) -> Result<(), DecodeError> {
    match index_version(file)? {
        // Nothing writes version 3; it reads like version 2.
        INDEX_VERSION | 3 => Ok(()),
        _ => Err(DecodeError::Invalid("unsupported version of the index file")),
    }
}

fn index_version(file: &[u8]) -> Result<u8, DecodeError> {
    let mut decoder = Decoder::new(file);
    if decoder.be32()? != INDEX_MAGIC {
        return Err(DecodeError::Invalid("this is no index file"));
    }
    decoder.byte()
}

/// The content of a section or list at `start`: `length be32 | content | CRC`, with its checksum
/// checked.
pub fn checked_section(file: &[u8], start: u64) -> Result<(&[u8], Range<usize>), DecodeError> {
    let start = usize::try_from(start).map_err(|_| DecodeError::Truncated)?;
    let mut decoder = Decoder::new(file.get(start..).ok_or(DecodeError::Truncated)?);
    let length = decoder.be32()? as usize;
    let content = decoder.bytes(length)?;
    check_crc(decoder.be32()?, content)?;
    Ok((content, start + 4..start + 4 + length))
}

/// A postings list at the start of `bytes`: `length be32 | count be32 | numbers | CRC`.
pub fn decode_postings(bytes: &[u8]) -> Result<PostingsList<'_>, DecodeError> {
    let (content, _) = checked_section(bytes, 0)?;
    let mut decoder = Decoder::new(content);
    let count = decoder.be32()? as usize;
    let list = PostingsList::big_endian(decoder.rest())?;
    if list.len() != count {
        return Err(DecodeError::Invalid("postings list has another length than it says"));
    }
    Ok(list)
}

#[cfg(test)]
mod tests;
