//! `rate`, `increase`, `delta`: the difference of the first and the last sample of a window,
//! corrected for counter resets and extrapolated to the window's ends.
//!
//! Of floats, a window costs two look-ups: resets are found once for the whole series, and the
//! factor of the extrapolation is kept as long as samples lie alike in their windows. The
//! arithmetic is Prometheus', operation by operation, so results agree to the last bit.

use std::sync::Arc;

use super::rate_histogram::histogram_increase;
use super::start_time::{SampleTime, is_reset, overlaps};
use super::windows::{WindowSamples, for_each_window};
use crate::annotations::Annotation;
use crate::engine::QueryError;
use crate::engine::batch::{RowMut, is_absent};
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::{RangeFunction, RangeInput};
use crate::engine::windows::WindowCursor;
use crate::functions::extended::{RateKind, check_counter_name};
use crate::functions::scalars::seconds;

/// `rate`, `increase` or `delta` of a plain range vector.
pub(super) struct Rate {
    pub(super) kind: RateKind,
    pub(super) site: Site,
    pub(super) use_start_times: bool,
    pub(super) check_type_label: bool,
}

impl RangeFunction for Rate {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        mut row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let has_start_times = self.use_start_times
            && !(input.samples.float_start_times.is_empty()
                && input.samples.histogram_start_times.is_empty());
        if input.has_only_floats() && !has_start_times {
            self.floats(input, row.floats);
        } else {
            self.windows_one_by_one(input, &mut row, cx);
        }
        if self.kind.is_counter && row.floats.iter().any(|v| !is_absent(*v)) {
            check_counter_name(input.labels, self.check_type_label, self.site, cx);
        }
        Ok(())
    }
}

impl Rate {
    /// The fast path: floats without start times.
    fn floats(&self, input: &RangeInput<'_>, row: &mut [f64]) {
        let (times, values) = (input.float_times(), input.float_values());
        let mut resets = Resets::new(values, self.kind.is_counter);
        let mut cursor = WindowCursor::default();
        let mut extrapolation = Extrapolation::new(self.kind, input.windows.range_ms);
        for (step, out) in row.iter_mut().enumerate() {
            let (start, end) = input.windows.bounds(step);
            cursor.advance(times, start, end);
            let window = cursor.range();
            if window.len() < 2 {
                continue;
            }
            let (first, last) = (window.start, window.end - 1);
            let increase = resets.correct(values[last] - values[first], first, last);
            let shape = Shape {
                before_ms: times[first] - start,
                after_ms: end - times[last],
                sampled_ms: times[last] - times[first],
                intervals: window.len() - 1,
            };
            *out = extrapolation.apply(shape, increase, values[first]);
        }
    }

    /// The general path: histograms, start times, windows with both kinds of samples.
    fn windows_one_by_one(
        &self,
        input: &RangeInput<'_>,
        row: &mut RowMut<'_>,
        cx: &EvalContext<'_>,
    ) {
        for_each_window(input, |window| {
            if window.histograms.is_empty() {
                if let Some(value) = self.float_window(input, &window, cx) {
                    row.floats[window.step] = value;
                }
            } else if window.floats.is_empty() {
                self.histogram_window(input, window, row, cx);
            } else {
                let metric = input.metric().to_owned();
                cx.annotate(self.site, Annotation::MixedFloatsHistograms(metric));
            }
        });
    }

