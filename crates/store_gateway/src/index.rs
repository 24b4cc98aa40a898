//! The index of one block as one request sees it: header on local disk, postings and series
//! entries read when they are asked for. This is what turns matchers into series here, by the same
//! plan as over a local block.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use model::{Labels, MatchOp, Matcher, StorageError};
use tsdb::error::{DecodeError, TsdbError};
use tsdb::index::{SeriesRow, decode_postings, decode_series, series_entry_len};
use tsdb::postings::{Found, IndexPostings, PostingsList, find_series};

use crate::all_series::AllSeries;
use crate::block::Block;
use crate::header::IndexHeader;
use crate::pages::{IndexFile, Pieces};
use crate::request::{Request, Reservation};

/// Series entries are fetched with so many bytes; the few longer ones are fetched again.
const SERIES_GUESS_BYTES: u64 = 512;
/// The length before a postings list.
const LIST_HEAD_BYTES: u64 = 4;
/// So many series entries are read together.
const ROWS_PER_READ: usize = 4096;
/// The lists of so many values of a matcher are looked up to know their size.
const MAX_SIZED_VALUES: usize = 16;
/// So many postings lists are read together.
const LISTS_PER_READ: usize = 4096;

/// The index of one block.
pub(crate) struct BlockIndex {
    request: Request,
    block: Arc<Block>,
    header: Arc<IndexHeader>,
    /// Memory of the lists that are in use.
    held: RefCell<Vec<Reservation>>,
    /// What a reading function failed with, where its signature has no room for it.
    failure: RefCell<Option<StorageError>>,
}

/// The series that satisfy matchers.
pub(crate) enum Matched {
    /// All of the block: their list is read bit by bit.
    All,
    /// These.
    Some(Vec<u32>, Reservation),
}

/// The ways in which matchers are obeyed.
#[derive(Default)]
struct ByListsOrLabels {
    by_lists: Vec<Matcher>,
    by_labels: Vec<Matcher>,
}

/// The labels of the series before: the next series has most of them too.
#[derive(Default)]
pub(crate) struct LabelMemo {
    numbers: Vec<(u32, u32)>,
    labels: Labels,
}

