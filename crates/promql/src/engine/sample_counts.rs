//! How many samples a query looks at, for each of its steps, by Prometheus' rules: what selectors
//! find and what lies in windows counts at every step; what is evaluated once counts at all of
//! them; of a subquery below a function only the windows over its values count.
//!
//! Counted only when a client asks for statistics, because windows that slide need not know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{FloatHistogram, Labels, SampleBuffer, TimestampMs};

use super::QueryError;
use super::batch::{RowMut, histogram_size};
use super::context::EvalContext;
use super::grid::Grid;
use super::matrix::drop_stale;
use super::plan::SelectPlan;
use super::select::SeriesKernel;
use super::selector::{Newest, NewestCursor};
use super::windows::{WindowCursor, Windows};
use crate::ast::RangeExtension;

/// Which steps of the query the samples belong to that a part of its plan looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum CountsFor {
    /// They are not counted.
    #[default]
    Nothing,
    /// Those of a step to the same step of the query.
    SameStep,
    /// Those of the only step to every step of the query.
    EveryStep,
    /// All of them so many times to the only step of the query.
    OnlyStep(u64),
}

impl CountsFor {
    /// The same for a part that is evaluated once for the steps of `grid`.
    pub(crate) fn evaluated_once(self, grid: Grid) -> Self {
        match self {
            Self::SameStep => Self::EveryStep,
            Self::OnlyStep(times) => Self::OnlyStep(times.saturating_mul(grid.count as u64)),
            other => other,
        }
    }
}

/// Samples by the steps of the query.
#[derive(Debug)]
pub(crate) struct SampleCounts {
    grid: Grid,
    steps: Vec<AtomicU64>,
}

impl SampleCounts {
    /// Nothing is counted yet for the steps of a query.
    pub(crate) fn new(grid: Grid) -> Self {
        Self { grid, steps: std::iter::repeat_with(AtomicU64::default).take(grid.count).collect() }
    }

    /// Counts the samples that a part of the plan looked at for a step of its own.
    fn add(&self, counts_for: CountsFor, step: usize, samples: u64) {
        let (steps, samples) = match counts_for {
            CountsFor::Nothing => return,
            CountsFor::SameStep => (step..step + 1, samples),
            CountsFor::EveryStep => (0..self.steps.len(), samples),
            CountsFor::OnlyStep(times) => (0..1, samples.saturating_mul(times)),
        };
        for count in self.steps.get(steps).unwrap_or_default() {
            count.fetch_add(samples, Ordering::Relaxed);
        }
    }

    /// Counts the samples in each window.
    pub(crate) fn add_windows(
        &self,
        counts_for: CountsFor,
        bounds: impl Iterator<Item = (TimestampMs, TimestampMs)>,
        samples: &SampleBuffer,
    ) {
        if counts_for == CountsFor::Nothing {
            return;
        }
        let sizes = SizesBefore::new(&samples.histograms);
        let (mut floats, mut histograms) = (WindowCursor::default(), WindowCursor::default());
        for (step, (start, end)) in bounds.enumerate() {
            floats.advance(&samples.float_times, start, end);
            histograms.advance(&samples.histogram_times, start, end);
            let found = floats.range().len() as u64 + sizes.of(histograms.range());
            self.add(counts_for, step, found);
        }
    }

    /// Counts samples that the only step of a part of the plan looked at.
    pub(crate) fn add_once(&self, counts_for: CountsFor, samples: u64) {
        self.add(counts_for, 0, samples);
    }

    /// The steps, ms, and how many samples each looked at.
    pub(crate) fn into_steps(self) -> Vec<(TimestampMs, u64)> {
        let counts = self.steps.into_iter().enumerate();
        counts.map(|(step, count)| (self.grid.time(step), count.into_inner())).collect()
    }
}

/// For each histogram what all before it count.
struct SizesBefore(Vec<u64>);

impl SizesBefore {
    fn new(histograms: &[Arc<FloatHistogram>]) -> Self {
        let mut before = 0;
        let sizes = histograms.iter().map(|histogram| {
            before += histogram_size(histogram);
            before
        });
        Self(std::iter::once(0).chain(sizes).collect())
    }

    fn of(&self, range: std::ops::Range<usize>) -> u64 {
        self.0[range.end] - self.0[range.start]
    }
}

/// A kernel, and what it looks at counted for each step.
pub(crate) struct CountedKernel {
    kernel: Box<dyn SeriesKernel>,
    windows: Windows,
    extension: RangeExtension,
    counts_for: CountsFor,
}

impl CountedKernel {
    /// What `kernel` looks at for `plan`.
    pub(crate) fn new(plan: &SelectPlan, kernel: Box<dyn SeriesKernel>) -> Self {
        Self {
            kernel,
            windows: Windows { references: plan.references, range_ms: plan.range_ms },
            extension: plan.extension,
            counts_for: plan.counts_for,
        }
    }

    fn count(&self, samples: &mut SampleBuffer, counts: &SampleCounts, cx: &EvalContext<'_>) {
        if self.windows.range_ms == 0 {
            // What is interpolated counts nothing.
            if self.extension == RangeExtension::None {
                self.count_newest(samples, counts, cx);
            }
            return;
        }
        drop_stale(samples);
        let lookback_ms = cx.options.lookback_delta_ms;
        let bounds = cx
            .pieces(0..self.windows.count())
            .flatten()
            .map(|step| widened(self.windows.bounds(step), self.extension, lookback_ms));
        counts.add_windows(self.counts_for, bounds, samples);
    }

    fn count_newest(&self, samples: &SampleBuffer, counts: &SampleCounts, cx: &EvalContext<'_>) {
        let mut cursor = NewestCursor::default();
        for step in cx.pieces(0..self.windows.count()).flatten() {
            let at = self.windows.references.time(step);
            let found = match cursor.newest(samples, at, cx.options.lookback_delta_ms) {
                Newest::None => continue,
                Newest::Histogram(index) if !self.kernel.looks_at_times_only() => {
                    histogram_size(&samples.histograms[index])
                }
                Newest::Float(_) | Newest::Histogram(_) => 1,
            };
            counts.add(self.counts_for, step, found);
        }
    }
}

impl SeriesKernel for CountedKernel {
    fn evaluate(
        &self,
        labels: &Labels,
        samples: &mut SampleBuffer,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        if let Some(counts) = &cx.sample_counts {
            self.count(samples, counts, cx);
        }
        self.kernel.evaluate(labels, samples, row, cx)
    }

    fn drops_name(&self) -> bool {
        self.kernel.drops_name()
    }
}

/// The window that is read for a window of an extended selector.
pub(crate) fn widened(
    (start, end): (TimestampMs, TimestampMs),
    extension: RangeExtension,
    lookback_ms: i64,
) -> (TimestampMs, TimestampMs) {
    match extension {
        RangeExtension::None => (start, end),
        RangeExtension::Anchored => (start.saturating_sub(lookback_ms), end),
        RangeExtension::Smoothed => {
            (start.saturating_sub(lookback_ms), end.saturating_add(lookback_ms))
        }
    }
}
