//! `stddev_over_time`, `stdvar_over_time`: Welford's method with compensated sums.

use model::histogram::Kahan;

use super::windows::float_windows;
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::{RangeFunction, RangeInput};

/// The variance or its root.
pub(super) struct Variance {
    pub(super) root: bool,
    pub(super) site: Site,
}

impl RangeFunction for Variance {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let values = input.float_values();
        float_windows(input, row, (cx, self.site), |_, window| {
            let variance = variance(&values[window], cx);
            Some(if self.root { variance.sqrt() } else { variance })
        });
        Ok(())
    }
}

fn variance(values: &[f64], cx: &EvalContext<'_>) -> f64 {
    let mut count = 0.0;
    let (mut mean, mut squares) = (Kahan::default(), Kahan::default());
    for value in cx.pieces(0..values.len()).flat_map(|piece| &values[piece]) {
        count += 1.0;
        let delta = value - mean.value();
        mean.add(delta / count);
        squares.add(delta * (value - mean.value()));
    }
    squares.value() / count
}
