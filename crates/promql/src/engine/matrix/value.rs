//! A range vector as the value of an instant query.

use model::{SampleBuffer, SeriesEntry, TimestampMs};

use super::{RangeSource, RangeVector, drop_stale};
use crate::ast::RangeExtension;
use crate::engine::QueryError;
use crate::engine::account::Reservation;
use crate::engine::batch::{histogram_size, label_bytes};
use crate::engine::context::EvalContext;
use crate::engine::plan::MatrixPlan;
use crate::engine::run::Slots;
use crate::engine::sample_counts::{CountsFor, widened};
use crate::engine::selector::select_series;
use crate::engine::windows::{WindowCursor, Windows};
use crate::functions::extended::extended_points;
use crate::value::{FloatPoint, HistogramPoint, MatrixSeries};

/// The samples in the window of the only step, for every series.
pub(crate) fn matrix_value(
    plan: MatrixPlan,
    slots: &mut Slots,
    cx: &EvalContext<'_>,
) -> Result<Vec<MatrixSeries>, QueryError> {
    let vector = RangeVector::new(plan, slots, cx)?;
    let mut samples = SampleBuffer::default();
    let mut value = Held { series: Vec::new(), reservations: Vec::new(), cx };
    match vector.source {
        RangeSource::Select(select) => {
            let mut series = select_series(&select, cx)?;
            while let Some(entry) = series.next_series()? {
                cx.check()?;
                if let Some(one) = read_window(entry, &vector.windows, select.extension, cx)? {
                    count_points(&one, select.counts_for, cx);
                    value.push(one)?;
                }
            }
        }
        RangeSource::Subquery(mut source) => {
            while let Some(rows) = source.next_rows(cx)? {
                for (row, head) in rows.heads.iter().enumerate() {
                    let _room = source.fill((&rows, row), &mut samples, cx)?;
                    let mut series = points(&samples);
                    series.labels = if head.drop_name {
                        crate::engine::naming::without_metadata(&head.labels)
                    } else {
                        head.labels.clone()
                    };
                    value.push(series)?;
                }
            }
        }
    }
    Ok(value.series)
}

/// The series of the value, and the account of their samples until it is complete.
struct Held<'a> {
    series: Vec<MatrixSeries>,
    reservations: Vec<Reservation>,
    cx: &'a EvalContext<'a>,
}

impl Held<'_> {
    fn push(&mut self, series: MatrixSeries) -> Result<(), QueryError> {
        let histograms = series.histograms.iter().map(|p| histogram_size(&p.histogram));
        let samples = series.floats.len() as u64 + histograms.sum::<u64>();
        let labels = label_bytes(&series.labels) + size_of::<MatrixSeries>();
        let bytes = samples * size_of::<FloatPoint>() as u64 + labels as u64;
        self.reservations.push(self.cx.account.reserve(samples, bytes)?);
        self.series.push(series);
        Ok(())
    }
}

fn read_window(
    mut entry: SeriesEntry,
    windows: &Windows,
    extension: RangeExtension,
    cx: &EvalContext<'_>,
) -> Result<Option<MatrixSeries>, QueryError> {
    let lookback_ms = cx.options.lookback_delta_ms;
    let (start, end) = windows.bounds(0);
    let (from, to) = widened((start, end), extension, lookback_ms);
    let mut samples = SampleBuffer::default();
    entry.samples.read_all(&mut samples)?;
    drop_stale(&mut samples);
    let mut series = points(&samples);
    keep_within(&mut series, from, to);
    cx.count_samples((series.floats.len() + series.histograms.len()) as u64);
    if extension != RangeExtension::None {
        if !series.histograms.is_empty() {
            let name = if extension == RangeExtension::Anchored { "anchored" } else { "smoothed" };
            return Err(QueryError::execution(format!(
                "{name} modifier is not supported with histograms"
            )));
        }
        let is_smoothed = extension == RangeExtension::Smoothed;
        series.floats = extended_points(&series.floats, start, end, is_smoothed);
    }
    if series.floats.is_empty() && series.histograms.is_empty() {
        return Ok(None);
    }
    series.labels = entry.labels;
    Ok(Some(series))
}

fn count_points(series: &MatrixSeries, counts_for: CountsFor, cx: &EvalContext<'_>) {
    let Some(counts) = &cx.sample_counts else { return };
    let sizes = series.histograms.iter().map(|point| histogram_size(&point.histogram));
    counts.add_once(counts_for, series.floats.len() as u64 + sizes.sum::<u64>());
}

fn points(samples: &SampleBuffer) -> MatrixSeries {
    let floats = samples.float_times.iter().zip(&samples.float_values);
    let histograms = samples.histogram_times.iter().zip(&samples.histograms);
    MatrixSeries {
        labels: model::Labels::empty(),
        floats: floats.map(|(&timestamp_ms, &value)| FloatPoint { timestamp_ms, value }).collect(),
        histograms: histograms
            .map(|(&timestamp_ms, h)| HistogramPoint { timestamp_ms, histogram: h.clone() })
            .collect(),
    }
}

fn keep_within(series: &mut MatrixSeries, start: TimestampMs, end: TimestampMs) {
    let mut cursor = WindowCursor::default();
    let times: Vec<_> = series.floats.iter().map(|p| p.timestamp_ms).collect();
    cursor.advance(&times, start, end);
    series.floats = series.floats[cursor.range()].to_vec();
    let mut cursor = WindowCursor::default();
    let times: Vec<_> = series.histograms.iter().map(|p| p.timestamp_ms).collect();
    cursor.advance(&times, start, end);
    series.histograms = series.histograms[cursor.range()].to_vec();
}
