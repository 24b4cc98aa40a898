//! Postings: ascending lists of series numbers, the operations on them, and the way from matchers
//! to series.
//!
//! Used over the index of a block and over the head: both implement [`IndexPostings`], and one
//! plan serves both. Lists are read where they lie, big-endian in an index file or packed in the
//! head; only results are copied. Damaged lists (not ascending) give wrong series, never a panic.
//!
//! ```text
//! plan.rs     matchers -> series, and what is left to test   values.rs   names and values
//! ops.rs      unions, intersections, ...                     packed.rs   the lists of the head
//! shard.rs    the matcher that asks for a part of the series
//! ```

mod ops;
mod packed;
mod plan;
mod shard;
mod values;

pub(crate) use ops::numbers_of_bits;
pub use ops::{count_common, intersect, intersects, subtract, union};
pub use packed::{PackedCursor, PackedList};
pub use plan::{Found, find_series, postings_for_matchers, selects_all};
pub use shard::{QUERY_SHARD_LABEL, query_shard};
pub use values::{
    Narrowed, is_cheaper_by_series, label_names_for_matchers, label_values_for_matchers, narrow,
};
pub(crate) use values::{SERIES_TO_SAMPLE, add_names};

use std::borrow::Cow;

use crate::error::{DecodeError, TsdbError};

/// An ascending list of series numbers, each once.
#[derive(Debug, Clone)]
pub enum PostingsList<'a> {
    /// In memory.
    Numbers(Cow<'a, [u32]>),
    /// As index files store them: four bytes each, big-endian.
    BigEndian(&'a [[u8; 4]]),
    /// As the head stores them.
    Packed(&'a PackedList),
    /// All numbers below this one.
    Below(u32),
}

impl<'a> PostingsList<'a> {
    /// The list without series.
    pub fn empty() -> Self {
        Self::Numbers(Cow::Borrowed(&[]))
    }

    /// A list that stands in memory.
    pub fn numbers(numbers: &'a [u32]) -> Self {
        Self::Numbers(Cow::Borrowed(numbers))
    }

    /// A list of big-endian numbers.
    pub fn big_endian(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match bytes.as_chunks() {
            (numbers, []) => Ok(Self::BigEndian(numbers)),
            _ => Err(DecodeError::Invalid("postings list is not a multiple of four bytes")),
        }
    }

    /// The number of series.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::BigEndian(numbers) => numbers.len(),
            Self::Packed(list) => list.len(),
            Self::Below(end) => *end as usize,
        }
    }

    /// The number at `place`.
    #[inline]
    pub fn get(&self, place: usize) -> Option<u32> {
        match self {
            Self::Numbers(numbers) => numbers.get(place).copied(),
            Self::BigEndian(numbers) => numbers.get(place).map(|b| u32::from_be_bytes(*b)),
            Self::Packed(list) => list.get(place),
            Self::Below(end) => u32::try_from(place).ok().filter(|number| number < end),
        }
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest number.
    pub fn last(&self) -> Option<u32> {
        match self {
            Self::Numbers(numbers) => numbers.last().copied(),
            Self::BigEndian(numbers) => numbers.last().map(|b| u32::from_be_bytes(*b)),
            Self::Packed(list) => list.last(),
            Self::Below(end) => end.checked_sub(1),
        }
    }

    /// The numbers as a vector of their own.
    pub fn into_vec(self) -> Vec<u32> {
        match self {
            Self::Numbers(numbers) => numbers.into_owned(),
            Self::BigEndian(numbers) => numbers.iter().map(|b| u32::from_be_bytes(*b)).collect(),
            Self::Packed(list) => list.to_vec(),
            Self::Below(end) => (0..end).collect(),
        }
    }

    /// Calls `visit` with each number, ascending.
    fn for_each(&self, mut visit: impl FnMut(u32)) {
        match self {
            Self::Numbers(numbers) => numbers.iter().for_each(|&number| visit(number)),
            Self::BigEndian(numbers) => {
                numbers.iter().for_each(|bytes| visit(u32::from_be_bytes(*bytes)));
            }
            Self::Packed(list) => list.for_each_run(|run| run.iter().for_each(|&n| visit(n))),
            Self::Below(end) => (0..*end).for_each(visit),
        }
    }
}

/// An inverted index: what [`find_series`] asks. Numbers of series are the index's own.
///
/// All methods answer about one consistent state.
pub trait IndexPostings {
    /// All series.
    fn all_postings(&self) -> Result<PostingsList<'_>, TsdbError>;

    /// The series whose label `name` has the value `value` (never empty); the empty list where
    /// there is none.
    fn postings(&self, name: &str, value: &str) -> Result<PostingsList<'_>, TsdbError>;

    /// The lists of all values of the label `name` that start with `prefix` and that `keep`
    /// accepts, in any order. `keep` is called once for each value with the prefix.
    fn postings_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Vec<PostingsList<'_>>, TsdbError>;

    /// About how many values the label `name` has; for the choice of a plan.
    fn value_count(&self, name: &str) -> usize;

    /// How many series have the label `name`, where that is known without looking at them.
    fn series_count_with(&self, name: &str) -> Option<usize> {
        let _ = name;
        None
    }

    /// All label names, each once, sorted.
    fn label_names(&self) -> Result<Vec<String>, TsdbError>;
}

/// The labels of series by their numbers. The head has none of these: its labels stand behind
/// locks that must be taken before those of its postings.
pub trait SeriesLabels: IndexPostings {
    /// Calls `visit` with name and value of each label of the series.
    fn series_labels(
        &self,
        series: u32,
        visit: &mut dyn FnMut(&str, &str),
    ) -> Result<(), TsdbError>;

    /// Calls `visit` with the value of the label `name` of the series, or with "" where it has
    /// none.
    fn series_label(
        &self,
        series: u32,
        name: &str,
        visit: &mut dyn FnMut(&str),
    ) -> Result<(), TsdbError> {
        let mut found = false;
        self.series_labels(series, &mut |n, value| {
            if n == name {
                found = true;
                visit(value);
            }
        })?;
        if !found {
            visit("");
        }
        Ok(())
    }
}
