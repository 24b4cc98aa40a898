//! `deriv` and `predict_linear`: a line of least squares through the samples.

use model::TimestampMs;
use model::histogram::Kahan;

use super::windows::float_windows;
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::{EvalContext, Site};
use crate::engine::grid::Grid;
use crate::engine::matrix::{RangeFunction, RangeInput};
use crate::engine::operand::ScalarColumn;
use crate::functions::scalars::seconds;

/// The slope of the line.
pub(super) struct Deriv {
    pub(super) site: Site,
}

impl RangeFunction for Deriv {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        float_windows(input, row, (cx, self.site), |_, window| {
            let (times, values) =
                (&input.float_times()[window.clone()], &input.float_values()[window]);
            // A time near the samples keeps the sums small.
            Some(line((times, values), *times.first()?, cx)?.slope)
        });
        Ok(())
    }
}

/// The value of the line some time after the step.
pub(super) struct PredictLinear {
    pub(super) duration_s: ScalarColumn,
    pub(super) grid: Grid,
    pub(super) site: Site,
}

impl RangeFunction for PredictLinear {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        float_windows(input, row, (cx, self.site), |step, window| {
            let (times, values) =
                (&input.float_times()[window.clone()], &input.float_values()[window]);
            let line = line((times, values), self.grid.time(step), cx)?;
            Some(line.slope * self.duration_s.at(step) + line.intercept)
        });
        Ok(())
    }
}

struct Line {
    /// Per second.
    slope: f64,
    /// The value at the given time.
    intercept: f64,
}

/// The line through at least two samples, with its value at `at`.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn line(
    (times, values): (&[TimestampMs], &[f64]),
    at: TimestampMs,
    cx: &EvalContext<'_>,
) -> Option<Line> {
    let first = *values.first()?;
    if values.len() < 2 {
        return None;
    }
    if cx.pieces(0..values.len()).all(|piece| values[piece].iter().all(|v| *v == first)) {
        return Some(if first.is_infinite() {
            Line { slope: f64::NAN, intercept: f64::NAN }
        } else {
            Line { slope: 0.0, intercept: first }
        });
    }
    let n = values.len() as f64;
    let mut sums = [Kahan::default(); 4];
    for piece in cx.pieces(0..values.len()) {
        for (&time, &y) in times[piece.clone()].iter().zip(&values[piece]) {
            let x = seconds(time.saturating_sub(at));
            for (sum, term) in sums.iter_mut().zip([x, y, x * y, x * x]) {
                sum.add(term);
            }
        }
    }
    let [x, y, xy, xx] = sums.map(Kahan::value);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    Some(Line { slope, intercept: y / n - slope * x / n })
}
