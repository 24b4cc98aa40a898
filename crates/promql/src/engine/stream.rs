//! Series that come batch by batch: where they come from, and what is done to each of them on
//! the way.
//!
//! A stream is lazy: nothing is read before the first `next_batch`. Maps work on one series at a
//! time, so a source runs them in the same job that makes the series.

use std::collections::VecDeque;

use super::QueryError;
use super::batch::SeriesBatch;
use super::context::EvalContext;

/// Something that makes series.
pub(crate) trait SeriesSource {
    /// The next series, with `maps` applied; `None` at the end.
    fn next_batch(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
    ) -> Result<Option<SeriesBatch>, QueryError>;

    /// Hands all series to `sink`, in their order. A source that works on several threads makes
    /// further series in the meantime.
    fn drive(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        while let Some(batch) = self.next_batch(maps, cx)? {
            sink(batch)?;
        }
        Ok(())
    }
}

/// Takes series as they come, one batch at a time, on any thread.
pub(crate) type Sink<'s> = dyn FnMut(SeriesBatch) -> Result<(), QueryError> + Send + 's;

/// A change of each series by itself.
pub(crate) trait SeriesMap: Send + Sync {
    /// Changes the series of `batch`.
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError>;
}

/// An instant vector at every step of a grid, on its way.
pub(crate) struct VectorStream {
    source: Box<dyn SeriesSource>,
    maps: Vec<Box<dyn SeriesMap>>,
    /// The cells of a row, after all maps.
    pub(crate) steps: usize,
    /// No two series are alike even without their names.
    pub(crate) unique_without_name: bool,
}

impl VectorStream {
    /// The series of `source`, with rows of `steps` cells.
    pub(crate) fn new(source: Box<dyn SeriesSource>, steps: usize) -> Self {
        Self { source, maps: Vec::new(), steps, unique_without_name: false }
    }

    /// The series of `batch`.
    pub(crate) fn of(batch: SeriesBatch) -> Self {
        let steps = batch.steps;
        Self::new(Box::new(Ready(VecDeque::from([batch]))), steps)
    }

    /// No series.
    pub(crate) fn empty(steps: usize) -> Self {
        Self { unique_without_name: true, ..Self::new(Box::new(Ready(VecDeque::new())), steps) }
    }

    /// Says that no two series are alike even without their names.
    pub(crate) fn with_unique_series(mut self, unique: bool) -> Self {
        self.unique_without_name = unique;
        self
    }

    /// Adds a change of each series.
    pub(crate) fn map(mut self, map: Box<dyn SeriesMap>) -> Self {
        self.maps.push(map);
        self
    }

    /// The next series that have values.
    pub(crate) fn next_batch(
        &mut self,
        cx: &EvalContext<'_>,
    ) -> Result<Option<SeriesBatch>, QueryError> {
        while let Some(batch) = self.source.next_batch(&self.maps, cx)? {
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Hands all series that have values to `sink`, in their order.
    pub(crate) fn drive(
        &mut self,
        cx: &EvalContext<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), QueryError> {
        let mut with_values =
            |batch: SeriesBatch| if batch.is_empty() { Ok(()) } else { sink(batch) };
        self.source.drive(&self.maps, cx, &mut with_values)
    }

    /// All series in one batch.
    pub(crate) fn collect(mut self, cx: &EvalContext<'_>) -> Result<SeriesBatch, QueryError> {
        let mut all: Option<SeriesBatch> = None;
        let mut held = Vec::new();
        self.drive(cx, &mut |mut batch| {
            held.extend(batch.reservation.take());
            match &mut all {
                Some(all) => all.append_within(batch, &cx.account)?,
                None => all = Some(batch),
            }
            Ok(())
        })?;
        let Some(mut all) = all else { return Ok(SeriesBatch::with_capacity(0, self.steps)) };
        drop(held);
        cx.hold(&mut all)?;
        Ok(all)
    }
}

/// Applies `maps` and takes away what has no values left.
pub(crate) fn apply_maps(
    maps: &[Box<dyn SeriesMap>],
    batch: &mut SeriesBatch,
    cx: &EvalContext<'_>,
) -> Result<(), QueryError> {
    for map in maps {
        cx.check()?;
        map.apply(batch, cx)?;
    }
    if !maps.is_empty() {
        batch.prune();
        cx.hold(batch)?;
    }
    Ok(())
}

/// Series that are there already.
struct Ready(VecDeque<SeriesBatch>);

impl SeriesSource for Ready {
    fn next_batch(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
    ) -> Result<Option<SeriesBatch>, QueryError> {
        cx.check()?;
        let Some(mut batch) = self.0.pop_front() else { return Ok(None) };
        apply_maps(maps, &mut batch, cx)?;
        Ok(Some(batch))
    }
}
