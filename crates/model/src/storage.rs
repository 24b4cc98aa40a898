//! The traits where storage and query meet: series in label order, samples decoded in bulk.
//!
//! Synchronous: they are called from compute threads. Implemented by `tsdb`, by the
//! store-gateway and by the mergers of `query`; called by `promql` and the HTTP API.

use std::sync::Arc;

use crate::context::{Interrupted, LimitError, QueryContext};
use crate::{Labels, Matcher, SampleBuffer, TimestampMs};

/// A range of time, both ends inclusive, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The first moment.
    pub start_ms_incl: TimestampMs,
    /// The last moment.
    pub end_ms_incl: TimestampMs,
}

impl TimeRange {
    /// From `start` to `end`, both included.
    pub fn new(start: TimestampMs, end: TimestampMs) -> Self {
        Self { start_ms_incl: start, end_ms_incl: end }
    }

    /// Whether data of `[min, max]` (both included) can lie inside.
    pub fn overlaps(&self, min: TimestampMs, max: TimestampMs) -> bool {
        min <= self.end_ms_incl && self.start_ms_incl <= max
    }
}

/// The part of the series that one shard of a query sees: `stable_hash % count == index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// The number of shards.
    pub count: u64,
}

/// What the caller will do with the series. Hints only narrow work, they never change which
/// samples inside the range are right.
#[derive(Debug, Clone, Default)]
pub struct SelectHints {
    /// First moment that samples are needed for, ms.
    pub start_ms_incl: TimestampMs,
    /// Last moment that samples are needed for, ms.
    pub end_ms_incl: TimestampMs,
    /// Step of the query, ms; 0 for an instant query.
    pub step_ms: i64,
    /// Width of a range selector, ms; 0 for an instant selector.
    pub range_ms: i64,
    /// The function or aggregation right above the selector.
    pub function: String,
    /// Labels of that aggregation.
    pub grouping: Vec<String>,
    /// Whether `grouping` is `by` (else `without`).
    pub grouping_is_by: bool,
    /// At most this many series are needed; 0 = all.
    pub limit: usize,
    /// Only the series of this shard.
    pub shard: Option<Shard>,
    /// Only labels are needed: samples need not be read.
    pub labels_only: bool,
    /// Only one moment is evaluated, `end_ms_incl`: of each series nothing but the newest sample
    /// inside the range is needed.
    pub newest_only: bool,
    /// The caller needs no labels and takes the series in any order, to count them say. A source
    /// may ignore it. Who merges sources must: series without labels cannot be told apart.
    pub without_labels: bool,
}

/// Why storage could not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// A limit of the query was reached.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The query was stopped.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Stored data is damaged.
    #[error("corrupted data: {0}")]
    Corrupted(String),
    /// The query asks for more than a limit allows, which the text names.
    #[error("{0}")]
    Refused(String),
    /// The query asks for something that is not valid.
    #[error("{0}")]
    BadRequest(String),
    /// A part of the storage cannot be reached or failed.
    #[error("{0}")]
    Unavailable(String),
    /// Anything else that failed inside.
    #[error("{0}")]
    Internal(String),
}

/// Something that can be queried over time.
pub trait Queryable: Send + Sync {
    /// A consistent view of `range`. Everything that is read through it counts on `context`.
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError>;
}

/// A view of one tenant's data over one range of time.
pub trait Querier: Send + Sync {
    /// The series that satisfy all `matchers`, in label order, each once.
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError>;

    /// The values of the label `name` in series that satisfy all `matchers`: sorted, each once,
    /// at most `limit` (0 = all).
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError>;

    /// The label names of series that satisfy all `matchers`: sorted, each once, at most `limit`
    /// (0 = all).
    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError>;

