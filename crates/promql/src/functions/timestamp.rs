//! `timestamp` and `start_timestamp`: over a selector the times of the samples themselves, over
//! anything else the time of the step.

use model::{Labels, SampleBuffer};

use super::CallContext;
use super::args::{Arg, Args};
use super::scalars::seconds;
use crate::engine::QueryError;
use crate::engine::batch::{ABSENT, RowMut, SeriesBatch};
use crate::engine::context::EvalContext;
use crate::engine::grid::Grid;
use crate::engine::naming::{Duplicates, after_name_removal};
use crate::engine::operand::{Operand, unexpected};
use crate::engine::select::SeriesKernel;
use crate::engine::selector::{Newest, NewestCursor, kernel_stream};
use crate::engine::stream::{SeriesMap, VectorStream};
use crate::engine::windows::References;

pub(super) fn call(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let cx = call.cx;
    let of_start = call.name == "start_timestamp";
    let stream = match args.take(0) {
        Some(Arg::Select(_)) if of_start && !cx.options.enable_start_timestamps => {
            VectorStream::empty(call.grid.count)
        }
        Some(Arg::Select(plan)) => {
            let lookback_ms = cx.options.lookback_delta_ms;
            let kernel = TimeKernel { references: plan.references, lookback_ms, of_start };
            kernel_stream(&plan, Box::new(kernel), cx)?
        }
        Some(Arg::Value(_)) if of_start => VectorStream::empty(call.grid.count),
        Some(Arg::Value(operand)) => operand.into_vector()?.map(Box::new(StepTimeMap(call.grid))),
        _ => return Err(unexpected("an instant vector")),
    };
    after_name_removal(stream, Duplicates::Merge, cx).map(Operand::Vector)
}

/// The times of the newest samples.
struct TimeKernel {
    references: References,
    lookback_ms: i64,
    of_start: bool,
}

impl SeriesKernel for TimeKernel {
    fn evaluate(
        &self,
        _labels: &Labels,
        samples: &mut SampleBuffer,
        row: RowMut<'_>,
        cx: &EvalContext<'_>,
    ) -> Result<(), QueryError> {
        let mut cursor = NewestCursor::default();
        let mut found = 0;
        for step in cx.pieces(0..row.floats.len()).flatten() {
            let reference = self.references.time(step);
            let newest = cursor.newest(samples, reference, self.lookback_ms);
            let Some(time) = self.time_of(samples, newest) else { continue };
            row.floats[step] = seconds(time);
            found += 1;
        }
        cx.count_samples(found);
        Ok(())
    }

    fn drops_name(&self) -> bool {
        true
    }

    fn looks_at_times_only(&self) -> bool {
        true
    }
}

impl TimeKernel {
    fn time_of(&self, samples: &SampleBuffer, newest: Newest) -> Option<i64> {
        let (index, times, starts) = match newest {
            Newest::None => return None,
            Newest::Float(index) => (index, &samples.float_times, &samples.float_start_times),
            Newest::Histogram(index) => {
                (index, &samples.histogram_times, &samples.histogram_start_times)
            }
        };
        if self.of_start {
            Some(starts.get(index).copied().unwrap_or(0))
        } else {
            times.get(index).copied()
        }
    }
}

/// The time of the step, wherever there is a value.
struct StepTimeMap(Grid);

impl SeriesMap for StepTimeMap {
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        let mut pace = cx.pace();
        for row in 0..batch.len() {
            for step in 0..batch.steps {
                pace.tick(1)?;
                let is_absent = batch.cell(row, step).is_absent();
                let value = if is_absent { ABSENT } else { seconds(self.0.time(step)) };
                batch.floats_of_mut(row)[step] = value;
            }
        }
        super::math::only_floats_without_name(batch);
        Ok(())
    }
}
