//! `anchored` and `smoothed` range vectors: the values at the window's ends are those of samples
//! outside, or are interpolated; nothing is extrapolated.

mod histograms;

use model::{FloatHistogram, Labels, TimestampMs};

use crate::annotations::Annotation;
use crate::engine::QueryError;
use crate::engine::batch::{RowMut, is_absent};
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::{RangeFunction, RangeInput};
pub(crate) use crate::engine::selector::Reconciled;
use crate::engine::windows::WindowCursor;
use crate::functions::scalars::seconds;
use crate::value::FloatPoint;

/// What looking at a histogram counts, in floats.
const HISTOGRAM_WORK: usize = 64;

/// Which of `rate`, `increase` and `delta`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateKind {
    /// Corrected for resets: not `delta`.
    pub(crate) is_counter: bool,
    /// Per second: `rate`.
    pub(crate) is_rate: bool,
}

/// `rate`, `increase` or `delta` of an extended range vector.
pub(super) struct ExtendedRate {
    pub(super) kind: RateKind,
    pub(super) site: Site,
    pub(super) smoothed: bool,
    pub(super) lookback_ms: i64,
    pub(super) check_type_label: bool,
}

/// Samples around a window: its ends, and the samples from the look-back on (for `smoothed` up
/// to the look-back after it).
struct Around<'a, V> {
    times: &'a [TimestampMs],
    values: &'a [V],
    start: TimestampMs,
    end: TimestampMs,
}

/// The first and last sample that matter for a window.
#[derive(Debug, Clone, Copy)]
struct Picked {
    first: usize,
    last: usize,
}

impl<V> Around<'_, V> {
    /// Begins with the newest sample at or before the start, ends with the last one, or smoothed
    /// with the first one at or after the end. `None` where nothing lies inside.
    fn pick(&self, smoothed: bool) -> Option<Picked> {
        let mut last = self.times.len().checked_sub(1)?;
        let before_last = &self.times[..last];
        let first = before_last.partition_point(|&t| t <= self.start).saturating_sub(1);
        if smoothed {
            last = before_last.partition_point(|&t| t < self.end);
        }
        let reaches_in = self.times[last] > self.start;
        let begins_later = smoothed && self.times[first] > self.end;
        (reaches_in && !begins_later).then_some(Picked { first, last })
    }
}

impl RangeFunction for ExtendedRate {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        mut row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let mut floats = WindowCursor::default();
        let mut histograms = WindowCursor::default();
        let mut pace = cx.pace();
        for step in 0..input.windows.count() {
            let (start, end) = input.windows.bounds(step);
            let from = start.saturating_sub(self.lookback_ms);
            let to = if self.smoothed { end.saturating_add(self.lookback_ms) } else { end };
            floats.advance(&input.samples.float_times, from, to);
            histograms.advance(&input.samples.histogram_times, from, to);
            let (floats, histograms) = (floats.range(), histograms.range());
            pace.tick(floats.len() + HISTOGRAM_WORK * histograms.len())?;
            if !floats.is_empty() && !histograms.is_empty() {
                let metric = input.metric().to_owned();
                cx.annotate(self.site, Annotation::MixedFloatsHistograms(metric));
            } else if !floats.is_empty() {
                let times = &input.samples.float_times[floats.clone()];
                let values = &input.samples.float_values[floats];
                if let Some(value) = self.floats(&Around { times, values, start, end }, input) {
                    row.floats[step] = value;
                }
            } else if !histograms.is_empty() {
                let times = &input.samples.histogram_times[histograms.clone()];
                let values = &input.samples.histograms[histograms];
                let around = Around { times, values, start, end };
                if let Some(value) = self.histograms(&around, input, cx) {
                    row.set_histogram(step, value);
                }
            }
        }
        if self.kind.is_counter && row.floats.iter().any(|v| !is_absent(*v)) {
            check_counter_name(input.labels, self.check_type_label, self.site, cx);
        }
        Ok(())
    }
}

impl ExtendedRate {
    fn floats(&self, around: &Around<'_, f64>, input: &RangeInput<'_>) -> Option<f64> {
        let picked = around.pick(self.smoothed)?;
        let ends = float_ends(around, picked, self.smoothed, self.kind.is_counter);
        let mut increase = ends.1 - ends.0;
        if self.kind.is_counter {
            increase += lost_by_resets(ends, around.inner(picked), input.cx);
        }
        Some(if self.kind.is_rate { increase / seconds(input.windows.range_ms) } else { increase })
    }
}

