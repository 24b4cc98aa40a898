//! Instant selectors: the newest sample at every step.

mod smoothed;

use std::sync::Arc;

pub(crate) use smoothed::Reconciled;

use model::storage::EmptySeriesSet;
use model::{
    Labels, METRIC_NAME_LABEL, MatchOp, Matcher, SampleBuffer, SelectHints, SeriesSet, TimeRange,
    TimestampMs, is_stale,
};

use super::QueryError;
use super::batch::{RowMut, SeriesBatch};
use super::context::{EvalContext, Site};
use super::plan::SelectPlan;
use super::sample_counts::CountedKernel;
use super::select::{LeadingSeries, SelectSource, SeriesKernel};
use super::stream::VectorStream;
use super::windows::{References, first_after};
use crate::ast::RangeExtension;

/// The series of an instant selector.
pub(crate) fn instant_stream(
    plan: &SelectPlan,
    site: Site,
    cx: &EvalContext<'_>,
) -> Result<VectorStream, QueryError> {
    let lookback_ms = cx.options.lookback_delta_ms;
    let kernel: Box<dyn SeriesKernel> = if plan.extension == RangeExtension::Smoothed {
        Box::new(smoothed::SmoothedKernel { references: plan.references, lookback_ms, site })
    } else {
        Box::new(InstantKernel { references: plan.references, lookback_ms })
    };
    kernel_stream(plan, kernel, cx)
}

/// The series of a selector, each made into a row by `kernel`.
pub(crate) fn kernel_stream(
    plan: &SelectPlan,
    kernel: Box<dyn SeriesKernel>,
    cx: &EvalContext<'_>,
) -> Result<VectorStream, QueryError> {
    let steps = plan.references.grid.count;
    if steps == 0 {
        return Ok(VectorStream::empty(0));
    }
    let has_one_name = plan.matchers.iter().any(|m| {
        m.name() == METRIC_NAME_LABEL && m.op() == MatchOp::Equal && !m.value().is_empty()
    });
    let kernel: Box<dyn SeriesKernel> = match cx.sample_counts {
        Some(_) => Box::new(CountedKernel::new(plan, kernel)),
        None => kernel,
    };
    let source = if plan.pair.as_ref().is_some_and(|pair| !pair.leads) {
        SelectSource::later(plan.clone(), kernel, steps)
    } else {
        SelectSource::new(select_series(plan, cx)?, kernel, steps)
    };
    let source = source.with_histogram_stats(plan.only_histogram_stats);
    Ok(VectorStream::new(Box::new(source), steps).with_unique_series(has_one_name))
}

/// The series that a selector selects.
pub(crate) fn select_series(
    plan: &SelectPlan,
    cx: &EvalContext<'_>,
) -> Result<Box<dyn SeriesSet>, QueryError> {
    let Some(matchers) = cx.narrowings.matchers(plan) else {
        return Ok(Box::new(EmptySeriesSet));
    };
    let pair = plan.pair.as_ref().map(|pair| (pair, &cx.left_samples[pair.number]));
    match pair {
        Some((pair, left)) if pair.leads => {
            let series = ask_storage(plan, &pair.matchers, pair.time_range, cx)?;
            Ok(Box::new(LeadingSeries::new(series, (**pair).clone(), Arc::clone(left))))
        }
        Some((_, left)) => match left.take() {
            Some(series) => Ok(series),
            None => ask_storage(plan, &matchers, plan.time_range, cx),
        },
        None => ask_storage(plan, &matchers, plan.time_range, cx),
    }
}

fn ask_storage(
    plan: &SelectPlan,
    matchers: &[Matcher],
    time_range: TimeRange,
    cx: &EvalContext<'_>,
) -> Result<Box<dyn SeriesSet>, QueryError> {
    let Some(querier) = &cx.querier else {
        return Err(QueryError::Internal("a selector without storage".to_owned()));
    };
    let hints = SelectHints {
        start_ms_incl: time_range.start_ms_incl,
        end_ms_incl: time_range.end_ms_incl,
        step_ms: plan.purpose.step_ms,
        range_ms: plan.range_ms,
        function: plan.purpose.function.to_owned(),
        grouping: plan.purpose.grouping.clone(),
        grouping_is_by: plan.purpose.grouping_is_by,
        newest_only: plan.needs_newest_only(),
        without_labels: plan.without_labels,
        ..SelectHints::default()
    };
    Ok(querier.select(matchers, &hints)?)
}

