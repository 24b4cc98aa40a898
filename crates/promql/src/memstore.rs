//! An in-memory storage: the smallest thing that the engine can query.
//!
//! For tests, benchmarks and examples, and behind the test-script runner. Keeps every sample as
//! it was given; selects by looking at every series.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use model::storage::EmptySeriesSet;
use model::{
    CounterResetHint, FloatHistogram, Labels, Matcher, Querier, QueryContext, Queryable,
    SampleBuffer, SampleReader, SelectHints, SeriesEntry, SeriesSet, StorageError, TimeRange,
    TimestampMs, is_stale,
};

/// Series in memory.
#[derive(Debug, Default, Clone)]
pub struct MemoryStorage {
    series: Arc<BTreeMap<Labels, Arc<SampleBuffer>>>,
}

/// A sample is not later than those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of order sample")]
pub struct OutOfOrder;

impl MemoryStorage {
    /// A storage without series.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts in a whole series, in the place of one with these labels.
    pub fn insert(&mut self, labels: Labels, samples: SampleBuffer) {
        Arc::make_mut(&mut self.series).insert(labels, Arc::new(samples));
    }

    /// Appends a float. `start_ms` is the sample's start timestamp, 0 = unknown.
    ///
    /// # Errors
    /// If the series has a sample at `time_ms` or later.
    pub fn append_float(
        &mut self,
        labels: &Labels,
        (time_ms, start_ms): (TimestampMs, TimestampMs),
        value: f64,
    ) -> Result<(), OutOfOrder> {
        let buffer = self.series_after(labels, time_ms)?;
        buffer.push_float_with_start(time_ms, value, start_ms);
        Ok(())
    }

    /// Appends a histogram. `start_ms` is the sample's start timestamp, 0 = unknown. Its counter
    /// reset hint becomes what a TSDB would say on reading: "no reset" where that was seen when
    /// it was written, else "unknown".
    ///
    /// # Errors
    /// If the series has a sample at `time_ms` or later.
    pub fn append_histogram(
        &mut self,
        labels: &Labels,
        (time_ms, start_ms): (TimestampMs, TimestampMs),
        mut histogram: FloatHistogram,
    ) -> Result<(), OutOfOrder> {
        let buffer = self.series_after(labels, time_ms)?;
        let previous = match (buffer.histogram_times.last(), buffer.float_times.last()) {
            (histogram_time, float_time) if histogram_time > float_time => buffer.histograms.last(),
            _ => None,
        };
        histogram.counter_reset_hint = hint_on_reading(previous.map(|h| &**h), &histogram);
        buffer.push_histogram_with_start(time_ms, Arc::new(histogram), start_ms);
        Ok(())
    }

    fn series_after(
        &mut self,
        labels: &Labels,
        time_ms: TimestampMs,
    ) -> Result<&mut SampleBuffer, OutOfOrder> {
        let series = Arc::make_mut(&mut self.series);
        let buffer = match series.entry(labels.clone()) {
            Entry::Occupied(occupied) => occupied.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(Arc::default()),
        };
        let buffer = Arc::make_mut(buffer);
        if buffer.last_time().is_some_and(|last| last >= time_ms) {
            Err(OutOfOrder)
        } else {
            Ok(buffer)
        }
    }
}

/// A TSDB begins a new chunk at a reset and where the layout changes; within a chunk it knows that
/// there is no reset, of a chunk's first sample it knows nothing.
fn hint_on_reading(
    previous: Option<&FloatHistogram>,
    histogram: &FloatHistogram,
) -> CounterResetHint {
    if histogram.counter_reset_hint == CounterResetHint::Gauge {
        return CounterResetHint::Gauge;
    }
    let Some(previous) = previous else { return CounterResetHint::Unknown };
    let same_layout = previous.schema == histogram.schema
        && previous.zero_threshold == histogram.zero_threshold
        && previous.custom_values == histogram.custom_values;
    let continues = previous.counter_reset_hint != CounterResetHint::Gauge
        && histogram.counter_reset_hint != CounterResetHint::CounterReset
        && !is_stale(previous.sum)
        && (is_stale(histogram.sum) || (same_layout && !fell(previous, histogram)));
    if continues { CounterResetHint::NotCounterReset } else { CounterResetHint::Unknown }
}

/// Whether counts fell, whatever the hints say.
fn fell(previous: &FloatHistogram, histogram: &FloatHistogram) -> bool {
    let mut unhinted = histogram.clone();
    unhinted.counter_reset_hint = CounterResetHint::Unknown;
    unhinted.detect_reset(previous)
}

