//! Operators on single values.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use crate::annotations::{Annotation, HistogramOperation};
use crate::ast::BinaryOp;
use crate::engine::batch::{Cell, HistogramRef};

/// The value of an operator between scalars; comparisons give 0 or 1.
pub(super) fn scalars(op: BinaryOp, a: f64, b: f64) -> f64 {
    let result = floats(op, a, b);
    if op.is_comparison() { f64::from(u8::from(result.keep)) } else { result.value }
}

/// The value of an operator between floats.
#[derive(Debug, Clone, Copy)]
pub(super) struct FloatResult {
    /// For a comparison the left value.
    pub(super) value: f64,
    /// Whether the comparison holds.
    pub(super) keep: bool,
}

/// `a op b`; trims have no meaning for floats and are never kept.
#[inline]
pub(super) fn floats(op: BinaryOp, a: f64, b: f64) -> FloatResult {
    let keep_if = |keep| FloatResult { value: a, keep };
    let value = match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        BinaryOp::Eql => return keep_if(a == b),
        BinaryOp::Neq => return keep_if(a != b),
        BinaryOp::Lss => return keep_if(a < b),
        BinaryOp::Lte => return keep_if(a <= b),
        BinaryOp::Gtr => return keep_if(a > b),
        BinaryOp::Gte => return keep_if(a >= b),
        BinaryOp::TrimUpper
        | BinaryOp::TrimLower
        | BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Unless => return keep_if(false),
    };
    FloatResult { value, keep: true }
}

/// The value of an operator between any two values.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A float, and whether a comparison keeps it.
    Float(FloatResult),
    /// A histogram, whether a comparison keeps it, and what is to be told.
    Histogram { value: HistogramRef, keep: bool, info: Option<Annotation> },
    /// No result, for this reason.
    Failed(Annotation),
}

/// `a op b`, of which neither is absent.
pub(super) fn values(op: BinaryOp, a: Cell<'_>, b: Cell<'_>) -> Outcome {
    match (a, b) {
        (Cell::Float(a), Cell::Float(b)) if !op.is_trim() => Outcome::Float(floats(op, a, b)),
        (Cell::Float(factor), Cell::Histogram(histogram)) if op == BinaryOp::Mul => {
            changed(histogram, |h| {
                h.mul(factor);
                h.compact(0);
            })
        }
        (Cell::Histogram(histogram), Cell::Float(number)) => {
            histogram_and_float(op, histogram, number)
        }
        (Cell::Histogram(a), Cell::Histogram(b)) => histograms(op, a, b),
        _ => incompatible(op, type_name(a), type_name(b)),
    }
}

fn type_name(cell: Cell<'_>) -> &'static str {
    if matches!(cell, Cell::Histogram(_)) { "histogram" } else { "float" }
}

fn incompatible(op: BinaryOp, lhs: &'static str, rhs: &'static str) -> Outcome {
    Outcome::Failed(Annotation::IncompatibleTypes { lhs, operator: op.symbol(), rhs })
}

fn changed(histogram: &HistogramRef, change: impl FnOnce(&mut FloatHistogram)) -> Outcome {
    let mut changed = FloatHistogram::clone(histogram);
    change(&mut changed);
    Outcome::Histogram { value: Arc::new(changed), keep: true, info: None }
}

fn histogram_and_float(op: BinaryOp, histogram: &HistogramRef, number: f64) -> Outcome {
    match op {
        BinaryOp::Mul => changed(histogram, |h| {
            h.mul(number);
            h.compact(0);
        }),
        BinaryOp::Div => changed(histogram, |h| {
            h.div(number);
            h.compact(0);
        }),
        BinaryOp::TrimUpper => changed(histogram, |h| h.trim_upper(number)),
        BinaryOp::TrimLower => changed(histogram, |h| h.trim_lower(number)),
        _ => incompatible(op, "histogram", "float"),
    }
}

fn histograms(op: BinaryOp, a: &HistogramRef, b: &HistogramRef) -> Outcome {
    let compared = |keep| Outcome::Histogram { value: Arc::clone(a), keep, info: None };
    match op {
        BinaryOp::Add => sum_or_difference(op, HistogramOperation::Addition, a, b),
        BinaryOp::Sub => sum_or_difference(op, HistogramOperation::Subtraction, a, b),
        BinaryOp::Eql => compared(a.equals(b)),
        BinaryOp::Neq => compared(!a.equals(b)),
        _ => incompatible(op, "histogram", "histogram"),
    }
}

fn sum_or_difference(
    op: BinaryOp,
    operation: HistogramOperation,
    a: &FloatHistogram,
    b: &FloatHistogram,
) -> Outcome {
    let mut result = a.clone();
    let outcome = if op == BinaryOp::Sub { result.sub(b) } else { result.add(b) };
    let Ok(outcome) = outcome else {
        return Outcome::Failed(Annotation::IncompatibleBucketLayout(op.symbol()));
    };
    if outcome.counter_reset_collision {
        return Outcome::Failed(Annotation::CounterResetCollision(operation));
    }
    if op == BinaryOp::Sub {
        result.counter_reset_hint = CounterResetHint::Gauge;
    }
    result.compact(0);
    let info =
        outcome.nhcb_bounds_reconciled.then_some(Annotation::MismatchedCustomBuckets(operation));
    Outcome::Histogram { value: Arc::new(result), keep: true, info }
}
