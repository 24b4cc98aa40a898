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
use crate::engine::pace::Pace;
use crate::engine::windows::WindowIndex;
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
            self.floats(input, row.floats, cx)?;
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
    fn floats(
        &self,
        input: &RangeInput<'_>,
        row: &mut [f64],
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let (times, values) = (input.float_times(), input.float_values());
        let mut resets = Resets::new(values, self.kind.is_counter, cx);
        let index = WindowIndex::new(times, input.windows, cx)?;
        let extrapolation = Extrapolation::new(self.kind, input.windows.range_ms);
        let mut known = (Shape::default(), Distances::default());
        for step in cx.pieces(0..row.len()).flatten() {
            let (first, after_last) = index.bounds(step);
            if after_last < first + 2 {
                continue;
            }
            let last = after_last - 1;
            let (start, end) = input.windows.bounds(step);
            let increase = resets.correct(values[last] - values[first], first, last);
            let shape = Shape {
                before_ms: times[first] - start,
                after_ms: end - times[last],
                sampled_ms: times[last] - times[first],
                intervals: last - first,
            };
            // Scrapes keep their interval to the millisecond, mostly.
            if known.0 != shape {
                known = (shape, extrapolation.distances(shape));
            }
            row[step] = increase * extrapolation.factor(known.1, increase, values[first]);
        }
        Ok(())
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
            for index in cx.pieces(first + 1..last + 1).flatten() {
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
        let extrapolation = Extrapolation::new(self.kind, input.windows.range_ms);
        if self.starts_inside(sample_time(first), start) {
            let factor = extrapolation.factor_from_start(shape, sample_time(first));
            return Some((increase + values[first]) * factor);
        }
        (last > first).then(|| {
            let distances = extrapolation.distances(shape);
            increase * extrapolation.factor(distances, increase, values[first])
        })
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
        let extrapolation = Extrapolation::new(self.kind, input.windows.range_ms);
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
            let distances = extrapolation.distances(shape);
            let factor = extrapolation.factor(distances, increase.count, histograms[0].count);
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
    pace: Pace<'a>,
    is_stopped: bool,
}

impl<'a> Resets<'a> {
    fn new(values: &'a [f64], is_counter: bool, cx: &'a EvalContext<'a>) -> Self {
        /// Values that are compared without an early end, several at a time; falls are rare.
        const BLOCK: usize = 64;
        let mut indices = Vec::new();
        let last = if is_counter { values.len() } else { 1 };
        for piece in cx.pieces(1..last) {
            for start in piece.clone().step_by(BLOCK) {
                let end = piece.end.min(start + BLOCK);
                let pairs = values[start - 1..end - 1].iter().zip(&values[start..end]);
                if pairs.fold(false, |falls, (previous, value)| falls | (value < previous)) {
                    indices.extend((start..end).filter(|&i| values[i] < values[i - 1]));
                }
            }
        }
        Self { values, indices, next: 0, pace: cx.pace(), is_stopped: false }
    }

    /// Adds what was lost by the resets between the samples `first` and `last`; not all of it
    /// when the query must stop.
    #[inline]
    fn correct(&mut self, mut increase: f64, first: usize, last: usize) -> f64 {
        while self.indices.get(self.next).is_some_and(|&at| at <= first) {
            self.next += 1;
        }
        for &at in self.indices[self.next..].iter().take_while(|at| **at <= last) {
            increase += self.values[at - 1];
            self.is_stopped = self.is_stopped || self.pace.tick(1).is_err();
            if self.is_stopped {
                break;
            }
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

/// What is computed from a [`Shape`], in seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Distances {
    /// Between the first and the last sample.
    sampled: f64,
    /// To extrapolate before the first sample, if the counter does not begin earlier.
    before: f64,
    /// To extrapolate after the last sample.
    after: f64,
    /// The factor of all that.
    full_factor: f64,
}

/// Extrapolates from the samples to the window.
struct Extrapolation {
    kind: RateKind,
    range_s: f64,
}

impl Extrapolation {
    fn new(kind: RateKind, range_ms: i64) -> Self {
        Self { kind, range_s: seconds(range_ms) }
    }

    /// What depends on the shape of a window alone.
    #[inline]
    fn distances(&self, shape: Shape) -> Distances {
        let sampled = seconds(shape.sampled_ms);
        let before = shape.extrapolated(shape.before_ms, sampled);
        let after = shape.extrapolated(shape.after_ms, sampled);
        let full_factor = self.factor_of(sampled, before, after);
        Distances { sampled, before, after, full_factor }
    }

    /// By what the increase between the samples is to be multiplied.
    #[inline]
    fn factor(&self, distances: Distances, increase: f64, first_value: f64) -> f64 {
        /// A first value this many times the increase leaves zero so far behind that the
        /// distance to it cannot be less than the one to the window's start, which is at most
        /// 1.1 of the sampled time.
        const FAR_FROM_ZERO: f64 = 1.2;
        let Distances { sampled, before, after, full_factor } = distances;
        let may_reach_zero = self.kind.is_counter
            && increase > 0.0
            && first_value >= 0.0
            && first_value < increase * FAR_FROM_ZERO;
        if may_reach_zero {
            let to_zero = sampled * (first_value / increase);
            if to_zero < before {
                return self.factor_of(sampled, to_zero, after);
            }
        }
        full_factor
    }

    /// The factor of a window whose counter is known to be zero at the start time of its first
    /// sample. The end is guessed by the distance of the samples alone.
    fn factor_from_start(&self, shape: Shape, first: SampleTime) -> f64 {
        let after = if shape.intervals == 0 {
            0.0
        } else {
            shape.extrapolated(shape.after_ms, seconds(shape.sampled_ms))
        };
        let sampled = seconds(shape.sampled_ms + (first.time - first.start));
        self.factor_of(sampled, 0.0, after)
    }

    #[inline]
    fn factor_of(&self, sampled: f64, before: f64, after: f64) -> f64 {
        let factor = if sampled == 0.0 { 1.0 } else { (sampled + before + after) / sampled };
        if self.kind.is_rate { factor / self.range_s } else { factor }
    }
}

impl Shape {
    /// How far to extrapolate over `distance_ms`: all of it if it is about as long as the samples
    /// are apart, else half of what they are.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn extrapolated(&self, distance_ms: i64, sampled: f64) -> f64 {
        /// A little below 1.1: what is under it is under 1.1 whatever was rounded, and the
        /// division can be saved.
        const SURELY_CLOSE: f64 = 1.099;
        let distance = seconds(distance_ms);
        let intervals = self.intervals as f64;
        if distance * intervals < sampled * SURELY_CLOSE {
            return distance;
        }
        let average = sampled / intervals;
        if distance >= average * 1.1 { average / 2.0 } else { distance }
    }
}
