//! `quantile`, and quantiles of a set of numbers.

use std::cmp::Ordering;
use std::ops::Range;

use super::Aggregation;
use super::grouping::Groups;
use crate::annotations::Annotation;
use crate::engine::QueryError;
use crate::engine::batch::is_absent;
use crate::engine::context::EvalContext;
use crate::engine::operand::ScalarColumn;
use crate::engine::pace::Pieces;
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
    let mut out = cx.new_batch(rows_of.len(), batch.steps)?;
    let mut values = Vec::new();
    for (rows, head) in rows_of.into_iter().zip(groups.heads) {
        let target = out.push(head);
        for step in 0..batch.steps {
            pace.tick(rows.len())?;
            values.clear();
            values.extend(rows.iter().map(|row| batch.floats_of(*row)[step]));
            values.retain(|v| !is_absent(*v));
            if !values.is_empty() {
                out.floats_of_mut(target)[step] = quantile(q.at(step), &mut values, cx);
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
/// 0 and above 1; anything when the query must stop.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are between 0 and the number of values"
)]
pub(crate) fn quantile(q: f64, values: &mut [f64], cx: &EvalContext<'_>) -> f64 {
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
    let (below, above) = neighbours(values, lower as usize, cx);
    below * (1.0 - weight) + above * weight
}

/// The values of the rank `rank` and of the next one, if there is one.
fn neighbours(values: &mut [f64], rank: usize, cx: &EvalContext<'_>) -> (f64, f64) {
    let Range { start, end } = narrowed(values, rank, cx);
    let (_, below, above) = values[start..end].select_nth_unstable_by(rank - start, nan_first);
    let below = *below;
    let above = above.iter().copied().min_by(nan_first);
    if let Some(above) = above {
        return (below, above);
    }
    let rest = &values[end..];
    let least = |piece: Range<usize>| rest[piece].iter().copied().min_by(nan_first);
    let above = cx.pieces(0..rest.len()).filter_map(least).min_by(nan_first);
    (below, above.unwrap_or(below))
}

/// A few neighbouring ranks, with `rank` among them, once everything before them is not greater
/// and everything behind them not less; of few values all. Partitions in pieces, so that a query
/// over millions of values can be stopped.
fn narrowed(values: &mut [f64], rank: usize, cx: &EvalContext<'_>) -> Range<usize> {
    let mut within = 0..values.len();
    while within.len() > Pieces::LEN {
        let pivot = pivot(&values[within.clone()], rank - within.start);
        // Less than the pivot before `less`, greater from `greater` on, not looked at from `at`.
        let (mut less, mut at, mut greater) = (within.start, within.start, within.end);
        for _ in cx.pieces(within.clone()).flatten() {
            match nan_first(&values[at], &pivot) {
                Ordering::Less => {
                    values.swap(less, at);
                    (less, at) = (less + 1, at + 1);
                }
                Ordering::Equal => at += 1,
                Ordering::Greater => {
                    greater -= 1;
                    values.swap(at, greater);
                }
            }
        }
        if at < greater {
            // Stopped.
            return rank..rank + 1;
        }
        if rank < less {
            within.end = less;
        } else if rank >= greater {
            within.start = greater;
        } else {
            return rank..rank + 1;
        }
    }
    within
}

/// A value that probably has about the rank `rank` among `values`.
fn pivot(values: &[f64], rank: usize) -> f64 {
    const SAMPLE: usize = 1 << 10;
    let stride = values.len() / SAMPLE;
    let mut sample: Vec<f64> = values.iter().copied().step_by(stride.max(1)).collect();
    let rank = (rank / stride.max(1)).min(sample.len() - 1);
    *sample.select_nth_unstable_by(rank, nan_first).1
}

fn nan_first(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (a_is_nan, b_is_nan) => b_is_nan.cmp(&a_is_nan),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::QueryContext;

    use super::*;
    use crate::engine::EngineOptions;
    use crate::engine::plan::Passes;
    use crate::engine::tests::planned;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let (options, query) = (EngineOptions::default(), Arc::new(QueryContext::unlimited()));
        let cx = EvalContext::new(&options, &query, None, &planned("1", Passes::NONE));
        let values = [4.0, 1.0, 3.0, 2.0];
        for (q, want) in [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (0.9, 3.7), (-1.0, f64::NEG_INFINITY)]
        {
            assert_eq!(quantile(q, &mut values.clone(), &cx), want, "{q}");
        }
        assert!(quantile(0.0, &mut [1.0, f64::NAN], &cx).is_nan());
        assert_eq!(quantile(1.0, &mut [1.0, f64::NAN, 2.0], &cx), 2.0);
        assert!(quantile(0.5, &mut [], &cx).is_nan());
    }

    #[test]
    fn of_many_values_the_ranks_are_those_of_sorted_ones() {
        let (options, query) = (EngineOptions::default(), Arc::new(QueryContext::unlimited()));
        let cx = EvalContext::new(&options, &query, None, &planned("1", Passes::NONE));
        let len = 3 * Pieces::LEN + 5;
        for modulus in [7, 100_003_u64] {
            let scattered = |i: u64| (i * 2_654_435_761 % modulus) as f64;
            let mut values: Vec<f64> = (0..len as u64).map(scattered).collect();
            values[17] = f64::NAN;
            let mut sorted = values.clone();
            sorted.sort_by(nan_first);
            for rank in [0, len / 2, len - 1] {
                let (below, above) = neighbours(&mut values.clone(), rank, &cx);
                let want = (sorted[rank], sorted[(rank + 1).min(len - 1)]);
                assert_eq!(nan_first(&below, &want.0), Ordering::Equal, "{modulus} {rank}");
                assert_eq!(nan_first(&above, &want.1), Ordering::Equal, "{modulus} {rank}");
            }
        }
    }
}
