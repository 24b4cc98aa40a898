//! Addition, subtraction and scaling.
//!
//! Two histograms that are added are first brought to one shape: the coarser schema, the wider
//! zero bucket, the common custom bounds. The same code adds with and without compensation:
//! it works on [`Parts`], which both kinds of histogram lend out.

use std::sync::Arc;

use super::custom::{common_bounds, mapped};
use super::layout::{Cell, cells, place_within, union};
use super::resolution::{reduce_side, reduced};
use super::types::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Span};
use super::zero::reconcile_zero_buckets;

/// Histograms with exponential and with custom buckets cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
)]
pub struct IncompatibleSchemas;

/// What an addition or subtraction had to overlook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddOutcome {
    /// One histogram said "counter reset", the other "no counter reset"; the result says
    /// "unknown".
    pub counter_reset_collision: bool,
    /// The custom bounds differed and only those in common are left.
    pub nhcb_bounds_reconciled: bool,
}

/// Spans and buckets of one side, to be changed.
pub(super) struct SideMut<'a, T> {
    pub(super) spans: &'a mut Vec<Span>,
    pub(super) buckets: &'a mut Vec<T>,
}

/// The fields of a histogram, whatever its counts are.
pub(super) struct Parts<'a, T> {
    pub(super) hint: &'a mut CounterResetHint,
    pub(super) schema: &'a mut i32,
    pub(super) zero_threshold: &'a mut f64,
    pub(super) zero_count: &'a mut T,
    pub(super) count: &'a mut T,
    pub(super) sum: &'a mut T,
    pub(super) positive: SideMut<'a, T>,
    pub(super) negative: SideMut<'a, T>,
    pub(super) custom_values: &'a mut Arc<[f64]>,
}

/// One side of the histogram that is added, and how to read it.
#[derive(Clone, Copy)]
struct Addend<'a> {
    spans: &'a [Span],
    buckets: &'a [f64],
    schema: i32,
    /// How many buckets, the first ones, are in the zero bucket already.
    swallowed: usize,
    /// 1 to add, -1 to subtract.
    sign: f64,
}

impl<T: Cell + From<f64>> Parts<'_, T> {
    /// Adds `other` times `sign`, which is 1 or -1.
    pub(super) fn add(
        &mut self,
        other: &FloatHistogram,
        sign: f64,
    ) -> Result<AddOutcome, IncompatibleSchemas> {
        let custom = *self.schema == CUSTOM_BUCKETS_SCHEMA;
        if custom != other.uses_custom_buckets() {
            return Err(IncompatibleSchemas);
        }
        let (hint, counter_reset_collision) = sum_hint(*self.hint, other.counter_reset_hint);
        *self.hint = hint;
        self.count.merge(T::from(sign * other.count));
        self.sum.merge(T::from(sign * other.sum));
        let nhcb_bounds_reconciled =
            if custom { self.add_custom(other, sign) } else { self.add_exponential(other, sign) };
        Ok(AddOutcome { counter_reset_collision, nhcb_bounds_reconciled })
    }

    fn add_exponential(&mut self, other: &FloatHistogram, sign: f64) -> bool {
        let zero = reconcile_zero_buckets(self, other);
        self.zero_count.merge(T::from(sign * zero.count));
        if other.schema < *self.schema {
            let steps = self.schema.abs_diff(other.schema);
            reduce_side(self.positive.spans, self.positive.buckets, steps);
            reduce_side(self.negative.spans, self.negative.buckets, steps);
            *self.schema = other.schema;
        }
        let schema = *self.schema;
        let addend = |spans, buckets| {
            let swallowed = other.swallowed_buckets((spans, buckets), zero.threshold);
            Addend { spans, buckets, schema: other.schema, swallowed, sign }
        };
        self.positive.add(schema, addend(&other.positive_spans, &other.positive_buckets));
        self.negative.add(schema, addend(&other.negative_spans, &other.negative_buckets));
        false
    }

    /// Whether the bounds differed.
    fn add_custom(&mut self, other: &FloatHistogram, sign: f64) -> bool {
        if **self.custom_values == *other.custom_values {
            self.positive.add_same_schema(Addend {
                spans: &other.positive_spans,
                buckets: &other.positive_buckets,
                schema: CUSTOM_BUCKETS_SCHEMA,
                swallowed: 0,
                sign,
            });
            return false;
        }
        let bounds = common_bounds(self.custom_values, &other.custom_values);
        let own = cells(self.positive.spans, self.positive.buckets);
        let added = cells(&other.positive_spans, &other.positive_buckets)
            .map(|(index, count)| (index, T::from(sign * count)));
        let mut sum = union(
            mapped(own, self.custom_values, &bounds),
            mapped(added, &other.custom_values, &bounds),
            bounds.len() + 1,
        );
        super::compact::compact_side(&mut sum.spans, &mut sum.buckets, 0);
        *self.positive.spans = sum.spans;
        *self.positive.buckets = sum.buckets;
        *self.custom_values = bounds;
        true
    }
}

