//! Binary operators: of scalars, of vectors and scalars, of two vectors.

mod element;
mod matching;
mod scalar;
mod sets;
mod vector;

use crate::ast::{BinaryOp, VectorMatching};
use crate::engine::QueryError;
use crate::engine::context::{EvalContext, Site};
use crate::engine::grid::Grid;
use crate::engine::operand::{Operand, unexpected};
use crate::engine::plan::BinaryPlan;
use crate::engine::run::Slots;

/// An operator between vectors, its operands aside.
struct VectorOperator<'a> {
    op: BinaryOp,
    matching: VectorMatching,
    return_bool: bool,
    grid: Grid,
    site: Site,
    cx: &'a EvalContext<'a>,
}

/// The value of an operator.
pub(crate) fn binary(
    plan: BinaryPlan,
    grid: Grid,
    site: Site,
    slots: &mut Slots,
    cx: &EvalContext<'_>,
) -> Result<Operand, QueryError> {
    let (lhs, rhs) = (slots.take(plan.lhs)?, slots.take(plan.rhs)?);
    match (lhs, rhs) {
        (Operand::Scalar(lhs), Operand::Scalar(rhs)) => {
            let op = plan.op;
            lhs.zip(rhs, |a, b| element::scalars(op, a, b), cx).map(Operand::Scalar)
        }
        (Operand::Vector(vector), Operand::Scalar(scalar)) => {
            scalar::with_scalar(&plan, vector, scalar, (site, false), cx).map(Operand::Vector)
        }
        (Operand::Scalar(scalar), Operand::Vector(vector)) => {
            scalar::with_scalar(&plan, vector, scalar, (site, true), cx).map(Operand::Vector)
        }
        (Operand::Vector(lhs), Operand::Vector(rhs)) => {
            let matching = plan.matching.ok_or_else(|| unexpected("to be matched"))?;
            let operator = VectorOperator {
                op: plan.op,
                matching,
                return_bool: plan.return_bool,
                grid,
                site,
                cx,
            };
            if plan.op.is_set() {
                sets::combine(&operator, lhs, rhs).map(Operand::Vector)
            } else {
                vector::combine(&operator, lhs, rhs).map(Operand::Vector)
            }
        }
        _ => Err(unexpected("an operand of a binary operator")),
    }
}

/// The value of an operator between numbers.
pub(crate) fn scalar_value(op: BinaryOp, lhs: f64, rhs: f64) -> f64 {
    element::scalars(op, lhs, rhs)
}

/// Whether the result of `op` is no longer the metric that it was made from.
fn changes_metric(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Div
            | BinaryOp::Mul
            | BinaryOp::Pow
            | BinaryOp::Mod
            | BinaryOp::Atan2
    )
}
