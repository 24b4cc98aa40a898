//! `changes` and `resets`: how often neighbouring samples differ, or fall.

use std::ops::Range;

use model::TimestampMs;

use super::start_time::{SampleTime, is_reset};
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::EvalContext;
use crate::engine::matrix::{RangeFunction, RangeInput};
use crate::engine::windows::WindowCursor;

/// How often the value changed.
pub(super) struct Changes {
    /// Begin with the newest sample at or before the window's start.
    pub(super) anchor: bool,
    pub(super) lookback_ms: i64,
}

/// How often a counter was reset.
pub(super) struct Resets {
    pub(super) anchor: bool,
    pub(super) lookback_ms: i64,
    pub(super) use_start_times: bool,
}

impl RangeFunction for Changes {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let merged = Merged::new(input, cx)?;
        let counts = merged.running_counts(cx, |previous, current| match (previous, current) {
            (Sample::Float(a), Sample::Float(b)) => {
                let (a, b) = (input.float_values()[a], input.float_values()[b]);
                a != b && !(a.is_nan() && b.is_nan())
            }
            (Sample::Histogram(a), Sample::Histogram(b)) => {
                !input.histograms()[b].equals(&input.histograms()[a])
            }
            _ => true,
        })?;
        let lookback_ms = self.anchor.then_some(self.lookback_ms);
        merged.fill(&counts, input, row, lookback_ms);
        Ok(())
    }
}

impl RangeFunction for Resets {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let merged = Merged::new(input, cx)?;
        let start = |start| if self.use_start_times { start } else { 0 };
        let float_time = |index: usize| SampleTime {
            time: input.float_times()[index],
            start: start(input.float_start(index)),
        };
        let histogram_time = |index: usize| SampleTime {
            time: input.samples.histogram_times[index],
            start: start(input.histogram_start(index)),
        };
        let counts = merged.running_counts(cx, |previous, current| match (previous, current) {
            (Sample::Float(a), Sample::Float(b)) => {
                input.float_values()[b] < input.float_values()[a]
                    || is_reset(float_time(a), float_time(b))
            }
            (Sample::Histogram(a), Sample::Histogram(b)) => {
                is_reset(histogram_time(a), histogram_time(b))
                    || input.histograms()[b].detect_reset(&input.histograms()[a])
            }
            _ => true,
        })?;
        let lookback_ms = self.anchor.then_some(self.lookback_ms);
        merged.fill(&counts, input, row, lookback_ms);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Sample {
    Float(usize),
    Histogram(usize),
}

/// Floats and histograms in order of time.
struct Merged {
    times: Vec<TimestampMs>,
    samples: Vec<Sample>,
}

impl Merged {
    fn new(input: &RangeInput<'_>, cx: &EvalContext<'_>) -> Result<Self, QueryError> {
        let (floats, histograms) = (input.float_times(), &input.samples.histogram_times);
        let count = floats.len() + histograms.len();
        let mut merged =
            Self { times: Vec::with_capacity(count), samples: Vec::with_capacity(count) };
        let (mut float, mut histogram) = (0, 0);
        let mut pace = cx.pace();
        while merged.times.len() < count {
            pace.tick(1)?;
            let float_is_next = match (floats.get(float), histograms.get(histogram)) {
                (Some(a), Some(b)) => a <= b,
                (next_float, _) => next_float.is_some(),
            };
            if float_is_next {
                merged.times.push(floats[float]);
                merged.samples.push(Sample::Float(float));
                float += 1;
            } else {
                merged.times.push(histograms[histogram]);
                merged.samples.push(Sample::Histogram(histogram));
                histogram += 1;
            }
        }
        Ok(merged)
    }

    /// For each sample how many of the samples up to it count when compared with the one before.
    fn running_counts(
        &self,
        cx: &EvalContext<'_>,
        counts: impl Fn(Sample, Sample) -> bool,
    ) -> Result<Vec<u32>, QueryError> {
        const HISTOGRAM_WORK: usize = 64;
        let mut pace = cx.pace();
        let mut running = Vec::with_capacity(self.samples.len());
        let mut count = 0;
        for (index, current) in self.samples.iter().enumerate() {
            pace.tick(if matches!(current, Sample::Float(_)) { 1 } else { HISTOGRAM_WORK })?;
            let previous = index.checked_sub(1).map(|i| self.samples[i]);
            count += u32::from(previous.is_some_and(|previous| counts(previous, *current)));
            running.push(count);
        }
        Ok(running)
    }

    /// The count between the first and the last sample of each window.
    fn fill(
        &self,
        counts: &[u32],
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        anchor_lookback_ms: Option<i64>,
    ) {
        let mut cursor = WindowCursor::default();
        for step in input.cx.pieces(0..row.floats.len()).flatten() {
            let (start, end) = input.windows.bounds(step);
            cursor.advance(&self.times, start, end);
            let window = cursor.range();
            if window.is_empty() {
                continue;
            }
            let window = match anchor_lookback_ms {
                Some(lookback_ms) => self.anchored(window, start.saturating_sub(lookback_ms)),
                None => window,
            };
            row.floats[step] = f64::from(counts[window.end - 1] - counts[window.start]);
        }
    }

    /// The window with the sample before it, if that one is not too old.
    fn anchored(&self, window: Range<usize>, oldest: TimestampMs) -> Range<usize> {
        match window.start.checked_sub(1) {
            Some(anchor) if self.times[anchor] > oldest => anchor..window.end,
            _ => window,
        }
    }
}