impl<T: Cell + From<f64>> SideMut<'_, T> {
    /// Adds a side whose schema is `schema`, this side's, or a finer one.
    fn add(&mut self, schema: i32, other: Addend<'_>) {
        let steps = other.schema.abs_diff(schema);
        if steps == 0 {
            return self.add_same_schema(other);
        }
        // What the zero bucket has swallowed is left out before buckets are joined, so that a
        // joined bucket does not count it twice. (Prometheus 3.14 does count it twice.)
        let mut buckets = other.buckets.to_vec();
        buckets.iter_mut().take(other.swallowed).for_each(|bucket| *bucket = 0.0);
        let coarse = reduced(other.spans, &buckets, steps);
        self.add_same_schema(Addend {
            spans: &coarse.spans,
            buckets: &coarse.buckets,
            schema,
            swallowed: 0,
            sign: other.sign,
        });
    }

    fn add_same_schema(&mut self, other: Addend<'_>) {
        let (skip, sign) = (other.swallowed, other.sign);
        let same_layout = *self.spans == other.spans && self.buckets.len() == other.buckets.len();
        if same_layout {
            let pairs = self.buckets.iter_mut().zip(other.buckets).skip(skip);
            return pairs.for_each(|(bucket, count)| bucket.merge(T::from(sign * count)));
        }
        if skip == 0 && self.add_in_place(&other) {
            return;
        }
        let added = cells(other.spans, other.buckets)
            .skip(skip)
            .map(|(index, count)| (index, T::from(sign * count)));
        let capacity = self.buckets.len().max(other.buckets.len());
        let sum = union(cells(self.spans, self.buckets), added, capacity);
        *self.spans = sum.spans;
        *self.buckets = sum.buckets;
    }
}

impl<T: Cell + From<f64>> SideMut<'_, T> {
    /// Adds where all buckets exist already, as they mostly do once a few histograms have been
    /// added: 0.2 us for 80 buckets against 2 us. False, and nothing done, if one is missing.
    fn add_in_place(&mut self, other: &Addend<'_>) -> bool {
        let (own, theirs) = (self.buckets.len(), other.buckets.len());
        let (mut fits, mut taken) = (true, 0);
        let within = place_within(self.spans, other.spans, |position, length| {
            fits &= position + length <= own;
            taken += length;
        });
        if !within || !fits || taken != theirs {
            return false;
        }
        let mut rest = other.buckets;
        place_within(self.spans, other.spans, |position, length| {
            let (counts, after) = rest.split_at(length);
            let buckets = self.buckets[position..position + length].iter_mut();
            buckets
                .zip(counts)
                .for_each(|(bucket, count)| bucket.merge((other.sign * count).into()));
            rest = after;
        })
    }
}

/// The hint of a sum, and whether the two contradict each other.
fn sum_hint(a: CounterResetHint, b: CounterResetHint) -> (CounterResetHint, bool) {
    use CounterResetHint::{Gauge, Unknown};
    match (a, b) {
        (a, b) if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Unknown, _) | (_, Unknown) => (Unknown, false),
        _ => (Unknown, true),
    }
}

impl FloatHistogram {
    /// Adds `other`, which may differ in schema, zero threshold or custom bounds; this
    /// histogram takes on what both can be expressed in. Empty buckets may be left over. On an
    /// error nothing is changed.
    pub fn add(&mut self, other: &Self) -> Result<AddOutcome, IncompatibleSchemas> {
        self.parts().add(other, 1.0)
    }

    /// Subtracts `other` by the rules of [`Self::add`]. PromQL's `-` must also mark the result
    /// as a gauge.
    pub fn sub(&mut self, other: &Self) -> Result<AddOutcome, IncompatibleSchemas> {
        self.parts().add(other, -1.0)
    }

    /// Multiplies all counts and the sum. A negative factor makes the histogram a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.scale(|value| value * factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum. Division by zero leaves no buckets. A negative divisor
    /// makes the histogram a gauge.
    pub fn div(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.negative_spans.clear();
            self.positive_buckets.clear();
            self.negative_buckets.clear();
        }
        self.scale(|value| value / divisor);
        if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Changes the sign of all counts and the sum: a gauge.
    pub fn neg(&mut self) {
        self.mul(-1.0);
    }

    fn scale(&mut self, by: impl Fn(f64) -> f64) {
        [&mut self.zero_count, &mut self.count, &mut self.sum]
            .into_iter()
            .chain(&mut self.positive_buckets)
            .chain(&mut self.negative_buckets)
            .for_each(|value| *value = by(*value));
    }

    fn parts(&mut self) -> Parts<'_, f64> {
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
