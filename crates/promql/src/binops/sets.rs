//! `and`, `or`, `unless`: samples of one side, chosen by what the other side has.

use super::VectorOperator;
use super::matching::{SignatureGroup, Signatures};
use crate::ast::BinaryOp;
use crate::engine::QueryError;
use crate::engine::batch::SeriesBatch;
use crate::engine::naming::{Duplicates, merge_duplicates, settle_names};
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
    let signatures = Signatures::new(&operator.matching, &left, &right);
    match operator.op {
        BinaryOp::And => keep_left(&mut left, &right, &signatures, true),
        BinaryOp::Unless => keep_left(&mut left, &right, &signatures, false),
        _ => {
            drop_matched_right(&left, &mut right, &signatures);
            left.append(right);
        }
    }
    left.prune();
    // Series that are alike can come from both sides; with delayed removal an instant query
    // looks for them at its end only.
    if operator.op == BinaryOp::Or && !(cx.delays_name_removal() && operator.grid.is_instant()) {
        left = merge_duplicates(left, Duplicates::Merge, cx)?;
    }
    cx.hold(&mut left)?;
    Ok(VectorStream::of(left))
}

/// Keeps the left samples whose signature the right side has (or has not) at the step.
fn keep_left(
    left: &mut SeriesBatch,
    right: &SeriesBatch,
    signatures: &Signatures,
    where_present: bool,
) {
    for group in &signatures.groups {
        let present = presence(right, &group.right);
        for &row in &group.left {
            clear_where(left, row, &present, !where_present);
        }
    }
}

/// Lets go of the right samples whose signature the left side has at the step.
fn drop_matched_right(left: &SeriesBatch, right: &mut SeriesBatch, signatures: &Signatures) {
    for SignatureGroup { left: left_rows, right: right_rows } in &signatures.groups {
        let present = presence(left, left_rows);
        for &row in right_rows {
            clear_where(right, row, &present, true);
        }
    }
}

/// For each step whether one of the rows has a value.
fn presence(batch: &SeriesBatch, rows: &[usize]) -> Vec<bool> {
    let mut present = vec![false; batch.steps];
    for &row in rows {
        for (step, present) in present.iter_mut().enumerate() {
            *present |= !batch.cell(row, step).is_absent();
        }
    }
    present
}

fn clear_where(batch: &mut SeriesBatch, row: usize, flags: &[bool], value: bool) {
    for (step, flag) in flags.iter().enumerate() {
        if *flag == value {
            batch.clear_cell(row, step);
        }
    }
}
