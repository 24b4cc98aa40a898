//! What an answer must be: the model, evaluated on the truth.

use std::collections::{BTreeMap, BTreeSet};

use model::TimestampMs;

use super::{Answered, Of, Query, Question};
use crate::setup;
use crate::truth::{Sample, SeriesKey, Truth, View};

/// How far back an instant selector looks, ms; see `setup::config`.
const LOOKBACK_MS: i64 = 60_000;

/// What was true when a question was asked.
pub(super) struct Check {
    query: Query,
    start_ms: TimestampMs,
    /// Acknowledged before: samples that the answer must have.
    acked: BTreeSet<(SeriesKey, TimestampMs)>,
}

/// What is true when the answer is there.
pub(super) struct Bounds<'a> {
    pub(super) truth: &'a Truth,
    /// What the querier knew all the time.
    pub(super) view: View,
}

impl Check {
    /// A question is about to be asked.
    pub(super) fn begin(truth: &Truth, query: &Query) -> Self {
        let range_ms = match query.question {
            Question::Samples | Question::Count => query.range_ms,
            Question::Sums => LOOKBACK_MS,
        };
        // Ranges are open at their beginning.
        let start_ms = query.at_ms - range_ms + 1;
        let mut acked = truth.acked_in(query.tenant, (start_ms, query.at_ms));
        acked.retain(|(key, _)| is_asked(query, *key));
        Self { query: *query, start_ms, acked }
    }

    /// Compares the answer; an error says what is wrong.
    pub(super) fn compare(&self, answer: &Answered, bounds: &Bounds<'_>) -> Result<(), String> {
        for of in answer.keys() {
            if let Of::Series((tenant, _)) = of
                && *tenant != self.query.tenant
            {
                return Err(format!("a series of team-{tenant} in the answer"));
            }
        }
        match self.query.question {
            Question::Samples => self.samples(answer, bounds),
            Question::Count => self.counts(answer, bounds),
            Question::Sums => self.sums(answer, bounds),
        }
    }

    /// The samples of the series that are asked for.
    fn series<'a>(
        &self,
        bounds: &Bounds<'a>,
    ) -> impl Iterator<Item = (&'a SeriesKey, &'a BTreeMap<TimestampMs, Sample>)> {
        let all = bounds.truth.of_tenant(self.query.tenant);
        all.filter(|(key, _)| is_asked(&self.query, **key))
    }

    /// Whether the answer must have the sample.
    fn is_required(&self, key: SeriesKey, at_ms: TimestampMs, bounds: &Bounds<'_>) -> bool {
        let sample = || bounds.truth.written(key, at_ms);
        self.acked.contains(&(key, at_ms))
            && sample().is_some_and(|s| bounds.truth.is_required(s, at_ms, &bounds.view))
    }

    fn samples(&self, answer: &Answered, bounds: &Bounds<'_>) -> Result<(), String> {
        let nothing = Vec::new();
        for (of, points) in answer {
            let Of::Series(key) = of else { return Err(format!("{of:?} in the answer")) };
            let mut last_ms = TimestampMs::MIN;
            for (at_ms, value) in points {
                if !is_asked(&self.query, *key) {
                    return Err(format!("{key:?} in the answer"));
                }
                if *at_ms <= last_ms {
                    return Err(format!("{at_ms} after {last_ms} in {key:?}"));
                }
                last_ms = *at_ms;
                match bounds.truth.written(*key, *at_ms) {
                    Some(sample) if sample.value.to_bits() == value.to_bits() => {}
                    _ => return Err(format!("{value} at {at_ms} in {key:?} was never written")),
                }
            }
        }
        for (key, at_ms) in &self.acked {
            let points = answer.get(&Of::Series(*key)).unwrap_or(&nothing);
            let is_there = points.binary_search_by_key(at_ms, |(at_ms, _)| *at_ms).is_ok();
            if !is_there && self.is_required(*key, *at_ms, bounds) {
                return Err(self.missing(*key, *at_ms, bounds));
            }
        }
        Ok(())
    }

    fn missing(&self, key: SeriesKey, at_ms: TimestampMs, bounds: &Bounds<'_>) -> String {
        let by = bounds.truth.written(key, at_ms).map(Sample::describe).unwrap_or_default();
        format!("the acknowledged sample at {at_ms} in {key:?} is missing; it is at {by}")
    }

    fn counts(&self, answer: &Answered, bounds: &Bounds<'_>) -> Result<(), String> {
        for (key, samples) in self.series(bounds) {
            let window = || samples.range(self.start_ms..=self.query.at_ms);
            let required = window().filter(|(at_ms, _)| self.is_required(*key, **at_ms, bounds));
            let (min, max) = (required.count(), window().count());
            let points = answer.get(&Of::Series(*key));
            let count = points.and_then(|points| points.first()).map_or(0.0, |(_, count)| *count);
            if count < min as f64 || (max as f64) < count {
                return Err(format!("{count} samples in {key:?}, not {min} to {max}"));
            }
        }
        Ok(())
    }

    fn sums(&self, answer: &Answered, bounds: &Bounds<'_>) -> Result<(), String> {
        let mut groups: BTreeMap<String, Range> = BTreeMap::new();
        for (key, samples) in self.series(bounds) {
            let group = format!("g{}", setup::group_of(key.1));
            let newest = self.newest(*key, samples, bounds);
            groups.entry(group).or_default().add(newest);
        }
        for (group, range) in groups {
            let points = answer.get(&Of::Group(group.clone()));
            let sum = points.and_then(|points| points.first()).map(|(_, sum)| *sum);
            let is_right = match sum {
                None => !range.must_exist,
                Some(sum) => (range.min - 1e-6..=range.max + 1e-6).contains(&sum),
            };
            if !is_right {
                return Err(format!("the sum of {group} is {sum:?}, not {range:?}"));
            }
        }
        Ok(())
    }

    /// What the newest sample of a series may be.
    fn newest(
        &self,
        key: SeriesKey,
        samples: &BTreeMap<TimestampMs, Sample>,
        bounds: &Bounds<'_>,
    ) -> Range {
        let mut range = Range { min: f64::INFINITY, max: f64::NEG_INFINITY, must_exist: false };
        for (at_ms, sample) in samples.range(self.start_ms..=self.query.at_ms).rev() {
            range.min = range.min.min(sample.value);
            range.max = range.max.max(sample.value);
            if self.is_required(key, *at_ms, bounds) {
                range.must_exist = true;
                return range;
            }
        }
        // It may have none.
        Range { min: range.min.min(0.0), max: range.max.max(0.0), must_exist: false }
    }
}

fn is_asked(query: &Query, (_, series): SeriesKey) -> bool {
    setup::metric_of(series) == query.metric()
}

/// Between what a value is.
#[derive(Debug, Clone, Copy, Default)]
struct Range {
    min: f64,
    max: f64,
    must_exist: bool,
}

impl Range {
    fn add(&mut self, other: Self) {
        self.min += other.min;
        self.max += other.max;
        self.must_exist |= other.must_exist;
    }
}
