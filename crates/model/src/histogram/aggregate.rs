//! Sums and averages of many histograms, as `sum`, `avg`, `sum_over_time` and `avg_over_time`
//! make them.

use super::arith::{AddOutcome, IncompatibleSchemas};
use super::kahan::KahanHistogram;
use super::types::{CounterResetHint, FloatHistogram};

/// What an aggregation has to tell the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AggregationNotes {
    counter_reset_seen: bool,
    not_counter_reset_seen: bool,
    /// Custom bounds differed and only those in common are left.
    pub nhcb_bounds_reconciled: bool,
}

impl AggregationNotes {
    /// Whether one histogram said "counter reset" and another "no counter reset".
    pub fn counter_reset_collision(&self) -> bool {
        self.counter_reset_seen && self.not_counter_reset_seen
    }

    fn see(&mut self, histogram: &FloatHistogram) {
        match histogram.counter_reset_hint {
            CounterResetHint::CounterReset => self.counter_reset_seen = true,
            CounterResetHint::NotCounterReset => self.not_counter_reset_seen = true,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
    }

    fn note(&mut self, outcome: AddOutcome) {
        self.nhcb_bounds_reconciled |= outcome.nhcb_bounds_reconciled;
    }
}

/// A running sum of histograms.
#[derive(Debug, Clone)]
pub struct HistogramSum {
    sum: KahanHistogram,
    notes: AggregationNotes,
}

impl HistogramSum {
    /// The sum of `first` alone.
    pub fn new(first: &FloatHistogram) -> Self {
        let mut notes = AggregationNotes::default();
        notes.see(first);
        Self { sum: KahanHistogram::new(first), notes }
    }

    /// Adds a histogram. After an error the aggregation has no result.
    pub fn add(&mut self, histogram: &FloatHistogram) -> Result<(), IncompatibleSchemas> {
        self.notes.see(histogram);
        let outcome = self.sum.add(histogram)?;
        self.notes.note(outcome);
        Ok(())
    }

    /// What happened on the way.
    pub fn notes(&self) -> AggregationNotes {
        self.notes
    }

    /// The sum; not compacted.
    pub fn finish(self) -> FloatHistogram {
        self.sum.into_histogram()
    }
}

/// A running average of histograms: the sum divided at the end, or, where the sum would
/// overflow, a mean that is updated with each histogram.
#[derive(Debug, Clone)]
pub struct HistogramMean {
    /// The sum, or from the overflow on the mean.
    value: KahanHistogram,
    incremental: bool,
    count: f64,
    notes: AggregationNotes,
}

impl HistogramMean {
    /// The average of `first` alone.
    pub fn new(first: &FloatHistogram) -> Self {
        let mut notes = AggregationNotes::default();
        notes.see(first);
        Self { value: KahanHistogram::new(first), incremental: false, count: 1.0, notes }
    }

    /// Adds a histogram. After an error the aggregation has no result.
    pub fn add(&mut self, histogram: &FloatHistogram) -> Result<(), IncompatibleSchemas> {
        self.notes.see(histogram);
        self.count += 1.0;
        if !self.incremental && self.try_add_to_sum(histogram)? {
            return Ok(());
        }
        self.value.mul((self.count - 1.0) / self.count);
        let mut share = histogram.clone();
        share.div(self.count);
        let outcome = self.value.add(&share)?;
        self.notes.note(outcome);
        Ok(())
    }

    /// Adds to the sum, unless that overflows: then the sum becomes a mean and nothing has been
    /// added. A copy is only made where an overflow is possible at all.
    fn try_add_to_sum(&mut self, histogram: &FloatHistogram) -> Result<bool, IncompatibleSchemas> {
        let safe = self.value.magnitude() < SAFE_MAGNITUDE && magnitude(histogram) < SAFE_MAGNITUDE;
        let before = (!safe).then(|| self.value.clone());
        let outcome = self.value.add(histogram)?;
        self.notes.note(outcome);
        match before {
            Some(before) if self.value.has_overflow() => {
                self.value = before;
                self.value.div(self.count - 1.0);
                self.incremental = true;
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// What happened on the way.
    pub fn notes(&self) -> AggregationNotes {
        self.notes
    }

    /// The average; not compacted.
    pub fn finish(mut self) -> FloatHistogram {
        if !self.incremental {
            self.value.div(self.count);
        }
        self.value.into_histogram()
    }
}

/// Two histograms whose values all stay below this have a finite sum, even where the buckets of
/// a side are all joined into one.
const SAFE_MAGNITUDE: f64 = 1e290;

/// The greatest magnitude of a count or the sum; NaN counts as none.
fn magnitude(histogram: &FloatHistogram) -> f64 {
    [&histogram.zero_count, &histogram.count, &histogram.sum]
        .into_iter()
        .chain(&histogram.positive_buckets)
        .chain(&histogram.negative_buckets)
        .fold(0.0, |max, value| value.abs().max(max))
}
