//! Quantiles of native histograms.

use super::bucket::Bucket;
use super::types::FloatHistogram;

/// What observations of NaN did to a quantile. They stand in no bucket, as if above them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NanObservations {
    /// There are none, or they do not matter.
    #[default]
    None,
    /// The quantile falls among them: the result is NaN.
    ResultIsNan,
    /// The result is higher than without them.
    ResultIsSkewed,
}

/// The bucket into which a quantile falls.
struct Found {
    bucket: Bucket,
    /// Observations up to and including the bucket, in the order of the search.
    count: f64,
    /// Observations in all buckets that were looked at: all of them if asked for.
    seen: f64,
}

impl FloatHistogram {
    /// The `q`-quantile of the observations.
    ///
    /// Within a bucket observations are taken to be spread evenly on a logarithmic scale; in
    /// the zero bucket and in custom buckets on a linear one. The zero bucket counts as one-sided
    /// if the buckets are; the first custom bucket begins at 0 if its end is positive. NaN
    /// without observations, -Inf and +Inf for a `q` below 0 and above 1.
    pub fn quantile(&self, q: f64) -> (f64, NanObservations) {
        if q < 0.0 {
            return (f64::NEG_INFINITY, NanObservations::None);
        }
        if q > 1.0 {
            return (f64::INFINITY, NanObservations::None);
        }
        if self.count == 0.0 || q.is_nan() {
            return (f64::NAN, NanObservations::None);
        }
        // From the nearer end, for precision; with NaNs, which no bucket holds, only from below.
        let ascending = self.sum.is_nan() || q < 0.5;
        let rank = if ascending { q * self.count } else { (1.0 - q) * self.count };
        let found = if ascending {
            find(self.all_buckets(), rank, self.sum.is_nan())
        } else {
            find(self.all_buckets().rev(), rank, false)
        };
        self.quantile_in(found, rank, ascending)
    }

    fn quantile_in(&self, found: Found, rank: f64, ascending: bool) -> (f64, NanObservations) {
        let mut bucket = found.bucket;
        if let Some(edge) = self.limit_bucket(&mut bucket) {
            return (edge, NanObservations::None);
        }
        let count = if found.count > self.count { self.count } else { found.count };
        if count < rank {
            // Without NaNs this is lost precision or a damaged histogram.
            return if self.sum.is_nan() {
                (f64::NAN, NanObservations::ResultIsNan)
            } else {
                (bucket.upper, NanObservations::None)
            };
        }
        let rank_in_bucket = if ascending { rank - (count - bucket.count) } else { count - rank };
        // A sum of NaN may also come from +Inf and -Inf; only missing observations are NaNs.
        // (Prometheus 3.14 interpolates in the last bucket here, whatever the quantile's is.)
        let nans = self.sum.is_nan() && found.seen < self.count;
        let note = if nans { NanObservations::ResultIsSkewed } else { NanObservations::None };
        (self.interpolate(&bucket, rank_in_bucket / bucket.count), note)
    }

    /// Replaces a bound that is wider than the observations can be. `Some` where the bucket has
    /// no inside to interpolate in.
    fn limit_bucket(&self, bucket: &mut Bucket) -> Option<f64> {
        if self.uses_custom_buckets() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return Some(bucket.upper);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return Some(bucket.lower);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            self.limit_zero_bucket(bucket);
        }
        None
    }

    /// Cuts the zero bucket in half if there are buckets on one side alone.
    pub(super) fn limit_zero_bucket(&self, bucket: &mut Bucket) {
        match (self.negative_buckets.is_empty(), self.positive_buckets.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }

    fn interpolate(&self, bucket: &Bucket, fraction: f64) -> f64 {
        if self.uses_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
            return bucket.lower + (bucket.upper - bucket.lower) * fraction;
        }
        let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
        if bucket.lower > 0.0 {
            (lower + (upper - lower) * fraction).exp2()
        } else {
            -(upper + (lower - upper) * (1.0 - fraction)).exp2()
        }
    }
}

/// The first populated bucket with which `rank` observations are reached, else the last one.
fn find(buckets: impl Iterator<Item = Bucket>, rank: f64, count_all: bool) -> Found {
    let mut buckets = buckets;
    let mut found = Found { bucket: Bucket::default(), count: 0.0, seen: 0.0 };
    for bucket in buckets.by_ref() {
        found.bucket = bucket;
        if bucket.count == 0.0 {
            continue;
        }
        found.count += bucket.count;
        if found.count >= rank {
            break;
        }
    }
    found.seen = found.count;
    if count_all {
        found.seen = buckets.fold(found.seen, |seen, bucket| seen + bucket.count);
    }
    found
}
