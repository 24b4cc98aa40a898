//! Buckets with their bounds, and the orders in which they are visited.

use std::fmt;

use super::bounds::upper_bound;
use super::layout::Indexes;
use super::text::write_g;
use super::types::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};

/// One bucket of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether an observation at `lower` counts here.
    pub lower_inclusive: bool,
    /// Whether an observation at `upper` counts here.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
    /// The bucket's index on its side; 0 for the zero bucket.
    pub index: i64,
}

impl Bucket {
    /// The number by which the HTTP API tells which bounds are inclusive: 0 the upper, 1 the
    /// lower, 2 none, 3 both.
    pub fn boundary_rule(&self) -> u8 {
        match (self.lower_inclusive, self.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        }
    }

    /// The part of the bucket's width at or below `value`, which lies strictly between finite
    /// bounds: on a linear scale or, mirrored for negative buckets, on a logarithmic one.
    pub fn fraction_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let [lower, upper, at] = [self.lower, self.upper, value].map(|x| x.abs().log2());
        if value > 0.0 {
            (at - lower) / (upper - lower)
        } else {
            1.0 - (at - upper) / (lower - upper)
        }
    }
}

/// The bucket in the usual mathematical notation with its count: `(1,2]:3`.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.lower_inclusive { "[" } else { "(" })?;
        write_g(f, self.lower)?;
        f.write_str(",")?;
        write_g(f, self.upper)?;
        f.write_str(if self.upper_inclusive { "]:" } else { "):" })?;
        write_g(f, self.count)
    }
}

/// The buckets of one side, away from zero; from the back, towards zero.
#[derive(Clone)]
struct SideBuckets<'a> {
    indexes: Indexes<'a>,
    counts: std::slice::Iter<'a, f64>,
    schema: i32,
    custom_values: &'a [f64],
    negative: bool,
}

impl SideBuckets<'_> {
    fn bucket(&self, index: i64, count: f64) -> Bucket {
        let outer = upper_bound(index, self.schema, self.custom_values);
        let inner = upper_bound(index - 1, self.schema, self.custom_values);
        let (lower, upper) = if self.negative { (-outer, -inner) } else { (inner, outer) };
        let custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        Bucket {
            lower,
            upper,
            lower_inclusive: if custom { index == 0 } else { lower < 0.0 },
            upper_inclusive: custom || upper > 0.0,
            count,
            index,
        }
    }
}

impl Iterator for SideBuckets<'_> {
    type Item = Bucket;

    fn next(&mut self) -> Option<Bucket> {
        let count = *self.counts.next()?;
        let index = self.indexes.next_front()?;
        Some(self.bucket(index, count))
    }
}

impl DoubleEndedIterator for SideBuckets<'_> {
    fn next_back(&mut self) -> Option<Bucket> {
        let count = *self.counts.next_back()?;
        let index = self.indexes.next_back()?;
        Some(self.bucket(index, count))
    }
}

impl FloatHistogram {
    fn side<'a>(&'a self, spans: &'a [Span], counts: &'a [f64], negative: bool) -> SideBuckets<'a> {
        SideBuckets {
            indexes: Indexes::new(spans),
            counts: counts.iter(),
            schema: self.schema,
            custom_values: &self.custom_values,
            negative,
        }
    }

    /// The positive buckets (all buckets for custom bounds), ascending, empty ones included.
    pub fn positive_bucket_iter(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.side(&self.positive_spans, &self.positive_buckets, false)
    }

    /// The negative buckets, descending, that is away from zero; empty ones included.
    pub fn negative_bucket_iter(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let exponential = !self.uses_custom_buckets();
        let counts = if exponential { self.negative_buckets.as_slice() } else { &[] };
        self.side(&self.negative_spans, counts, true)
    }

    /// The zero bucket; `None` for custom bounds, which have none.
    pub fn zero_bucket(&self) -> Option<Bucket> {
        (!self.uses_custom_buckets()).then_some(Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        })
    }

    /// All buckets ascending, the zero bucket only if its count is above zero. A bucket that
    /// reaches into the zero bucket is shown as ending there.
    pub fn all_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let threshold = self.zero_threshold;
        let zero = self.zero_bucket().filter(|zero| zero.count > 0.0);
        let negative = self.negative_bucket_iter().rev();
        negative
            .map(move |mut bucket| {
                if bucket.upper < 0.0 && bucket.upper > -threshold {
                    bucket.upper = -threshold;
                }
                bucket
            })
            .chain(zero)
            .chain(self.positive_bucket_iter().map(move |mut bucket| {
                if bucket.lower > 0.0 && bucket.lower < threshold {
                    bucket.lower = threshold;
                }
                bucket
            }))
    }
}
