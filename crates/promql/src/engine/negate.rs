//! The sign in front of an expression.

use std::sync::Arc;

use super::QueryError;
use super::batch::{SeriesBatch, is_absent};
use super::context::EvalContext;
use super::naming::{Duplicates, after_name_removal};
use super::operand::Operand;
use super::stream::SeriesMap;

/// The negative of every value; the metric's name goes.
pub(crate) fn negate(operand: Operand, cx: &EvalContext<'_>) -> Result<Operand, QueryError> {
    match operand {
        Operand::Scalar(column) => column.map(|v| -v, cx).map(Operand::Scalar),
        other => {
            let stream = other.into_vector()?.map(Box::new(NegateMap));
            after_name_removal(stream, Duplicates::Merge, cx).map(Operand::Vector)
        }
    }
}

struct NegateMap;

impl SeriesMap for NegateMap {
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        batch.heads.iter_mut().for_each(|head| head.drop_name = true);
        for piece in cx.pieces(0..batch.floats.len()) {
            for value in batch.floats[piece].iter_mut().filter(|v| !is_absent(**v)) {
                *value = -*value;
            }
        }
        for histogram in batch.histograms.iter_mut().flatten().flatten() {
            Arc::make_mut(histogram).mul(-1.0);
        }
        cx.check()
    }
}
