//! `irate` and `idelta`: the difference of the last two samples of a window.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, TimestampMs};

use super::rate::RateNotes;
use super::start_time::{SampleTime, is_reset};
use super::windows::{WindowSamples, for_each_window};
use crate::annotations::Annotation;
use crate::engine::QueryError;
use crate::engine::batch::RowMut;
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::{RangeFunction, RangeInput};
use crate::functions::scalars::seconds;

/// The difference, for `irate` per second and corrected for a reset.
pub(super) struct InstantDelta {
    pub(super) is_rate: bool,
    pub(super) use_start_times: bool,
    pub(super) site: Site,
}

/// A sample of either kind.
#[derive(Clone, Copy)]
struct Sample<'a> {
    time: SampleTime,
    value: SampleRef<'a>,
}

#[derive(Clone, Copy)]
enum SampleRef<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

impl RangeFunction for InstantDelta {
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        mut row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let notes = RateNotes { site: self.site, metric: input.metric(), cx };
        for_each_window(input, |window| {
            let Some((previous, last)) = self.last_two(input, &window) else { return };
            let interval = last.time.time - previous.time.time;
            match (previous.value, last.value) {
                (SampleRef::Float(from), SampleRef::Float(to)) => {
                    let fell = to < from || is_reset(previous.time, last.time);
                    let delta = if self.is_rate && fell { to } else { to - from };
                    row.floats[window.step] = self.per_second(delta, interval);
                }
                (SampleRef::Histogram(from), SampleRef::Histogram(to)) => {
                    let was_reset = is_reset(previous.time, last.time);
                    if let Some(mut delta) = self.histogram_delta(from, to, was_reset, &notes) {
                        if self.is_rate {
                            delta.div(seconds(interval));
                        }
                        row.set_histogram(window.step, Arc::new(delta));
                    }
                }
                _ => {
                    let metric = input.metric().to_owned();
                    cx.annotate(self.site, Annotation::MixedFloatsHistograms(metric));
                }
            }
        });
        Ok(())
    }
}

impl InstantDelta {
    fn per_second(&self, delta: f64, interval_ms: TimestampMs) -> f64 {
        if self.is_rate { delta / seconds(interval_ms) } else { delta }
    }

    /// The newest two samples of both kinds together.
    fn last_two<'a>(
        &self,
        input: &'a RangeInput<'_>,
        window: &WindowSamples,
    ) -> Option<(Sample<'a>, Sample<'a>)> {
        let start = |start| if self.use_start_times && self.is_rate { start } else { 0 };
        let floats = window.floats.clone().rev().take(2).map(|index| Sample {
            time: SampleTime {
                time: input.float_times()[index],
                start: start(input.float_start(index)),
            },
            value: SampleRef::Float(input.float_values()[index]),
        });
        let histograms = window.histograms.clone().rev().take(2).map(|index| Sample {
            time: SampleTime {
                time: input.samples.histogram_times[index],
                start: start(input.histogram_start(index)),
            },
            value: SampleRef::Histogram(&input.histograms()[index]),
        });
        let mut newest: Vec<Sample<'_>> = floats.chain(histograms).collect();
        newest.sort_by_key(|sample| std::cmp::Reverse(sample.time.time));
        let [last, previous, ..] = newest[..] else { return None };
        Some((previous, last))
    }

    fn histogram_delta(
        &self,
        from: &FloatHistogram,
        to: &FloatHistogram,
        was_reset: bool,
        notes: &RateNotes<'_>,
    ) -> Option<FloatHistogram> {
        let gauges = [from, to].map(|h| h.counter_reset_hint == CounterResetHint::Gauge);
        if self.is_rate && gauges.contains(&true) {
            notes.not_a_counter();
        }
        if !self.is_rate && gauges.contains(&false) {
            notes.not_a_gauge();
        }
        let mut delta = to.clone();
        let keeps_all = self.is_rate && (was_reset || to.detect_reset(from));
        if !keeps_all && !notes.sub(&mut delta, from) {
            return None;
        }
        delta.counter_reset_hint = CounterResetHint::Gauge;
        delta.compact(0);
        Some(delta)
    }
}