impl Queryable for MemoryStorage {
    fn querier(
        &self,
        range: TimeRange,
        _context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(MemoryQuerier { storage: self.clone(), range }))
    }
}

struct MemoryQuerier {
    storage: MemoryStorage,
    range: TimeRange,
}

impl MemoryQuerier {
    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
    ) -> impl Iterator<Item = (&'a Labels, &'a Arc<SampleBuffer>)> {
        self.storage.series.iter().filter(move |(labels, _)| {
            matchers.iter().all(|matcher| matcher.matches(labels.value(matcher.name())))
        })
    }
}

impl Querier for MemoryQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let start = self.range.start_ms_incl.max(hints.start_ms_incl);
        let end = self.range.end_ms_incl.min(hints.end_ms_incl);
        let range = TimeRange::new(start, end);
        let mut found: Vec<_> = self
            .matching(matchers)
            .filter(|(_, samples)| has_samples(samples, range))
            .map(|(labels, samples)| (labels.clone(), Arc::clone(samples)))
            .collect();
        if hints.without_labels {
            found.reverse();
            found.iter_mut().for_each(|(labels, _)| *labels = Labels::empty());
        }
        if found.is_empty() {
            return Ok(Box::new(EmptySeriesSet));
        }
        Ok(Box::new(MemorySeriesSet { series: found.into_iter(), range }))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let values = self.matching(matchers).filter_map(|(labels, _)| labels.get(name));
        Ok(distinct(values, limit))
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        let names = self.matching(matchers).flat_map(|(labels, _)| labels.iter().map(|l| l.name));
        Ok(distinct(names, limit))
    }
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>, limit: usize) -> Vec<String> {
    let mut texts: Vec<&str> = texts.collect();
    texts.sort_unstable();
    texts.dedup();
    let limit = if limit == 0 { texts.len() } else { limit };
    texts.into_iter().take(limit).map(str::to_owned).collect()
}

/// Whether a series may have samples inside of `range`; it may still have none.
fn has_samples(samples: &SampleBuffer, range: TimeRange) -> bool {
    let may_reach = |times: &[TimestampMs]| match times {
        [first, .., last] => range.overlaps(*first, *last),
        [only] => range.overlaps(*only, *only),
        [] => false,
    };
    may_reach(&samples.float_times) || may_reach(&samples.histogram_times)
}

/// The samples that lie inside of `range`.
fn span(times: &[TimestampMs], range: TimeRange) -> std::ops::Range<usize> {
    let reaches_before = times.first().is_some_and(|&t| t < range.start_ms_incl);
    let reaches_after = times.last().is_some_and(|&t| t > range.end_ms_incl);
    let start =
        if reaches_before { times.partition_point(|&t| t < range.start_ms_incl) } else { 0 };
    let end = if reaches_after {
        times.partition_point(|&t| t <= range.end_ms_incl)
    } else {
        times.len()
    };
    start..end.max(start)
}

struct MemorySeriesSet {
    series: std::vec::IntoIter<(Labels, Arc<SampleBuffer>)>,
    range: TimeRange,
}

impl SeriesSet for MemorySeriesSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        let Some((labels, samples)) = self.series.next() else { return Ok(None) };
        let reader = MemoryReader { samples: Some(samples), range: self.range };
        Ok(Some(SeriesEntry { labels, samples: Box::new(reader) }))
    }
}

struct MemoryReader {
    samples: Option<Arc<SampleBuffer>>,
    range: TimeRange,
}

impl SampleReader for MemoryReader {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        let Some(samples) = self.samples.take() else { return Ok(false) };
        let floats = span(&samples.float_times, self.range);
        out.float_times.extend_from_slice(&samples.float_times[floats.clone()]);
        out.float_values.extend_from_slice(&samples.float_values[floats.clone()]);
        if let Some(starts) = samples.float_start_times.get(floats) {
            out.float_start_times.extend_from_slice(starts);
        }
        let histograms = span(&samples.histogram_times, self.range);
        out.histogram_times.extend_from_slice(&samples.histogram_times[histograms.clone()]);
        out.histograms.extend_from_slice(&samples.histograms[histograms.clone()]);
        if let Some(starts) = samples.histogram_start_times.get(histograms) {
            out.histogram_start_times.extend_from_slice(starts);
        }
        Ok(true)
    }
}
