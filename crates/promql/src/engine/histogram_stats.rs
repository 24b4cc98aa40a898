//! Native histograms of which only count and sum are needed: the buckets go before anything is
//! computed, but not before it is known where a counter was reset.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, SampleBuffer};

/// Takes the buckets out of the histograms; what they tell about resets becomes the hint.
pub(crate) fn keep_stats(samples: &mut SampleBuffer) {
    let mut previous: Option<Arc<FloatHistogram>> = None;
    for slot in &mut samples.histograms {
        let mut stats = FloatHistogram {
            counter_reset_hint: slot.counter_reset_hint,
            schema: slot.schema,
            count: slot.count,
            sum: slot.sum,
            ..FloatHistogram::default()
        };
        if slot.is_stale() {
            *slot = Arc::new(stats);
            continue;
        }
        if stats.counter_reset_hint == CounterResetHint::Unknown
            && let Some(previous) = &previous
        {
            stats.counter_reset_hint = if slot.detect_reset(previous) {
                CounterResetHint::CounterReset
            } else {
                CounterResetHint::NotCounterReset
            };
        }
        previous = Some(std::mem::replace(slot, Arc::new(stats)));
    }
}
