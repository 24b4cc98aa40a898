//! `double_exponential_smoothing`: Holt's linear method.

use super::windows::float_windows;
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::{RangeFunction, RangeInput};
use crate::engine::operand::ScalarColumn;

/// A smoothed value that follows the trend.
pub(super) struct Smoothing {
    smoothing: ScalarColumn,
    trend: ScalarColumn,
    site: Site,
}

impl Smoothing {
    pub(super) fn new(smoothing: ScalarColumn, trend: ScalarColumn, site: Site) -> Self {
        Self { smoothing, trend, site }
    }
}

impl RangeFunction for Smoothing {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let values = input.float_values();
        let mut invalid = None;
        float_windows(input, row, (cx, self.site), |step, window| {
            let (smoothing, trend) = (self.smoothing.at(step), self.trend.at(step));
            if let Err(error) = check_factors(smoothing, trend) {
                invalid.get_or_insert(error);
                return None;
            }
            smooth(&values[window], (smoothing, trend), cx)
        });
        invalid.map_or(Ok(()), Err)
    }
}

fn check_factors(smoothing: f64, trend: f64) -> Result<(), QueryError> {
    for (what, symbol, factor) in [("smoothing", "sf", smoothing), ("trend", "tf", trend)] {
        if factor <= 0.0 || factor >= 1.0 {
            return Err(QueryError::execution(format!(
                "invalid {what} factor. Expected: 0 < {symbol} < 1, got: {factor:.6}"
            )));
        }
    }
    Ok(())
}

fn smooth(values: &[f64], (smoothing, trend): (f64, f64), cx: &EvalContext<'_>) -> Option<f64> {
    let [first, second, ..] = values else { return None };
    let (mut previous, mut smoothed) = (0.0, *first);
    let mut slope = second - first;
    for index in cx.pieces(1..values.len()).flatten() {
        let value = values[index];
        if index > 1 {
            slope = trend * (smoothed - previous) + (1.0 - trend) * slope;
        }
        let next = smoothing * value + (1.0 - smoothing) * (smoothed + slope);
        (previous, smoothed) = (smoothed, next);
    }
    Some(smoothed)
}
