//! The value of an expression that stands in a query several times: kept for all of them, unless
//! it is too large to be worth its memory.

use std::collections::VecDeque;
use std::sync::Arc;

use super::QueryError;
use super::batch::SeriesBatch;
use super::context::EvalContext;
use super::operand::{Operand, ScalarColumn};
use super::stream::{SeriesMap, SeriesSource, VectorStream, apply_maps};

/// More cells than this are computed again rather than kept.
const MAX_KEPT_CELLS: usize = 1 << 20;

/// A value that can be taken several times.
pub(crate) enum KeptValue {
    /// A number at every step.
    Scalar(ScalarColumn),
    /// Series.
    Vector(KeptSeries),
}

/// Series that can be taken several times.
pub(crate) struct KeptSeries {
    batches: VecDeque<Arc<SeriesBatch>>,
    steps: usize,
    unique_without_name: bool,
}

/// Keeps the value of `operand`; gives it back where it cannot be kept.
pub(crate) fn keep(
    operand: Operand,
    cx: &EvalContext<'_>,
) -> Result<Result<KeptValue, Operand>, QueryError> {
    match operand {
        Operand::Scalar(column) => Ok(Ok(KeptValue::Scalar(column))),
        Operand::Vector(stream) => keep_series(stream, cx),
        other => Ok(Err(other)),
    }
}

fn keep_series(
    mut stream: VectorStream,
    cx: &EvalContext<'_>,
) -> Result<Result<KeptValue, Operand>, QueryError> {
    let (steps, unique_without_name) = (stream.steps, stream.unique_without_name);
    let mut batches = VecDeque::new();
    let mut cells = 0;
    while let Some(batch) = stream.next_batch(cx)? {
        // Labels count as well, or series of one step would be kept by the million.
        const CELLS_OF_LABELS: usize = 16;
        cells += batch.len() * (batch.steps + CELLS_OF_LABELS);
        batches.push_back(batch);
        if cells > MAX_KEPT_CELLS {
            let source = Resumed { begun: batches, rest: stream };
            let resumed = VectorStream::new(Box::new(source), steps);
            return Ok(Err(Operand::Vector(resumed.with_unique_series(unique_without_name))));
        }
    }
    let batches = batches.into_iter().map(Arc::new).collect();
    Ok(Ok(KeptValue::Vector(KeptSeries { batches, steps, unique_without_name })))
}

impl KeptValue {
    /// The value, for one more time.
    pub(crate) fn again(&self) -> Operand {
        match self {
            Self::Scalar(column) => Operand::Scalar(column.clone()),
            Self::Vector(series) => series.stream(series.batches.clone()),
        }
    }

    /// The value, for the last time.
    pub(crate) fn last(self) -> Operand {
        match self {
            Self::Scalar(column) => Operand::Scalar(column),
            Self::Vector(mut series) => {
                let batches = std::mem::take(&mut series.batches);
                series.stream(batches)
            }
        }
    }
}

impl KeptSeries {
    fn stream(&self, batches: VecDeque<Arc<SeriesBatch>>) -> Operand {
        let stream = VectorStream::new(Box::new(Copies(batches)), self.steps);
        Operand::Vector(stream.with_unique_series(self.unique_without_name))
    }
}

/// Copies of series that are kept; not a copy where nobody else needs them any more.
struct Copies(VecDeque<Arc<SeriesBatch>>);

impl SeriesSource for Copies {
    fn next_batch(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
    ) -> Result<Option<SeriesBatch>, QueryError> {
        cx.check()?;
        let Some(kept) = self.0.pop_front() else { return Ok(None) };
        let mut batch = match Arc::try_unwrap(kept) {
            Ok(batch) => batch,
            Err(kept) => {
                let mut copy = kept.copy();
                cx.hold(&mut copy)?;
                copy
            }
        };
        apply_maps(maps, &mut batch, cx)?;
        Ok(Some(batch))
    }
}

/// Series of a stream that was begun.
struct Resumed {
    begun: VecDeque<SeriesBatch>,
    rest: VectorStream,
}

impl SeriesSource for Resumed {
    fn next_batch(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
    ) -> Result<Option<SeriesBatch>, QueryError> {
        let batch = match self.begun.pop_front() {
            Some(batch) => Some(batch),
            None => self.rest.next_batch(cx)?,
        };
        let Some(mut batch) = batch else { return Ok(None) };
        apply_maps(maps, &mut batch, cx)?;
        Ok(Some(batch))
    }
}
