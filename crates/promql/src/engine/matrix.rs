//! Range vectors: the windows of a selector or of a subquery, handed to a range function series
//! by series.

mod subquery;
mod value;

use std::sync::Arc;

use model::{FloatHistogram, Labels, SampleBuffer, TimestampMs, is_stale};

use super::QueryError;
use super::batch::RowMut;
use super::context::EvalContext;
use super::plan::{MatrixPlan, MatrixPlanSource};
use super::run::{Slots, take_vector};
use super::select::SeriesKernel;
use super::selector::kernel_stream;
use super::stream::VectorStream;
use super::windows::Windows;
use crate::ast::RangeExtension;

pub(crate) use value::matrix_value;

/// A function of the samples in a window, for all windows of a series at once.
pub(crate) trait RangeFunction: Send + Sync {
    /// Fills `row` with the results of all windows.
    fn evaluate(
        &self,
        input: &RangeInput<'_>,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError>;

    /// Whether the result loses the metric's name.
    fn drops_name(&self) -> bool {
        true
    }
}

/// One series for a range function.
pub(crate) struct RangeInput<'a> {
    /// Its labels.
    pub(crate) labels: &'a Labels,
    /// Its samples, without stale markers; more than the windows need.
    pub(crate) samples: &'a SampleBuffer,
    /// The windows.
    pub(crate) windows: &'a Windows,
    /// The query.
    pub(crate) cx: &'a EvalContext<'a>,
}

impl RangeInput<'_> {
    /// The metric's name, or nothing.
    pub(crate) fn metric(&self) -> &str {
        self.labels.metric_name().unwrap_or_default()
    }

    /// Whether no sample is a histogram.
    pub(crate) fn has_only_floats(&self) -> bool {
        self.samples.histogram_times.is_empty()
    }

    /// The windows' float samples.
    pub(crate) fn float_times(&self) -> &[TimestampMs] {
        &self.samples.float_times
    }

    /// The values of the float samples.
    pub(crate) fn float_values(&self) -> &[f64] {
        &self.samples.float_values
    }

    /// The histogram samples.
    pub(crate) fn histograms(&self) -> &[Arc<FloatHistogram>] {
        &self.samples.histograms
    }

    /// The start time of a float sample; 0 = unknown.
    pub(crate) fn float_start(&self, index: usize) -> TimestampMs {
        self.samples.float_start_times.get(index).copied().unwrap_or(0)
    }

    /// The start time of a histogram sample; 0 = unknown.
    pub(crate) fn histogram_start(&self, index: usize) -> TimestampMs {
        self.samples.histogram_start_times.get(index).copied().unwrap_or(0)
    }
}

/// A range vector, not read yet.
pub(crate) struct RangeVector {
    /// Its windows.
    pub(crate) windows: Windows,
    /// `anchored` or `smoothed`.
    pub(crate) extension: RangeExtension,
    source: RangeSource,
}

enum RangeSource {
    Select(super::plan::SelectPlan),
    Subquery(subquery::SubquerySource),
}

impl RangeVector {
    /// The range vector of a plan.
    pub(crate) fn new(
        plan: MatrixPlan,
        slots: &mut Slots,
        cx: &EvalContext<'_>,
    ) -> Result<Self, QueryError> {
        let windows = plan.windows;
        match plan.source {
            MatrixPlanSource::Select(select) => {
                let extension = select.extension;
                Ok(Self { windows, extension, source: RangeSource::Select(select) })
            }
            MatrixPlanSource::Subquery { input, grid } => {
                cx.account.check_size(grid.count)?;
                let inner = take_vector(slots, input)?;
                let source =
                    subquery::SubquerySource::new(inner, grid, windows).counted(plan.counts_for);
                let extension = RangeExtension::None;
                Ok(Self { windows, extension, source: RangeSource::Subquery(source) })
            }
        }
    }

    /// The results of `function` for every series.
    pub(crate) fn apply(
        self,
        function: Box<dyn RangeFunction>,
        cx: &EvalContext<'_>,
    ) -> Result<VectorStream, QueryError> {
        match self.source {
            RangeSource::Select(select) => {
                let kernel = RangeKernel { function, windows: self.windows };
                kernel_stream(&select, Box::new(kernel), cx)
            }
            RangeSource::Subquery(source) => Ok(source.apply(function)),
        }
    }
}

/// Runs a range function over the samples of storage.
struct RangeKernel {
    function: Box<dyn RangeFunction>,
    windows: Windows,
}

impl SeriesKernel for RangeKernel {
    fn evaluate(
        &self,
        labels: &Labels,
        samples: &mut SampleBuffer,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        drop_stale(samples);
        cx.count_samples(samples.len() as u64);
        if samples.is_empty() {
            return Ok(());
        }
        let input = RangeInput { labels, samples, windows: &self.windows, cx };
        self.function.evaluate(&input, row, cx)
    }

    fn drops_name(&self) -> bool {
        self.function.drops_name()
    }
}

/// Takes the stale markers out of `samples`.
pub(crate) fn drop_stale(samples: &mut SampleBuffer) {
    // Without an early end, so that several values are compared at a time.
    if samples.float_values.iter().fold(false, |stale, v| stale | is_stale(*v)) {
        let keep: Vec<bool> = samples.float_values.iter().map(|v| !is_stale(*v)).collect();
        retain(&mut samples.float_times, &keep);
        retain(&mut samples.float_start_times, &keep);
        retain(&mut samples.float_values, &keep);
    }
    if samples.histograms.iter().any(|h| h.is_stale()) {
        let keep: Vec<bool> = samples.histograms.iter().map(|h| !h.is_stale()).collect();
        retain(&mut samples.histogram_times, &keep);
        retain(&mut samples.histogram_start_times, &keep);
        retain(&mut samples.histograms, &keep);
    }
}

/// Keeps the items whose flag is set; a column that is not kept (empty) stays so.
fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    column.retain(|_| flags.next().copied().unwrap_or(true));
}
