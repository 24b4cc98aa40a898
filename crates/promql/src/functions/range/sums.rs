//! `sum_over_time` and `avg_over_time`: compensated sums, of floats or of histograms.

use std::ops::Range;
use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{AggregationNotes, HistogramMean, HistogramSum, Kahan};

use super::windows::for_each_window;
use crate::annotations::{Annotation, HistogramOperation};
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::{RangeFunction, RangeInput};

/// What adding a histogram counts, in floats.
const HISTOGRAM_WORK: usize = 64;

/// The sum.
pub(super) struct SumFunction {
    pub(super) site: Site,
}

/// The mean.
pub(super) struct AverageFunction {
    pub(super) site: Site,
}

impl RangeFunction for SumFunction {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let prefixes = exact_prefix_sums(input, cx);
        let sum_of_floats = |window: Range<usize>| match &prefixes {
            Some(prefixes) => prefixes[window.end] - prefixes[window.start],
            None => sum(&input.float_values()[window], cx),
        };
        let sum_of_histograms = |histograms: &[Arc<FloatHistogram>]| {
            let (first, rest) = histograms.split_first()?;
            let mut sum = HistogramSum::new(first);
            let mut pace = cx.pace();
            for histogram in rest {
                pace.tick(HISTOGRAM_WORK).ok()?;
                sum.add(histogram).ok()?;
            }
            Some((sum.notes(), sum.finish()))
        };
        aggregate(input, row, (cx, self.site), sum_of_floats, sum_of_histograms);
        Ok(())
    }
}

impl RangeFunction for AverageFunction {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let prefixes = exact_prefix_sums(input, cx);
        let average_of_floats = |window: Range<usize>| match &prefixes {
            Some(prefixes) => (prefixes[window.end] - prefixes[window.start]) / window.len() as f64,
            None => average(&input.float_values()[window], cx),
        };
        let average_of_histograms = |histograms: &[Arc<FloatHistogram>]| {
            let (first, rest) = histograms.split_first()?;
            let mut mean = HistogramMean::new(first);
            let mut pace = cx.pace();
            for histogram in rest {
                pace.tick(HISTOGRAM_WORK).ok()?;
                mean.add(histogram).ok()?;
            }
            Some((mean.notes(), mean.finish()))
        };
        aggregate(input, row, (cx, self.site), average_of_floats, average_of_histograms);
        Ok(())
    }
}

/// Floats and histograms are aggregated each for themselves; a window with both has no result.
fn aggregate(
    input: &RangeInput<'_>,
    mut row: RowMut<'_>,
    (cx, site): (&EvalContext<'_>, Site),
    floats: impl Fn(Range<usize>) -> f64,
    histograms: impl Fn(&[Arc<FloatHistogram>]) -> Option<(AggregationNotes, FloatHistogram)>,
) {
    for_each_window(input, |window| {
        if window.histograms.is_empty() {
            row.floats[window.step] = floats(window.floats);
        } else if !window.floats.is_empty() {
            cx.annotate(site, Annotation::MixedFloatsHistograms(input.metric().to_owned()));
        } else if let Some((notes, result)) = histograms(&input.histograms()[window.histograms]) {
            annotate_notes(notes, cx, site);
            row.set_histogram(window.step, Arc::new(result));
        } else {
            let metric = input.metric().to_owned();
            cx.annotate(site, Annotation::MixedExponentialCustomHistograms(metric));
        }
    });
}

/// Tells what an aggregation of histograms had to overlook.
pub(crate) fn annotate_notes(notes: AggregationNotes, cx: &EvalContext<'_>, site: Site) {
    let operation = HistogramOperation::Aggregation;
    if notes.counter_reset_collision() {
        cx.annotate(site, Annotation::CounterResetCollision(operation));
    }
    if notes.nhcb_bounds_reconciled {
        cx.annotate(site, Annotation::MismatchedCustomBuckets(operation));
    }
}

fn sum(values: &[f64], cx: &EvalContext<'_>) -> f64 {
    let mut sum = Kahan::default();
    for piece in cx.pieces(0..values.len()) {
        values[piece].iter().for_each(|v| sum.add(*v));
    }
    if sum.sum.is_infinite() { sum.sum } else { sum.value() }
}

/// The mean; where the sum would overflow, a mean that is updated value by value.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn average(values: &[f64], cx: &EvalContext<'_>) -> f64 {
    let Some(first) = values.first() else { return f64::NAN };
    let mut sum = Kahan::from(*first);
    for index in cx.pieces(1..values.len()).flatten() {
        let mut next = sum;
        next.add(values[index]);
        if next.sum.is_infinite() {
            return incremental_average(sum, index, values, cx);
        }
        sum = next;
    }
    let count = values.len() as f64;
    sum.sum / count + sum.compensation / count
}

/// Goes on after the first `from` values, which sum to `sum`.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn incremental_average(sum: Kahan, from: usize, values: &[f64], cx: &EvalContext<'_>) -> f64 {
    let before = from as f64;
    let mut mean = Kahan { sum: sum.sum / before, compensation: sum.compensation / before };
    for index in cx.pieces(from..values.len()).flatten() {
        let count = (index + 1) as f64;
        let share = (count - 1.0) / count;
        mean = Kahan { sum: share * mean.sum, compensation: share * mean.compensation };
        mean.add(values[index] / count);
    }
    mean.value()
}

/// Running sums, where all of them are whole numbers that floats hold exactly: then a window's sum
/// is a difference of two, without rounding, in whatever order it is added. Only worth it where
/// windows overlap.
fn exact_prefix_sums(input: &RangeInput<'_>, cx: &EvalContext<'_>) -> Option<Vec<f64>> {
    /// Below 2^53 every whole number is a float.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    const MIN_OVERLAP: usize = 4;
    let values = input.float_values();
    if input.windows.count() < 2 || values.len() < MIN_OVERLAP {
        return None;
    }
    let mut magnitude = 0.0;
    let mut sum = 0.0;
    let mut prefixes = Vec::with_capacity(values.len() + 1);
    prefixes.push(0.0);
    for value in cx.pieces(0..values.len()).flat_map(|piece| &values[piece]) {
        magnitude += value.abs();
        if value.trunc() != *value || magnitude >= MAX_EXACT || is_negative_zero(*value) {
            return None;
        }
        sum += value;
        prefixes.push(sum);
    }
    // Not all of them where the query must stop.
    (prefixes.len() > values.len()).then_some(prefixes)
}

fn is_negative_zero(value: f64) -> bool {
    value == 0.0 && value.is_sign_negative()
}
