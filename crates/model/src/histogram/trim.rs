//! The trim operators: `</` keeps the observations below a value, `>/` those above it.
//!
//! A bucket that the value cuts is divided by interpolation. The new sum is an estimate from
//! the middles of what is left, because nothing better is known.

use super::bucket::Bucket;
use super::types::FloatHistogram;

/// Which part of the observations stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// `</`
    Below,
    /// `>/`
    Above,
}

/// What stays of a bucket.
struct Rest {
    count: f64,
    /// Where its observations are taken to be.
    middle: f64,
}

impl FloatHistogram {
    /// Keeps the observations below `value` (`</`).
    pub fn trim_upper(&mut self, value: f64) {
        self.trim(value, Keep::Below);
    }

    /// Keeps the observations above `value` (`>/`).
    pub fn trim_lower(&mut self, value: f64) {
        self.trim(value, Keep::Above);
    }

    fn trim(&mut self, value: f64, keep: Keep) {
        let linear = self.uses_custom_buckets();
        let cut = |bucket: Bucket| match bucket.count {
            0.0 => Rest { count: 0.0, middle: 0.0 },
            _ => rest(&bucket, value, keep, linear),
        };
        let positive: Vec<Rest> = self.positive_bucket_iter().map(cut).collect();
        let negative: Vec<Rest> = self.negative_bucket_iter().map(cut).collect();
        let zero = self.zero_bucket().filter(|zero| zero.count > 0.0);
        let zero = zero.map(|zero| zero_rest(&self.one_sided(zero), value, keep));
        // All parts add to the totals in this order, positive first and the zero bucket last.
        let (mut count, mut sum) = (0.0, 0.0);
        for part in positive.iter().chain(&negative).chain(&zero) {
            count += part.count;
            sum += part.middle * part.count;
        }
        let mut changed = false;
        let mut set = |bucket: &mut f64, part: &Rest| {
            changed |= *bucket != part.count;
            *bucket = part.count;
        };
        self.positive_buckets.iter_mut().zip(&positive).for_each(|(old, new)| set(old, new));
        self.negative_buckets.iter_mut().zip(&negative).for_each(|(old, new)| set(old, new));
        zero.iter().for_each(|new| set(&mut self.zero_count, new));
        if changed {
            self.count = count;
            self.sum = sum;
            self.compact(0);
        }
    }

    /// The zero bucket cut in half where only one side has observations.
    fn one_sided(&self, mut zero: Bucket) -> Bucket {
        let populated = |buckets: &[f64]| buckets.iter().any(|count| *count != 0.0);
        match (populated(&self.negative_buckets), populated(&self.positive_buckets)) {
            (true, false) => zero.upper = 0.0,
            (false, true) => zero.lower = 0.0,
            _ => {}
        }
        zero
    }
}

fn rest(bucket: &Bucket, value: f64, keep: Keep, linear: bool) -> Rest {
    let (all, cut) = match keep {
        Keep::Below => (bucket.upper <= value, bucket.lower < value),
        Keep::Above => (bucket.lower >= value, bucket.upper > value),
    };
    if all {
        let middle = middle(bucket.lower, bucket.upper, linear);
        return Rest { count: bucket.count, middle };
    }
    if !cut {
        return Rest { count: 0.0, middle: 0.0 };
    }
    if bucket.lower.is_infinite() || bucket.upper.is_infinite() {
        return endless_rest(bucket, value, keep);
    }
    let below = bucket.count * bucket.fraction_below(value, linear);
    match keep {
        Keep::Below => Rest { count: below, middle: middle(bucket.lower, value, linear) },
        Keep::Above => {
            Rest { count: bucket.count - below, middle: middle(value, bucket.upper, linear) }
        }
    }
}

/// What stays of a bucket that has no end on one side and is cut. Nothing is known about where
/// its observations lie, so it goes or stays as a whole; only the first custom bucket, if its
/// end is positive, counts as beginning at 0.
fn endless_rest(bucket: &Bucket, value: f64, keep: Keep) -> Rest {
    let nothing = Rest { count: 0.0, middle: 0.0 };
    let whole_at_value = Rest { count: bucket.count, middle: value };
    let upper = bucket.upper;
    match (bucket.lower == f64::NEG_INFINITY, keep) {
        (true, Keep::Below) if value > 0.0 && upper.is_finite() => {
            Rest { count: bucket.count * value / upper, middle: value / 2.0 }
        }
        (true, Keep::Below) if upper <= 0.0 => whole_at_value,
        (true, Keep::Above) if value >= 0.0 && upper.is_finite() => Rest {
            count: bucket.count * (1.0 - value / upper),
            middle: f64::midpoint(value, upper),
        },
        (false, Keep::Above) => whole_at_value,
        _ => nothing,
    }
}

fn zero_rest(zero: &Bucket, value: f64, keep: Keep) -> Rest {
    let before = value <= zero.lower;
    let behind = value >= zero.upper && !before;
    let (none, all, lower, upper) = match keep {
        Keep::Below => (before, behind, zero.lower, value),
        Keep::Above => (behind, before, value, zero.upper),
    };
    if none {
        return Rest { count: 0.0, middle: 0.0 };
    }
    if all {
        return Rest { count: zero.count, middle: f64::midpoint(zero.lower, zero.upper) };
    }
    let part = (upper - lower) / (zero.upper - zero.lower);
    Rest { count: zero.count * part, middle: f64::midpoint(lower, upper) }
}

/// The middle of an interval: arithmetic or, with the sign of the side, geometric.
fn middle(lower: f64, upper: f64, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => f64::midpoint(lower, upper),
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if upper > 0.0 { mean } else { -mean }
        }
    }
}
