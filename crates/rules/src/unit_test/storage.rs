//! The samples of a test: series that become visible as time goes on, and what rules record.

use std::collections::VecDeque;

use model::{FloatHistogram, Labels, Queryable, TimestampMs};
use promql::memstore::MemoryStorage;
use promql::series_desc::{SequenceValue, parse_series_desc};
use promql::value::SampleValue;

use super::file::TestGroup;
use crate::group::RuleStorage;

/// Samples in memory, and those that are still to come.
pub(super) struct TestStorage {
    storage: MemoryStorage,
    waiting: Vec<(Labels, VecDeque<(TimestampMs, SequenceValue)>)>,
}

impl TestStorage {
    /// The series of a test, none of which is visible yet.
    pub(super) fn new(group: &TestGroup) -> Result<Self, String> {
        let mut waiting = Vec::with_capacity(group.input_series.len());
        for (series, values) in &group.input_series {
            let line = format!("{series} {values}").replace('\n', " ");
            let described = parse_series_desc(line.trim())
                .map_err(|error| format!("series {series:?}: {error}"))?;
            let times = (0..).map(|i: i64| group.start_ms + i * group.interval_ms);
            let samples = times.zip(described.values);
            let samples = samples.filter(|(_, value)| *value != SequenceValue::Omitted);
            waiting.push((described.labels, samples.collect()));
        }
        Ok(Self { storage: MemoryStorage::new(), waiting })
    }

    /// Makes all samples up to `time_ms` visible.
    pub(super) fn load_until(&mut self, time_ms: TimestampMs) -> Result<(), String> {
        for (labels, samples) in &mut self.waiting {
            while let Some((t, value)) = samples.pop_front_if(|(t, _)| *t <= time_ms) {
                append(&mut self.storage, labels, t, &value)?;
            }
        }
        Ok(())
    }
}

fn append(
    storage: &mut MemoryStorage,
    labels: &Labels,
    t: TimestampMs,
    value: &SequenceValue,
) -> Result<(), String> {
    let result = match value {
        SequenceValue::Omitted => Ok(()),
        SequenceValue::Float(value) => storage.append_float(labels, (t, 0), *value),
        SequenceValue::Histogram { histogram, .. } => {
            storage.append_histogram(labels, (t, 0), FloatHistogram::clone(histogram))
        }
    };
    result.map_err(|error| error.to_string())
}

impl RuleStorage for TestStorage {
    fn queryable(&self) -> &dyn Queryable {
        &self.storage
    }

    fn append(
        &mut self,
        labels: &Labels,
        time_ms: TimestampMs,
        value: &SampleValue,
    ) -> Result<(), String> {
        let result = match value {
            SampleValue::Float(value) => self.storage.append_float(labels, (time_ms, 0), *value),
            SampleValue::Histogram(histogram) => {
                let histogram = FloatHistogram::clone(histogram);
                self.storage.append_histogram(labels, (time_ms, 0), histogram)
            }
        };
        result.map_err(|error| error.to_string())
    }
}
