//! `anchored` and `smoothed` range vectors of native histograms.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, TimestampMs};

use super::{Around, ExtendedRate, Picked, interpolate_histograms};
use crate::annotations::Annotation;
use crate::engine::context::EvalContext;
use crate::engine::matrix::RangeInput;
use crate::functions::range::RateNotes;
use crate::functions::scalars::seconds;

type Histograms<'a> = Around<'a, Arc<FloatHistogram>>;

impl ExtendedRate {
    pub(super) fn histograms(
        &self,
        around: &Histograms<'_>,
        input: &RangeInput<'_>,
        cx: &EvalContext<'_>,
    ) -> Option<Arc<FloatHistogram>> {
        let notes = RateNotes { site: self.site, metric: input.metric(), cx };
        let picked = around.pick(self.smoothed)?;
        self.validate(&around.values[picked.first..=picked.last], &notes)?;
        let left = self.left(around, picked, &notes)?;
        let right = self.right(around, picked, &notes)?;
        let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
        if !(self.kind.is_counter || (is_gauge(&left) && is_gauge(&right))) {
            notes.not_a_gauge();
        }
        let mut increase = right.clone();
        if !notes.sub(&mut increase, &left) {
            return None;
        }
        if self.kind.is_counter {
            let lost = self.lost_by_resets(around, picked, (&left, &right), &notes)?;
            if let Some(lost) = lost
                && !notes.add(&mut increase, &lost)
            {
                return None;
            }
        }
        if self.kind.is_rate {
            increase.div(seconds(input.windows.range_ms));
        }
        increase.counter_reset_hint = CounterResetHint::Gauge;
        increase.compact(0);
        Some(Arc::new(increase))
    }

    fn validate(&self, histograms: &[Arc<FloatHistogram>], notes: &RateNotes<'_>) -> Option<()> {
        let custom = histograms.first()?.uses_custom_buckets();
        for histogram in histograms {
            if histogram.uses_custom_buckets() != custom {
                return notes.mixed_schemas();
            }
            let is_gauge = histogram.counter_reset_hint == CounterResetHint::Gauge;
            if self.kind.is_counter && is_gauge {
                notes.not_a_counter();
            }
        }
        Some(())
    }

    fn left(
        &self,
        around: &Histograms<'_>,
        picked: Picked,
        notes: &RateNotes<'_>,
    ) -> Option<FloatHistogram> {
        let first = picked.first;
        if self.smoothed && around.times[first] < around.start {
            return self.between(around, first, around.start, notes);
        }
        Some((*around.values[first]).clone())
    }

    fn right(
        &self,
        around: &Histograms<'_>,
        picked: Picked,
        notes: &RateNotes<'_>,
    ) -> Option<FloatHistogram> {
        let last = picked.last;
        if self.smoothed && last > 0 && around.times[last] > around.end {
            return self.between(around, last - 1, around.end, notes);
        }
        Some((*around.values[last]).clone())
    }

    /// The histogram at `at`, between the samples `index` and `index + 1`.
    fn between(
        &self,
        around: &Histograms<'_>,
        index: usize,
        at: TimestampMs,
        notes: &RateNotes<'_>,
    ) -> Option<FloatHistogram> {
        let from = (around.times[index], &*around.values[index]);
        let to = (around.times[index + 1], &*around.values[index + 1]);
        let Ok((histogram, reconciled)) =
            interpolate_histograms(from, to, at, self.kind.is_counter)
        else {
            return notes.mixed_schemas();
        };
        for operation in reconciled.operations() {
            notes.cx.annotate(notes.site, Annotation::MismatchedCustomBuckets(operation));
        }
        Some(histogram)
    }

    /// What resets between the ends have lost; `None` where histograms do not fit together.
    fn lost_by_resets(
        &self,
        around: &Histograms<'_>,
        picked: Picked,
        (left, right): (&FloatHistogram, &FloatHistogram),
        notes: &RateNotes<'_>,
    ) -> Option<Option<FloatHistogram>> {
        let Picked { first, last } = picked;
        let mut from = first + 1;
        let mut previous = left;
        let spans_start = self.smoothed && around.times[first] < around.start;
        if spans_start && around.values[first + 1].detect_reset(&around.values[first]) {
            // The interpolation on the left took that reset in already.
            previous = &around.values[first + 1];
            from += 1;
        }
        // The last sample is `right` itself, or what `right` has its hint from.
        let Some(inner) = around.values.get(from..last) else { return Some(None) };
        let mut lost: Option<FloatHistogram> = None;
        for current in inner.iter().map(|h| &**h).chain([right]) {
            if current.detect_reset(previous) {
                match &mut lost {
                    None => lost = Some(previous.clone()),
                    Some(lost) => {
                        if !notes.add(lost, previous) {
                            return None;
                        }
                    }
                }
            }
            previous = current;
        }
        Some(lost)
    }
}
