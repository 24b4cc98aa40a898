//! A write request on its way from the decoder to the TSDB: flat arenas that borrow from the
//! request's body, so that a series that exists costs no allocation.
//!
//! Filled by the decoder of `wire`, checked by `distributor`, appended by `tsdb`.

mod hash;
mod undecodable;

use std::num::NonZeroU32;

pub use hash::{SeriesHasher, push_canonical};
pub use undecodable::{RawLabel, Undecodable, UndecodableSeries};

use crate::{FloatHistogram, Histogram, Label, TimestampMs};

/// Series, samples and metadata of one request of one tenant.
///
/// `series[i]` names its parts of the flat vectors by ranges. The vectors can be reused for the
/// next request, see [`WriteBatch::recycle`].
#[derive(Debug, Default)]
pub struct WriteBatch<'a> {
    /// The series, in the order of the request.
    pub series: Vec<BatchSeries>,
    /// All labels. Those of one series are sorted by name.
    pub labels: Vec<Label<'a>>,
    /// Lists of label names that many series of the request share, each by the labels of the
    /// first such series: their names are sorted and unique.
    pub name_lists: Vec<BatchRange>,
    /// All float samples. Those of one series are in the order of the request.
    pub samples: Vec<BatchSample>,
    /// All histogram samples, likewise.
    pub histograms: Vec<BatchHistogram>,
    /// Start timestamps of `samples`, ms, as far as senders gave one for each sample; what is 0
    /// or missing at the end is that of the series. See [`WriteBatch::start_time_of_sample`].
    pub sample_start_times: Vec<TimestampMs>,
    /// Start timestamps of `histograms`, likewise.
    pub histogram_start_times: Vec<TimestampMs>,
    /// All exemplars, likewise. Their labels stand in `exemplar_labels`.
    pub exemplars: Vec<BatchExemplar>,
    /// Labels of exemplars.
    pub exemplar_labels: Vec<Label<'a>>,
    /// Metadata of metrics.
    pub metadata: Vec<MetricMetadata<'a>>,
    /// Series that are not among `series` because their labels are not UTF-8.
    pub undecodable: Undecodable<'a>,
    /// The hasher that made [`BatchSeries::hash`].
    pub hasher: SeriesHasher,
}

/// A half-open range of one of the vectors of a [`WriteBatch`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchRange {
    /// First index.
    pub start: u32,
    /// One after the last index.
    pub end: u32,
}

impl BatchRange {
    /// As a range of `usize`.
    #[inline]
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The number of items.
    #[inline]
    pub fn len(self) -> usize {
        self.range().len()
    }

    /// Whether there is no item.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// The number of a list of label names in [`WriteBatch::name_lists`].
///
/// What holds for the names of one series holds for all with the same number, so that checks and
/// comparisons of names are made once a list and not once a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameListId(NonZeroU32);

impl NameListId {
    /// The number of the list at `index`; `None` beyond 2^32 - 2.
    pub fn new(index: usize) -> Option<Self> {
        u32::try_from(index + 1).ok().and_then(NonZeroU32::new).map(Self)
    }

    /// The index of the list.
    #[inline]
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// One series of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchSeries {
    /// [`SeriesHasher`]'s hash of the sorted labels.
    pub hash: u64,
    /// Its labels in [`WriteBatch::labels`].
    pub labels: BatchRange,
    /// Which of [`WriteBatch::name_lists`] its label names are; `None` = not known.
    pub name_list: Option<NameListId>,
    /// Its float samples.
    pub samples: BatchRange,
    /// Its histogram samples.
    pub histograms: BatchRange,
    /// Its exemplars.
    pub exemplars: BatchRange,
    /// When the series started, ms; 0 = unknown.
    pub created_timestamp_ms: TimestampMs,
}

/// A float sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchSample {
    /// Time, ms.
    pub timestamp_ms: TimestampMs,
    /// Value; NaN payloads are kept.
    pub value: f64,
}

/// A histogram sample.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchHistogram {
    /// Time, ms.
    pub timestamp_ms: TimestampMs,
    /// The histogram.
    pub value: HistogramValue,
}

/// A histogram with integer or float counts.
#[derive(Debug, Clone, PartialEq)]
pub enum HistogramValue {
    /// Integer counts.
    Int(Box<Histogram>),
    /// Float counts.
    Float(Box<FloatHistogram>),
}

/// An exemplar.
#[derive(Debug, Clone, Copy)]
pub struct BatchExemplar {
    /// Time, ms; 0 = not given.
    pub timestamp_ms: TimestampMs,
    /// Value.
    pub value: f64,
    /// Its labels in [`WriteBatch::exemplar_labels`].
    pub labels: BatchRange,
}

/// The type of a metric. Numbers are those of remote write: persisted, keep stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum MetricType {
    /// Not known.
    #[default]
    Unknown = 0,
    /// A counter.
    Counter = 1,
    /// A gauge.
    Gauge = 2,
    /// A histogram.
    Histogram = 3,
    /// A gauge histogram.
    GaugeHistogram = 4,
    /// A summary.
    Summary = 5,
    /// An info metric.
    Info = 6,
    /// A state set.
    StateSet = 7,
}

impl MetricType {
    /// The type of a wire number; others are unknown.
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Counter,
            2 => Self::Gauge,
            3 => Self::Histogram,
            4 => Self::GaugeHistogram,
            5 => Self::Summary,
            6 => Self::Info,
            7 => Self::StateSet,
            _ => Self::Unknown,
        }
    }

    /// The name in Prometheus' metadata API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

