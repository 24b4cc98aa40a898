//! Functions that make or take scalars: `time`, `pi`, `scalar`, `vector`, `max_of`, `min_of`.

use model::Labels;

use super::args::Args;
use super::{CallContext, math};
use crate::engine::QueryError;
use crate::engine::batch::{SeriesBatch, SeriesHead, is_absent};
use crate::engine::operand::{Operand, ScalarColumn, unexpected};
use crate::engine::stream::VectorStream;

pub(super) fn call(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let column = match call.name {
        "time" => times(call)?,
        "pi" => ScalarColumn::Constant(std::f64::consts::PI),
        "max_of" => args.scalar(0)?.zip(args.scalar(1)?, math::go_max, call.cx)?,
        "min_of" => args.scalar(0)?.zip(args.scalar(1)?, math::go_min, call.cx)?,
        "scalar" => scalar(call, args.vector(0)?)?,
        "vector" => return vector(call, args.scalar(0)?),
        _ => return Err(unexpected("a function of scalars")),
    };
    Ok(Operand::Scalar(column))
}

fn times(call: &CallContext<'_>) -> Result<ScalarColumn, QueryError> {
    let grid = call.grid;
    ScalarColumn::steps((0..grid.count).map(|step| seconds(grid.time(step))), call.cx)
}

/// Milliseconds as PromQL's float seconds.
#[expect(clippy::cast_precision_loss, reason = "PromQL's times are float seconds")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// The only float of each step; NaN where there is none or more than one.
fn scalar(call: &CallContext<'_>, mut input: VectorStream) -> Result<ScalarColumn, QueryError> {
    let mut values = vec![f64::NAN; call.grid.count];
    let mut found = vec![0_u8; call.grid.count];
    let mut pace = call.cx.pace();
    while let Some(batch) = input.next_batch(call.cx)? {
        for row in 0..batch.len() {
            pace.tick(batch.steps)?;
            for (step, value) in batch.floats_of(row).iter().enumerate() {
                if !is_absent(*value) {
                    found[step] = found[step].saturating_add(1);
                    values[step] = if found[step] == 1 { *value } else { f64::NAN };
                }
            }
        }
    }
    ScalarColumn::steps(values.into_iter(), call.cx)
}

fn vector(call: &CallContext<'_>, input: ScalarColumn) -> Result<Operand, QueryError> {
    let head = SeriesHead::new(Labels::empty());
    let mut batch = SeriesBatch::single(head, input.into_steps(call.grid.count));
    call.cx.hold(&mut batch)?;
    Ok(Operand::Vector(VectorStream::of(batch).with_unique_series(true)))
}
