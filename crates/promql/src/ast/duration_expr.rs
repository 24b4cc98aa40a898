//! Durations of ranges, steps and offsets: a constant, or arithmetic that may use the query's step
//! and range and is resolved when the query runs.

use thiserror::Error;

use super::NumberLiteral;
use crate::position::PositionRange;

/// The largest duration in seconds: what fits 63 bits of nanoseconds.
pub(crate) const MAX_DURATION_SECONDS: f64 = 9_223_372_036.854_776;

/// A duration in the query.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationSpec {
    /// A constant, in milliseconds.
    Fixed(i64),
    /// An expression, to be resolved with [`DurationSpec::resolve_positive_ms`] or
    /// [`DurationSpec::resolve_signed_ms`].
    Expr(Box<DurationOpExpr>),
}

/// What duration expressions can refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DurationContext {
    /// `step()`: the step of the range query, 0 for an instant query.
    pub step_ms: i64,
    /// `range()`: end minus start of the range query, 0 for an instant query.
    pub range_ms: i64,
}

/// Why a duration expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}:{}: {kind}", pos.start, pos.end)]
pub struct DurationError {
    /// Byte range of the offending expression (printed as two byte offsets, as Prometheus does).
    pub pos: PositionRange,
    kind: &'static str,
}

impl DurationSpec {
    /// The value of a range or a step in milliseconds.
    ///
    /// # Errors
    /// If the expression is not greater than zero, not finite, too large or divides by zero.
    pub fn resolve_positive_ms(&self, ctx: DurationContext) -> Result<i64, DurationError> {
        self.resolve_ms(ctx, false)
    }

    /// The value of an offset in milliseconds.
    ///
    /// # Errors
    /// If the expression is not finite, too large or divides by zero.
    pub fn resolve_signed_ms(&self, ctx: DurationContext) -> Result<i64, DurationError> {
        self.resolve_ms(ctx, true)
    }

    fn resolve_ms(&self, ctx: DurationContext, allow_negative: bool) -> Result<i64, DurationError> {
        let expr = match self {
            Self::Fixed(ms) => return Ok(*ms),
            Self::Expr(expr) => expr,
        };
        let seconds = expr.evaluate_seconds(ctx)?;
        let fail = |kind| Err(DurationError { pos: expr.pos, kind });
        if !seconds.is_finite() {
            return fail("duration is NaN or infinite");
        }
        if seconds <= 0.0 && !allow_negative {
            return fail("duration must be greater than 0");
        }
        if seconds.abs() > MAX_DURATION_SECONDS {
            return fail("duration is out of range");
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded above; the fraction goes")]
        Ok((seconds * 1000.0) as i64)
    }
}

/// A part of a duration expression.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// A number of seconds or a duration.
    Number(NumberLiteral),
    /// Everything else.
    Op(Box<DurationOpExpr>),
}

impl DurationExpr {
    /// Byte range in the query.
    #[must_use]
    pub fn position(&self) -> PositionRange {
        match self {
            Self::Number(number) => number.pos,
            Self::Op(expr) => expr.pos,
        }
    }

    fn evaluate_seconds(&self, ctx: DurationContext) -> Result<f64, DurationError> {
        match self {
            Self::Number(number) => Ok(number.value),
            Self::Op(expr) => expr.evaluate_seconds(ctx),
        }
    }
}

/// The operators of duration expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationOp {
    /// `a + b`, or with no left operand `+b`.
    Add,
    /// `a - b`, or with no left operand `-b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// `a % b`.
    Mod,
    /// `a ^ b`.
    Pow,
    /// `step()`.
    Step,
    /// `range()`.
    Range,
    /// `min_of(a, b)`.
    MinOf,
    /// `max_of(a, b)`.
    MaxOf,
}

impl DurationOp {
    /// The operator or the function's name.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Step => "step",
            Self::Range => "range",
            Self::MinOf => "min_of",
            Self::MaxOf => "max_of",
        }
    }
}

/// An operator with its operands.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationOpExpr {
    /// The operator.
    pub op: DurationOp,
    /// Left operand; `None` for a sign, `step()` and `range()`.
    pub lhs: Option<DurationExpr>,
    /// Right operand; `None` for `step()` and `range()`.
    pub rhs: Option<DurationExpr>,
    /// Stands in parentheses. A number in parentheses is a wrapped [`DurationOp::Add`] with no left
    /// operand.
    pub wrapped: bool,
    /// Byte range in the query.
    pub pos: PositionRange,
}

impl DurationOpExpr {
    fn evaluate_seconds(&self, ctx: DurationContext) -> Result<f64, DurationError> {
        let operand = |side: &Option<DurationExpr>| match side {
            Some(expr) => expr.evaluate_seconds(ctx),
            None => Ok(0.0),
        };
        let lhs = operand(&self.lhs)?;
        let rhs = operand(&self.rhs)?;
        let fail = |kind| Err(DurationError { pos: self.pos, kind });
        Ok(match self.op {
            DurationOp::Add => lhs + rhs,
            DurationOp::Sub if self.lhs.is_none() => -rhs,
            DurationOp::Sub => lhs - rhs,
            DurationOp::Mul => lhs * rhs,
            DurationOp::Div if rhs == 0.0 => return fail("division by zero"),
            DurationOp::Div => lhs / rhs,
            DurationOp::Mod if rhs == 0.0 => return fail("modulo by zero"),
            DurationOp::Mod => lhs % rhs,
            DurationOp::Pow => lhs.powf(rhs),
            DurationOp::Step => seconds(ctx.step_ms),
            DurationOp::Range => seconds(ctx.range_ms),
            DurationOp::MinOf => min_of(lhs, rhs),
            DurationOp::MaxOf => -min_of(-lhs, -rhs),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "as Prometheus: durations become float seconds")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Unlike `f64::min`, a NaN wins.
fn min_of(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}