/// Metadata of a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricMetadata<'a> {
    /// The metric family's name.
    pub family: &'a str,
    /// Its type.
    pub metric_type: MetricType,
    /// Its help text.
    pub help: &'a str,
    /// Its unit.
    pub unit: &'a str,
}

impl<'a> WriteBatch<'a> {
    /// An empty batch whose hashes are made by `hasher`.
    pub fn new(hasher: SeriesHasher) -> Self {
        Self { hasher, ..Self::default() }
    }

    /// The labels of a series.
    #[inline]
    pub fn labels_of(&self, series: &BatchSeries) -> &[Label<'a>] {
        &self.labels[series.labels.range()]
    }

    /// The float samples of a series.
    #[inline]
    pub fn samples_of(&self, series: &BatchSeries) -> &[BatchSample] {
        &self.samples[series.samples.range()]
    }

    /// The histogram samples of a series.
    #[inline]
    pub fn histograms_of(&self, series: &BatchSeries) -> &[BatchHistogram] {
        &self.histograms[series.histograms.range()]
    }

    /// The exemplars of a series.
    #[inline]
    pub fn exemplars_of(&self, series: &BatchSeries) -> &[BatchExemplar] {
        &self.exemplars[series.exemplars.range()]
    }

    /// When the counter of float sample `index` of `samples` began, ms; 0 = unknown. `series` is
    /// the sample's.
    #[inline]
    pub fn start_time_of_sample(&self, series: &BatchSeries, index: usize) -> TimestampMs {
        own_or_of_series(&self.sample_start_times, index, series)
    }

    /// When the counter of histogram `index` of `histograms` began, ms; 0 = unknown. `series` is
    /// the histogram's.
    #[inline]
    pub fn start_time_of_histogram(&self, series: &BatchSeries, index: usize) -> TimestampMs {
        own_or_of_series(&self.histogram_start_times, index, series)
    }

    /// The number of float and histogram samples.
    pub fn sample_count(&self) -> usize {
        self.samples.len() + self.histograms.len()
    }

    /// Appends a series with sorted labels and one float sample; for tests, rules and scrapes.
    pub fn push_float(&mut self, labels: &[Label<'a>], sample: BatchSample) {
        let label_range = extend(&mut self.labels, labels.iter().copied());
        let samples = extend(&mut self.samples, [sample]);
        let hash = self.hasher.hash(labels);
        self.series.push(BatchSeries { hash, labels: label_range, samples, ..Default::default() });
    }

    /// Appends a series with sorted labels and one histogram sample; for tests and tools.
    pub fn push_histogram(&mut self, labels: &[Label<'a>], sample: BatchHistogram) {
        let label_range = extend(&mut self.labels, labels.iter().copied());
        let histograms = extend(&mut self.histograms, [sample]);
        let hash = self.hasher.hash(labels);
        let series = BatchSeries { hash, labels: label_range, histograms, ..Default::default() };
        self.series.push(series);
    }

    /// Empties the batch and keeps its memory for a request with another lifetime.
    #[must_use]
    pub fn recycle<'b>(self) -> WriteBatch<'b> {
        WriteBatch {
            series: emptied(self.series),
            labels: reborrow(self.labels),
            name_lists: emptied(self.name_lists),
            samples: emptied(self.samples),
            histograms: emptied(self.histograms),
            sample_start_times: emptied(self.sample_start_times),
            histogram_start_times: emptied(self.histogram_start_times),
            exemplars: emptied(self.exemplars),
            exemplar_labels: reborrow(self.exemplar_labels),
            metadata: Vec::new(),
            undecodable: Undecodable::default(),
            hasher: self.hasher,
        }
    }
}

#[inline]
fn own_or_of_series(own: &[TimestampMs], index: usize, series: &BatchSeries) -> TimestampMs {
    own.get(index).copied().filter(|&own| own != 0).unwrap_or(series.created_timestamp_ms)
}

fn extend<T>(vector: &mut Vec<T>, items: impl IntoIterator<Item = T>) -> BatchRange {
    let start = vector.len();
    vector.extend(items);
    let index = |n: usize| u32::try_from(n).expect("a request is bounded far below 4 G items");
    BatchRange { start: index(start), end: index(vector.len()) }
}

fn emptied<T>(mut vector: Vec<T>) -> Vec<T> {
    vector.clear();
    vector
}

/// The same allocation for labels of another lifetime: collecting an emptied vector in place.
fn reborrow<'b>(mut labels: Vec<Label<'_>>) -> Vec<Label<'b>> {
    labels.clear();
    labels.into_iter().map(|_| Label { name: "", value: "" }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_batch_is_empty_and_keeps_its_memory() {
        let text = String::from("x");
        let mut batch = WriteBatch::new(SeriesHasher::default());
        for t in 0..1000 {
            let labels = [Label { name: "a", value: &text }, Label { name: "b", value: "1" }];
            batch.push_float(&labels, BatchSample { timestamp_ms: t, value: 1.0 });
        }
        let capacity = batch.labels.capacity();
        let next: WriteBatch<'static> = batch.recycle();
        assert!(next.series.is_empty() && next.labels.is_empty() && next.samples.is_empty());
        assert_eq!(next.labels.capacity(), capacity);
    }
}
