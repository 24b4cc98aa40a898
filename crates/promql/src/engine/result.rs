//! From the value of the last node to the value of the query: names that still are to go, series
//! alike without them, order.

use super::batch::{Cell, SeriesBatch, is_absent};
use super::context::EvalContext;
use super::grid::Grid;
use super::naming::{Duplicates, merge_duplicates, remove_names};
use super::operand::Operand;
use super::stream::VectorStream;
use super::{QueryError, QueryKind};
use crate::value::{FloatPoint, HistogramPoint, MatrixSeries, SampleValue, Value, VectorSample};

/// The value of a query.
pub(crate) fn finish(
    operand: Operand,
    kind: QueryKind,
    cx: &EvalContext<'_>,
) -> Result<Value, QueryError> {
    match (operand, kind) {
        (Operand::Scalar(column), QueryKind::Instant { time_ms }) => {
            Ok(Value::Scalar(FloatPoint { timestamp_ms: time_ms, value: column.at(0) }))
        }
        (Operand::Scalar(column), QueryKind::Range { start_ms, end_ms, step_ms }) => {
            let grid = Grid::range(start_ms, end_ms, step_ms);
            let floats = (0..grid.count)
                .map(|step| FloatPoint { timestamp_ms: grid.time(step), value: column.at(step) });
            let series = MatrixSeries { floats: floats.collect(), ..MatrixSeries::default() };
            Ok(Value::Matrix(if grid.count == 0 { Vec::new() } else { vec![series] }))
        }
        (Operand::Text(value), QueryKind::Instant { time_ms }) => {
            Ok(Value::String { timestamp_ms: time_ms, value })
        }
        (Operand::Matrix(mut series), _) => {
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
            Ok(Value::Matrix(series))
        }
        (Operand::Vector(stream), QueryKind::Instant { time_ms }) => {
            let grid = Grid::instant(time_ms);
            let mut all = Vec::new();
            for_each_settled(stream, cx, |batch| all.extend(samples(&batch, grid)))?;
            Ok(Value::Vector(all))
        }
        (Operand::Vector(stream), QueryKind::Range { start_ms, end_ms, step_ms }) => {
            let grid = Grid::range(start_ms, end_ms, step_ms);
            let mut all: Vec<MatrixSeries> = Vec::new();
            let mut held = Vec::new();
            for_each_settled(stream, cx, |mut batch| {
                all.extend((0..batch.len()).map(|row| series(&batch, row, grid)));
                held.extend(batch.reservation.take());
            })?;
            if !all.is_sorted_by(|a, b| a.labels <= b.labels) {
                all.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
            Ok(Value::Matrix(all))
        }
        (Operand::Text(_), QueryKind::Range { .. }) => {
            Err(QueryError::Internal("a string in a range query".to_owned()))
        }
    }
}

/// Hands on all series, with the names gone that are to go. Only where series may be alike
/// without their names are they all in memory before.
fn for_each_settled(
    mut stream: VectorStream,
    cx: &EvalContext<'_>,
    mut visit: impl FnMut(SeriesBatch),
) -> Result<(), QueryError> {
    if !cx.delays_name_removal() || stream.unique_without_name {
        while let Some(mut batch) = stream.next_batch(cx)? {
            remove_names(&mut batch);
            visit(batch);
        }
        return Ok(());
    }
    let mut all = stream.collect(cx)?;
    let renamed = all.heads.iter().any(|head| head.drop_name);
    remove_names(&mut all);
    if renamed {
        all = merge_duplicates(all, Duplicates::Merge, cx)?;
    }
    visit(all);
    Ok(())
}

fn samples(batch: &SeriesBatch, grid: Grid) -> impl Iterator<Item = VectorSample> + '_ {
    (0..batch.len()).filter_map(move |row| {
        let value = match batch.cell(row, 0) {
            Cell::Absent => return None,
            Cell::Float(value) => SampleValue::Float(value),
            Cell::Histogram(histogram) => SampleValue::Histogram(histogram.clone()),
        };
        let labels = batch.heads[row].labels.clone();
        Some(VectorSample { labels, timestamp_ms: grid.time(0), value })
    })
}

fn series(batch: &SeriesBatch, row: usize, grid: Grid) -> MatrixSeries {
    let floats = batch.floats_of(row).iter().enumerate().filter(|(_, v)| !is_absent(**v));
    let floats =
        floats.map(|(step, v)| FloatPoint { timestamp_ms: grid.time(step), value: *v }).collect();
    let histograms = batch.histograms_of(row).into_iter().flatten().enumerate();
    let histograms = histograms.filter_map(|(step, histogram)| {
        let histogram = histogram.clone()?;
        Some(HistogramPoint { timestamp_ms: grid.time(step), histogram })
    });
    MatrixSeries {
        labels: batch.heads[row].labels.clone(),
        floats,
        histograms: histograms.collect(),
    }
}
