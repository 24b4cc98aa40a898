//! `min_over_time`, `max_over_time` and the times of those samples. A NaN only counts where
//! there is nothing else.

use std::collections::VecDeque;
use std::ops::Range;

use super::windows::float_windows;
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::{RangeFunction, RangeInput};
use crate::functions::scalars::seconds;

/// The least or greatest value.
pub(super) struct Extreme {
    pub(super) greatest: bool,
    pub(super) site: Site,
}

impl RangeFunction for Extreme {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let values = input.float_values();
        if self.greatest {
            let mut sliding = Sliding::new(values, |new, old| new > old, cx);
            float_windows(input, row, (cx, self.site), |_, window| Some(sliding.best(window)));
        } else {
            let mut sliding = Sliding::new(values, |new, old| new < old, cx);
            float_windows(input, row, (cx, self.site), |_, window| Some(sliding.best(window)));
        }
        Ok(())
    }
}

/// The best value of windows that only move forward. Kept are the samples that may still become
/// the best: none of them has a better one behind it.
struct Sliding<'a, F> {
    values: &'a [f64],
    is_better: F,
    cx: &'a EvalContext<'a>,
    candidates: VecDeque<usize>,
    seen: usize,
}

impl<'a, F: Fn(f64, f64) -> bool> Sliding<'a, F> {
    fn new(values: &'a [f64], is_better: F, cx: &'a EvalContext<'a>) -> Self {
        Self { values, is_better, cx, candidates: VecDeque::new(), seen: 0 }
    }

    /// The best value of `window`, which is not empty; of equal ones the first.
    fn best(&mut self, window: Range<usize>) -> f64 {
        /// Windows below this are looked at as a whole: that takes less than the queue.
        const SHORT: usize = 24;
        if window.len() < SHORT {
            return self.best_of(&self.values[window]);
        }
        self.seen = self.seen.max(window.start);
        while self.candidates.front().is_some_and(|&first| first < window.start) {
            self.candidates.pop_front();
        }
        for index in self.cx.pieces(self.seen..window.end).flatten() {
            self.push(index);
            self.seen = index + 1;
        }
        self.candidates.front().map_or(f64::NAN, |&first| self.values[first])
    }

    fn push(&mut self, index: usize) {
        let value = self.values[index];
        if value.is_nan() {
            return;
        }
        while self.candidates.back().is_some_and(|&last| (self.is_better)(value, self.values[last]))
        {
            self.candidates.pop_back();
        }
        self.candidates.push_back(index);
    }

    fn best_of(&self, values: &[f64]) -> f64 {
        values.iter().copied().fold(f64::NAN, |best, value| {
            if (self.is_better)(value, best) || best.is_nan() { value } else { best }
        })
    }
}

/// The time of the least or greatest value; of equal ones the newest.
pub(super) struct TimeOfExtreme {
    pub(super) greatest: bool,
    pub(super) site: Site,
}

impl RangeFunction for TimeOfExtreme {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let values = input.float_values();
        float_windows(input, row, (cx, self.site), |_, window| {
            let mut best = window.start;
            for index in cx.pieces(window).flatten() {
                let (value, best_value) = (values[index], values[best]);
                let is_better =
                    if self.greatest { value >= best_value } else { value <= best_value };
                if is_better || best_value.is_nan() {
                    best = index;
                }
            }
            Some(seconds(input.float_times()[best]))
        });
        Ok(())
    }
}
