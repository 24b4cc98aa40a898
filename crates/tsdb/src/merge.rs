//! Several sources of series seen as one: series in label order, each once, its samples in order
//! of time, each time once.
//!
//! Used by [`crate::db::Db`] for head and blocks, and by `query` for everything else that
//! answers in parts. The order of the sources matters: where two have a sample of the same time
//! the earlier source wins.

mod chunks;
mod layers;
mod samples;
mod texts;

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use model::storage::{EmptySeriesSet, TextSet};
use model::{Labels, Matcher, Querier, SelectHints, SeriesEntry, SeriesSet, StorageError};

pub use chunks::{TypedSample, TypedValue, decode_typed, disjoint_chunks, encode_typed};
pub use layers::{are_in_order, read_in_order};
pub use samples::{MergeSamples, chunks_of};
pub use texts::merge_text_sets;

/// Several queriers seen as one.
pub struct MergeQuerier {
    sources: Vec<Box<dyn Querier>>,
}

impl MergeQuerier {
    /// Merges `sources`; of samples with the same time the earlier source's counts.
    pub fn new(sources: Vec<Box<dyn Querier>>) -> Self {
        Self { sources }
    }

    fn merge_strings(
        &self,
        limit: usize,
        mut ask: impl FnMut(&dyn Querier) -> Result<Vec<String>, StorageError>,
    ) -> Result<Vec<String>, StorageError> {
        let mut all = Vec::new();
        for source in &self.sources {
            all.append(&mut ask(&**source)?);
        }
        if self.sources.len() > 1 {
            all.sort_unstable();
            all.dedup();
        }
        if limit > 0 {
            all.truncate(limit);
        }
        Ok(all)
    }
}

impl Querier for MergeQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        if let [source] = &self.sources[..] {
            return source.select(matchers, hints);
        }
        let hints = &SelectHints { without_labels: false, ..hints.clone() };
        let mut sets = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            sets.push(source.select(matchers, hints)?);
        }
        Ok(merge_series_sets(sets))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        self.merge_strings(limit, |source| source.label_values(name, matchers, limit))
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        self.merge_strings(limit, |source| source.label_names(matchers, limit))
    }

    fn label_value_set(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Box<dyn TextSet>, StorageError> {
        let sets = self.sources.iter().map(|source| source.label_value_set(name, matchers, limit));
        Ok(merge_text_sets(sets.collect::<Result<_, _>>()?, limit))
    }

    fn label_name_set(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Box<dyn TextSet>, StorageError> {
        let sets = self.sources.iter().map(|source| source.label_name_set(matchers, limit));
        Ok(merge_text_sets(sets.collect::<Result<_, _>>()?, limit))
    }
}

/// The merged set of any number of sets; a single one is handed through.
pub fn merge_series_sets(mut sets: Vec<Box<dyn SeriesSet>>) -> Box<dyn SeriesSet> {
    match sets.len() {
        0 => Box::new(EmptySeriesSet),
        1 => sets.remove(0),
        _ => Box::new(MergeSeriesSet::new(sets)),
    }
}

/// Several sets seen as one.
pub struct MergeSeriesSet {
    sources: Vec<Box<dyn SeriesSet>>,
    /// Sources whose next series is not known.
    pending: Vec<usize>,
    heap: BinaryHeap<Next>,
}

/// The next series of a source.
struct Next {
    entry: SeriesEntry,
    source: usize,
}

impl MergeSeriesSet {
    /// Merges `sources`; of samples with the same time the earlier source's counts.
    pub fn new(sources: Vec<Box<dyn SeriesSet>>) -> Self {
        let pending = (0..sources.len()).collect();
        Self { heap: BinaryHeap::with_capacity(sources.len()), sources, pending }
    }

    fn refill(&mut self) -> Result<(), StorageError> {
        while let Some(source) = self.pending.pop() {
            if let Some(entry) = self.sources[source].next_series()? {
                self.heap.push(Next { entry, source });
            }
        }
        Ok(())
    }

    /// The first entry of the heap, if its labels are `labels`.
    fn pop_same(&mut self, labels: &Labels) -> Option<Next> {
        if self.heap.peek()?.entry.labels == *labels { self.heap.pop() } else { None }
    }
}

impl SeriesSet for MergeSeriesSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        self.refill()?;
        let Some(first) = self.heap.pop() else { return Ok(None) };
        self.pending.push(first.source);
        let Some(second) = self.pop_same(&first.entry.labels) else {
            return Ok(Some(first.entry));
        };
        self.pending.push(second.source);
        let labels = first.entry.labels;
        let mut readers = vec![first.entry.samples, second.entry.samples];
        while let Some(next) = self.pop_same(&labels) {
            self.pending.push(next.source);
            readers.push(next.entry.samples);
        }
        Ok(Some(SeriesEntry { labels, samples: Box::new(MergeSamples::new(readers)) }))
    }
}

/// The greatest of the heap is the smallest label set of the earliest source.
impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_labels = other.entry.labels.cmp(&self.entry.labels);
        by_labels.then(other.source.cmp(&self.source))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next {}

#[cfg(test)]
mod tests;
