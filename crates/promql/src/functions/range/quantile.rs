//! `quantile_over_time` and `mad_over_time`.

use super::windows::float_windows;
use crate::aggregations::quantile::quantile;
use crate::annotations::Annotation;
use crate::engine::QueryError;
use crate::engine::account::Reservation;
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
        let mut scratch = Scratch::default();
        float_windows(input, row, (cx, self.site), |step, window| {
            let q = self.q.at(step);
            if !(0.0..=1.0).contains(&q) {
                cx.annotate(self.site, Annotation::InvalidQuantile(q));
            }
            Some(quantile(q, scratch.copy_of(&values[window], cx)?, cx))
        });
        scratch.finish()
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
        let mut scratch = Scratch::default();
        float_windows(input, row, (cx, self.site), |_, window| {
            let window = &values[window];
            if cx.pieces(0..window.len()).any(|piece| window[piece].iter().any(|v| v.is_nan())) {
                return Some(f64::NAN);
            }
            let values = scratch.copy_of(window, cx)?;
            let median = quantile(0.5, values, cx);
            for piece in cx.pieces(0..values.len()) {
                values[piece].iter_mut().for_each(|v| *v = (*v - median).abs());
            }
            Some(quantile(0.5, values, cx))
        });
        scratch.finish()
    }
}

/// Values of a window that are reordered; what they take counts.
#[derive(Default)]
struct Scratch {
    values: Vec<f64>,
    room: Option<Reservation>,
    failed: Option<QueryError>,
}

impl Scratch {
    /// A copy of `window`; nothing when the query must stop, which [`Scratch::finish`] tells.
    fn copy_of(&mut self, window: &[f64], cx: &EvalContext<'_>) -> Option<&mut [f64]> {
        self.values.clear();
        if window.len() > self.values.capacity() {
            self.values = Vec::new();
            self.room = None;
            match cx.account.reserve(0, size_of_val(window) as u64) {
                Ok(room) => self.room = Some(room),
                Err(error) => {
                    self.failed.get_or_insert(error);
                    return None;
                }
            }
            self.values.reserve_exact(window.len());
        }
        for piece in cx.pieces(0..window.len()) {
            self.values.extend_from_slice(&window[piece]);
        }
        (self.values.len() == window.len()).then_some(&mut self.values[..])
    }

    fn finish(self) -> Result<(), QueryError> {
        self.failed.map_or(Ok(()), Err)
    }
}
