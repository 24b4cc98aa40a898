//! `topk`, `bottomk`, `limitk`: k series of every group, chosen anew at each step.

use std::cmp::Ordering;

use super::Aggregation;
use super::grouping::Groups;
use crate::annotations::Annotation;
use crate::ast::AggregateOp;
use crate::engine::QueryError;
use crate::engine::batch::{Cell, SeriesBatch};
use crate::engine::naming::settle_names;
use crate::engine::operand::ScalarColumn;
use crate::engine::pace;
use crate::engine::stream::VectorStream;

/// The chosen series; of an instant query in the order of their values.
pub(super) fn select_k(
    aggregation: &Aggregation<'_>,
    k: &ScalarColumn,
    input: VectorStream,
) -> Result<VectorStream, QueryError> {
    let cx = aggregation.cx;
    let mut batch = input.collect(cx)?;
    settle_names(&mut batch, cx);
    if !check_parameter(k.distinct(aggregation.grid.count))? {
        return Ok(VectorStream::empty(aggregation.grid.count));
    }
    let mut groups = Groups::new(&aggregation.grouping, cx);
    let rows_of = groups.rows_by_group(&batch, cx)?;
    let mut pace = cx.pace();
    let mut chosen_rows = Vec::new();
    for step in 0..batch.steps {
        let limit = limit_at(k.at(step), batch.len());
        for rows in &rows_of {
            pace.tick(rows.len())?;
            let chosen = choose(aggregation, &batch, rows, step, limit)?;
            clear_others(&mut batch, rows, &chosen, step);
            if aggregation.grid.is_instant() {
                chosen_rows.extend(chosen);
            }
        }
    }
    let mut out = if aggregation.grid.is_instant() {
        batch.reordered(&chosen_rows)
    } else {
        batch.prune();
        batch
    };
    cx.hold(&mut out)?;
    Ok(VectorStream::of(out))
}

/// Whether any step chooses anything.
fn check_parameter(ks: &[f64]) -> Result<bool, QueryError> {
    const MAX: f64 = 9_223_372_036_854_774_784.0;
    const MIN: f64 = -9_223_372_036_854_774_784.0;
    let max = ks.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = ks.iter().copied().fold(f64::INFINITY, f64::min);
    let has_nan = ks.iter().any(|k| k.is_nan());
    if max < 1.0 && !has_nan {
        return Ok(false);
    }
    if has_nan {
        return Err(QueryError::execution("Parameter value is NaN"));
    }
    let value = crate::gofmt::format_g;
    if min <= MIN {
        return Err(QueryError::execution(format!("Scalar value {} underflows int64", value(min))));
    }
    if max >= MAX {
        return Err(QueryError::execution(format!("Scalar value {} overflows int64", value(max))));
    }
    Ok(true)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and what is below 1 chooses nothing"
)]
fn limit_at(k: f64, series: usize) -> usize {
    (k as usize).min(series)
}

/// The chosen rows of a group, for `topk` and `bottomk` the best first.
fn choose(
    aggregation: &Aggregation<'_>,
    batch: &SeriesBatch,
    rows: &[usize],
    step: usize,
    limit: usize,
) -> Result<Vec<usize>, QueryError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    if aggregation.op == AggregateOp::Limitk {
        let present = rows.iter().copied().filter(|row| !batch.cell(*row, step).is_absent());
        return Ok(present.take(limit).collect());
    }
    let mut candidates: Vec<(f64, usize)> = Vec::new();
    for &row in rows {
        match batch.cell(row, step) {
            Cell::Float(value) => candidates.push((value, row)),
            Cell::Histogram(_) => {
                let annotation = Annotation::HistogramIgnoredInAggregation(aggregation.op.name());
                aggregation.cx.annotate(aggregation.site, annotation);
            }
            Cell::Absent => {}
        }
    }
    let descending = aggregation.op == AggregateOp::Topk;
    let order = |a: &(f64, usize), b: &(f64, usize)| best_first(a, b, descending);
    if limit < candidates.len() {
        candidates.select_nth_unstable_by(limit, order);
        candidates.truncate(limit);
    }
    pace::sort(&mut candidates, aggregation.cx, order)?;
    Ok(candidates.into_iter().map(|(_, row)| row).collect())
}

/// NaN is the worst in both directions; of equal values the first series is the best.
fn best_first(a: &(f64, usize), b: &(f64, usize), descending: bool) -> Ordering {
    let by_value = match (a.0.is_nan(), b.0.is_nan()) {
        (false, false) => {
            let order = a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
        (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
    };
    by_value.then(a.1.cmp(&b.1))
}

fn clear_others(batch: &mut SeriesBatch, rows: &[usize], chosen: &[usize], step: usize) {
    if chosen.len() == rows.len() {
        return;
    }
    let mut sorted = chosen.to_vec();
    sorted.sort_unstable();
    for row in rows {
        if sorted.binary_search(row).is_err() {
            batch.clear_cell(*row, step);
        }
    }
}
