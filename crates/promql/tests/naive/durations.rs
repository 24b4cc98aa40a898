//! Durations of ranges, steps and offsets, worked out by walking the tree.

use promql::ast::{DurationExpr, DurationOp, DurationOpExpr, DurationSpec};

use crate::evaluate::{Outcome, Query};
use crate::functions::seconds;

/// A range or a step, ms.
pub(crate) fn positive(duration: &DurationSpec, query: &Query) -> Outcome<i64> {
    let ms = any(duration, query)?;
    if ms.0 > 0.0 { Ok(ms.1) } else { Err("duration must be greater than 0".to_owned()) }
}

/// An offset, ms.
pub(crate) fn signed(duration: &DurationSpec, query: &Query) -> Outcome<i64> {
    any(duration, query).map(|(_, ms)| ms)
}

/// In seconds and in whole ms.
fn any(duration: &DurationSpec, query: &Query) -> Outcome<(f64, i64)> {
    let value = match duration {
        DurationSpec::Fixed(ms) => return Ok((seconds(*ms), *ms)),
        DurationSpec::Expr(expr) => operation(expr, query)?,
    };
    // What fits 63 bits of nanoseconds.
    if value.is_nan() || value.abs() * 1e9 > i64::MAX as f64 {
        return Err(format!("duration of {value} s"));
    }
    Ok((value, (value * 1000.0).trunc() as i64))
}

fn operand(expr: &DurationExpr, query: &Query) -> Outcome<f64> {
    match expr {
        DurationExpr::Number(number) => Ok(number.value),
        DurationExpr::Op(expr) => operation(expr, query),
    }
}

fn operation(expr: &DurationOpExpr, query: &Query) -> Outcome<f64> {
    let mut sides = Vec::new();
    for side in [&expr.lhs, &expr.rhs].into_iter().flatten() {
        sides.push(operand(side, query)?);
    }
    let by_zero = || Err("division by zero".to_owned());
    match (expr.op, &sides[..]) {
        (DurationOp::Step, []) => Ok(seconds(query.step)),
        (DurationOp::Range, []) => Ok(seconds(query.end - query.start)),
        (DurationOp::Add, [a]) => Ok(*a),
        (DurationOp::Sub, [a]) => Ok(-a),
        (DurationOp::Add, [a, b]) => Ok(a + b),
        (DurationOp::Sub, [a, b]) => Ok(a - b),
        (DurationOp::Mul, [a, b]) => Ok(a * b),
        (DurationOp::Pow, [a, b]) => Ok(a.powf(*b)),
        (DurationOp::Div | DurationOp::Mod, [_, 0.0]) => by_zero(),
        (DurationOp::Div, [a, b]) => Ok(a / b),
        (DurationOp::Mod, [a, b]) => Ok(a % b),
        (DurationOp::MinOf, [a, b]) => Ok(if b < a { *b } else { *a }),
        (DurationOp::MaxOf, [a, b]) => Ok(if b > a { *b } else { *a }),
        _ => Err(format!("{:?} of {} operands", expr.op, sides.len())),
    }
}
