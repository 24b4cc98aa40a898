//! The index of one block as one query sees it: header in memory, postings and series entries
//! read when they are asked for. This is what turns matchers into series here, by the same plan
//! as over a local block.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use model::{Labels, Matcher, StorageError};
use tsdb::error::{DecodeError, TsdbError};
use tsdb::index::{SeriesRow, decode_postings, decode_series, series_entry_len};
use tsdb::postings::{
    IndexPostings, PostingsList, SeriesLabels, label_names_for_matchers, label_values_for_matchers,
    postings_for_matchers,
};

use crate::block::Block;
use crate::header::IndexHeader;
use crate::pages::{IndexFile, Pieces};
use crate::request::{Request, Reservation};

/// Series entries are fetched with so many bytes; the few longer ones are fetched again.
const SERIES_GUESS_BYTES: u64 = 512;
/// The length before a postings list.
const LIST_HEAD_BYTES: u64 = 4;

/// The index of one block.
pub(crate) struct BlockIndex {
    request: Request,
    block: Arc<Block>,
    header: Arc<IndexHeader>,
    /// Memory of the lists that are in use.
    held: RefCell<Reservation>,
    /// What a reading function failed with, where its signature has no room for it.
    failure: RefCell<Option<StorageError>>,
}

/// The labels of the series before: the next series has most of them too.
#[derive(Default)]
pub(crate) struct LabelMemo {
    numbers: Vec<(u32, u32)>,
    labels: Labels,
}

impl BlockIndex {
    pub(crate) fn new(
        request: &Request,
        block: &Arc<Block>,
        header: Arc<IndexHeader>,
    ) -> Result<Self, StorageError> {
        Ok(Self {
            request: request.clone(),
            block: Arc::clone(block),
            header,
            held: RefCell::new(request.reserve(0)?),
            failure: RefCell::default(),
        })
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// The series that satisfy all `matchers`, in label order.
    pub(crate) fn matching(&self, matchers: &[Matcher]) -> Result<Vec<u32>, StorageError> {
        self.outcome(postings_for_matchers(self, matchers))
    }

    /// The values of a label, of all series or of those that satisfy the matchers.
    pub(crate) fn values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        if !matchers.is_empty() {
            return self.outcome(label_values_for_matchers(self, name, matchers, limit));
        }
        // The header knows them all: no list has to be read.
        let limit = if limit == 0 { usize::MAX } else { limit };
        let mut values = Vec::new();
        self.visit_values(name, "", &mut |value, _| {
            if values.len() < limit {
                values.push(value.to_owned());
            }
        })?;
        Ok(values)
    }

    /// The label names, of all series or of those that satisfy the matchers.
    pub(crate) fn names(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        self.outcome(label_names_for_matchers(self, matchers, limit))
    }

    /// Calls `visit` with the entry of each of the `series`, in their order. The numbers ascend
    /// where reading should be cheap.
    pub(crate) fn for_each_row(
        &self,
        series: &[u32],
        mut visit: impl FnMut(&SeriesRow) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut starts = Vec::with_capacity(series.len());
        for &number in series {
            starts.push(self.header.series_start(number).map_err(|e| self.corrupt(e))?);
        }
        let end = self.header.series_end();
        let guesses: Vec<Range<u64>> =
            starts.iter().map(|&start| start..(start + SERIES_GUESS_BYTES).min(end)).collect();
        let (pieces, _held) = self.read(&guesses)?;
        let mut row = SeriesRow::default();
        for (&start, piece) in starts.iter().zip(pieces.iter()) {
            self.decode_row(start, piece, &mut row)?;
            visit(&row)?;
        }
        Ok(())
    }

    /// Decodes the entry at `start`, of which `piece` is the beginning.
    fn decode_row(
        &self,
        start: u64,
        piece: &[u8],
        row: &mut SeriesRow,
    ) -> Result<(), StorageError> {
        let length = series_entry_len(piece).map_err(|e| self.corrupt(e))?;
        if length <= piece.len() {
            return decode_series(piece, row).map_err(|e| self.corrupt(e));
        }
        let end = start + length as u64;
        if end > self.header.series_end() {
            return Err(self.corrupt(DecodeError::Truncated));
        }
        let (whole, _held) = self.read(std::slice::from_ref(&(start..end)))?;
        let piece = whole.iter().next().unwrap_or_default();
        decode_series(piece, row).map_err(|e| self.corrupt(e))
    }

