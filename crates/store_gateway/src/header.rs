//! The part of an index that every query needs: symbols and the postings offset table. Fetched by
//! ranges from the two ends of the index file; kept in memory while it is used.

use std::ops::Range;

use bytes::Bytes;
use tsdb::error::DecodeError;
use tsdb::index::{
    INDEX_HEADER_LEN, PostingsOffsets, SERIES_ALIGNMENT, SymbolTable, Toc, check_index_header,
    checked_section,
};

/// So much of the end of an index file is fetched with the table of contents: of a small index it
/// is everything.
pub(crate) const TAIL_BYTES: u64 = 64 << 10;

/// Symbols and the postings offset table of one index.
pub(crate) struct IndexHeader {
    size_bytes: u64,
    toc: Toc,
    /// The file up to the series.
    head: Bytes,
    symbols_at: Range<usize>,
    symbols: SymbolTable,
    /// The file from the postings offset table on.
    tail: Bytes,
    offsets_at: Range<usize>,
    offsets: PostingsOffsets,
}

/// Where in an index file the header is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    toc: Toc,
    size_bytes: u64,
    /// Magic, version and symbols.
    pub(crate) head: Range<u64>,
    /// From the postings offset table to the table of contents.
    pub(crate) tail: Range<u64>,
}

impl Layout {
    /// Reads the table of contents: `end` is the end of an index file of `size_bytes`.
    pub(crate) fn decode(size_bytes: u64, end: &[u8]) -> Result<Self, DecodeError> {
        let at = end.len().checked_sub(Toc::LEN).ok_or(DecodeError::Truncated)?;
        let toc = Toc::decode(&end[at..])?;
        let tail_end = size_bytes.checked_sub(Toc::LEN as u64).ok_or(DecodeError::Truncated)?;
        let in_order = toc.symbols >= INDEX_HEADER_LEN as u64
            && toc.symbols <= toc.series
            && toc.series <= toc.postings
            && toc.postings <= toc.postings_offsets
            && toc.postings_offsets <= tail_end;
        if !in_order {
            return Err(DecodeError::Invalid("table of contents of the index is not in order"));
        }
        let (head, tail) = (0..toc.series, toc.postings_offsets..tail_end);
        Ok(Self { toc, size_bytes, head, tail })
    }
}

impl IndexHeader {
    /// Decodes the parts that `layout` names.
    pub(crate) fn decode(layout: &Layout, head: Bytes, tail: Bytes) -> Result<Self, DecodeError> {
        check_index_header(&head)?;
        let (symbols, symbols_at) = checked_section(&head, layout.toc.symbols)?;
        let symbols = SymbolTable::new(symbols)?;
        let (offsets, offsets_at) = checked_section(&tail, 0)?;
        let offsets = PostingsOffsets::new(offsets)?;
        let (toc, size_bytes) = (layout.toc, layout.size_bytes);
        Ok(Self { size_bytes, toc, head, symbols_at, symbols, tail, offsets_at, offsets })
    }

    /// The size of the index file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Where the entry of a series begins.
    pub(crate) fn series_start(&self, series: u32) -> Result<u64, DecodeError> {
        let start = u64::from(series) * SERIES_ALIGNMENT;
        let is_inside = (self.toc.series..self.toc.postings).contains(&start);
        is_inside.then_some(start).ok_or(DecodeError::Invalid("series number is out of range"))
    }

    /// Where the last series entry has ended.
    pub(crate) fn series_end(&self) -> u64 {
        self.toc.postings
    }

    /// The symbol with this number.
    pub(crate) fn symbol(&self, number: u32) -> Result<&str, DecodeError> {
        self.symbols.get(&self.head[self.symbols_at.clone()], number)
    }

    /// The number of a symbol.
    pub(crate) fn symbol_number(&self, symbol: &str) -> Result<Option<u32>, DecodeError> {
        self.symbols.find(&self.head[self.symbols_at.clone()], symbol)
    }

    /// The postings offset table and the bytes that its functions want.
    pub(crate) fn offsets(&self) -> (&PostingsOffsets, &[u8]) {
        (&self.offsets, &self.tail[self.offsets_at.clone()])
    }

    /// The memory that is held, bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let tables = self.symbols.memory_bytes() + self.offsets.memory_bytes();
        // Both parts of a small index lie in one buffer of this size.
        let buffers = (self.head.len() + self.tail.len()).max(TAIL_BYTES as usize);
        (tables + buffers + size_of::<Self>()) as u64
    }
}
