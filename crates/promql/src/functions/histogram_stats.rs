//! Functions of one native histogram: `histogram_count`, `histogram_sum`, `histogram_avg`,
//! `histogram_stddev`, `histogram_stdvar`. Floats are left out.

use model::FloatHistogram;

use super::CallContext;
use super::args::Args;
use crate::engine::QueryError;
use crate::engine::batch::{ABSENT, SeriesBatch};
use crate::engine::context::EvalContext;
use crate::engine::naming::{Duplicates, after_name_removal};
use crate::engine::operand::{Operand, unexpected};
use crate::engine::stream::SeriesMap;

pub(super) fn call(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let function: fn(&FloatHistogram) -> f64 = match call.name {
        "histogram_count" => |h| h.count,
        "histogram_sum" => |h| h.sum,
        "histogram_avg" => |h| h.avg(),
        "histogram_stddev" => |h| h.stddev(),
        "histogram_stdvar" => |h| h.stdvar(),
        _ => return Err(unexpected("a function of histograms")),
    };
    let stream = args.vector(0)?.map(Box::new(HistogramMap(function)));
    after_name_removal(stream, Duplicates::Merge, call.cx).map(Operand::Vector)
}

struct HistogramMap(fn(&FloatHistogram) -> f64);

impl SeriesMap for HistogramMap {
    fn apply(&self, batch: &mut SeriesBatch, _cx: &EvalContext<'_>) -> Result<(), QueryError> {
        batch.heads.iter_mut().for_each(|head| head.drop_name = true);
        match batch.histograms.take() {
            None => batch.floats.fill(ABSENT),
            Some(histograms) => {
                for (value, histogram) in batch.floats.iter_mut().zip(histograms) {
                    *value = histogram.map_or(ABSENT, |h| (self.0)(&h));
                }
            }
        }
        Ok(())
    }
}
