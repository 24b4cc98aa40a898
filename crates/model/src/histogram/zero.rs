//! Zero buckets of different width. The narrower one is widened; if its new border falls into a
//! populated bucket, it moves outwards to that bucket's end, so that no bucket is ever split.

use super::arith::{Parts, SideMut};
use super::bounds::exponential_bound;
use super::compact::compact_side;
use super::layout::{Cell, cells};
use super::types::{FloatHistogram, Span};

/// A zero bucket after widening.
#[derive(Debug, Clone, Copy)]
pub(super) struct WideZero<T> {
    pub(super) threshold: f64,
    pub(super) count: T,
}

/// Widens the zero bucket of `parts` as far as both histograms need it, and returns the zero
/// bucket that `other` has at that width.
///
/// Each turn moves a threshold outwards over at least one bucket, so it ends; thresholds that
/// compare with nothing (NaN) end it at once.
pub(super) fn reconcile_zero_buckets<T: Cell + From<f64>>(
    parts: &mut Parts<'_, T>,
    other: &FloatHistogram,
) -> WideZero<f64> {
    let mut wide = WideZero { threshold: other.zero_threshold, count: other.zero_count };
    loop {
        if *parts.zero_threshold > wide.threshold {
            wide = other.widened_zero_bucket(*parts.zero_threshold);
        } else if wide.threshold > *parts.zero_threshold {
            parts.widen_zero_bucket(wide.threshold);
        } else {
            return wide;
        }
    }
}

impl FloatHistogram {
    /// How many buckets of a side, the first ones, are in a zero bucket that was widened to
    /// `threshold`.
    pub(super) fn swallowed_buckets(
        &self,
        (spans, buckets): (&[Span], &[f64]),
        threshold: f64,
    ) -> usize {
        if self.zero_threshold == threshold || self.uses_custom_buckets() {
            return 0;
        }
        count_below(spans, buckets, threshold, self.schema)
    }

    /// The zero bucket that this histogram has with at least the given threshold, which is not
    /// below its own.
    pub(super) fn widened_zero_bucket(&self, threshold: f64) -> WideZero<f64> {
        if threshold == self.zero_threshold {
            return WideZero { threshold, count: self.zero_count };
        }
        let positive = (self.positive_spans.as_slice(), self.positive_buckets.as_slice());
        let negative = (self.negative_spans.as_slice(), self.negative_buckets.as_slice());
        widened(self.zero_count, threshold, self.schema, [positive, negative])
    }
}

impl<T: Cell> Parts<'_, T> {
    fn widen_zero_bucket(&mut self, threshold: f64) {
        let positive = (self.positive.spans.as_slice(), self.positive.buckets.as_slice());
        let negative = (self.negative.spans.as_slice(), self.negative.buckets.as_slice());
        let wide = widened(*self.zero_count, threshold, *self.schema, [positive, negative]);
        *self.zero_threshold = wide.threshold;
        *self.zero_count = wide.count;
        self.positive.remove_below(wide.threshold, *self.schema);
        self.negative.remove_below(wide.threshold, *self.schema);
    }
}

impl<T: Cell> SideMut<'_, T> {
    /// Removes the buckets that begin below `threshold`.
    fn remove_below(&mut self, threshold: f64, schema: i32) {
        let inside = count_below(self.spans, self.buckets, threshold, schema);
        if inside > 0 {
            self.buckets.iter_mut().take(inside).for_each(|bucket| *bucket = T::default());
            compact_side(self.spans, self.buckets, 0);
        }
    }
}

/// How many buckets, the first ones, begin below `threshold`.
fn count_below<T: Cell>(spans: &[Span], buckets: &[T], threshold: f64, schema: i32) -> usize {
    cells(spans, buckets)
        .take_while(|(index, _)| exponential_bound(index - 1, schema) < threshold)
        .count()
}

/// A border that moves outwards on one side may cover more of the other: start over then.
fn widened<T: Cell>(
    zero_count: T,
    mut threshold: f64,
    schema: i32,
    sides: [(&[Span], &[T]); 2],
) -> WideZero<T> {
    loop {
        let mut count = zero_count;
        let border = sides.iter().find_map(|side| swallow(&mut count, *side, threshold, schema));
        match border {
            Some(border) => threshold = border,
            None => return WideZero { threshold, count },
        }
    }
}

/// Adds the buckets that begin below `threshold` to `count`. If one of them is populated and
/// ends above it, its end is the answer: the threshold must move there.
fn swallow<T: Cell>(
    count: &mut T,
    (spans, buckets): (&[Span], &[T]),
    threshold: f64,
    schema: i32,
) -> Option<f64> {
    for (index, bucket) in cells(spans, buckets) {
        if exponential_bound(index - 1, schema) >= threshold {
            return None;
        }
        count.merge(bucket);
        let upper = exponential_bound(index, schema);
        if upper > threshold {
            return (!bucket.is_empty()).then_some(upper);
        }
    }
    None
}
