//! Sums that keep what rounding drops (Kahan's method with Neumaier's improvement), of numbers
//! and of whole histograms: what `sum` and `avg` add with.

use std::sync::Arc;

use super::arith::{AddOutcome, IncompatibleSchemas, Parts, SideMut};
use super::layout::Cell;
use super::types::{CounterResetHint, FloatHistogram, Span};

/// A running sum and its compensation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Kahan {
    /// The sum so far, without the compensation.
    pub sum: f64,
    /// What rounding has dropped from `sum`.
    pub compensation: f64,
}

impl Kahan {
    /// Adds a number. Once the sum is infinite there is nothing left to compensate.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.compensation += (self.sum - total) + value;
        } else {
            self.compensation += (value - total) + self.sum;
        }
        self.sum = total;
    }

    /// The compensated sum.
    #[inline]
    pub fn value(self) -> f64 {
        self.sum + self.compensation
    }

    fn scale(&mut self, by: impl Fn(f64) -> f64) {
        self.sum = by(self.sum);
        self.compensation = by(self.compensation);
    }
}

impl From<f64> for Kahan {
    fn from(sum: f64) -> Self {
        Self { sum, compensation: 0.0 }
    }
}

impl Cell for Kahan {
    fn is_empty(self) -> bool {
        self.sum == 0.0 && self.compensation == 0.0
    }

    fn merge(&mut self, other: Self) {
        self.add(other.sum);
        if other.compensation != 0.0 {
            self.add(other.compensation);
        }
    }
}

/// A histogram whose count, sum and buckets are compensated sums.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KahanHistogram {
    counter_reset_hint: CounterResetHint,
    schema: i32,
    zero_threshold: f64,
    zero_count: Kahan,
    count: Kahan,
    sum: Kahan,
    positive_spans: Vec<Span>,
    negative_spans: Vec<Span>,
    positive_buckets: Vec<Kahan>,
    negative_buckets: Vec<Kahan>,
    custom_values: Arc<[f64]>,
}

impl KahanHistogram {
    /// A sum that starts with `first`.
    pub fn new(first: &FloatHistogram) -> Self {
        let compensated = |buckets: &[f64]| buckets.iter().map(|&b| Kahan::from(b)).collect();
        Self {
            counter_reset_hint: first.counter_reset_hint,
            schema: first.schema,
            zero_threshold: first.zero_threshold,
            zero_count: first.zero_count.into(),
            count: first.count.into(),
            sum: first.sum.into(),
            positive_spans: first.positive_spans.clone(),
            negative_spans: first.negative_spans.clone(),
            positive_buckets: compensated(&first.positive_buckets),
            negative_buckets: compensated(&first.negative_buckets),
            custom_values: first.custom_values.clone(),
        }
    }

    /// Adds `other` as [`FloatHistogram::add`] does.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<AddOutcome, IncompatibleSchemas> {
        self.parts().add(other, 1.0)
    }

    /// Multiplies all counts and the sum; the hint stays.
    pub fn mul(&mut self, factor: f64) {
        self.scale(|value| value * factor);
    }

    /// Divides all counts and the sum by a number that is not zero; the hint stays.
    pub fn div(&mut self, divisor: f64) {
        self.scale(|value| value / divisor);
    }

    /// Whether a count or the sum has become infinite.
    pub fn has_overflow(&self) -> bool {
        self.values().any(|value| value.sum.is_infinite())
    }

    /// The greatest magnitude of a count or the sum.
    pub(super) fn magnitude(&self) -> f64 {
        self.values().fold(0.0, |max, value| value.sum.abs().max(max))
    }

    /// The histogram of the compensated values.
    pub fn into_histogram(self) -> FloatHistogram {
        let values = |buckets: Vec<Kahan>| buckets.into_iter().map(Kahan::value).collect();
        FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.value(),
            count: self.count.value(),
            sum: self.sum.value(),
            positive_spans: self.positive_spans,
            negative_spans: self.negative_spans,
            positive_buckets: values(self.positive_buckets),
            negative_buckets: values(self.negative_buckets),
            custom_values: self.custom_values,
        }
    }

    fn values(&self) -> impl Iterator<Item = &Kahan> {
        [&self.zero_count, &self.count, &self.sum]
            .into_iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
    }

    fn scale(&mut self, by: impl Fn(f64) -> f64) {
        [&mut self.zero_count, &mut self.count, &mut self.sum]
            .into_iter()
            .chain(&mut self.positive_buckets)
            .chain(&mut self.negative_buckets)
            .for_each(|value| value.scale(&by));
    }

    fn parts(&mut self) -> Parts<'_, Kahan> {
        Parts {
            hint: &mut self.counter_reset_hint,
            schema: &mut self.schema,
            zero_threshold: &mut self.zero_threshold,
            zero_count: &mut self.zero_count,
            count: &mut self.count,
            sum: &mut self.sum,
            positive: SideMut {
                spans: &mut self.positive_spans,
                buckets: &mut self.positive_buckets,
            },
            negative: SideMut {
                spans: &mut self.negative_spans,
                buckets: &mut self.negative_buckets,
            },
            custom_values: &mut self.custom_values,
        }
    }
}
