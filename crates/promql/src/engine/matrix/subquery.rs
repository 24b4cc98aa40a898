//! Subqueries: the rows of an expression, evaluated at steps of its own, become the samples of
//! windows.

use std::ops::Range;
use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, SampleBuffer, TimestampMs};

use super::{RangeFunction, RangeInput};
use crate::engine::QueryError;
use crate::engine::account::Reservation;
use crate::engine::batch::{SeriesBatch, SeriesHead, is_absent};
use crate::engine::context::EvalContext;
use crate::engine::grid::Grid;
use crate::engine::naming::settle_names;
use crate::engine::sample_counts::CountsFor;
use crate::engine::stream::{SeriesMap, SeriesSource, VectorStream, apply_maps};
use crate::engine::windows::Windows;

/// The expression of a subquery and its windows.
pub(super) struct SubquerySource {
    inner: VectorStream,
    grid: Grid,
    windows: Windows,
    counts_for: CountsFor,
}

impl SubquerySource {
    pub(super) fn new(inner: VectorStream, grid: Grid, windows: Windows) -> Self {
        Self { inner, grid, windows, counts_for: CountsFor::Nothing }
    }

    /// Says which steps of the query the samples in windows are counted for.
    pub(super) fn counted(self, counts_for: CountsFor) -> Self {
        Self { counts_for, ..self }
    }

    fn count(&self, samples: &SampleBuffer, cx: &EvalContext<'_>) {
        if let Some(counts) = &cx.sample_counts {
            let steps = cx.pieces(0..self.windows.count()).flatten();
            let bounds = steps.map(|step| self.windows.bounds(step));
            counts.add_windows(self.counts_for, bounds, samples);
        }
    }

    /// The results of `function` for every series of the expression.
    pub(super) fn apply(self, function: Box<dyn RangeFunction>) -> VectorStream {
        let steps = self.windows.count();
        let unique = self.inner.unique_without_name;
        let source = AppliedSubquery { source: self, function };
        VectorStream::new(Box::new(source), steps).with_unique_series(unique)
    }

    /// The rows of the next series of the expression.
    pub(super) fn next_rows(
        &mut self,
        cx: &EvalContext<'_>,
    ) -> Result<Option<SeriesBatch>, QueryError> {
        if self.grid.count == 0 {
            return Ok(None);
        }
        let Some(mut batch) = self.inner.next_batch(cx)? else { return Ok(None) };
        settle_names(&mut batch, cx);
        Ok(Some(batch))
    }

    /// The values of a row as samples, whose room is taken as long as the result lives.
    pub(super) fn fill(
        &self,
        (batch, row): (&SeriesBatch, usize),
        samples: &mut SampleBuffer,
        cx: &EvalContext<'_>,
    ) -> Result<Reservation, QueryError> {
        const FLOAT_BYTES: usize = size_of::<TimestampMs>() + size_of::<f64>();
        let values = batch.floats_of(row);
        let present =
            |piece: Range<usize>| values[piece].iter().filter(|v| !is_absent(**v)).count();
        let floats: usize = cx.pieces(0..values.len()).map(present).sum();
        let room = cx.account.reserve(floats as u64, (floats * FLOAT_BYTES) as u64)?;
        samples.clear();
        samples.float_times.reserve_exact(floats);
        samples.float_values.reserve_exact(floats);
        let mut pace = cx.pace();
        for (step, value) in batch.floats_of(row).iter().enumerate() {
            pace.tick(1)?;
            if !is_absent(*value) {
                samples.push_float(self.grid.time(step), *value);
            }
        }
        let histograms = batch.histograms_of(row).into_iter().flatten().enumerate();
        for (step, histogram) in histograms {
            if let Some(histogram) = histogram {
                samples.push_histogram(self.grid.time(step), without_reset_hint(histogram));
            }
        }
        Ok(room)
    }
}

/// A subquery may leave out samples or repeat them, so what they say about resets between them
/// means nothing any more.
fn without_reset_hint(histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match histogram.counter_reset_hint {
        CounterResetHint::CounterReset | CounterResetHint::NotCounterReset => {
            let mut copy = FloatHistogram::clone(histogram);
            copy.counter_reset_hint = CounterResetHint::Unknown;
            Arc::new(copy)
        }
        CounterResetHint::Unknown | CounterResetHint::Gauge => Arc::clone(histogram),
    }
}

/// A range function over a subquery.
struct AppliedSubquery {
    source: SubquerySource,
    function: Box<dyn RangeFunction>,
}

impl SeriesSource for AppliedSubquery {
    fn next_batch(
        &mut self,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
    ) -> Result<Option<SeriesBatch>, QueryError> {
        let Some(rows) = self.source.next_rows(cx)? else { return Ok(None) };
        self.evaluate(&rows, maps, cx).map(Some)
    }
}

impl AppliedSubquery {
    /// Apart from reading the rows, so that nested subqueries need little stack.
    #[inline(never)]
    fn evaluate(
        &self,
        rows: &SeriesBatch,
        maps: &[Box<dyn SeriesMap>],
        cx: &EvalContext<'_>,
    ) -> Result<SeriesBatch, QueryError> {
        let steps = self.source.windows.count();
        let _room = cx.account.reserve(0, (rows.len() * steps * size_of::<f64>()) as u64)?;
        let mut out = SeriesBatch::with_capacity(rows.len(), steps);
        let mut samples = SampleBuffer::default();
        for (row, head) in rows.heads.iter().enumerate() {
            cx.check()?;
            let _samples_room = self.source.fill((rows, row), &mut samples, cx)?;
            self.source.count(&samples, cx);
            let drop_name = head.drop_name || self.function.drops_name();
            let target = out.push(SeriesHead { labels: head.labels.clone(), drop_name });
            let input = RangeInput {
                labels: &head.labels,
                samples: &samples,
                windows: &self.source.windows,
                cx,
            };
            self.function.evaluate(&input, out.row_mut(target), cx)?;
            // A function that was stopped within a row says so only here.
            cx.check()?;
            if !out.has_values(target) {
                out.pop();
            }
        }
        cx.hold(&mut out)?;
        apply_maps(maps, &mut out, cx)?;
        Ok(out)
    }
}
