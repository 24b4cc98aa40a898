//! Functions of one float: `abs` to `tanh`, `clamp*`, `round`. Histograms are left out.

use super::CallContext;
use super::args::Args;
use crate::engine::QueryError;
use crate::engine::batch::{ABSENT, SeriesBatch, is_absent};
use crate::engine::context::EvalContext;
use crate::engine::naming::{Duplicates, after_name_removal};
use crate::engine::operand::{Operand, ScalarColumn, unexpected};
use crate::engine::stream::{SeriesMap, VectorStream};

/// A function without parameters.
pub(super) fn call(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let function = function(call.name).ok_or_else(|| unexpected("a known function"))?;
    map_floats(args.vector(0)?, function, call.cx)
}

fn function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        "sgn" => sign,
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

fn sign(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// A function with scalars that may differ from step to step.
pub(super) fn call_with_parameters(
    call: &CallContext<'_>,
    args: &mut Args,
) -> Result<Operand, QueryError> {
    let input = args.vector(0)?;
    let map = match call.name {
        "clamp" => ClampMap { min: args.scalar(1)?, max: args.scalar(2)? },
        "clamp_min" => ClampMap { min: args.scalar(1)?, max: constant(f64::INFINITY) },
        "clamp_max" => ClampMap { min: constant(f64::NEG_INFINITY), max: args.scalar(1)? },
        _ => {
            let to_nearest = if args.len() > 1 { args.scalar(1)? } else { constant(1.0) };
            return finish(input.map(Box::new(RoundMap { to_nearest })), call.cx);
        }
    };
    finish(input.map(Box::new(map)), call.cx)
}

fn constant(value: f64) -> ScalarColumn {
    ScalarColumn::Constant(value)
}

fn finish(stream: VectorStream, cx: &EvalContext<'_>) -> Result<Operand, QueryError> {
    after_name_removal(stream, Duplicates::Merge, cx).map(Operand::Vector)
}

/// `function` of every float; the metric's name goes.
pub(super) fn map_floats(
    stream: VectorStream,
    function: fn(f64) -> f64,
    cx: &EvalContext<'_>,
) -> Result<Operand, QueryError> {
    finish(stream.map(Box::new(FloatMap(function))), cx)
}

struct FloatMap(fn(f64) -> f64);

impl SeriesMap for FloatMap {
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        only_floats_without_name(batch);
        for piece in cx.pieces(0..batch.floats.len()) {
            for value in batch.floats[piece].iter_mut().filter(|v| !is_absent(**v)) {
                *value = (self.0)(*value);
            }
        }
        cx.check()
    }
}

/// Lets go of histograms and marks the names to go.
pub(super) fn only_floats_without_name(batch: &mut SeriesBatch) {
    batch.histograms = None;
    batch.heads.iter_mut().for_each(|head| head.drop_name = true);
}

struct ClampMap {
    min: ScalarColumn,
    max: ScalarColumn,
}

impl SeriesMap for ClampMap {
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        only_floats_without_name(batch);
        let steps = batch.steps;
        for index in cx.pieces(0..batch.floats.len()).flatten() {
            let value = &mut batch.floats[index];
            let (min, max) = (self.min.at(index % steps), self.max.at(index % steps));
            if max < min {
                *value = ABSENT;
            } else if !is_absent(*value) {
                *value = go_max(min, go_min(max, *value));
            }
        }
        cx.check()
    }
}

struct RoundMap {
    to_nearest: ScalarColumn,
}

impl SeriesMap for RoundMap {
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        only_floats_without_name(batch);
        let steps = batch.steps;
        for index in cx.pieces(0..batch.floats.len()).flatten() {
            let value = &mut batch.floats[index];
            if !is_absent(*value) {
                // The inverse loses less than a division by the step would.
                let inverse = 1.0 / self.to_nearest.at(index % steps);
                *value = (*value * inverse + 0.5).floor() / inverse;
            }
        }
        cx.check()
    }
}

/// The greater one; unlike `f64::max` a NaN wins over everything but +Inf.
pub(super) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// The smaller one; unlike `f64::min` a NaN wins over everything but -Inf.
pub(super) fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_wins_over_all_but_the_extreme() {
        assert!(go_max(f64::NAN, 1.0).is_nan() && go_min(1.0, f64::NAN).is_nan());
        assert_eq!(go_max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert_eq!(go_min(f64::NEG_INFINITY, f64::NAN), f64::NEG_INFINITY);
        assert_eq!((go_max(1.0, 2.0), go_min(1.0, 2.0)), (2.0, 1.0));
    }
}
