//! Which part of the observations lies between two values.

use super::bucket::Bucket;
use super::types::FloatHistogram;

/// How many observations lie below a value: found while the buckets pass.
pub(super) struct RankOf {
    value: f64,
    rank: Option<f64>,
}

impl RankOf {
    /// The rank of `value`.
    pub(super) fn new(value: f64) -> Self {
        Self { value, rank: None }
    }

    /// Looks at the next bucket: its bounds, the observations `below` it, and how many of its
    /// own lie below a value strictly inside.
    pub(super) fn see(
        &mut self,
        (lower, upper): (f64, f64),
        below: f64,
        rank_inside: impl Fn(f64) -> f64,
    ) {
        if self.rank.is_some() {
            return;
        }
        if lower >= self.value {
            self.rank = Some(below);
        } else if lower < self.value && upper > self.value {
            self.rank = Some(rank_inside(self.value));
        }
    }

    /// Whether the rank is known.
    pub(super) fn is_known(&self) -> bool {
        self.rank.is_some()
    }

    /// The rank, at most `count`.
    pub(super) fn rank(&self, count: f64) -> f64 {
        match self.rank {
            Some(rank) if rank > count => count,
            Some(rank) => rank,
            None => count,
        }
    }
}

impl FloatHistogram {
    /// The fraction of observations between `lower` and `upper`, interpolated as
    /// [`Self::quantile`] does it, and whether there are observations of NaN: those are in no
    /// fraction. NaN without observations or where a bound is NaN.
    pub fn fraction(&self, lower: f64, upper: f64) -> (f64, bool) {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return (f64::NAN, false);
        }
        if lower >= upper {
            return (0.0, false);
        }
        let (mut lower, mut upper) = (RankOf::new(lower), RankOf::new(upper));
        let (mut below, mut in_buckets) = (0.0, 0.0);
        for mut bucket in self.all_buckets() {
            in_buckets += bucket.count;
            if lower.is_known() && upper.is_known() {
                continue;
            }
            let linear = self.limit_for_fraction(&mut bucket);
            let bounds = (bucket.lower, bucket.upper);
            let rank_inside = |value| rank_inside(&bucket, below, value, linear);
            lower.see(bounds, below, rank_inside);
            upper.see(bounds, below, rank_inside);
            below += bucket.count;
        }
        let count = if self.sum.is_nan() { in_buckets } else { self.count };
        let fraction = (upper.rank(count) - lower.rank(count)) / self.count;
        (fraction, self.sum.is_nan() && in_buckets < self.count)
    }

    /// Cuts the zero bucket as needed; whether the bucket is interpolated linearly.
    fn limit_for_fraction(&self, bucket: &mut Bucket) -> bool {
        let around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if around_zero {
            self.limit_zero_bucket(bucket);
        }
        around_zero || self.uses_custom_buckets()
    }
}

/// Nothing can be interpolated towards an infinite bound: nothing of a bucket that ends there,
/// all of one that begins there.
fn rank_inside(bucket: &Bucket, below: f64, value: f64, linear: bool) -> f64 {
    if linear && bucket.lower == f64::NEG_INFINITY {
        return bucket.count;
    }
    below + bucket.count * bucket.fraction_below(value, linear)
}
