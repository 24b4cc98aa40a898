//! `limit_ratio`: a share of the series, chosen by a hash of their labels.

use super::Aggregation;
use crate::annotations::Annotation;
use crate::engine::QueryError;
use crate::engine::batch::SeriesBatch;
use crate::engine::naming::settle_names;
use crate::engine::operand::ScalarColumn;
use crate::engine::stream::VectorStream;

/// The series whose hash falls into the share.
pub(super) fn limit_ratio(
    aggregation: &Aggregation<'_>,
    ratio: &ScalarColumn,
    mut input: VectorStream,
) -> Result<VectorStream, QueryError> {
    let cx = aggregation.cx;
    let steps = aggregation.grid.count;
    let all = ratio.distinct(steps);
    let is_zero = all.iter().all(|r| *r == 0.0);
    if is_zero {
        while input.next_batch(cx)?.is_some() {}
        return Ok(VectorStream::empty(steps));
    }
    if all.iter().any(|r| r.is_nan()) {
        return Err(QueryError::execution("Ratio value is NaN"));
    }
    annotate_capped(aggregation, all);
    let mut out = SeriesBatch::with_capacity(0, steps);
    let (mut pace, mut meter) = (cx.pace(), cx.meter());
    while let Some(mut batch) = input.next_batch(cx)? {
        settle_names(&mut batch, cx);
        for row in 0..batch.len() {
            pace.tick(steps)?;
            let offset = hash_offset(&batch.heads[row].labels);
            for step in 0..steps {
                if !is_chosen(ratio.at(step).clamp(-1.0, 1.0), offset) {
                    batch.clear_cell(row, step);
                }
            }
        }
        batch.prune();
        meter.add(batch.heads.iter().map(|head| batch.row_bytes(head)).sum())?;
        out.append_within(batch, &cx.account)?;
    }
    drop(meter);
    cx.hold(&mut out)?;
    Ok(VectorStream::of(out))
}

fn annotate_capped(aggregation: &Aggregation<'_>, ratios: &[f64]) {
    let max = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    for (ratio, capped) in [(max, 1.0), (min, -1.0)] {
        if (capped > 0.0 && ratio > capped) || (capped < 0.0 && ratio < capped) {
            let annotation = Annotation::InvalidRatio { ratio, capped };
            aggregation.cx.annotate(aggregation.param_site, annotation);
        }
    }
}

/// Where in `[0, 1]` the hash of a series lies.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more precision")]
fn hash_offset(labels: &model::Labels) -> f64 {
    labels.stable_hash() as f64 / u64::MAX as f64
}

/// `ratio` and `ratio - 1` choose complements.
fn is_chosen(ratio: f64, offset: f64) -> bool {
    (ratio >= 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)
}
