//! Where the window of each step lies in a series: two indices that only move forward.

use model::TimestampMs;

use super::QueryError;
use super::context::EvalContext;
use super::grid::Grid;

/// The moments that a selector looks at for the steps of a grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct References {
    /// The steps.
    pub(crate) grid: Grid,
    /// The moment for all steps, where `@` fixes it.
    pub(crate) at_ms: Option<TimestampMs>,
    /// How far to look back; may be negative.
    pub(crate) offset_ms: i64,
}

impl References {
    /// The moment that the selector looks at for the step `index`.
    #[inline]
    pub(crate) fn time(&self, index: usize) -> TimestampMs {
        self.at_ms.unwrap_or_else(|| self.grid.time(index)).saturating_sub(self.offset_ms)
    }

    /// The earliest moment.
    pub(crate) fn min_ms(&self) -> TimestampMs {
        self.time(0)
    }

    /// The latest moment.
    pub(crate) fn max_ms(&self) -> TimestampMs {
        self.time(self.grid.count.saturating_sub(1))
    }
}

/// Left-open windows `(reference - range, reference]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    /// Where each window ends.
    pub(crate) references: References,
    /// How wide it is, ms.
    pub(crate) range_ms: i64,
}

impl Windows {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.references.grid.count
    }

    /// The open start and the closed end of the window of the step `index`.
    #[inline]
    pub(crate) fn bounds(&self, index: usize) -> (TimestampMs, TimestampMs) {
        let end = self.references.time(index);
        (end.saturating_sub(self.range_ms), end)
    }
}

/// Indices into times that ascend, for windows that do not move back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WindowCursor {
    /// The first sample inside the window.
    pub(crate) low: usize,
    /// One past the last sample inside the window.
    pub(crate) high: usize,
}

impl WindowCursor {
    /// Moves to the window `(start, end]`.
    #[inline]
    pub(crate) fn advance(&mut self, times: &[TimestampMs], start: TimestampMs, end: TimestampMs) {
        self.high = first_after(times, self.high, end);
        self.low = first_after(times, self.low, start);
    }

    /// The samples inside.
    #[inline]
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.low.min(self.high)..self.high
    }
}

/// The samples of every window of a series. Where windows are a whole number of steps wide, the
/// start of one is the end of an earlier one, and each place is looked up once.
#[derive(Debug, Default)]
pub(crate) struct WindowIndex {
    /// For each step one past the last sample of its window; before them the same for as many
    /// steps earlier as a window is wide, if `lag` is set.
    ends: Vec<usize>,
    /// For each step the first sample of its window; empty if `lag` is set.
    starts: Vec<usize>,
    /// How many steps a window is wide.
    lag: Option<usize>,
}

impl WindowIndex {
    /// The windows of the samples at `times`.
    pub(crate) fn new(
        times: &[TimestampMs],
        windows: &Windows,
        cx: &EvalContext<'_>,
    ) -> Result<Self, QueryError> {
        let References { grid, at_ms, offset_ms } = windows.references;
        let is_whole = at_ms.is_none() && windows.range_ms % grid.step_ms == 0;
        let lag = usize::try_from(windows.range_ms / grid.step_ms).ok();
        let mut index = Self {
            ends: Vec::with_capacity(grid.count),
            starts: Vec::new(),
            // A few long windows are better looked up by themselves.
            lag: lag.filter(|lag| is_whole && *lag <= grid.count),
        };
        let mut at = 0;
        if let Some(lag) = index.lag {
            let first = grid.start_ms.saturating_sub(offset_ms);
            let mut end = first.saturating_sub(windows.range_ms);
            let mut stride = 0;
            for _ in cx.pieces(0..grid.count + lag).flatten() {
                at = next_after(times, at, end, &mut stride);
                index.ends.push(at);
                end = end.saturating_add(grid.step_ms);
            }
            return index.complete(grid.count + lag, cx);
        }
        let mut start_at = 0;
        let mut strides = (0, 0);
        for step in cx.pieces(0..grid.count).flatten() {
            let (start, end) = windows.bounds(step);
            at = next_after(times, at, end, &mut strides.0);
            start_at = next_after(times, start_at, start, &mut strides.1);
            index.ends.push(at);
            index.starts.push(start_at);
        }
        index.complete(grid.count, cx)
    }

