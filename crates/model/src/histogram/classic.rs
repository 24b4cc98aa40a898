//! Quantiles and fractions of classic histograms: cumulative counts by upper bound.

use super::equality::almost_equal;
use super::fraction::RankOf;

/// Counts that fall by less than this part of their size fell by rounding.
const SMALL_DELTA_TOLERANCE: f64 = 1e-12;

/// A cumulative bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassicBucket {
    /// The upper bound, label `le`; not NaN.
    pub upper_bound: f64,
    /// Observations up to the bound.
    pub count: f64,
}

/// Where counts fell from one bucket to the next, which a cumulative count cannot: they were
/// raised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForcedMonotonic {
    /// The lowest bound of a raised bucket.
    pub min_bucket: f64,
    /// The highest bound of a raised bucket.
    pub max_bucket: f64,
    /// The greatest difference by which a bucket was raised.
    pub max_diff: f64,
}

/// The result of [`bucket_quantile`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassicQuantile {
    /// The quantile.
    pub value: f64,
    /// Set if counts had to be raised.
    pub forced_monotonic: Option<ForcedMonotonic>,
    /// Whether differences too small to mean anything were ignored.
    pub fixed_precision: bool,
}

impl ClassicQuantile {
    fn only(value: f64) -> Self {
        Self { value, forced_monotonic: None, fixed_precision: false }
    }
}

/// The `q`-quantile of classic buckets, interpolated linearly. Sorts the buckets and changes
/// them.
///
/// Quantiles in the last bucket are its lower bound; the first bucket begins at 0 if its bound
/// is positive and is its bound otherwise. NaN with fewer than two buckets, without a bucket
/// for +Inf and without observations.
pub fn bucket_quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> ClassicQuantile {
    if q.is_nan() {
        return ClassicQuantile::only(f64::NAN);
    }
    if q < 0.0 {
        return ClassicQuantile::only(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return ClassicQuantile::only(f64::INFINITY);
    }
    if !prepare(buckets) {
        return ClassicQuantile::only(f64::NAN);
    }
    let (forced_monotonic, fixed_precision) = make_monotonic(buckets);
    let value = quantile_of(q, buckets);
    ClassicQuantile { value, forced_monotonic, fixed_precision }
}

fn quantile_of(q: f64, buckets: &[ClassicBucket]) -> f64 {
    let [.., before_last, last] = buckets else {
        return f64::NAN;
    };
    if last.count == 0.0 {
        return f64::NAN;
    }
    let rank = q * last.count;
    let at = buckets[..buckets.len() - 1].partition_point(|bucket| {
        // Not `<`: with NaN counts the search must go on as if they were below the rank.
        !matches!(bucket.count.partial_cmp(&rank), Some(o) if o.is_ge())
    });
    if at == buckets.len() - 1 {
        return before_last.upper_bound;
    }
    let bucket = buckets[at];
    if at == 0 && bucket.upper_bound <= 0.0 {
        return bucket.upper_bound;
    }
    let (start, below) = match at.checked_sub(1) {
        Some(previous) => (buckets[previous].upper_bound, buckets[previous].count),
        None => (0.0, 0.0),
    };
    start + (bucket.upper_bound - start) * ((rank - below) / (bucket.count - below))
}

/// The fraction of observations between two values, interpolated as by [`bucket_quantile`].
/// Sorts the buckets and changes them.
pub fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !prepare(buckets) {
        return f64::NAN;
    }
    let count = buckets.last().map_or(0.0, |bucket| bucket.count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let (mut lower, mut upper) = (RankOf::new(lower), RankOf::new(upper));
    let mut below = 0.0;
    let mut start = if buckets[0].upper_bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in buckets.iter() {
        let end = bucket.upper_bound;
        let rank_inside = |value: f64| {
            if start == f64::NEG_INFINITY {
                return bucket.count;
            }
            below + (bucket.count - below) * (value - start) / (end - start)
        };
        lower.see((start, end), below, rank_inside);
        upper.see((start, end), below, rank_inside);
        below = bucket.count;
        start = end;
    }
    (upper.rank(count) - lower.rank(count)) / count
}

/// Sorts the buckets and adds up those with the same bound. False without a bucket for +Inf.
fn prepare(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.upper_bound.total_cmp(&b.upper_bound));
    buckets.dedup_by(|next, kept| {
        let same = next.upper_bound == kept.upper_bound;
        if same {
            kept.count += next.count;
        }
        same
    });
    buckets.last().is_some_and(|bucket| bucket.upper_bound == f64::INFINITY)
}

fn make_monotonic(buckets: &mut [ClassicBucket]) -> (Option<ForcedMonotonic>, bool) {
    let mut forced: Option<ForcedMonotonic> = None;
    let mut fixed_precision = false;
    let mut previous = buckets.first().map_or(0.0, |bucket| bucket.count);
    for bucket in buckets.iter_mut().skip(1) {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if almost_equal(previous, count, SMALL_DELTA_TOLERANCE) {
            bucket.count = previous;
            fixed_precision = true;
        } else if count < previous {
            bucket.count = previous;
            let diff = previous - count;
            let bound = bucket.upper_bound;
            let seen = forced.get_or_insert(ForcedMonotonic {
                min_bucket: bound,
                max_bucket: bound,
                max_diff: diff,
            });
            seen.min_bucket = seen.min_bucket.min(bound);
            seen.max_bucket = seen.max_bucket.max(bound);
            seen.max_diff = seen.max_diff.max(diff);
        } else {
            previous = count;
        }
    }
    (forced, fixed_precision)
}
