//! Reading an index file that is mapped or in memory.

use std::ops::Range;

use model::Labels;
use smallvec::SmallVec;

use super::{
    INDEX_HEADER_LEN, PostingsOffsets, SERIES_ALIGNMENT, SeriesRow, SymbolTable, Toc,
    check_index_header, checked_section, decode_postings, decode_series, index_version, v1,
};
use crate::error::{DecodeError, TsdbError};
use crate::postings::{IndexPostings, PostingsList, SeriesLabels};

/// An index file. `B` is what holds its bytes.
#[derive(Debug)]
pub struct IndexReader<B> {
    bytes: B,
    /// For messages: which index this is.
    name: String,
    toc: Toc,
    symbols_at: Range<usize>,
    symbols: SymbolTable,
    offsets_at: Range<usize>,
    offsets: PostingsOffsets,
    old: Option<OldIndex>,
}

/// What the reader of an index of version 1 keeps.
#[derive(Debug)]
struct OldIndex {
    /// The postings offset table in order.
    offset_section: Vec<u8>,
    /// What series call the symbols.
    symbol_offsets: Vec<u32>,
}

impl OldIndex {
    fn memory_bytes(&self) -> usize {
        self.offset_section.capacity() + self.symbol_offsets.capacity() * size_of::<u32>()
    }
}

impl<B: AsRef<[u8]>> IndexReader<B> {
    /// Opens an index; checks header, table of contents, symbols and the postings offset table.
    /// `name` stands in errors.
    pub fn open(bytes: B, name: impl Into<String>) -> Result<Self, TsdbError> {
        let name = name.into();
        let file = bytes.as_ref();
        let parts = parts(file).map_err(|e| TsdbError::corrupt(&name, e))?;
        let Parts { toc, symbols_at, symbols, offsets_at, offsets, old } = parts;
        Ok(Self { bytes, name, toc, symbols_at, symbols, offsets_at, offsets, old })
    }

    fn corrupt(&self, error: DecodeError) -> TsdbError {
        TsdbError::corrupt(&self.name, error)
    }

    fn symbol_section(&self) -> &[u8] {
        &self.bytes.as_ref()[self.symbols_at.clone()]
    }

    fn offset_section(&self) -> &[u8] {
        match &self.old {
            Some(old) => &old.offset_section,
            None => &self.bytes.as_ref()[self.offsets_at.clone()],
        }
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Where the sections start.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// All symbols, ascending.
    pub fn symbols(&self) -> impl Iterator<Item = Result<&str, TsdbError>> {
        let symbols = self.symbols.iter(self.symbol_section());
        symbols.map(|symbol| symbol.map_err(|e| self.corrupt(e)))
    }

    /// The number of symbols.
    pub fn symbol_count(&self) -> u32 {
        self.symbols.len()
    }

    /// What series of an index of version 1 call the symbols, in their order; empty for other
    /// versions, where it is their places.
    pub(crate) fn symbol_references(&self) -> Vec<u32> {
        self.old.as_ref().map_or_else(Vec::new, |old| old.symbol_offsets.clone())
    }

    /// The symbol that series call by this number.
    pub fn symbol(&self, number: u32) -> Result<&str, TsdbError> {
        let section = self.symbol_section();
        let symbol = match &self.old {
            Some(_) => v1::symbol(section, self.symbols_at.start, number),
            None => self.symbols.get(section, number),
        };
        symbol.map_err(|e| self.corrupt(e))
    }

    /// The number that series call a symbol by.
    pub fn symbol_number(&self, symbol: &str) -> Result<Option<u32>, TsdbError> {
        let found = self.symbols.find(self.symbol_section(), symbol);
        let place = found.map_err(|e| self.corrupt(e))?;
        Ok(match &self.old {
            Some(old) => place.and_then(|place| old.symbol_offsets.get(place as usize).copied()),
            None => place,
        })
    }

    /// The label names, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.offsets.names()
    }

    /// Reads a series entry: numbers of symbols and chunks.
    pub fn series(&self, series: u32, row: &mut SeriesRow) -> Result<(), TsdbError> {
        let mut decode = || {
            let alignment = if self.old.is_some() { 1 } else { SERIES_ALIGNMENT };
            let start = u64::from(series) * alignment;
            let start = usize::try_from(start).map_err(|_| DecodeError::Truncated)?;
            if start < INDEX_HEADER_LEN {
                return Err(DecodeError::Invalid("series number is out of range"));
            }
            let bytes = self.bytes.as_ref().get(start..).ok_or(DecodeError::Truncated)?;
            decode_series(bytes, row)
        };
        decode().map_err(|e| TsdbError::corrupt(format_args!("{}: series {series}", self.name), e))
    }

