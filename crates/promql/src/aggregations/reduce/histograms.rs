//! Accumulators of histograms over the steps, for `sum` and `avg`.

use std::sync::Arc;

use model::FloatHistogram;
use model::histogram::{HistogramMean, HistogramSum, IncompatibleSchemas};

use crate::aggregations::Aggregation;
use crate::annotations::{Annotation, HistogramOperation};
use crate::engine::batch::{HistogramRef, SeriesHead};

/// The histograms of one group.
pub(super) struct HistogramColumn {
    average: bool,
    cells: Vec<Cell>,
}

enum Cell {
    /// No histogram was added.
    Empty,
    Sum(Box<HistogramSum>),
    Mean(Box<HistogramMean>),
    /// Histograms did not fit together.
    Incompatible,
}

impl HistogramColumn {
    pub(super) fn new(average: bool, steps: usize) -> Self {
        Self { average, cells: std::iter::repeat_with(|| Cell::Empty).take(steps).collect() }
    }

    /// The bytes that a group takes that begins with these histograms: a sum is of their size,
    /// with what rounding drops beside it.
    pub(super) fn bytes(first: &[Option<HistogramRef>]) -> usize {
        let histograms = first.iter().flatten().map(|histogram| 2 * histogram.size_bytes());
        size_of_val(first) + histograms.sum::<usize>()
    }

    /// Adds the histograms of one series.
    pub(super) fn add(
        &mut self,
        row: &[Option<HistogramRef>],
        _floats: &[f64],
        head: &SeriesHead,
        aggregation: &Aggregation<'_>,
    ) {
        for (cell, histogram) in self.cells.iter_mut().zip(row) {
            let Some(histogram) = histogram else { continue };
            if cell.add(histogram, self.average).is_err() {
                *cell = Cell::Incompatible;
                let metric = head.labels.metric_name().unwrap_or_default().to_owned();
                aggregation.cx.annotate(
                    aggregation.input_site,
                    Annotation::MixedExponentialCustomHistograms(metric),
                );
            }
        }
    }

    /// For each step: nothing was added; or what came of it, if anything.
    pub(super) fn finish(self, aggregation: &Aggregation<'_>) -> Vec<Option<Option<HistogramRef>>> {
        let finish = |cell: Cell| {
            let (notes, mut result) = match cell {
                Cell::Empty => return None,
                Cell::Incompatible => return Some(None),
                Cell::Sum(sum) => (sum.notes(), sum.finish()),
                Cell::Mean(mean) => (mean.notes(), mean.finish()),
            };
            let operation = HistogramOperation::Aggregation;
            let (cx, site) = (aggregation.cx, aggregation.input_site);
            if notes.counter_reset_collision() {
                cx.annotate(site, Annotation::CounterResetCollision(operation));
            }
            if notes.nhcb_bounds_reconciled {
                cx.annotate(site, Annotation::MismatchedCustomBuckets(operation));
            }
            result.compact(0);
            Some(Some(Arc::new(result)))
        };
        self.cells.into_iter().map(finish).collect()
    }
}

impl Cell {
    fn add(
        &mut self,
        histogram: &FloatHistogram,
        average: bool,
    ) -> Result<(), IncompatibleSchemas> {
        match self {
            Self::Empty if average => *self = Self::Mean(Box::new(HistogramMean::new(histogram))),
            Self::Empty => *self = Self::Sum(Box::new(HistogramSum::new(histogram))),
            Self::Sum(sum) => sum.add(histogram)?,
            Self::Mean(mean) => mean.add(histogram)?,
            Self::Incompatible => {}
        }
        Ok(())
    }
}