    /// Itself with all of `count` ends; else the query must stop.
    fn complete(self, count: usize, cx: &EvalContext<'_>) -> Result<Self, QueryError> {
        if self.ends.len() < count {
            cx.check()?;
        }
        Ok(self)
    }

    /// The first sample of the window of the step `index`, and one past the last.
    #[inline]
    pub(crate) fn bounds(&self, index: usize) -> (usize, usize) {
        match self.lag {
            Some(lag) => (self.ends[index], self.ends[index + lag]),
            None => (self.starts[index], self.ends[index]),
        }
    }
}

/// [`first_after`], tried first as far ahead as the last time: a step mostly takes in as many
/// samples as the one before.
#[inline]
fn next_after(times: &[TimestampMs], from: usize, bound: TimestampMs, stride: &mut usize) -> usize {
    let guess = from + *stride;
    let is_right = match (guess.checked_sub(1).map(|i| times.get(i)), times.get(guess)) {
        (Some(Some(before)), Some(after)) => *before <= bound && bound < *after,
        _ => false,
    };
    if is_right && *stride > 0 {
        return guess;
    }
    let found = first_after(times, from, bound);
    *stride = found - from;
    found
}

/// The first index from `from` on whose time is after `bound`: a few steps one by one, then
/// leaps, so that dense steps cost little and a lone step is found by bisection.
#[inline]
pub(crate) fn first_after(times: &[TimestampMs], from: usize, bound: TimestampMs) -> usize {
    const NEAR: usize = 16;
    let near_end = times.len().min(from + NEAR);
    let mut index = from;
    while index < near_end {
        if times[index] > bound {
            return index;
        }
        index += 1;
    }
    if index == times.len() || times[index] > bound {
        return index;
    }
    index + times[index..].partition_point(|&t| t <= bound)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::QueryContext;

    use super::*;
    use crate::engine::EngineOptions;
    use crate::engine::plan::Passes;
    use crate::engine::tests::planned;

    fn looked_up(times: &[TimestampMs], windows: &Windows) -> WindowIndex {
        let (options, query) = (EngineOptions::default(), Arc::new(QueryContext::unlimited()));
        let cx = EvalContext::new(&options, &query, None, &planned("1", Passes::NONE));
        WindowIndex::new(times, windows, &cx).unwrap()
    }

    #[test]
    fn windows_are_open_on_the_left() {
        let times: Vec<i64> = (0..100).map(|i| i * 10).collect();
        let grid = Grid::range(0, 2_000, 35);
        let references = References { grid, at_ms: None, offset_ms: 20 };
        let windows = Windows { references, range_ms: 60 };
        let mut cursor = WindowCursor::default();
        let looked_up = looked_up(&times, &windows);
        for index in 0..windows.count() {
            let (start, end) = windows.bounds(index);
            cursor.advance(&times, start, end);
            let want: Vec<i64> = times.iter().copied().filter(|&t| t > start && t <= end).collect();
            assert_eq!(&times[cursor.range()], want, "window {index}");
            let (first, after) = looked_up.bounds(index);
            assert_eq!(&times[first..after], want, "window {index}");
        }
    }

    #[test]
    fn windows_of_whole_steps_share_their_ends() {
        let times: Vec<i64> = (0..500).map(|i| i * 15 + i % 7).collect();
        let references =
            References { grid: Grid::range(-200, 8_000, 60), at_ms: None, offset_ms: 13 };
        let windows = Windows { references, range_ms: 300 };
        let looked_up = looked_up(&times, &windows);
        assert_eq!(looked_up.lag, Some(5));
        for index in 0..windows.count() {
            let (start, end) = windows.bounds(index);
            let (first, after) = looked_up.bounds(index);
            let want: Vec<i64> = times.iter().copied().filter(|&t| t > start && t <= end).collect();
            assert_eq!(&times[first..after], want, "window {index}");
        }
    }
}
