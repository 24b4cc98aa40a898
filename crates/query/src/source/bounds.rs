//! A tenant's bounds on time, where samples are read: nothing older than its look-back is handed
//! out, whatever windows, offsets and `@` a query has, and no selector reads over too long a time.

use model::storage::{EmptySeriesSet, TextSet};
use model::{
    Matcher, Querier, SampleBuffer, SampleReader, SelectHints, SeriesEntry, SeriesSet,
    StorageError, TimestampMs,
};

use crate::limits::too_long;

/// How far back a tenant may look, and over how long a time at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TimeBounds {
    /// Nothing older than this is seen, ms.
    pub(crate) earliest_ms: Option<TimestampMs>,
    /// The longest time that one selector may read, ms; 0 = any.
    pub(crate) max_length_ms: i64,
}

/// What `inner` has within `bounds`.
pub(super) struct BoundedQuerier {
    pub(super) inner: Box<dyn Querier>,
    pub(super) bounds: TimeBounds,
}

impl Querier for BoundedQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let earliest_ms = self.bounds.earliest_ms.unwrap_or(i64::MIN);
        if hints.end_ms_incl < earliest_ms {
            return Ok(Box::new(EmptySeriesSet));
        }
        let start_ms_incl = hints.start_ms_incl.max(earliest_ms);
        let (length_ms, max_ms) =
            (hints.end_ms_incl.saturating_sub(start_ms_incl), self.bounds.max_length_ms);
        if max_ms > 0 && length_ms > max_ms && !hints.labels_only {
            return Err(StorageError::Refused(too_long(length_ms, max_ms)));
        }
        let inner = self.inner.select(matchers, &SelectHints { start_ms_incl, ..hints.clone() })?;
        if start_ms_incl == hints.start_ms_incl || hints.labels_only {
            return Ok(inner);
        }
        Ok(Box::new(TrimmedSet { inner, earliest_ms }))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        self.inner.label_values(name, matchers, limit)
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        self.inner.label_names(matchers, limit)
    }

    fn label_value_set(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Box<dyn TextSet>, StorageError> {
        self.inner.label_value_set(name, matchers, limit)
    }

    fn label_name_set(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Box<dyn TextSet>, StorageError> {
        self.inner.label_name_set(matchers, limit)
    }
}

/// Series without their samples before a moment: a chunk that reaches over it is handed out
/// whole by storage.
struct TrimmedSet {
    inner: Box<dyn SeriesSet>,
    earliest_ms: TimestampMs,
}

impl SeriesSet for TrimmedSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        let Some(SeriesEntry { labels, samples }) = self.inner.next_series()? else {
            return Ok(None);
        };
        let samples = TrimmedSamples { inner: samples, earliest_ms: self.earliest_ms };
        Ok(Some(SeriesEntry { labels, samples: Box::new(samples) }))
    }
}

/// As encoded chunks they are not handed on: those cannot be cut.
struct TrimmedSamples {
    inner: Box<dyn SampleReader>,
    earliest_ms: TimestampMs,
}

impl SampleReader for TrimmedSamples {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        let is_read = self.inner.read_batch(out)?;
        trim(out, self.earliest_ms);
        Ok(is_read)
    }

    fn read_all(&mut self, out: &mut SampleBuffer) -> Result<(), StorageError> {
        self.inner.read_all(out)?;
        trim(out, self.earliest_ms);
        Ok(())
    }
}

/// Takes the samples before `earliest_ms` away. Times ascend, so that they are the first ones.
fn trim(samples: &mut SampleBuffer, earliest_ms: TimestampMs) {
    let floats = samples.float_times.partition_point(|time| *time < earliest_ms);
    if floats > 0 {
        samples.float_times.drain(..floats);
        samples.float_values.drain(..floats);
        drop_first(&mut samples.float_start_times, floats);
    }
    let histograms = samples.histogram_times.partition_point(|time| *time < earliest_ms);
    if histograms > 0 {
        samples.histogram_times.drain(..histograms);
        samples.histograms.drain(..histograms);
        drop_first(&mut samples.histogram_start_times, histograms);
    }
}

/// A column that is not kept is empty, or shorter than the others.
fn drop_first(column: &mut Vec<TimestampMs>, count: usize) {
    column.drain(..count.min(column.len()));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use model::storage::DecodedSamples;
    use model::{FloatHistogram, Labels};

    /// One series with floats and histograms at 10, 20, 30 and 40 ms.
    struct One;

    impl Querier for One {
        fn select(
            &self,
            _: &[Matcher],
            _: &SelectHints,
        ) -> Result<Box<dyn SeriesSet>, StorageError> {
            Ok(Box::new(OneSet(true)))
        }

        fn label_values(
            &self,
            _: &str,
            _: &[Matcher],
            _: usize,
        ) -> Result<Vec<String>, StorageError> {
            Ok(Vec::new())
        }

        fn label_names(&self, _: &[Matcher], _: usize) -> Result<Vec<String>, StorageError> {
            Ok(Vec::new())
        }
    }

    struct OneSet(bool);

    impl SeriesSet for OneSet {
        fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
            if !std::mem::take(&mut self.0) {
                return Ok(None);
            }
            let mut samples = SampleBuffer::default();
            for time in [10, 20, 30, 40] {
                samples.push_float_with_start(time, 1.0, time - 5);
                samples.push_histogram(time, Arc::new(FloatHistogram::default()));
            }
            let samples = Box::new(DecodedSamples::new(samples));
            Ok(Some(SeriesEntry { labels: Labels::default(), samples }))
        }
    }

    fn read(
        (start_ms_incl, end_ms_incl): (i64, i64),
        bounds: TimeBounds,
    ) -> Result<SampleBuffer, StorageError> {
        let querier = BoundedQuerier { inner: Box::new(One), bounds };
        let hints = SelectHints { start_ms_incl, end_ms_incl, ..SelectHints::default() };
        let mut samples = SampleBuffer::default();
        if let Some(mut entry) = querier.select(&[], &hints)?.next_series()? {
            entry.samples.read_all(&mut samples)?;
        }
        Ok(samples)
    }

    #[test]
    fn nothing_older_than_the_look_back_is_read() {
        let bounds = TimeBounds { earliest_ms: Some(30), max_length_ms: 0 };
        let samples = read((0, 50), bounds).unwrap();
        assert_eq!(samples.float_times, [30, 40]);
        assert_eq!(samples.float_start_times, [25, 35]);
        assert_eq!(samples.histogram_times, [30, 40]);
        assert_eq!((samples.float_values.len(), samples.histograms.len()), (2, 2));
        assert!(read((0, 29), bounds).unwrap().is_empty());
        assert_eq!(read((35, 50), bounds).unwrap().float_times, [10, 20, 30, 40], "as storage has");
    }

    #[test]
    fn a_selector_over_too_long_a_time_is_refused_after_the_look_back_has_cut_it() {
        let max = TimeBounds { earliest_ms: None, max_length_ms: 20 };
        assert!(read((0, 20), max).is_ok());
        let error = read((0, 21), max).unwrap_err();
        assert!(error.to_string().contains("(err-mimir-max-query-length)"), "{error}");
        assert!(read((0, 50), TimeBounds { earliest_ms: Some(30), ..max }).is_ok());
    }
}
