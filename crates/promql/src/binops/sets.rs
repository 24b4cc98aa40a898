//! `and`, `or`, `unless`: samples of one side, chosen by what the other side has.

use super::VectorOperator;
use super::matching::{SignatureGroup, Signatures};
use crate::ast::BinaryOp;
use crate::engine::QueryError;
use crate::engine::batch::SeriesBatch;
use crate::engine::naming::{Duplicates, merge_duplicates, settle_names};
use crate::engine::pace::Pace;
use crate::engine::stream::VectorStream;

/// The chosen samples.
pub(super) fn combine(
    operator: &VectorOperator<'_>,
    lhs: VectorStream,
    rhs: VectorStream,
) -> Result<VectorStream, QueryError> {
    let cx = operator.cx;
    let mut left = lhs.collect(cx)?;
    settle_names(&mut left, cx);
    let mut right = rhs.collect(cx)?;
    settle_names(&mut right, cx);
    let signatures = Signatures::new(operator, &left, &right)?;
    let (mut pace, mut right_held) = (cx.pace(), None);
    match operator.op {
        BinaryOp::And => keep_left((&mut left, &right), &signatures, true, &mut pace)?,
        BinaryOp::Unless => keep_left((&mut left, &right), &signatures, false, &mut pace)?,
        _ => {
            drop_matched_right((&left, &mut right), &signatures, &mut pace)?;
            right_held = right.reservation.take();
            left.append_within(right, &cx.account)?;
        }
    }
    left.prune();
    // Series that are alike can come from both sides; with delayed removal an instant query
    // looks for them at its end only.
    if operator.op == BinaryOp::Or && !(cx.delays_name_removal() && operator.grid.is_instant()) {
        left = merge_duplicates(left, Duplicates::Merge, cx)?;
    }
    drop(right_held);
    cx.hold(&mut left)?;
    Ok(VectorStream::of(left))
}

/// Keeps the left samples whose signature the right side has (or has not) at the step.
fn keep_left(
    (left, right): (&mut SeriesBatch, &SeriesBatch),
    signatures: &Signatures,
    where_present: bool,
    pace: &mut Pace<'_>,
) -> Result<(), QueryError> {
    for group in &signatures.groups {
        let present = presence(right, &group.right, pace)?;
        for &row in &group.left {
            pace.tick(present.len())?;
            clear_where(left, row, &present, !where_present);
        }
    }
    Ok(())
}

/// Lets go of the right samples whose signature the left side has at the step.
fn drop_matched_right(
    (left, right): (&SeriesBatch, &mut SeriesBatch),
    signatures: &Signatures,
    pace: &mut Pace<'_>,
) -> Result<(), QueryError> {
    for SignatureGroup { left: left_rows, right: right_rows } in &signatures.groups {
        let present = presence(left, left_rows, pace)?;
        for &row in right_rows {
            pace.tick(present.len())?;
            clear_where(right, row, &present, true);
        }
    }
    Ok(())
}

/// For each step whether one of the rows has a value.
fn presence(
    batch: &SeriesBatch,
    rows: &[usize],
    pace: &mut Pace<'_>,
) -> Result<Vec<bool>, QueryError> {
    let mut present = vec![false; batch.steps];
    for &row in rows {
        pace.tick(batch.steps)?;
        for (step, present) in present.iter_mut().enumerate() {
            *present |= !batch.cell(row, step).is_absent();
        }
    }
    Ok(present)
}

fn clear_where(batch: &mut SeriesBatch, row: usize, flags: &[bool], value: bool) {
    for (step, flag) in flags.iter().enumerate() {
        if *flag == value {
            batch.clear_cell(row, step);
        }
    }
}