    fn float_window(
        &self,
        input: &RangeInput<'_>,
        window: &WindowSamples,
        cx: &EvalContext<'_>,
    ) -> Option<f64> {
        let values = input.float_values();
        let sample_time = |index: usize| SampleTime {
            time: input.float_times()[index],
            start: if self.use_start_times { input.float_start(index) } else { 0 },
        };
        let (first, last) = (window.floats.start, window.floats.end - 1);
        let mut increase = values[last] - values[first];
        let mut overlapped = false;
        if self.kind.is_counter {
            for index in first + 1..=last {
                let (previous, current) = (sample_time(index - 1), sample_time(index));
                overlapped |= overlaps(previous, current);
                if values[index] < values[index - 1] || is_reset(previous, current) {
                    increase += values[index - 1];
                }
            }
        }
        if overlapped {
            self.annotate_overlap(input, cx);
        }
        let (start, end) = input.windows.bounds(window.step);
        let shape = Shape {
            before_ms: sample_time(first).time - start,
            after_ms: end - sample_time(last).time,
            sampled_ms: sample_time(last).time - sample_time(first).time,
            intervals: last - first,
        };
        let mut extrapolation = Extrapolation::new(self.kind, input.windows.range_ms);
        if self.starts_inside(sample_time(first), start) {
            let factor = extrapolation.factor_from_start(shape, sample_time(first));
            return Some((increase + values[first]) * factor);
        }
        (last > first).then(|| extrapolation.apply(shape, increase, values[first]))
    }

    /// Whether the counter began inside the window, before its first sample: then it was zero
    /// there, and nothing needs to be guessed.
    fn starts_inside(&self, first: SampleTime, window_start: i64) -> bool {
        self.kind.is_counter
            && first.start != 0
            && first.start > window_start
            && first.start < first.time
    }

    fn annotate_overlap(&self, input: &RangeInput<'_>, cx: &EvalContext<'_>) {
        let metric = input.metric().to_owned();
        cx.annotate(self.site, Annotation::StartTimeOverlap { metric, count: 1 });
    }

    fn histogram_window(
        &self,
        input: &RangeInput<'_>,
        window: WindowSamples,
        row: &mut RowMut<'_>,
        cx: &EvalContext<'_>,
    ) {
        let histograms = &input.histograms()[window.histograms.clone()];
        let times = &input.samples.histogram_times[window.histograms.clone()];
        let sample_time = |index: usize| SampleTime {
            time: times[index],
            start: if self.use_start_times {
                input.histogram_start(window.histograms.start + index)
            } else {
                0
            },
        };
        let notes = RateNotes { site: self.site, metric: input.metric(), cx };
        let last = histograms.len() - 1;
        let mut increase = None;
        if last > 0 {
            let Some(found) =
                histogram_increase(histograms, sample_time, self.kind.is_counter, &notes)
            else {
                return;
            };
            increase = Some(found);
        }
        let (start, end) = input.windows.bounds(window.step);
        let shape = Shape {
            before_ms: times[0] - start,
            after_ms: end - times[last],
            sampled_ms: times[last] - times[0],
            intervals: last,
        };
        let mut extrapolation = Extrapolation::new(self.kind, input.windows.range_ms);
        let first = sample_time(0);
        let (mut result, factor) = if self.starts_inside(first, start) {
            let result = match increase {
                None => (*histograms[0]).clone(),
                Some(mut increase) => {
                    if !notes.add(&mut increase, &histograms[0]) {
                        return;
                    }
                    increase
                }
            };
            (result, extrapolation.factor_from_start(shape, first))
        } else {
            let Some(increase) = increase else { return };
            let factor = extrapolation.factor(shape, increase.count, histograms[0].count);
            (increase, factor)
        };
        result.mul(factor);
        row.set_histogram(window.step, Arc::new(result));
    }
}

/// Tells what happened while histograms were subtracted.
pub(crate) struct RateNotes<'a> {
    pub(crate) site: Site,
    pub(crate) metric: &'a str,
    pub(crate) cx: &'a EvalContext<'a>,
}

/// Where a counter fell, and a cursor into those places.
struct Resets<'a> {
    values: &'a [f64],
    /// Samples that are below the one before.
    indices: Vec<usize>,
    next: usize,
}

