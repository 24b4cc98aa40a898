//! Compaction: empty buckets leave, near spans join.

use super::convert::{absolute, deltas};
use super::layout::{Cell, Layout, cells};
use super::types::{FloatHistogram, Histogram, Span};

/// Removes empty buckets, but keeps or fills in runs of at most `max_empty` between two
/// populated ones.
pub(super) fn compact_side<T: Cell>(spans: &mut Vec<Span>, buckets: &mut Vec<T>, max_empty: usize) {
    if is_compact(spans, buckets, max_empty) {
        return;
    }
    let mut out = Layout::with_capacity(buckets.len());
    for (index, value) in cells(spans, buckets).filter(|(_, value)| !value.is_empty()) {
        if let Some(end) = out.end()
            && usize::try_from(index - end).is_ok_and(|gap| gap <= max_empty)
        {
            (end..index).for_each(|empty| out.push(empty, T::default()));
        }
        out.push(index, value);
    }
    *spans = out.spans;
    *buckets = out.buckets;
}

fn is_compact<T: Cell>(spans: &[Span], buckets: &[T], max_empty: usize) -> bool {
    let apart = |span: &Span| usize::try_from(span.offset).is_ok_and(|gap| gap > max_empty);
    spans.iter().all(|span| span.length > 0)
        && spans.iter().skip(1).all(apart)
        && buckets.iter().all(|bucket| !bucket.is_empty())
}

impl FloatHistogram {
    /// Removes empty buckets in place. Runs of at most `max_empty_buckets` between two
    /// populated buckets are kept, and filled in where a gap of the spans is that short, so a
    /// large number may cost memory.
    pub fn compact(&mut self, max_empty_buckets: usize) {
        compact_side(&mut self.positive_spans, &mut self.positive_buckets, max_empty_buckets);
        compact_side(&mut self.negative_spans, &mut self.negative_buckets, max_empty_buckets);
    }
}

impl Histogram {
    /// As [`FloatHistogram::compact`].
    pub fn compact(&mut self, max_empty_buckets: usize) {
        compact_deltas(&mut self.positive_spans, &mut self.positive_buckets, max_empty_buckets);
        compact_deltas(&mut self.negative_spans, &mut self.negative_buckets, max_empty_buckets);
    }
}

fn compact_deltas(spans: &mut Vec<Span>, buckets: &mut Vec<i64>, max_empty: usize) {
    let mut counts = absolute(buckets);
    if is_compact(spans, &counts, max_empty) {
        return;
    }
    compact_side(spans, &mut counts, max_empty);
    *buckets = deltas(&counts);
}
