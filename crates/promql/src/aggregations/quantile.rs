//! `quantile`, and quantiles of a set of numbers.

use std::cmp::Ordering;

use super::Aggregation;
use super::grouping::Groups;
use crate::annotations::Annotation;
use crate::engine::QueryError;
use crate::engine::batch::{SeriesBatch, is_absent};
use crate::engine::operand::ScalarColumn;
use crate::engine::stream::VectorStream;

/// The quantile of every group.
pub(super) fn quantiles(
    aggregation: &Aggregation<'_>,
    q: &ScalarColumn,
    input: VectorStream,
) -> Result<VectorStream, QueryError> {
    let cx = aggregation.cx;
    let batch = input.collect(cx)?;
    annotate_invalid(aggregation, q);
    let mut groups = Groups::new(&aggregation.grouping, cx);
    let rows_of = groups.rows_by_group(&batch, cx)?;
    let mut pace = cx.pace();
    if batch.histograms.as_ref().is_some_and(|all| all.iter().any(Option::is_some)) {
        let annotation = Annotation::HistogramIgnoredInAggregation("quantile");
        cx.annotate(aggregation.input_site, annotation);
    }
    let mut out = SeriesBatch::with_capacity(rows_of.len(), batch.steps);
    let mut values = Vec::new();
    for (rows, head) in rows_of.into_iter().zip(groups.heads) {
        let target = out.push(head);
        for step in 0..batch.steps {
            pace.tick(rows.len())?;
            values.clear();
            values.extend(rows.iter().map(|row| batch.floats_of(*row)[step]));
            values.retain(|v| !is_absent(*v));
            if !values.is_empty() {
                out.floats_of_mut(target)[step] = quantile(q.at(step), &mut values);
            }
        }
    }
    out.prune();
    cx.hold(&mut out)?;
    let unique = !aggregation.grouping.keeps_names();
    Ok(VectorStream::of(out).with_unique_series(unique))
}

/// Tells of the extreme invalid quantiles only, not of one for each step.
fn annotate_invalid(aggregation: &Aggregation<'_>, q: &ScalarColumn) {
    let all = q.distinct(aggregation.grid.count);
    let annotate = |q| {
        aggregation.cx.annotate(aggregation.param_site, Annotation::InvalidQuantile(q));
    };
    if all.iter().any(|q| q.is_nan()) {
        annotate(f64::NAN);
    }
    let max = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = all.iter().copied().fold(f64::INFINITY, f64::min);
    if max > 1.0 && !all.is_empty() {
        annotate(max);
    }
    if min < 0.0 && !all.is_empty() {
        annotate(min);
    }
}

/// The `q`-quantile of `values`, which are reordered, by linear interpolation between the two
/// nearest ones; NaN counts as the least value. NaN of no values, -Inf and +Inf for a `q` below
/// 0 and above 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are between 0 and the number of values"
)]
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let rank = q * (values.len() - 1) as f64;
    let lower = rank.floor().max(0.0);
    let weight = rank - rank.floor();
    let (_, below, above) = values.select_nth_unstable_by(lower as usize, nan_first);
    let below = *below;
    let above = above.iter().copied().min_by(nan_first).unwrap_or(below);
    below * (1.0 - weight) + above * weight
}

fn nan_first(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (a_is_nan, b_is_nan) => b_is_nan.cmp(&a_is_nan),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let values = [4.0, 1.0, 3.0, 2.0];
        for (q, want) in [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (0.9, 3.7), (-1.0, f64::NEG_INFINITY)]
        {
            assert_eq!(quantile(q, &mut values.clone()), want, "{q}");
        }
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
        assert_eq!(quantile(1.0, &mut [1.0, f64::NAN, 2.0]), 2.0);
        assert!(quantile(0.5, &mut []).is_nan());
    }
}