impl<'a> Resets<'a> {
    fn new(values: &'a [f64], is_counter: bool) -> Self {
        let falls = is_counter && values.windows(2).any(|pair| pair[1] < pair[0]);
        let indices = if falls {
            (1..values.len()).filter(|&i| values[i] < values[i - 1]).collect()
        } else {
            Vec::new()
        };
        Self { values, indices, next: 0 }
    }

    /// Adds what was lost by the resets between the samples `first` and `last`.
    #[inline]
    fn correct(&mut self, mut increase: f64, first: usize, last: usize) -> f64 {
        while self.indices.get(self.next).is_some_and(|&at| at <= first) {
            self.next += 1;
        }
        for &at in self.indices[self.next..].iter().take_while(|at| **at <= last) {
            increase += self.values[at - 1];
        }
        increase
    }
}

/// How the samples lie in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Shape {
    /// From the window's start to the first sample, ms.
    before_ms: i64,
    /// From the last sample to the window's end, ms.
    after_ms: i64,
    /// From the first to the last sample, ms.
    sampled_ms: i64,
    /// Samples less one.
    intervals: usize,
}

/// Extrapolates from the samples to the window, with what was computed for the last shape.
struct Extrapolation {
    kind: RateKind,
    range_s: f64,
    shape: Shape,
    /// To the window's start, s.
    before: f64,
    /// To the window's end, s.
    after: f64,
    /// Between first and last sample, s.
    sampled: f64,
    /// For `shape` if no counter goes below zero.
    full_factor: f64,
}

impl Extrapolation {
    fn new(kind: RateKind, range_ms: i64) -> Self {
        Self {
            kind,
            range_s: seconds(range_ms),
            shape: Shape::default(),
            before: 0.0,
            after: 0.0,
            sampled: 0.0,
            full_factor: 0.0,
        }
    }

    /// The increase (or rate) over the window.
    #[inline]
    fn apply(&mut self, shape: Shape, increase: f64, first_value: f64) -> f64 {
        increase * self.factor(shape, increase, first_value)
    }

    /// By what the increase between the samples is to be multiplied.
    #[inline]
    fn factor(&mut self, shape: Shape, increase: f64, first_value: f64) -> f64 {
        /// A first value this many times the increase leaves zero so far behind that the
        /// distance to it cannot be less than the one to the window's start, which is at most
        /// 1.1 of the sampled time.
        const FAR_FROM_ZERO: f64 = 1.2;
        if shape != self.shape {
            self.reshape(shape);
        }
        let may_reach_zero = self.kind.is_counter
            && increase > 0.0
            && first_value >= 0.0
            && first_value < increase * FAR_FROM_ZERO;
        if may_reach_zero {
            let to_zero = self.sampled * (first_value / increase);
            if to_zero < self.before {
                return self.factor_of(to_zero);
            }
        }
        self.full_factor
    }

    /// The factor of a window whose counter is known to be zero at the start time of its first
    /// sample. The end is guessed by the distance of the samples alone.
    fn factor_from_start(&mut self, shape: Shape, first: SampleTime) -> f64 {
        self.reshape(shape);
        self.sampled = seconds(shape.sampled_ms + (first.time - first.start));
        self.factor_of(0.0)
    }

    #[cold]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn reshape(&mut self, shape: Shape) {
        self.shape = shape;
        self.sampled = seconds(shape.sampled_ms);
        let average = if shape.intervals > 0 { self.sampled / shape.intervals as f64 } else { 0.0 };
        let threshold = average * 1.1;
        self.before = seconds(shape.before_ms);
        if self.before >= threshold {
            self.before = average / 2.0;
        }
        self.after = seconds(shape.after_ms);
        if self.after >= threshold {
            self.after = average / 2.0;
        }
        self.full_factor = self.factor_of(self.before);
    }

    #[inline]
    fn factor_of(&self, before: f64) -> f64 {
        let factor = if self.sampled == 0.0 {
            1.0
        } else {
            (self.sampled + before + self.after) / self.sampled
        };
        if self.kind.is_rate { factor / self.range_s } else { factor }
    }
}