impl<'a> Around<'a, f64> {
    /// The values strictly inside the window.
    fn inner(&self, picked: Picked) -> &'a [f64] {
        let first = picked.first + usize::from(self.times[picked.first] <= self.start);
        let end = picked.last + usize::from(self.times[picked.last] < self.end);
        self.values.get(first..end).unwrap_or_default()
    }
}

/// The values at both ends of the window.
fn float_ends(
    around: &Around<'_, f64>,
    picked: Picked,
    smoothed: bool,
    is_counter: bool,
) -> (f64, f64) {
    let Picked { first, last } = picked;
    let point = |index: usize| (around.times[index], around.values[index]);
    let left = if smoothed && around.times[first] < around.start {
        interpolate(point(first), point(first + 1), around.start, is_counter)
    } else {
        around.values[first]
    };
    let right = if smoothed && last > 0 && around.times[last] > around.end {
        interpolate(point(last - 1), point(last), around.end, is_counter)
    } else {
        around.values[last]
    };
    (left, right)
}

fn lost_by_resets((left, right): (f64, f64), inner: &[f64], cx: &EvalContext<'_>) -> f64 {
    let mut lost = 0.0;
    let mut previous = left;
    let inner = cx.pieces(0..inner.len()).flat_map(|piece| &inner[piece]);
    for value in inner.chain([&right]) {
        if *value < previous {
            lost += previous;
        }
        previous = *value;
    }
    lost
}

/// The value at `at` on the line between two samples. A counter that fell between them began
/// at zero.
#[expect(clippy::cast_precision_loss, reason = "distances in ms are far below 2^53")]
pub(crate) fn interpolate(
    from: (TimestampMs, f64),
    to: (TimestampMs, f64),
    at: TimestampMs,
    is_counter: bool,
) -> f64 {
    let start = if is_counter && to.1 < from.1 { 0.0 } else { from.1 };
    start + (to.1 - start) * (at - from.0) as f64 / (to.0 - from.0) as f64
}

/// The histogram at `at` between two others, as [`interpolate`].
#[expect(clippy::cast_precision_loss, reason = "distances in ms are far below 2^53")]
pub(crate) fn interpolate_histograms(
    from: (TimestampMs, &FloatHistogram),
    to: (TimestampMs, &FloatHistogram),
    at: TimestampMs,
    is_counter: bool,
) -> Result<(FloatHistogram, Reconciled), model::histogram::IncompatibleSchemas> {
    if at == from.0 || at == to.0 {
        let histogram = if at == from.0 { from.1 } else { to.1 };
        return Ok((histogram.clone(), Reconciled::default()));
    }
    let fraction = (at - from.0) as f64 / (to.0 - from.0) as f64;
    let mut result = to.1.clone();
    if is_counter && to.1.detect_reset(from.1) {
        result.mul(fraction);
        return Ok((result, Reconciled::default()));
    }
    let subtraction = result.sub(from.1)?.nhcb_bounds_reconciled;
    result.mul(fraction);
    let addition = result.add(from.1)?.nhcb_bounds_reconciled;
    Ok((result, Reconciled { subtraction, addition }))
}

/// The points of an extended range vector that is a query's value: those inside the window, and
/// one at each end.
pub(crate) fn extended_points(
    points: &[FloatPoint],
    start: TimestampMs,
    end: TimestampMs,
    smoothed: bool,
) -> Vec<FloatPoint> {
    let times: Vec<_> = points.iter().map(|p| p.timestamp_ms).collect();
    let values: Vec<_> = points.iter().map(|p| p.value).collect();
    let around = Around { times: &times, values: &values, start, end };
    let Some(picked) = around.pick(smoothed) else { return Vec::new() };
    let (left, right) = float_ends(&around, picked, smoothed, false);
    let inside = points.iter().filter(|p| p.timestamp_ms > start && p.timestamp_ms < end);
    let mut extended = vec![FloatPoint { timestamp_ms: start, value: left }];
    extended.extend(inside);
    extended.push(FloatPoint { timestamp_ms: end, value: right });
    extended
}

/// Tells that a counter function is used on what does not look like a counter.
pub(super) fn check_counter_name(
    labels: &Labels,
    check_type_label: bool,
    site: Site,
    cx: &EvalContext<'_>,
) {
    let Some(name) = labels.metric_name() else { return };
    if check_type_label {
        let type_label = labels.value("__type__");
        if !matches!(type_label, "counter" | "histogram") {
            let (metric, type_label) = (name.to_owned(), type_label.to_owned());
            cx.annotate(site, Annotation::PossibleNonCounterLabel { metric, type_label });
        }
    } else if !["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end)) {
        cx.annotate(site, Annotation::PossibleNonCounter(name.to_owned()));
    }
}
