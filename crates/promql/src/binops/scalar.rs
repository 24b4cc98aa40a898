//! Operators between a vector and a scalar: each series by itself.

use super::changes_metric;
use super::element::{self, Outcome};
use crate::ast::BinaryOp;
use crate::engine::QueryError;
use crate::engine::batch::{ABSENT, Cell, SeriesBatch, is_absent};
use crate::engine::context::{EvalContext, Site};
use crate::engine::naming::{Duplicates, after_name_removal};
use crate::engine::operand::ScalarColumn;
use crate::engine::plan::BinaryPlan;
use crate::engine::stream::{SeriesMap, VectorStream};

/// `vector op scalar`, or with `swapped` `scalar op vector`.
pub(super) fn with_scalar(
    plan: &BinaryPlan,
    vector: VectorStream,
    scalar: ScalarColumn,
    (site, swapped): (Site, bool),
    cx: &EvalContext<'_>,
) -> Result<VectorStream, QueryError> {
    let drops_name = changes_metric(plan.op) || plan.return_bool;
    let map =
        ScalarMap { op: plan.op, return_bool: plan.return_bool, scalar, swapped, drops_name, site };
    let stream = vector.map(Box::new(map));
    if drops_name { after_name_removal(stream, Duplicates::Merge, cx) } else { Ok(stream) }
}

struct ScalarMap {
    op: BinaryOp,
    return_bool: bool,
    scalar: ScalarColumn,
    swapped: bool,
    drops_name: bool,
    site: Site,
}

impl SeriesMap for ScalarMap {
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        if self.drops_name {
            batch.heads.iter_mut().for_each(|head| head.drop_name = true);
        }
        if batch.histograms.is_none() && !self.op.is_trim() {
            self.floats(batch, cx);
            return cx.check();
        }
        for row in 0..batch.len() {
            for step in cx.pieces(0..batch.steps).flatten() {
                self.cell(batch, row, step, cx);
            }
            cx.check()?;
        }
        Ok(())
    }
}

impl ScalarMap {
    /// The fast path: nothing but floats. The operator is chosen once, not for each value.
    fn floats(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) {
        match self.op {
            BinaryOp::Add => self.each(batch, cx, |a, b| a + b),
            BinaryOp::Sub => self.each(batch, cx, |a, b| a - b),
            BinaryOp::Mul => self.each(batch, cx, |a, b| a * b),
            BinaryOp::Div => self.each(batch, cx, |a, b| a / b),
            op if op.is_comparison() && self.return_bool => {
                self.each(batch, cx, |a, b| f64::from(u8::from(element::floats(op, a, b).keep)));
            }
            op if op.is_comparison() => {
                let swapped = self.swapped;
                self.each(batch, cx, |a, b| match element::floats(op, a, b).keep {
                    true if swapped => b,
                    true => a,
                    false => ABSENT,
                });
            }
            op => self.each(batch, cx, |a, b| element::floats(op, a, b).value),
        }
    }

    #[inline]
    fn each(
        &self,
        batch: &mut SeriesBatch,
        cx: &EvalContext<'_>,
        function: impl Fn(f64, f64) -> f64,
    ) {
        let steps = batch.steps;
        for row in batch.floats.chunks_exact_mut(steps.max(1)) {
            for step in cx.pieces(0..steps).flatten() {
                let value = &mut row[step];
                let scalar = self.scalar.at(step);
                if is_absent(*value) {
                    continue;
                }
                *value =
                    if self.swapped { function(scalar, *value) } else { function(*value, scalar) };
            }
        }
    }

    fn cell(&self, batch: &mut SeriesBatch, row: usize, step: usize, cx: &EvalContext<'_>) {
        let cell = batch.cell(row, step);
        if cell.is_absent() {
            return;
        }
        let scalar = Cell::Float(self.scalar.at(step));
        let (a, b) = if self.swapped { (scalar, cell) } else { (cell, scalar) };
        match element::values(self.op, a, b) {
            Outcome::Failed(annotation) => {
                cx.annotate(self.site, annotation);
                batch.clear_cell(row, step);
            }
            Outcome::Float(result) if self.return_bool => {
                let value = f64::from(u8::from(result.keep));
                batch.set(row, step, Cell::Float(value));
            }
            Outcome::Float(result) if !result.keep => batch.clear_cell(row, step),
            // A comparison keeps the vector's value, on whichever side it stands.
            Outcome::Float(_) if self.op.is_comparison() => {}
            Outcome::Float(result) => batch.set(row, step, Cell::Float(result.value)),
            Outcome::Histogram { value, .. } => batch.set_histogram(row, step, value),
        }
    }
}
