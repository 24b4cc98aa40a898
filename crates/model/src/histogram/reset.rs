//! Counter resets: whether a histogram can be a later state of the same counter.

use super::custom::common_bounds;
use super::layout::cells;
use super::resolution::reduced;
use super::types::{CounterResetHint, FloatHistogram, Span};

impl FloatHistogram {
    /// Whether the counter was reset between `previous` and this histogram.
    ///
    /// The hint decides if there is one. Without, any count that fell is a reset (the sum may
    /// fall), as is a bucket that vanished, a finer schema, a narrower zero bucket, and a zero
    /// bucket that now cuts through a populated bucket. `previous` is compared in the coarser
    /// schema and with the wider zero bucket of this histogram; custom bounds that differ are
    /// compared where both have a bound. A gauge is treated as if it had no hint.
    pub fn detect_reset(&self, previous: &Self) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::CounterReset => return true,
            CounterResetHint::NotCounterReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            return !previous.uses_custom_buckets() || self.custom_reset(previous);
        }
        self.schema > previous.schema || self.exponential_reset(previous)
    }

    fn custom_reset(&self, previous: &Self) -> bool {
        if self.custom_values != previous.custom_values {
            let common = common_bounds(&self.custom_values, &previous.custom_values);
            let (now, before) = (self.counts_between(&common), previous.counts_between(&common));
            return now.iter().zip(before).any(|(now, before)| *now < before);
        }
        let now = cells(&self.positive_spans, &self.positive_buckets);
        side_reset(now, cells(&previous.positive_spans, &previous.positive_buckets))
    }

    /// For schemas that are exponential and no finer than that of `previous`.
    fn exponential_reset(&self, previous: &Self) -> bool {
        if self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let wide = previous.widened_zero_bucket(self.zero_threshold);
        if wide.threshold != self.zero_threshold || self.zero_count < wide.count {
            return true;
        }
        self.exponential_side_reset(
            (&self.positive_spans, &self.positive_buckets),
            previous,
            (&previous.positive_spans, &previous.positive_buckets),
        ) || self.exponential_side_reset(
            (&self.negative_spans, &self.negative_buckets),
            previous,
            (&previous.negative_spans, &previous.negative_buckets),
        )
    }

    fn exponential_side_reset(
        &self,
        now: (&[Span], &[f64]),
        previous: &Self,
        before: (&[Span], &[f64]),
    ) -> bool {
        let skip = previous.swallowed_buckets(before, self.zero_threshold);
        let steps = self.schema.abs_diff(previous.schema);
        if steps == 0 {
            if skip == 0 && now.0 == before.0 {
                return now.1.iter().zip(before.1).any(|(now, before)| now < before);
            }
            let before = cells(before.0, before.1).skip(skip);
            return side_reset(cells(now.0, now.1), before);
        }
        let mut buckets = before.1.to_vec();
        buckets.iter_mut().take(skip).for_each(|bucket| *bucket = 0.0);
        let coarse = reduced(before.0, &buckets, steps);
        side_reset(cells(now.0, now.1), cells(&coarse.spans, &coarse.buckets))
    }
}

/// Whether a bucket fell, or one that was populated is gone. Both ascend in index.
fn side_reset(
    now: impl Iterator<Item = (i64, f64)>,
    previous: impl Iterator<Item = (i64, f64)>,
) -> bool {
    let mut now = now.peekable();
    for (index, before) in previous {
        while now.next_if(|(at, _)| *at < index).is_some() {}
        let fell = match now.peek() {
            Some((at, count)) if *at == index => *count < before,
            _ => before != 0.0,
        };
        if fell {
            return true;
        }
    }
    false
}
