//! From the value of the last node to the value of the query: names that still are to go, series
//! alike without them, order.

use super::batch::{Cell, SeriesBatch, is_absent, label_bytes};
use super::context::EvalContext;
use super::grid::Grid;
use super::naming::{Duplicates, merge_duplicates, remove_names};
use super::operand::Operand;
use super::pace;
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
        (Operand::Matrix(series), _) => Ok(Value::Matrix(by_labels(series, cx)?)),
        (Operand::Vector(stream), QueryKind::Instant { time_ms }) => {
            let grid = Grid::instant(time_ms);
            let mut all = Vec::new();
            let mut meter = cx.meter();
            for_each_settled(stream, cx, |batch| {
                let labels =
                    batch.heads.iter().map(|head| label_bytes(&head.labels)).sum::<usize>();
                meter.add(labels + batch.len() * size_of::<VectorSample>())?;
                all.extend(samples(&batch, grid));
                Ok(())
            })?;
            Ok(Value::Vector(all))
        }
        (Operand::Vector(stream), QueryKind::Range { start_ms, end_ms, step_ms }) => {
            let grid = Grid::range(start_ms, end_ms, step_ms);
            let mut all: Vec<MatrixSeries> = Vec::new();
            let mut held = Vec::new();
            let mut meter = cx.meter();
            for_each_settled(stream, cx, |mut batch| {
                // Its rows and the points made from them are in memory together.
                let rows_bytes = batch.floats.capacity() * size_of::<f64>();
                let _both = cx.account.reserve(0, rows_bytes as u64)?;
                for row in 0..batch.len() {
                    let one = series(&batch, row, grid);
                    meter.add(extra_bytes(&one))?;
                    all.push(one);
                }
                held.extend(batch.reservation.take());
                Ok(())
            })?;
            Ok(Value::Matrix(by_labels(all, cx)?))
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
    mut visit: impl FnMut(SeriesBatch) -> Result<(), QueryError> + Send,
) -> Result<(), QueryError> {
    if !cx.delays_name_removal() || stream.unique_without_name {
        return stream.drive(cx, &mut |mut batch| {
            remove_names(&mut batch);
            visit(batch)
        });
    }
    let mut all = stream.collect(cx)?;
    let renamed = all.heads.iter().any(|head| head.drop_name);
    remove_names(&mut all);
    if renamed {
        all = merge_duplicates(all, Duplicates::Merge, cx)?;
    }
    visit(all)
}

/// What a series takes beyond the row that it was made from: its points have times.
fn extra_bytes(series: &MatrixSeries) -> usize {
    let points = series.floats.capacity() * size_of::<FloatPoint>()
        + series.histograms.capacity() * size_of::<HistogramPoint>();
    size_of::<MatrixSeries>() + points.saturating_sub(series.floats.len() * size_of::<f64>())
}

/// The series in the order of their labels.
fn by_labels(
    series: Vec<MatrixSeries>,
    cx: &EvalContext<'_>,
) -> Result<Vec<MatrixSeries>, QueryError> {
    if series.is_sorted_by(|a, b| a.labels <= b.labels) {
        return Ok(series);
    }
    let mut order: Vec<usize> = (0..series.len()).collect();
    pace::sort(&mut order, cx, |a, b| series[*a].labels.cmp(&series[*b].labels))?;
    let mut series: Vec<Option<MatrixSeries>> = series.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| series[at].take()).collect())
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
