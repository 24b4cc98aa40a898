//! `first_over_time`, `last_over_time` and the times of those samples.

use std::sync::Arc;

use super::windows::{WindowSamples, for_each_window};
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::EvalContext;
use crate::engine::matrix::{RangeFunction, RangeInput};
use crate::functions::scalars::seconds;

/// The oldest sample.
pub(super) struct FirstFunction;

/// The newest sample.
pub(super) struct LastFunction;

/// The time of the oldest or newest sample.
pub(super) struct TimeOfEdge {
    pub(super) first: bool,
}

/// A sample of either kind.
#[derive(Clone, Copy)]
enum Edge {
    Float(usize),
    Histogram(usize),
}

fn edge(input: &RangeInput<'_>, window: &WindowSamples, first: bool) -> Edge {
    let pick = |range: &std::ops::Range<usize>| {
        if range.is_empty() {
            None
        } else if first {
            Some(range.start)
        } else {
            Some(range.end - 1)
        }
    };
    match (pick(&window.floats), pick(&window.histograms)) {
        (Some(float), None) => Edge::Float(float),
        (None, Some(histogram)) => Edge::Histogram(histogram),
        (Some(float), Some(histogram)) => {
            let float_is_older =
                input.samples.float_times[float] < input.samples.histogram_times[histogram];
            if float_is_older == first { Edge::Float(float) } else { Edge::Histogram(histogram) }
        }
        (None, None) => Edge::Float(window.floats.start),
    }
}

fn fill_edges(input: &RangeInput<'_>, mut row: RowMut<'_>, first: bool) {
    for_each_window(input, |window| match edge(input, &window, first) {
        Edge::Float(index) => row.floats[window.step] = input.float_values()[index],
        Edge::Histogram(index) => {
            row.set_histogram(window.step, Arc::clone(&input.histograms()[index]));
        }
    });
}

impl RangeFunction for FirstFunction {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        _cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        fill_edges(input, row, true);
        Ok(())
    }

    fn drops_name(&self) -> bool {
        false
    }
}

impl RangeFunction for LastFunction {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        _cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        fill_edges(input, row, false);
        Ok(())
    }

    fn drops_name(&self) -> bool {
        false
    }
}

impl RangeFunction for TimeOfEdge {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        _cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        for_each_window(input, |window| {
            let time = match edge(input, &window, self.first) {
                Edge::Float(index) => input.samples.float_times[index],
                Edge::Histogram(index) => input.samples.histogram_times[index],
            };
            row.floats[window.step] = seconds(time);
        });
        Ok(())
    }
}
