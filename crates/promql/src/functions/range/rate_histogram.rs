//! The increase of native histograms over a window, before extrapolation.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram};

use super::rate::RateNotes;
use super::start_time::{SampleTime, is_reset, overlaps};
use crate::annotations::{Annotation, HistogramOperation};

/// What comparing two histograms counts, in floats.
const HISTOGRAM_WORK: usize = 64;

/// The last histogram less the first, with what was lost by resets added; a gauge, compacted.
/// `None` where the histograms do not fit together. There are at least two.
pub(super) fn histogram_increase(
    histograms: &[Arc<FloatHistogram>],
    sample_time: impl Fn(usize) -> SampleTime,
    is_counter: bool,
    notes: &RateNotes<'_>,
) -> Option<FloatHistogram> {
    let [first, between @ .., last] = histograms else { return None };
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if is_counter && (is_gauge(first) || is_gauge(last)) {
        notes.not_a_counter();
    }
    // A reset right after the first sample makes that one's layout irrelevant.
    let second = between.first().unwrap_or(last);
    let base =
        if is_counter && (is_reset(sample_time(0), sample_time(1)) || second.detect_reset(first)) {
            Arc::new(FloatHistogram {
                schema: second.schema,
                custom_values: second.custom_values.clone(),
                ..FloatHistogram::default()
            })
        } else {
            Arc::clone(first)
        };
    let custom = base.uses_custom_buckets();
    if last.uses_custom_buckets() != custom {
        return notes.mixed_schemas();
    }
    let mut schema = last.schema.min(base.schema);
    for histogram in between.iter().filter(|_| is_counter) {
        if is_gauge(histogram) {
            notes.not_a_counter();
        }
        schema = schema.min(histogram.schema);
        if histogram.uses_custom_buckets() != custom {
            return notes.mixed_schemas();
        }
    }
    let mut increase = last.copy_to_schema(schema);
    if !notes.sub(&mut increase, &base) {
        return None;
    }
    if is_counter {
        add_resets(&mut increase, &base, histograms, sample_time, notes)?;
    } else if !(is_gauge(first) && is_gauge(last)) {
        notes.not_a_gauge();
    }
    increase.counter_reset_hint = CounterResetHint::Gauge;
    increase.compact(0);
    Some(increase)
}

fn add_resets(
    increase: &mut FloatHistogram,
    base: &FloatHistogram,
    histograms: &[Arc<FloatHistogram>],
    sample_time: impl Fn(usize) -> SampleTime,
    notes: &RateNotes<'_>,
) -> Option<()> {
    let mut previous = base;
    let mut overlapped = false;
    let mut pace = notes.cx.pace();
    for (index, current) in histograms.iter().enumerate().skip(1) {
        pace.tick(HISTOGRAM_WORK).ok()?;
        let times = (sample_time(index - 1), sample_time(index));
        overlapped |= overlaps(times.0, times.1);
        let was_reset = is_reset(times.0, times.1) || current.detect_reset(previous);
        if was_reset && !notes.add(increase, previous) {
            return None;
        }
        previous = current;
    }
    if overlapped {
        let metric = notes.metric.to_owned();
        notes.cx.annotate(notes.site, Annotation::StartTimeOverlap { metric, count: 1 });
    }
    Some(())
}

impl RateNotes<'_> {
    fn metric(&self) -> String {
        self.metric.to_owned()
    }

    pub(crate) fn not_a_counter(&self) {
        self.cx.annotate(self.site, Annotation::NativeHistogramNotCounter(self.metric()));
    }

    pub(crate) fn not_a_gauge(&self) {
        self.cx.annotate(self.site, Annotation::NativeHistogramNotGauge(self.metric()));
    }

    /// Tells that exponential and custom buckets met; there is no result.
    pub(crate) fn mixed_schemas<T>(&self) -> Option<T> {
        self.cx.annotate(self.site, Annotation::MixedExponentialCustomHistograms(self.metric()));
        None
    }

    fn reconciled(&self, operation: HistogramOperation) {
        self.cx.annotate(self.site, Annotation::MismatchedCustomBuckets(operation));
    }

    /// Adds `other`; false where they do not fit together.
    pub(crate) fn add(&self, histogram: &mut FloatHistogram, other: &FloatHistogram) -> bool {
        let Ok(outcome) = histogram.add(other) else { return self.mixed_schemas::<()>().is_some() };
        if outcome.nhcb_bounds_reconciled {
            self.reconciled(HistogramOperation::Addition);
        }
        true
    }

    /// Subtracts `other`; false where they do not fit together.
    pub(crate) fn sub(&self, histogram: &mut FloatHistogram, other: &FloatHistogram) -> bool {
        let Ok(outcome) = histogram.sub(other) else { return self.mixed_schemas::<()>().is_some() };
        if outcome.nhcb_bounds_reconciled {
            self.reconciled(HistogramOperation::Subtraction);
        }
        true
    }
}
