//! `count_over_time`, `present_over_time`: they take floats and histograms alike.

use super::windows::for_each_window;
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::EvalContext;
use crate::engine::matrix::{RangeFunction, RangeInput};

/// 1 where there is any sample.
pub(crate) struct PresentFunction;

impl RangeFunction for PresentFunction {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        _cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        for_each_window(input, |window| row.floats[window.step] = 1.0);
        Ok(())
    }
}

/// The number of samples.
pub(super) struct CountFunction;

impl RangeFunction for CountFunction {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        _cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        for_each_window(input, |window| {
            row.floats[window.step] = (window.floats.len() + window.histograms.len()) as f64;
        });
        Ok(())
    }
}
