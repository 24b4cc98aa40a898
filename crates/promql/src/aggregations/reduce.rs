//! Aggregations that make one value of a group: `sum avg count min max group stddev stdvar`.
//!
//! Accumulators are columns over the steps, one set for each group; series are added row by row
//! as they come and let go.

mod columns;
mod histograms;

use columns::{Column, Kind};
use histograms::HistogramColumn;

use super::Aggregation;
use super::grouping::Groups;
use crate::annotations::Annotation;
use crate::ast::AggregateOp;
use crate::engine::QueryError;
use crate::engine::batch::{ABSENT, SeriesBatch, SeriesHead, is_absent};
use crate::engine::stream::VectorStream;

/// The groups with their values.
pub(super) fn reduce(
    aggregation: &Aggregation<'_>,
    mut input: VectorStream,
) -> Result<VectorStream, QueryError> {
    let cx = aggregation.cx;
    let steps = aggregation.grid.count;
    let kind = kind_of(aggregation.op);
    let mut groups = Groups::new(&aggregation.grouping, cx);
    let mut accumulators: Vec<Accumulator> = Vec::new();
    let (mut pace, mut meter) = (cx.pace(), cx.meter());
    input.drive(cx, &mut |batch| {
        for row in 0..batch.len() {
            pace.tick(steps)?;
            let group = groups.number_of(&batch.heads[row]);
            if group == accumulators.len() {
                cx.account.check_size(accumulators.len().saturating_mul(steps))?;
                accumulators.push(Accumulator::new(kind, steps));
                meter.add(Column::bytes(kind, steps) + groups.bytes_of(group))?;
            }
            meter.add(accumulators[group].add_row(&batch, row, aggregation))?;
        }
        Ok(())
    })?;
    let mut out = cx.new_batch(accumulators.len(), steps)?;
    for (accumulator, head) in accumulators.into_iter().zip(groups.heads) {
        pace.tick(steps)?;
        accumulator.finish(head, &mut out, aggregation);
    }
    out.prune();
    drop(meter);
    cx.hold(&mut out)?;
    let unique = !aggregation.grouping.keeps_names();
    Ok(VectorStream::of(out).with_unique_series(unique))
}

fn kind_of(op: AggregateOp) -> Kind {
    match op {
        AggregateOp::Sum => Kind::Sum,
        AggregateOp::Avg => Kind::Average,
        AggregateOp::Min => Kind::Min,
        AggregateOp::Max => Kind::Max,
        AggregateOp::Stddev => Kind::Deviation { root: true },
        AggregateOp::Stdvar => Kind::Deviation { root: false },
        AggregateOp::Group => Kind::Group,
        _ => Kind::Count,
    }
}

/// One group.
struct Accumulator {
    kind: Kind,
    floats: Column,
    histograms: Option<HistogramColumn>,
}

impl Accumulator {
    fn new(kind: Kind, steps: usize) -> Self {
        Self { kind, floats: Column::new(kind, steps), histograms: None }
    }

    /// Adds a series; gives the bytes that this takes for good.
    fn add_row(&mut self, batch: &SeriesBatch, row: usize, aggregation: &Aggregation<'_>) -> usize {
        let floats = batch.floats_of(row);
        for piece in aggregation.cx.pieces(0..floats.len()) {
            self.floats.add(piece.start, &floats[piece]);
        }
        let Some(histograms) = batch.histograms_of(row) else { return 0 };
        if histograms.iter().all(Option::is_none) {
            return 0;
        }
        let mut bytes = 0;
        match self.kind {
            Kind::Sum | Kind::Average => {
                let average = self.kind == Kind::Average;
                let steps = batch.steps;
                let column = self.histograms.get_or_insert_with(|| {
                    bytes = HistogramColumn::bytes(histograms);
                    HistogramColumn::new(average, steps)
                });
                let head = &batch.heads[row];
                column.add(histograms, batch.floats_of(row), head, aggregation);
            }
            Kind::Count | Kind::Group => {
                let as_floats: Vec<f64> = histograms
                    .iter()
                    .map(|histogram| if histogram.is_some() { 0.0 } else { ABSENT })
                    .collect();
                self.floats.add(0, &as_floats);
            }
            Kind::Min | Kind::Max | Kind::Deviation { .. } => {
                let annotation = Annotation::HistogramIgnoredInAggregation(aggregation.op.name());
                aggregation.cx.annotate(aggregation.input_site, annotation);
            }
        }
        bytes
    }

    fn finish(self, head: SeriesHead, out: &mut SeriesBatch, aggregation: &Aggregation<'_>) {
        let row = out.push(head);
        let floats = self.floats.finish();
        out.floats_of_mut(row).copy_from_slice(&floats);
        let Some(histograms) = self.histograms else { return };
        for (step, histogram) in histograms.finish(aggregation).into_iter().enumerate() {
            let Some(histogram) = histogram else { continue };
            if is_absent(floats[step]) {
                if let Some(histogram) = histogram {
                    out.set_histogram(row, step, histogram);
                }
            } else {
                out.clear_cell(row, step);
                let annotation = Annotation::MixedFloatsHistogramsInAggregation;
                aggregation.cx.annotate(aggregation.input_site, annotation);
            }
        }
    }
}