    /// The labels of an entry.
    pub(crate) fn labels(
        &self,
        row: &SeriesRow,
        memo: &mut LabelMemo,
    ) -> Result<Labels, StorageError> {
        let symbol = |number| self.header.symbol(number).map_err(|e| self.corrupt(e));
        let mut pairs = Vec::with_capacity(row.labels.len());
        let mut known = memo.numbers.iter().zip(&memo.labels);
        for &(name, value) in &row.labels {
            pairs.push(match known.next() {
                Some((&numbers, label)) if numbers == (name, value) => (label.name, label.value),
                Some((numbers, label)) if numbers.0 == name => (label.name, symbol(value)?),
                _ => (symbol(name)?, symbol(value)?),
            });
        }
        // Without empty values, so that the memo has as many labels as numbers.
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) || pairs.iter().any(|pair| pair.1.is_empty()) {
            return Err(self.corrupt(DecodeError::Invalid("labels are not sorted or empty")));
        }
        let labels = Labels::from_sorted(pairs);
        memo.numbers.clone_from(&row.labels);
        memo.labels = labels.clone();
        Ok(labels)
    }

    /// The lists at these offsets.
    fn lists(&self, offsets: &[u64]) -> Result<Vec<PostingsList<'static>>, StorageError> {
        let end = self.header.size_bytes();
        let mut ranges = Vec::with_capacity(offsets.len());
        for &offset in offsets {
            let head = offset.checked_add(LIST_HEAD_BYTES).filter(|&head_end| head_end <= end);
            ranges.push(offset..head.ok_or_else(|| self.corrupt(DecodeError::Truncated))?);
        }
        let (heads, _held) = self.read(&ranges)?;
        for (range, head) in ranges.iter_mut().zip(heads.iter()) {
            let length = head.first_chunk().map_or(0, |head| u32::from_be_bytes(*head));
            // The content and its checksum.
            range.end += u64::from(length) + 4;
            if range.end > end {
                return Err(self.corrupt(DecodeError::Truncated));
            }
        }
        let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        self.held.borrow_mut().grow(total)?;
        let (pieces, _held) = self.read(&ranges)?;
        let decode = |piece| {
            let list = decode_postings(piece).map_err(|e| self.corrupt(e))?;
            Ok(PostingsList::Numbers(list.into_vec().into()))
        };
        pieces.iter().map(decode).collect()
    }

    /// Parts of the index, and the memory that they take.
    fn read(&self, ranges: &[Range<u64>]) -> Result<(Pieces, Reservation), StorageError> {
        let total = ranges.iter().map(|range| range.end - range.start).sum();
        let held = self.request.reserve(total)?;
        let file = IndexFile { block: &self.block, size_bytes: self.header.size_bytes() };
        Ok((self.request.read_pieces(file, ranges)?, held))
    }

    fn visit_values(
        &self,
        name: &str,
        prefix: &str,
        visit: &mut dyn FnMut(&str, u64),
    ) -> Result<(), StorageError> {
        let (offsets, section) = self.header.offsets();
        offsets.for_each(section, (name, prefix), visit).map_err(|e| self.corrupt(e))
    }

    fn corrupt(&self, error: DecodeError) -> StorageError {
        self.block.corrupt("index", &error)
    }

    /// Keeps an error for [`Self::outcome`].
    fn stash(&self, error: StorageError) -> TsdbError {
        *self.failure.borrow_mut() = Some(error);
        TsdbError::Invalid("the index could not be read".to_owned())
    }

    /// What came of a function that reads through [`IndexPostings`]. The lists are gone.
    fn outcome<T>(&self, result: Result<T, TsdbError>) -> Result<T, StorageError> {
        self.held.borrow_mut().clear();
        let failure = self.failure.borrow_mut().take();
        result.map_err(|error| failure.unwrap_or_else(|| self.block.corrupt("index", &error)))
    }
}

impl IndexPostings for BlockIndex {
    fn all_postings(&self) -> Result<PostingsList<'_>, TsdbError> {
        let Some(offset) = self.header.offsets().0.all() else { return Ok(PostingsList::empty()) };
        self.one_list(offset)
    }

    fn postings(&self, name: &str, value: &str) -> Result<PostingsList<'_>, TsdbError> {
        let (offsets, section) = self.header.offsets();
        match offsets.find(section, name, value).map_err(|e| self.stash(self.corrupt(e)))? {
            Some(offset) => self.one_list(offset),
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
        self.visit_values(name, prefix, &mut visit).map_err(|e| self.stash(e))?;
        self.lists(&kept).map_err(|e| self.stash(e))
    }

    fn value_count(&self, name: &str) -> usize {
        self.header.offsets().0.value_count(name)
    }

    fn label_names(&self) -> Result<Vec<String>, TsdbError> {
        Ok(self.header.offsets().0.names().map(str::to_owned).collect())
    }
}

impl SeriesLabels for BlockIndex {
    fn series_labels(
        &self,
        series: u32,
        visit: &mut dyn FnMut(&str, &str),
    ) -> Result<(), TsdbError> {
        let symbol = |number| self.header.symbol(number).map_err(|e| self.corrupt(e));
        let each = |row: &SeriesRow| {
            for &(name, value) in &row.labels {
                visit(symbol(name)?, symbol(value)?);
            }
            Ok(())
        };
        self.for_each_row(&[series], each).map_err(|e| self.stash(e))
    }

    fn series_label(
        &self,
        series: u32,
        name: &str,
        visit: &mut dyn FnMut(&str),
    ) -> Result<(), TsdbError> {
        let each = |row: &SeriesRow| {
            let number = self.header.symbol_number(name).map_err(|e| self.corrupt(e))?;
            let value = row.labels.iter().find(|label| Some(label.0) == number);
            visit(match value {
                Some(&(_, value)) => self.header.symbol(value).map_err(|e| self.corrupt(e))?,
                None => "",
            });
            Ok(())
        };
        self.for_each_row(&[series], each).map_err(|e| self.stash(e))
    }
}

impl BlockIndex {
    fn one_list(&self, offset: u64) -> Result<PostingsList<'static>, TsdbError> {
        let lists = self.lists(&[offset]).map_err(|e| self.stash(e))?;
        Ok(lists.into_iter().next().unwrap_or_else(PostingsList::empty))
    }
}
