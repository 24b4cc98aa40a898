//! Carries out a plan: node after node, operands taken from the slots of earlier nodes.

use super::QueryError;
use super::batch::SeriesBatch;
use super::context::{EvalContext, Site};
use super::operand::{Operand, ScalarColumn, unexpected};
use super::plan::{NodeId, Plan, PlanNode, PlanOp};
use super::stream::{SeriesMap, VectorStream};
use super::{matrix, negate, selector};
use crate::{aggregations, binops, functions};

/// The value of `plan`'s last node.
pub(crate) fn run(plan: Plan, cx: &EvalContext<'_>) -> Result<Operand, QueryError> {
    let mut slots = Slots(plan.nodes.iter().map(|_| None).collect());
    let last = plan.nodes.len().checked_sub(1).ok_or_else(|| unexpected("in the plan"))?;
    for (id, node) in plan.nodes.into_iter().enumerate() {
        cx.check()?;
        cx.account.check_size(node.grid.count)?;
        let value = run_node(id, node, &mut slots, cx)?;
        slots.0[id] = Some(value);
    }
    slots.take(last)
}

/// The values of nodes that are not taken yet.
pub(crate) struct Slots(Vec<Option<Operand>>);

impl Slots {
    /// The value of a node; each is taken once.
    pub(crate) fn take(&mut self, id: NodeId) -> Result<Operand, QueryError> {
        let slot = self.0.get_mut(id).and_then(Option::take);
        slot.ok_or_else(|| QueryError::Internal("an operand was taken twice".to_owned()))
    }
}

fn run_node(
    id: NodeId,
    node: PlanNode,
    slots: &mut Slots,
    cx: &EvalContext<'_>,
) -> Result<Operand, QueryError> {
    let site = Site { order: id, pos: node.pos };
    let grid = node.grid;
    match node.op {
        PlanOp::Number(value) => Ok(Operand::Scalar(ScalarColumn::Constant(value))),
        PlanOp::Text(text) => Ok(Operand::Text(text)),
        PlanOp::Select(plan) => selector::instant_stream(&plan, site, cx).map(Operand::Vector),
        PlanOp::Matrix(plan) => matrix::matrix_value(*plan, slots, cx).map(Operand::Matrix),
        PlanOp::Repeat(input) => repeat(slots.take(input)?, grid.count),
        PlanOp::Negate(input) => negate::negate(slots.take(input)?, cx),
        PlanOp::Call(call) => functions::call(*call, grid, site, slots, cx),
        PlanOp::Aggregate(plan) => {
            aggregations::aggregate(*plan, grid, site, slots, cx).map(Operand::Vector)
        }
        PlanOp::Binary(plan) => binops::binary(*plan, grid, site, slots, cx),
    }
}

/// The value of one step for `count` steps.
fn repeat(operand: Operand, count: usize) -> Result<Operand, QueryError> {
    match operand {
        Operand::Scalar(column) => Ok(Operand::Scalar(ScalarColumn::Constant(column.at(0)))),
        Operand::Vector(stream) => {
            let unique = stream.unique_without_name;
            let mut repeated = stream.map(Box::new(RepeatMap(count)));
            repeated.steps = count;
            Ok(Operand::Vector(repeated.with_unique_series(unique)))
        }
        other => Ok(other),
    }
}

struct RepeatMap(usize);

impl SeriesMap for RepeatMap {
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        cx.account.check_size(batch.len().saturating_mul(self.0))?;
        let repeat_n = self.0;
        batch.floats =
            batch.floats.iter().flat_map(|v| std::iter::repeat_n(*v, repeat_n)).collect();
        batch.histograms = batch
            .histograms
            .take()
            .map(|all| all.into_iter().flat_map(|h| std::iter::repeat_n(h, repeat_n)).collect());
        batch.steps = repeat_n;
        Ok(())
    }
}

/// The same as an operand, for those that take streams.
pub(crate) fn take_vector(slots: &mut Slots, id: NodeId) -> Result<VectorStream, QueryError> {
    slots.take(id)?.into_vector()
}