/// The newest sample not older than the look-back; a stale marker hides the series.
pub(crate) struct InstantKernel {
    pub(crate) references: References,
    pub(crate) lookback_ms: i64,
}

impl SeriesKernel for InstantKernel {
    fn evaluate(
        &self,
        _labels: &Labels,
        samples: &mut SampleBuffer,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let found = if samples.histogram_times.is_empty() {
            self.floats(samples, row.floats, cx)?
        } else {
            self.mixed(samples, row, cx)?
        };
        cx.count_samples(found);
        Ok(())
    }

    fn drops_name(&self) -> bool {
        false
    }
}

impl InstantKernel {
    fn floats(
        &self,
        samples: &SampleBuffer,
        row: &mut [f64],
        cx: &EvalContext<'_>,
    ) -> Result<u64, QueryError> {
        /// Subqueries may have millions of steps; a query must stop within milliseconds.
        const STEPS_BETWEEN_CHECKS: usize = 1 << 16;
        let times = &samples.float_times[..];
        let (mut after, mut found) = (0, 0);
        let pieces = row.chunks_mut(STEPS_BETWEEN_CHECKS).enumerate();
        for (first, piece) in pieces.map(|(number, piece)| (number * STEPS_BETWEEN_CHECKS, piece)) {
            if first > 0 {
                cx.check()?;
            }
            for (step, out) in piece.iter_mut().enumerate() {
                let reference = self.references.time(first + step);
                after = first_after(times, after, reference);
                let Some(newest) = after.checked_sub(1) else { continue };
                // The stale marker is the pattern of an absent cell.
                if times[newest] > reference.saturating_sub(self.lookback_ms) {
                    *out = samples.float_values[newest];
                    found += 1;
                }
            }
        }
        Ok(found)
    }

    fn mixed(
        &self,
        samples: &SampleBuffer,
        mut row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<u64, QueryError> {
        let mut cursor = NewestCursor::default();
        let (mut found, mut pace) = (0, cx.pace());
        for step in 0..self.references.grid.count {
            pace.tick(1)?;
            let reference = self.references.time(step);
            match cursor.newest(samples, reference, self.lookback_ms) {
                Newest::Float(index) => row.floats[step] = samples.float_values[index],
                Newest::Histogram(index) => {
                    row.set_histogram(step, Arc::clone(&samples.histograms[index]));
                }
                Newest::None => continue,
            }
            found += 1;
        }
        Ok(found)
    }
}

/// Finds the newest sample of both kinds for moments that ascend.
#[derive(Debug, Default)]
pub(crate) struct NewestCursor {
    after_float: usize,
    after_histogram: usize,
}

/// The newest sample at a moment, if it is not stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Newest {
    /// There is none.
    None,
    /// The number of a float.
    Float(usize),
    /// The number of a histogram.
    Histogram(usize),
}

impl NewestCursor {
    /// The newest sample in `(reference - lookback, reference]`.
    pub(crate) fn newest(
        &mut self,
        samples: &SampleBuffer,
        reference: TimestampMs,
        lookback_ms: i64,
    ) -> Newest {
        self.after_float = first_after(&samples.float_times, self.after_float, reference);
        self.after_histogram =
            first_after(&samples.histogram_times, self.after_histogram, reference);
        let float = self.after_float.checked_sub(1);
        let histogram = self.after_histogram.checked_sub(1);
        let float_time = float.map(|i| samples.float_times[i]);
        let histogram_time = histogram.map(|i| samples.histogram_times[i]);
        let oldest = reference.saturating_sub(lookback_ms);
        if float_time.max(histogram_time).is_none_or(|time| time <= oldest) {
            return Newest::None;
        }
        match (float, histogram) {
            (Some(i), _) if float_time > histogram_time => {
                if is_stale(samples.float_values[i]) {
                    Newest::None
                } else {
                    Newest::Float(i)
                }
            }
            (_, Some(i)) if !samples.histograms[i].is_stale() => Newest::Histogram(i),
            _ => Newest::None,
        }
    }
}

/// All series of an instant selector at once, for functions that look at them as a whole.
pub(crate) fn collect_with(
    plan: &SelectPlan,
    kernel: Box<dyn SeriesKernel>,
    cx: &EvalContext<'_>,
) -> Result<SeriesBatch, QueryError> {
    kernel_stream(plan, kernel, cx)?.collect(cx)
}
