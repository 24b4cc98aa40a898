//! When two histograms are the same: to the bit for data, nearly for tests.

use super::types::{FloatHistogram, Histogram, Span};

impl FloatHistogram {
    /// Whether both are the same data: the same layout, where spans without buckets do not
    /// matter, and the same bits in counts and sum. Hints are not compared.
    pub fn equals(&self, other: &Self) -> bool {
        self.schema == other.schema
            && same_bits(&[self.count, self.sum], &[other.count, other.sum])
            && (!self.uses_custom_buckets() || self.custom_values == other.custom_values)
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && spans_match(&self.negative_spans, &other.negative_spans)
            && same_bits(&self.negative_buckets, &other.negative_buckets)
            && spans_match(&self.positive_spans, &other.positive_spans)
            && same_bits(&self.positive_buckets, &other.positive_buckets)
    }

    /// Whether both are the same for a test: counts and sums may differ relatively by
    /// `epsilon`. Both should be compacted; hints are not compared.
    pub fn almost_equals(&self, other: &Self, epsilon: f64) -> bool {
        let near = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b, epsilon))
        };
        self.schema == other.schema
            && almost_equal(self.count, other.count, epsilon)
            && almost_equal(self.sum, other.sum, epsilon)
            && (!self.uses_custom_buckets() || self.custom_values == other.custom_values)
            && self.zero_threshold == other.zero_threshold
            && almost_equal(self.zero_count, other.zero_count, epsilon)
            && spans_match(&self.negative_spans, &other.negative_spans)
            && near(&self.negative_buckets, &other.negative_buckets)
            && spans_match(&self.positive_spans, &other.positive_spans)
            && near(&self.positive_buckets, &other.positive_buckets)
    }
}

impl Histogram {
    /// As [`FloatHistogram::equals`].
    pub fn equals(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.count == other.count
            && self.sum.to_bits() == other.sum.to_bits()
            && (!self.uses_custom_buckets() || self.custom_values == other.custom_values)
            && self.zero_threshold == other.zero_threshold
            && self.zero_count == other.zero_count
            && spans_match(&self.negative_spans, &other.negative_spans)
            && self.negative_buckets == other.negative_buckets
            && spans_match(&self.positive_spans, &other.positive_spans)
            && self.positive_buckets == other.positive_buckets
    }
}

/// Whether two floats differ relatively by less than `epsilon`, or are both stale markers, or
/// both other NaNs.
pub(super) fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if crate::is_stale(a) || crate::is_stale(b) {
        return crate::is_stale(a) && crate::is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (total, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || total < f64::MIN_POSITIVE {
        return difference < epsilon * f64::MIN_POSITIVE;
    }
    difference / total.min(f64::MAX) < epsilon
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn spans_match(a: &[Span], b: &[Span]) -> bool {
    a == b || populated(a).eq(populated(b))
}

/// The spans that have buckets; those without add their offset to the next one.
fn populated(spans: &[Span]) -> impl Iterator<Item = (i64, u32)> + '_ {
    let mut skipped = 0;
    spans.iter().filter_map(move |span| {
        let offset = skipped + i64::from(span.offset);
        skipped = if span.length == 0 { offset } else { 0 };
        (span.length > 0).then_some((offset, span.length))
    })
}
