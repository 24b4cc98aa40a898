//! Going through the windows of a series, for functions that compute each window by itself.

use std::ops::Range;

use crate::annotations::Annotation;
use crate::engine::batch::RowMut;
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::RangeInput;
use crate::engine::windows::WindowCursor;

/// The samples of one window.
pub(super) struct WindowSamples {
    /// The step.
    pub(super) step: usize,
    /// The float samples.
    pub(super) floats: Range<usize>,
    /// The histogram samples.
    pub(super) histograms: Range<usize>,
}

/// Calls `visit` for every window that has samples. Ends early when the query must stop; whoever
/// called the function asks once more.
pub(super) fn for_each_window(input: &RangeInput<'_>, mut visit: impl FnMut(WindowSamples)) {
    let mut floats = WindowCursor::default();
    let mut histograms = WindowCursor::default();
    let mut pace = input.cx.pace();
    for step in 0..input.windows.count() {
        let (start, end) = input.windows.bounds(step);
        floats.advance(&input.samples.float_times, start, end);
        histograms.advance(&input.samples.histogram_times, start, end);
        let window = WindowSamples { step, floats: floats.range(), histograms: histograms.range() };
        if pace.tick(window.floats.len() + window.histograms.len()).is_err() {
            return;
        }
        if !(window.floats.is_empty() && window.histograms.is_empty()) {
            visit(window);
        }
    }
}

/// Puts `function` of the floats of each window into `row`. Histograms beside floats are left
/// out with an info; windows without floats have no result, nor those whose result is `None`.
pub(super) fn float_windows(
    input: &RangeInput<'_>,
    row: RowMut<'_>,
    (cx, site): (&EvalContext<'_>, Site),
    mut function: impl FnMut(usize, Range<usize>) -> Option<f64>,
) {
    let mut saw_both = false;
    for_each_window(input, |window| {
        if window.floats.is_empty() {
            return;
        }
        saw_both |= !window.histograms.is_empty();
        if let Some(value) = function(window.step, window.floats) {
            row.floats[window.step] = value;
        }
    });
    if saw_both {
        let metric = input.metric().to_owned();
        cx.annotate(site, Annotation::HistogramIgnoredInMixedRange(metric));
    }
}
