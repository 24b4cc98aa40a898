//! `quantile_over_time` and `mad_over_time`.

use super::windows::float_windows;
use crate::aggregations::quantile::quantile;
use crate::annotations::Annotation;
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::{RangeFunction, RangeInput};
use crate::engine::operand::ScalarColumn;

/// The quantile of the floats.
pub(super) struct QuantileFunction {
    pub(super) q: ScalarColumn,
    pub(super) site: Site,
}

impl RangeFunction for QuantileFunction {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let values = input.float_values();
        let mut scratch = Vec::new();
        float_windows(input, row, (cx, self.site), |step, window| {
            let q = self.q.at(step);
            if !(0.0..=1.0).contains(&q) {
                cx.annotate(self.site, Annotation::InvalidQuantile(q));
            }
            scratch.clear();
            scratch.extend_from_slice(&values[window]);
            Some(quantile(q, &mut scratch))
        });
        Ok(())
    }
}

/// The median of the distances from the median.
pub(super) struct MedianDeviation {
    pub(super) site: Site,
}

impl RangeFunction for MedianDeviation {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let values = input.float_values();
        let mut scratch = Vec::new();
        float_windows(input, row, (cx, self.site), |_, window| {
            let window = &values[window];
            if window.iter().any(|v| v.is_nan()) {
                return Some(f64::NAN);
            }
            scratch.clear();
            scratch.extend_from_slice(window);
            let median = quantile(0.5, &mut scratch);
            scratch.iter_mut().for_each(|v| *v = (*v - median).abs());
            Some(quantile(0.5, &mut scratch))
        });
        Ok(())
    }
}