impl BlockIndex {
    pub(crate) fn new(request: &Request, block: &Arc<Block>, header: Arc<IndexHeader>) -> Self {
        Self {
            request: request.clone(),
            block: Arc::clone(block),
            header,
            held: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    pub(crate) fn header(&self) -> &IndexHeader {
        &self.header
    }

    /// The series that satisfy all `matchers`, in label order.
    pub(crate) fn matching(&self, matchers: &[Matcher]) -> Result<Matched, StorageError> {
        let mut narrowing = Vec::new();
        for matcher in matchers {
            if !self.is_satisfied_by_all(matcher).map_err(|e| self.corrupt(e))? {
                narrowing.push(matcher.clone());
            }
        }
        if narrowing.is_empty() {
            return Ok(Matched::All);
        }
        let lists = self.lists_or_labels(narrowing).map_err(|e| self.corrupt(e))?;
        let Found { mut series, untested } = self.outcome(find_series(self, &lists.by_lists))?;
        let held = self.request.reserve(size_of_val(&*series) as u64)?;
        let by_labels: Vec<&Matcher> = untested.into_iter().chain(&lists.by_labels).collect();
        if !by_labels.is_empty() {
            self.retain(&mut series, &by_labels)?;
        }
        Ok(Matched::Some(series, held))
    }

    /// Keeps the series whose labels satisfy all `matchers`.
    fn retain(&self, series: &mut Vec<u32>, matchers: &[&Matcher]) -> Result<(), StorageError> {
        let number = |m: &&Matcher| self.header.symbol_number(m.name());
        let numbers: Result<Vec<Option<u32>>, _> = matchers.iter().map(number).collect();
        let numbers = numbers.map_err(|e| self.corrupt(e))?;
        let mut kept = 0;
        for start in (0..series.len()).step_by(ROWS_PER_READ) {
            self.request.context.check()?;
            let some = series[start..series.len().min(start + ROWS_PER_READ)].to_vec();
            let mut each = some.iter();
            self.for_each_row(&some, |row| {
                let number = each.next().copied().unwrap_or_default();
                let mut is_match = true;
                for (matcher, name) in matchers.iter().zip(&numbers) {
                    let value = row.labels.iter().find(|label| Some(label.0) == *name);
                    let value = value.map_or(Ok(""), |label| self.symbol(label.1))?;
                    is_match = is_match && matcher.matches(value);
                }
                if is_match {
                    series[kept] = number;
                    kept += 1;
                }
                Ok(())
            })?;
        }
        series.truncate(kept);
        Ok(())
    }

    /// Which matchers are obeyed by reading their lists, which by looking at the series that the
    /// others leave: a list is not read where it is longer than the entries of these, by
    /// `-blocks-storage.bucket-store.series-fetch-preference`.
    fn lists_or_labels(&self, matchers: Vec<Matcher>) -> Result<ByListsOrLabels, DecodeError> {
        let mut found = ByListsOrLabels::default();
        let mut sized = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            match self.list_bytes(&matcher)? {
                Some(bytes) => sized.push((bytes, matcher)),
                None => found.by_lists.push(matcher),
            }
        }
        sized.sort_by_key(|(bytes, _)| *bytes);
        let narrows = |matcher: &Matcher| !matcher.matches_empty();
        let Some(smallest) = sized.iter().position(|(_, matcher)| narrows(matcher)) else {
            found.by_lists.extend(sized.into_iter().map(|(_, matcher)| matcher));
            return Ok(found);
        };
        let (mut total_bytes, matcher) = sized.remove(smallest);
        found.by_lists.push(matcher);
        let series_bytes = (total_bytes / 4 * SERIES_GUESS_BYTES) as f64;
        for (bytes, matcher) in sized {
            total_bytes += bytes;
            let preference = self.request.store.config.series_fetch_preference;
            if total_bytes as f64 * preference <= series_bytes {
                found.by_lists.push(matcher);
            } else {
                found.by_labels.push(matcher);
            }
        }
        Ok(found)
    }

    /// The bytes of the lists of a matcher that names its values; `None` for any other.
    fn list_bytes(&self, matcher: &Matcher) -> Result<Option<u64>, DecodeError> {
        let of = |value: &str| -> Result<u64, DecodeError> {
            let (offsets, section) = self.header.offsets();
            let pair = (matcher.name(), value);
            let extent = offsets.find_extent(section, pair, self.header.end())?;
            Ok(extent.map_or(0, |extent| extent.end - extent.start))
        };
        if matcher.name().is_empty() {
            return Ok(None);
        }
        match (matcher.op(), matcher.regex()) {
            (MatchOp::Equal | MatchOp::NotEqual, _) => {
                let value = std::str::from_utf8(matcher.value()).ok().filter(|v| !v.is_empty());
                value.map(of).transpose()
            }
            (_, Some(regex)) => {
                let values = regex.set_matches().filter(|values| values.len() <= MAX_SIZED_VALUES);
                let Some(values) = values else { return Ok(None) };
                if values.iter().any(String::is_empty) {
                    return Ok(None);
                }
                values.iter().try_fold(0, |sum, value| Ok(sum + of(value)?)).map(Some)
            }
            (_, None) => Ok(None),
        }
    }

    /// Whether it is plain without reading a list that all series satisfy the matcher.
    fn is_satisfied_by_all(&self, matcher: &Matcher) -> Result<bool, DecodeError> {
        let name = matcher.name();
        let (offsets, section) = self.header.offsets();
        if matcher.matches_empty() {
            let matches_all = matcher.regex().is_some_and(|regex| regex.matches_everything());
            return Ok(
                offsets.value_count(name) == 0 || (matches_all && matcher.op() == MatchOp::Regex)
            );
        }
        let asks_for_presence = match matcher.op() {
            MatchOp::NotEqual => matcher.value().is_empty(),
            MatchOp::Regex => matcher.regex().is_some_and(|regex| regex.matches_all_but_empty()),
            MatchOp::Equal | MatchOp::NotRegex => false,
        };
        if !asks_for_presence {
            return Ok(false);
        }
        let all = offsets.all_count(section, self.header.end())?;
        Ok(all.is_some() && self.header.series_count(name)? == all)
    }

    /// The list of all series.
    pub(crate) fn all_series(&self) -> Result<AllSeries, StorageError> {
        let Some(offset) = self.header.offsets().0.all() else { return Ok(AllSeries::none()) };
        let end = offset.checked_add(AllSeries::HEAD_BYTES).filter(|&e| e <= self.header.end());
        let head = end.ok_or_else(|| self.corrupt(DecodeError::Truncated))?;
        let (pieces, _held) = self.read(std::slice::from_ref(&(offset..head)))?;
        let head = pieces.iter().next().unwrap_or_default();
        AllSeries::new(offset, head, self.header.end()).map_err(|e| self.corrupt(e))
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
        let end = self.header.end();
        let nexts = starts.iter().skip(1).copied().chain([end]);
        let guess = |(&start, next): (&u64, u64)| {
            let before_next = if next > start { next } else { end };
            start..(start + SERIES_GUESS_BYTES).min(before_next).min(end)
        };
        let guesses: Vec<Range<u64>> = starts.iter().zip(nexts).map(guess).collect();
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
        if end > self.header.end() {
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
        let symbol = |number| self.symbol(number);
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

    /// The symbol with this number.
    pub(crate) fn symbol(&self, number: u32) -> Result<&str, StorageError> {
        self.header.symbol(number).map_err(|e| self.corrupt(e))
    }

    /// The lists at these offsets, and the memory that they take.
    pub(crate) fn lists(
        &self,
        offsets: &[u64],
    ) -> Result<(Vec<PostingsList<'static>>, Reservation), StorageError> {
        let end = self.header.end();
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
        let lists_held = self.request.reserve(total)?;
        let (pieces, _held) = self.read(&ranges)?;
        let decode = |piece| {
            let list = decode_postings(piece).map_err(|e| self.corrupt(e))?;
            Ok(PostingsList::Numbers(list.into_vec().into()))
        };
        let lists: Result<_, StorageError> = pieces.iter().map(decode).collect();
        Ok((lists?, lists_held))
    }

    /// The union of the lists at these offsets, as one list.
    fn union(&self, offsets: &[u64]) -> Result<PostingsList<'static>, StorageError> {
        let mut numbers: Vec<u32> = Vec::new();
        let mut held = self.request.reserve(size_of_val(offsets) as u64)?;
        for some in offsets.chunks(LISTS_PER_READ) {
            self.request.context.check()?;
            let (lists, _held) = self.lists(some)?;
            for list in lists {
                held.grow(4 * list.len() as u64)?;
                numbers.extend(list.into_vec());
            }
        }
        if offsets.len() > 1 {
            numbers.sort_unstable();
            numbers.dedup();
        }
        self.held.borrow_mut().push(held);
        Ok(PostingsList::Numbers(numbers.into()))
    }

    /// Parts of the index, and the memory that they take.
    pub(crate) fn read(
        &self,
        ranges: &[Range<u64>],
    ) -> Result<(Pieces, Reservation), StorageError> {
        let total = ranges.iter().map(|range| range.end - range.start).sum();
        let held = self.request.reserve(total)?;
        let file = IndexFile { block: &self.block, size_bytes: self.header.end() };
        Ok((self.request.read_pieces(file, ranges)?, held))
    }

    pub(crate) fn corrupt(&self, error: DecodeError) -> StorageError {
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
        self.union(&[offset]).map_err(|e| self.stash(e))
    }

    fn postings(&self, name: &str, value: &str) -> Result<PostingsList<'_>, TsdbError> {
        let (offsets, section) = self.header.offsets();
        match offsets.find(section, name, value).map_err(|e| self.stash(self.corrupt(e)))? {
            Some(offset) => self.union(&[offset]).map_err(|e| self.stash(e)),
            None => Ok(PostingsList::empty()),
        }
    }

    /// All lists come as one: what asks here unites them or looks for a number in any of them.
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
        let (offsets, section) = self.header.offsets();
        let visited = offsets.for_each(section, (name, prefix), &mut visit);
        visited.map_err(|e| self.stash(self.corrupt(e)))?;
        if kept.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![self.union(&kept).map_err(|e| self.stash(e))?])
    }

    fn value_count(&self, name: &str) -> usize {
        self.header.offsets().0.value_count(name)
    }

    fn series_count_with(&self, name: &str) -> Option<usize> {
        self.header.series_count(name).ok()?.map(|count| count as usize)
    }

    fn label_names(&self) -> Result<Vec<String>, TsdbError> {
        Ok(self.header.offsets().0.names().map(str::to_owned).collect())
    }
}
