//! How many series, values and names there are, from the postings: no pass over all series,
//! except over their hot parts where only active ones count.
//!
//! Called by [`crate::db::Db`] for the cardinality API and the metrics of active series. Visitors
//! are called while strings and postings are locked for reading: they must be quick and must not
//! come back to the head.

use std::time::Duration;

use model::{Labels, Matcher, SelectHints};

use super::Head;
use super::activity::ActiveSet;
use super::find::HeadIndex;
use crate::error::TsdbError;
use crate::postings::{PackedList, PostingsList, count_common, intersects, query_shard};

/// Which series count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedSeries {
    /// All in memory.
    InMemory,
    /// Those that took a sample within the idle timeout, at this time of the monotonic clock.
    Active(Duration),
}

/// Counts of active series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActiveCounts {
    /// All.
    pub series: u64,
    /// Those of native histograms.
    pub native_histograms: u64,
    /// The buckets of these.
    pub native_histogram_buckets: u64,
}

/// Sees label names with a value until it fails.
pub type ValueVisitor<'v> = &'v mut dyn FnMut(&str, &str) -> Result<(), TsdbError>;
/// Sees values with the number of their series until it fails.
pub type CountVisitor<'v> = &'v mut dyn FnMut(&str, u64) -> Result<(), TsdbError>;
/// Sees active series, with their number of buckets where they are of native histograms, until
/// it fails.
pub type SeriesVisitor<'v> = &'v mut dyn FnMut(Labels, Option<u32>) -> Result<(), TsdbError>;

impl Head {
    /// Visits each label name and value, grouped by name, of the series that satisfy `matchers`.
    pub fn visit_label_values(
        &self,
        matchers: &[Matcher],
        counted: CountedSeries,
        visit: ValueVisitor<'_>,
    ) -> Result<(), TsdbError> {
        let _select = self.selects.read();
        let base = self.counted_series(matchers, counted)?;
        let occurs = |list: &PackedList| match &base {
            Some(base) => intersects(base, &PostingsList::Packed(list)),
            None => true,
        };
        let index = self.index();
        for name in index.postings.names() {
            for (value, list) in index.postings.values(name) {
                if occurs(list) {
                    visit(index.symbols.get(name), index.symbols.get(value))?;
                }
            }
        }
        Ok(())
    }

    /// Visits each value of the label `name` and the number of series with it that satisfy
    /// `matchers`; values without any are left out.
    pub fn visit_series_counts(
        &self,
        (name, matchers): (&str, &[Matcher]),
        counted: CountedSeries,
        visit: CountVisitor<'_>,
    ) -> Result<(), TsdbError> {
        let _select = self.selects.read();
        let base = self.counted_series(matchers, counted)?;
        let HeadIndex { symbols, postings } = self.index();
        let Some(name) = symbols.find(name) else { return Ok(()) };
        for (value, list) in postings.values(name) {
            let count = match &base {
                Some(base) => count_common(base, &PostingsList::Packed(list)),
                None => list.len(),
            };
            if count > 0 {
                visit(symbols.get(value), count as u64)?;
            }
        }
        Ok(())
    }

    /// The number of series.
    pub fn counted_series_count(&self, counted: CountedSeries) -> u64 {
        match counted {
            CountedSeries::InMemory => self.series_count(),
            CountedSeries::Active(now) => {
                let _select = self.selects.read();
                self.active_set(now).len()
            }
        }
    }

    /// Visits the active series that satisfy `matchers` in label order, each with its number of
    /// buckets where it is one of native histograms.
    pub fn visit_active_series(
        &self,
        matchers: &[Matcher],
        now: Duration,
        visit: SeriesVisitor<'_>,
    ) -> Result<(), TsdbError> {
        let (matchers, shard) = query_shard(matchers, &SelectHints::default())
            .map_err(|error| TsdbError::Invalid(error.to_string()))?;
        let (numbers, rows, set) = {
            let _select = self.selects.read();
            let set = self.active_set(now);
            let mut numbers = self.matching_active(&matchers, &set)?;
            self.sort_by_labels(&mut numbers);
            let rows = self.rows(&numbers, |_, _| true);
            (numbers, rows, set)
        };
        for (number, row) in numbers.into_iter().zip(rows) {
            // It may have been removed meanwhile.
            let Some(labels) = self.labels_of(&row) else { continue };
            if shard.is_none_or(|shard| labels.stable_hash() % shard.count == shard.index) {
                visit(labels, set.bucket_count(number))?;
            }
        }
        Ok(())
    }

    /// Counts the active series: all of them, and those that satisfy each of `trackers`.
    pub fn count_active_series(
        &self,
        now: Duration,
        trackers: &[Vec<Matcher>],
    ) -> Result<(ActiveCounts, Vec<ActiveCounts>), TsdbError> {
        let _select = self.selects.read();
        let set = self.active_set(now);
        let buckets = set.histograms.iter().map(|&(_, buckets)| u64::from(buckets));
        let all = ActiveCounts {
            series: set.len(),
            native_histograms: set.histograms.len() as u64,
            native_histogram_buckets: buckets.sum(),
        };
        let tracked = trackers.iter().map(|matchers| Ok(set.counts(&self.matching(matchers)?)));
        Ok((all, tracked.collect::<Result<_, TsdbError>>()?))
    }

    /// The series that satisfy `matchers` and count; `None` = all.
    fn counted_series(
        &self,
        matchers: &[Matcher],
        counted: CountedSeries,
    ) -> Result<Option<Vec<u32>>, TsdbError> {
        match (counted, matchers) {
            (CountedSeries::InMemory, []) => Ok(None),
            (CountedSeries::InMemory, _) => self.matching(matchers).map(Some),
            (CountedSeries::Active(now), _) => {
                let set = self.active_set(now);
                self.matching_active(matchers, &set).map(Some)
            }
        }
    }

    fn matching_active(
        &self,
        matchers: &[Matcher],
        set: &ActiveSet,
    ) -> Result<Vec<u32>, TsdbError> {
        if matchers.is_empty() {
            return Ok(set.numbers());
        }
        let mut numbers = self.matching(matchers)?;
        numbers.retain(|&number| set.contains(number));
        Ok(numbers)
    }
}

impl ActiveSet {
    /// Counts the active ones of ascending numbers.
    fn counts(&self, numbers: &[u32]) -> ActiveCounts {
        let active = numbers.iter().filter(|&&number| self.contains(number));
        let mut counts = ActiveCounts { series: active.count() as u64, ..Default::default() };
        for &(number, buckets) in &self.histograms {
            if numbers.binary_search(&number).is_ok() {
                counts.native_histograms += 1;
                counts.native_histogram_buckets += u64::from(buckets);
            }
        }
        counts
    }
}
