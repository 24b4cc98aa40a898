//! Postings: ascending lists of series numbers, the operations on them, and the way from matchers
//! to series.
//!
//! Used over the index of a block and over the head: both implement [`IndexPostings`]. Lists are
//! read where they lie, big-endian in an index file or as numbers in memory; only results are
//! copied. Damaged lists (not ascending) give wrong series, never a panic.

mod matchers;
mod ops;

pub use matchers::{label_names_for_matchers, label_values_for_matchers, postings_for_matchers};
pub use ops::{intersect, intersects, subtract, union};

use std::borrow::Cow;

use crate::error::{DecodeError, TsdbError};

/// An ascending list of series numbers, each once.
#[derive(Debug, Clone)]
pub enum PostingsList<'a> {
    /// In memory.
    Numbers(Cow<'a, [u32]>),
    /// As index files store them: four bytes each, big-endian.
    BigEndian(&'a [[u8; 4]]),
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
        }
    }

    /// The number at `place`.
    #[inline]
    pub fn get(&self, place: usize) -> Option<u32> {
        match self {
            Self::Numbers(numbers) => numbers.get(place).copied(),
            Self::BigEndian(numbers) => numbers.get(place).map(|b| u32::from_be_bytes(*b)),
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
        }
    }

    /// The numbers as a vector of their own.
    pub fn into_vec(self) -> Vec<u32> {
        match self {
            Self::Numbers(numbers) => numbers.into_owned(),
            Self::BigEndian(numbers) => numbers.iter().map(|b| u32::from_be_bytes(*b)).collect(),
        }
    }
}

/// An inverted index: what [`postings_for_matchers`] asks. Numbers of series are the index's own.
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

    /// All label names, each once, sorted.
    fn label_names(&self) -> Result<Vec<String>, TsdbError>;

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
