//! `absent` and `absent_over_time`: one series where there is none.

use super::CallContext;
use super::args::Args;
use super::range::present::PresentFunction;
use crate::engine::QueryError;
use crate::engine::batch::{ABSENT, SeriesBatch, SeriesHead};
use crate::engine::operand::Operand;
use crate::engine::stream::VectorStream;

pub(super) fn absent(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let input = args.vector(0)?;
    where_absent(call, args, input)
}

pub(super) fn absent_over_time(
    call: &CallContext<'_>,
    args: &mut Args,
) -> Result<Operand, QueryError> {
    let (vector, _) = args.matrix()?;
    super::range::check_extension(vector.extension, call.name)?;
    let present = vector.apply(Box::new(PresentFunction), call.cx)?;
    where_absent(call, args, present)
}

/// 1 at the steps where no series of `input` has a value.
fn where_absent(
    call: &CallContext<'_>,
    args: &Args,
    mut input: VectorStream,
) -> Result<Operand, QueryError> {
    let mut values = vec![1.0; call.grid.count];
    let mut pace = call.cx.pace();
    while let Some(batch) = input.next_batch(call.cx)? {
        for row in 0..batch.len() {
            pace.tick(batch.steps)?;
            for (step, value) in values.iter_mut().enumerate() {
                if !batch.cell(row, step).is_absent() {
                    *value = ABSENT;
                }
            }
        }
    }
    let mut batch = SeriesBatch::single(SeriesHead::new(args.absent_labels.clone()), values);
    batch.prune();
    Ok(Operand::Vector(VectorStream::of(batch).with_unique_series(true)))
}
