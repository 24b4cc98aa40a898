//! From integer to float histograms, and the counts behind delta-encoded buckets.

use super::types::{FloatHistogram, Histogram};

/// Delta-encoded buckets as absolute counts.
pub(super) fn absolute(deltas: &[i64]) -> Vec<i64> {
    let mut count = 0_i64;
    deltas
        .iter()
        .map(|delta| {
            count = count.wrapping_add(*delta);
            count
        })
        .collect()
}

/// Absolute counts as deltas.
pub(super) fn deltas(counts: &[i64]) -> Vec<i64> {
    let mut previous = 0_i64;
    counts
        .iter()
        .map(|&count| count.wrapping_sub(std::mem::replace(&mut previous, count)))
        .collect()
}

fn fill_absolute(deltas: &[i64], into: &mut Vec<f64>) {
    let mut count = 0.0;
    into.clear();
    into.extend(deltas.iter().map(|&delta| {
        count += delta as f64;
        count
    }));
}

impl Histogram {
    /// The histogram with float counts.
    pub fn to_float(&self) -> FloatHistogram {
        let mut float = FloatHistogram::default();
        self.to_float_into(&mut float);
        float
    }

    /// Like [`Self::to_float`], into memory that is reused. Fields that the schema does not use
    /// become empty.
    pub fn to_float_into(&self, float: &mut FloatHistogram) {
        float.counter_reset_hint = self.counter_reset_hint;
        float.schema = self.schema;
        float.count = self.count as f64;
        float.sum = self.sum;
        float.positive_spans.clone_from(&self.positive_spans);
        fill_absolute(&self.positive_buckets, &mut float.positive_buckets);
        if self.uses_custom_buckets() {
            float.zero_threshold = 0.0;
            float.zero_count = 0.0;
            float.negative_spans.clear();
            float.negative_buckets.clear();
            float.custom_values = self.custom_values.clone();
            return;
        }
        float.zero_threshold = self.zero_threshold;
        float.zero_count = self.zero_count as f64;
        float.negative_spans.clone_from(&self.negative_spans);
        fill_absolute(&self.negative_buckets, &mut float.negative_buckets);
        if !float.custom_values.is_empty() {
            float.custom_values = [].into();
        }
    }

    /// Whether the buckets have custom bounds.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == super::CUSTOM_BUCKETS_SCHEMA
    }
}

impl FloatHistogram {
    /// Bytes that Prometheus counts for a histogram when it bounds the samples of a query: a
    /// histogram weighs `(size + 8) / 16` samples there.
    pub fn size_bytes(&self) -> usize {
        const FIXED: usize = 168;
        let elements = self.positive_spans.len()
            + self.negative_spans.len()
            + self.positive_buckets.len()
            + self.negative_buckets.len()
            + self.custom_values.len();
        FIXED + 8 * elements
    }

    /// Whether a count, the sum or a bound is infinite.
    pub fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum].iter().any(|value| value.is_infinite())
            || self.positive_buckets.iter().any(|value| value.is_infinite())
            || self.negative_buckets.iter().any(|value| value.is_infinite())
            || self.custom_values.iter().any(|value| value.is_infinite())
    }
}