    /// As [`Querier::label_values`], one after the other, so that not all have to be in memory.
    fn label_value_set(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Box<dyn TextSet>, StorageError> {
        Ok(Box::new(Texts::new(self.label_values(name, matchers, limit)?)))
    }

    /// As [`Querier::label_names`], one after the other.
    fn label_name_set(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Box<dyn TextSet>, StorageError> {
        Ok(Box::new(Texts::new(self.label_names(matchers, limit)?)))
    }
}

/// Texts in ascending order, each once.
pub trait TextSet: Send {
    /// The next text; `None` at the end, and again after it. After an error only dropping is
    /// legal.
    fn next_text(&mut self) -> Result<Option<&str>, StorageError>;
}

/// What [`Querier::label_values`] promises, of texts in any order: sorted, each once, at most
/// `limit` (0 = all).
pub fn sorted_texts(mut texts: Vec<String>, limit: usize) -> Vec<String> {
    texts.sort_unstable();
    texts.dedup();
    if limit > 0 {
        texts.truncate(limit);
    }
    texts
}

/// Texts that are in memory.
#[derive(Debug, Default)]
pub struct Texts {
    rest: std::vec::IntoIter<String>,
    current: String,
}

impl Texts {
    /// Hands out `texts`, which ascend.
    pub fn new(texts: Vec<String>) -> Self {
        Self { rest: texts.into_iter(), current: String::new() }
    }
}

impl TextSet for Texts {
    fn next_text(&mut self) -> Result<Option<&str>, StorageError> {
        let Some(next) = self.rest.next() else { return Ok(None) };
        self.current = next;
        Ok(Some(&self.current))
    }
}

/// Series in ascending label order, each once.
pub trait SeriesSet: Send {
    /// The next series; `None` at the end, and again after it. After an error only dropping is
    /// legal.
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError>;
}

/// One series of a [`SeriesSet`]. May be moved to another thread and read there.
pub struct SeriesEntry {
    /// Its labels.
    pub labels: Labels,
    /// Its samples.
    pub samples: Box<dyn SampleReader>,
}

/// The samples of one series.
pub trait SampleReader: Send {
    /// Appends the next run of samples (usually a chunk) to `out`, later than all before, and
    /// returns true; returns false when there is nothing left. Samples outside the querier's
    /// range may be included where a chunk reaches over its ends: the caller leaves them aside.
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError>;

    /// Appends all that is left.
    fn read_all(&mut self, out: &mut SampleBuffer) -> Result<(), StorageError> {
        while self.read_batch(out)? {}
        Ok(())
    }

    /// How many chunks there are, as far as it is known without reading them; for limits that
    /// are checked before that.
    fn chunk_count(&self) -> usize {
        1
    }

    /// The chunks as they are stored, where the samples come from chunks that may be handed on
    /// as they are (they may overlap in time); `None` otherwise. To be called instead of the
    /// reading functions, not after them.
    fn encoded_chunks(&mut self) -> Result<Option<Vec<EncodedChunk>>, StorageError> {
        Ok(None)
    }
}

/// A chunk in its stored encoding.
#[derive(Debug, Clone)]
pub struct EncodedChunk {
    /// Time of the first sample, ms.
    pub min_time_ms: TimestampMs,
    /// Time of the last sample, ms.
    pub max_time_ms: TimestampMs,
    /// Prometheus' number of the encoding: 1 XOR, 2 histogram, 3 float histogram, ...
    pub encoding: u8,
    /// The chunk's bytes without length, encoding and checksum.
    pub data: Arc<[u8]>,
}

/// The set without series.
#[derive(Debug, Default)]
pub struct EmptySeriesSet;

impl SeriesSet for EmptySeriesSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        Ok(None)
    }
}

/// Samples that are decoded already.
#[derive(Debug, Default)]
pub struct DecodedSamples(Option<SampleBuffer>);

impl DecodedSamples {
    /// Hands out `samples` as one batch.
    pub fn new(samples: SampleBuffer) -> Self {
        Self(Some(samples))
    }
}

impl SampleReader for DecodedSamples {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        let Some(samples) = self.0.take() else { return Ok(false) };
        if out.is_empty() {
            *out = samples;
            return Ok(true);
        }
        for (i, (&t, &v)) in samples.float_times.iter().zip(&samples.float_values).enumerate() {
            out.push_float_with_start(t, v, start_at(&samples.float_start_times, i));
        }
        for (i, (&t, h)) in samples.histogram_times.iter().zip(samples.histograms).enumerate() {
            out.push_histogram_with_start(t, h, start_at(&samples.histogram_start_times, i));
        }
        Ok(true)
    }
}

fn start_at(start_times: &[TimestampMs], index: usize) -> TimestampMs {
    start_times.get(index).copied().unwrap_or(0)
}
