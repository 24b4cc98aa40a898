//! Custom bounds that differ: both histograms are mapped to the bounds they have in common.

use std::sync::Arc;

use super::layout::{Cell, Layout, cells};
use super::types::FloatHistogram;

/// The bounds that stand in both of two ascending lists.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Arc<[f64]> {
    let mut rest = b;
    let mut common = Vec::with_capacity(a.len().min(b.len()));
    for &bound in a {
        let below = rest.iter().take_while(|other| **other < bound).count();
        rest = &rest[below..];
        if rest.first() == Some(&bound) {
            common.push(bound);
            rest = &rest[1..];
        }
    }
    common.into()
}

/// Buckets with `bounds` as buckets with the bounds `target`, a part of them. Indexes may
/// repeat.
pub(super) fn mapped<'a, T: Cell + 'a>(
    buckets: impl Iterator<Item = (i64, T)> + 'a,
    bounds: &'a [f64],
    target: &'a [f64],
) -> impl Iterator<Item = (i64, T)> + 'a {
    let mut at = 0;
    buckets.map(move |(index, value)| {
        let bound = usize::try_from(index).ok().and_then(|index| bounds.get(index));
        let upper = bound.copied().unwrap_or(f64::INFINITY);
        while target.get(at).is_some_and(|bound| *bound < upper) {
            at += 1;
        }
        (i64::try_from(at).unwrap_or(i64::MAX), value)
    })
}

impl FloatHistogram {
    /// The counts between the bounds `target`, a part of the histogram's custom bounds; the
    /// last is the count above them all.
    pub(super) fn counts_between(&self, target: &[f64]) -> Vec<f64> {
        let own = cells(&self.positive_spans, &self.positive_buckets);
        let mut layout = Layout::with_capacity(target.len() + 1);
        mapped(own, &self.custom_values, target)
            .for_each(|(index, count)| layout.push(index, count));
        let mut counts = vec![0.0; target.len() + 1];
        for (index, count) in cells(&layout.spans, &layout.buckets) {
            let slot = usize::try_from(index).ok().and_then(|index| counts.get_mut(index));
            if let Some(slot) = slot {
                *slot += count;
            }
        }
        counts
    }
}
