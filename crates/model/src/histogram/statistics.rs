//! Average, variance and standard deviation of the observations.

use super::bucket::Bucket;
use super::kahan::Kahan;
use super::types::FloatHistogram;

impl FloatHistogram {
    /// The average observation; NaN without observations.
    pub fn avg(&self) -> f64 {
        self.sum / self.count
    }

    /// The variance, estimated as if all observations of a bucket stood in its middle: the
    /// geometric one, for custom buckets the arithmetic one, for the zero bucket zero.
    pub fn stdvar(&self) -> f64 {
        let mean = self.avg();
        let mut sum = Kahan::default();
        for bucket in self.all_buckets().filter(|bucket| bucket.count != 0.0) {
            let delta = self.middle(&bucket) - mean;
            sum.add(bucket.count * delta * delta);
        }
        sum.value() / self.count
    }

    /// The square root of [`Self::stdvar`].
    pub fn stddev(&self) -> f64 {
        self.stdvar().sqrt()
    }

    fn middle(&self, bucket: &Bucket) -> f64 {
        if self.uses_custom_buckets() {
            return f64::midpoint(bucket.upper, bucket.lower);
        }
        if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            return 0.0;
        }
        let root = (bucket.upper * bucket.lower).sqrt();
        if bucket.upper < 0.0 { -root } else { root }
    }
}