    /// The labels of a series entry. `memo` makes labels cheap that the series before had too.
    pub fn labels(&self, row: &SeriesRow, memo: &mut LabelMemo) -> Result<Labels, TsdbError> {
        let mut pairs: SmallVec<[(&str, &str); 24]> = SmallVec::new();
        let mut known = memo.numbers.iter().zip(&memo.labels);
        for &(name, value) in &row.labels {
            let pair = match known.next() {
                Some((&numbers, label)) if numbers == (name, value) => (label.name, label.value),
                Some((numbers, label)) if numbers.0 == name => (label.name, self.symbol(value)?),
                _ => (self.symbol(name)?, self.symbol(value)?),
            };
            pairs.push(pair);
        }
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) || pairs.iter().any(|pair| pair.1.is_empty()) {
            return Err(self.corrupt(DecodeError::Invalid("labels are not sorted or empty")));
        }
        let labels = Labels::from_sorted(pairs);
        memo.numbers.clone_from(&row.labels);
        memo.labels = labels.clone();
        Ok(labels)
    }

    fn list(&self, offset: u64) -> Result<PostingsList<'_>, TsdbError> {
        let decode = || {
            let start = usize::try_from(offset).map_err(|_| DecodeError::Truncated)?;
            decode_postings(self.bytes.as_ref().get(start..).ok_or(DecodeError::Truncated)?)
        };
        decode().map_err(|e| TsdbError::corrupt(format_args!("{}: postings", self.name), e))
    }

    /// The number of series of a list, without checking it.
    fn list_len(&self, offset: u64) -> Option<usize> {
        // length be32 | count be32 | numbers
        let start = usize::try_from(offset).ok()?.checked_add(4)?;
        let count = self.bytes.as_ref().get(start..)?.first_chunk()?;
        Some(u32::from_be_bytes(*count) as usize)
    }

    /// The memory that is held beside the file, bytes.
    pub fn memory_bytes(&self) -> usize {
        let old = self.old.as_ref().map_or(0, OldIndex::memory_bytes);
        self.symbols.memory_bytes() + self.offsets.memory_bytes() + old
    }
}

/// The labels of the series that was looked up last: the next series has most of them too.
#[derive(Debug, Default)]
pub struct LabelMemo {
    numbers: Vec<(u32, u32)>,
    labels: Labels,
}

struct Parts {
    toc: Toc,
    symbols_at: Range<usize>,
    symbols: SymbolTable,
    offsets_at: Range<usize>,
    offsets: PostingsOffsets,
    old: Option<OldIndex>,
}

fn parts(file: &[u8]) -> Result<Parts, DecodeError> {
    let is_old = index_version(file)? == v1::VERSION;
    if !is_old {
        check_index_header(file)?;
    }
    let toc_at = file.len().checked_sub(Toc::LEN).ok_or(DecodeError::Truncated)?;
    let toc = Toc::decode(&file[toc_at..])?;
    let (symbols, symbols_at) = checked_section(file, toc.symbols)?;
    let (offsets, offsets_at) = checked_section(file, toc.postings_offsets)?;
    let old = match is_old {
        true => Some(OldIndex {
            offset_section: v1::sorted_offsets(offsets)?,
            symbol_offsets: v1::symbol_offsets(symbols, symbols_at.start)?,
        }),
        false => None,
    };
    let offsets = old.as_ref().map_or(offsets, |old| &old.offset_section);
    let offsets = PostingsOffsets::new(offsets)?;
    Ok(Parts { toc, symbols: SymbolTable::new(symbols)?, symbols_at, offsets_at, offsets, old })
}

impl<B: AsRef<[u8]>> IndexPostings for IndexReader<B> {
    fn all_postings(&self) -> Result<PostingsList<'_>, TsdbError> {
        match self.offsets.all() {
            Some(offset) => self.list(offset),
            None => Ok(PostingsList::empty()),
        }
    }

    fn postings(&self, name: &str, value: &str) -> Result<PostingsList<'_>, TsdbError> {
        let found = self.offsets.find(self.offset_section(), name, value);
        match found.map_err(|e| self.corrupt(e))? {
            Some(offset) => self.list(offset),
            None => Ok(PostingsList::empty()),
        }
    }

    fn postings_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Vec<PostingsList<'_>>, TsdbError> {
        let mut kept = Vec::new();
        let mut visit = |value: &str, offset| {
            if keep(value) {
                kept.push(offset);
            }
        };
        self.offsets
            .for_each(self.offset_section(), (name, prefix), &mut visit)
            .map_err(|e| self.corrupt(e))?;
        kept.into_iter().map(|offset| self.list(offset)).collect()
    }

    fn value_count(&self, name: &str) -> usize {
        self.offsets.value_count(name)
    }

    /// The sum of the lengths that stand before the lists; nothing else of them is read.
    fn series_count_with(&self, name: &str) -> Option<usize> {
        let mut count = 0;
        let mut add = |_: &str, offset| count += self.list_len(offset).unwrap_or(0);
        self.offsets.for_each(self.offset_section(), (name, ""), &mut add).ok()?;
        Some(count)
    }

    fn label_names(&self) -> Result<Vec<String>, TsdbError> {
        Ok(self.names().map(str::to_owned).collect())
    }
}

impl<B: AsRef<[u8]>> SeriesLabels for IndexReader<B> {
    fn series_labels(
        &self,
        series: u32,
        visit: &mut dyn FnMut(&str, &str),
    ) -> Result<(), TsdbError> {
        let mut row = SeriesRow::default();
        self.series(series, &mut row)?;
        for &(name, value) in &row.labels {
            visit(self.symbol(name)?, self.symbol(value)?);
        }
        Ok(())
    }

    fn series_label(
        &self,
        series: u32,
        name: &str,
        visit: &mut dyn FnMut(&str),
    ) -> Result<(), TsdbError> {
        let mut row = SeriesRow::default();
        self.series(series, &mut row)?;
        let number = self.symbol_number(name)?;
        let value = row.labels.iter().find(|label| Some(label.0) == number);
        match value {
            Some(&(_, value)) => visit(self.symbol(value)?),
            None => visit(""),
        }
        Ok(())
    }
}
