//! `smoothed` instant selectors: values interpolated between the samples around each step.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Labels, SampleBuffer, TimestampMs};

use crate::annotations::{Annotation, HistogramOperation};
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::drop_stale;
use crate::engine::select::SeriesKernel;
use crate::engine::windows::{References, WindowCursor};
use crate::functions::extended::{interpolate, interpolate_histograms};

/// Interpolates between the neighbours within the look-back on both sides.
pub(super) struct SmoothedKernel {
    pub(super) references: References,
    pub(super) lookback_ms: i64,
    pub(super) site: Site,
}

impl SeriesKernel for SmoothedKernel {
    fn evaluate(
        &self,
        labels: &Labels,
        samples: &mut SampleBuffer,
        mut row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        drop_stale(samples);
        cx.count_samples(samples.len() as u64);
        let metric = labels.metric_name().unwrap_or_default();
        let mut floats = WindowCursor::default();
        let mut histograms = WindowCursor::default();
        for step in cx.pieces(0..self.references.grid.count).flatten() {
            let at = self.references.time(step);
            let (start, end) =
                (at.saturating_sub(self.lookback_ms), at.saturating_add(self.lookback_ms));
            floats.advance(&samples.float_times, start, end);
            histograms.advance(&samples.histogram_times, start, end);
            match (floats.range().is_empty(), histograms.range().is_empty()) {
                (true, true) => {}
                (false, false) => {
                    cx.annotate(self.site, Annotation::MixedFloatsHistograms(metric.to_owned()));
                }
                (false, true) => {
                    let times = &samples.float_times[floats.range()];
                    let values = &samples.float_values[floats.range()];
                    if let Some(value) = float_at(times, values, at) {
                        row.floats[step] = value;
                    }
                }
                (true, false) => {
                    let times = &samples.histogram_times[histograms.range()];
                    let values = &samples.histograms[histograms.range()];
                    if let Some(value) = self.histogram_at((times, values), at, metric, cx) {
                        row.set_histogram(step, value);
                    }
                }
            }
        }
        Ok(())
    }

    fn drops_name(&self) -> bool {
        false
    }
}

fn float_at(times: &[TimestampMs], values: &[f64], at: TimestampMs) -> Option<f64> {
    let next = times.partition_point(|&t| t < at);
    if times.get(next) == Some(&at) {
        return Some(values[next]);
    }
    let previous = next.checked_sub(1)?;
    if next == times.len() {
        return Some(values[previous]);
    }
    let (from, to) = ((times[previous], values[previous]), (times[next], values[next]));
    Some(interpolate(from, to, at, false))
}

impl SmoothedKernel {
    fn histogram_at(
        &self,
        (times, values): (&[TimestampMs], &[Arc<FloatHistogram>]),
        at: TimestampMs,
        metric: &str,
        cx: &EvalContext<'_>,
    ) -> Option<Arc<FloatHistogram>> {
        let next = times.partition_point(|&t| t < at);
        if times.get(next) == Some(&at) {
            return Some(Arc::clone(&values[next]));
        }
        let previous = next.checked_sub(1)?;
        if next == times.len() {
            let mut carried = FloatHistogram::clone(&values[previous]);
            carried.counter_reset_hint = CounterResetHint::Unknown;
            return Some(Arc::new(carried));
        }
        let gauges = [&values[previous], &values[next]];
        let is_counter = gauges.iter().any(|h| h.counter_reset_hint != CounterResetHint::Gauge);
        let from = (times[previous], &*values[previous]);
        let to = (times[next], &*values[next]);
        let same_kind = from.1.uses_custom_buckets() == to.1.uses_custom_buckets();
        match interpolate_histograms(from, to, at, is_counter) {
            Ok((histogram, reconciled)) if same_kind => {
                for operation in reconciled.operations() {
                    cx.annotate(self.site, Annotation::MismatchedCustomBuckets(operation));
                }
                Some(Arc::new(histogram))
            }
            _ => {
                let metric = metric.to_owned();
                cx.annotate(self.site, Annotation::MixedExponentialCustomHistograms(metric));
                None
            }
        }
    }
}

/// Which operations of an interpolation had to bring custom bounds together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reconciled {
    /// The subtraction.
    pub(crate) subtraction: bool,
    /// The addition.
    pub(crate) addition: bool,
}

impl Reconciled {
    /// Them as annotations name them.
    pub(crate) fn operations(self) -> impl Iterator<Item = HistogramOperation> {
        let subtraction = self.subtraction.then_some(HistogramOperation::Subtraction);
        let addition = self.addition.then_some(HistogramOperation::Addition);
        subtraction.into_iter().chain(addition)
    }
}
