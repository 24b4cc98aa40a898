//! Carries out a plan: node after node, operands taken from the slots of earlier nodes.

use super::QueryError;
use super::batch::SeriesBatch;
use super::context::{EvalContext, Site};
use super::operand::{Operand, ScalarColumn, unexpected};
use super::plan::{NodeId, Plan, PlanNode, PlanOp};
use super::profile::run_measured;
use super::shared::{KeptValue, keep};
use super::stream::{SeriesMap, VectorStream};
use super::{matrix, negate, selector};
use crate::{aggregations, binops, functions};

/// The value of `plan`'s last node.
pub(crate) fn run(plan: Plan, cx: &EvalContext<'_>) -> Result<Operand, QueryError> {
    let mut slots = Slots::new(&plan);
    let last = plan.root().ok_or_else(|| unexpected("in the plan"))?;
    for (id, mut node) in plan.nodes.into_iter().enumerate() {
        cx.check()?;
        if node.marks.covered_by.is_some_and(|of| slots.is_kept(of)) {
            continue;
        }
        let marks = std::mem::take(&mut node.marks);
        let value = match marks.alias {
            Some(alias) if slots.is_kept(alias.of) => {
                cx.repeat_annotations(&alias.sites);
                slots.take(alias.of)?
            }
            _ => {
                cx.account.check_size(node.grid.count)?;
                let steps = node.grid.count;
                let value = run_measured(id, steps, cx, || run_node(id, node, &mut slots, cx))?;
                after_run(id, value, marks.narrowing_labels.as_deref(), cx)?
            }
        };
        slots.put(id, value, cx)?;
    }
    slots.take(last)
}

/// Tells selectors on the other side of a join what this side has.
fn after_run(
    id: NodeId,
    value: Operand,
    narrowing_labels: Option<&[String]>,
    cx: &EvalContext<'_>,
) -> Result<Operand, QueryError> {
    match (value, narrowing_labels) {
        (Operand::Vector(stream), Some(labels)) => {
            let unique = stream.unique_without_name;
            let batch = stream.collect(cx)?;
            cx.narrowings.remember(id, labels, &batch);
            Ok(Operand::Vector(VectorStream::of(batch).with_unique_series(unique)))
        }
        (value, _) => Ok(value),
    }
}

/// The values of nodes that are not taken yet.
pub(crate) struct Slots(Vec<Slot>);

enum Slot {
    Empty,
    /// Empty, and to be kept for so many that take it.
    Awaited(usize),
    Value(Operand),
    /// Kept for so many that have not taken it yet.
    Kept(KeptValue, usize),
}

impl Slots {
    fn new(plan: &Plan) -> Self {
        let mut takers = vec![1; plan.nodes.len()];
        for alias in plan.nodes.iter().filter_map(|node| node.marks.alias.as_ref()) {
            takers[alias.of] += 1;
        }
        let slot = |takers| if takers == 1 { Slot::Empty } else { Slot::Awaited(takers) };
        Self(takers.into_iter().map(slot).collect())
    }

    fn put(&mut self, id: NodeId, value: Operand, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        self.0[id] = match self.0[id] {
            Slot::Awaited(takers) => match keep(value, cx)? {
                Ok(kept) => Slot::Kept(kept, takers),
                Err(value) => Slot::Value(value),
            },
            _ => Slot::Value(value),
        };
        Ok(())
    }

    /// Whether the value of a node is kept for another one.
    fn is_kept(&self, id: NodeId) -> bool {
        matches!(self.0[id], Slot::Kept(..))
    }

    /// The value of a node; each is taken as often as there are nodes that have this value.
    pub(crate) fn take(&mut self, id: NodeId) -> Result<Operand, QueryError> {
        let missing = || QueryError::Internal("an operand was taken twice".to_owned());
        let slot = self.0.get_mut(id).ok_or_else(missing)?;
        match std::mem::replace(slot, Slot::Empty) {
            Slot::Value(value) => Ok(value),
            Slot::Kept(kept, takers) if takers > 1 => {
                let value = kept.again();
                *slot = Slot::Kept(kept, takers - 1);
                Ok(value)
            }
            Slot::Kept(kept, _) => Ok(kept.last()),
            Slot::Empty | Slot::Awaited(_) => Err(missing()),
        }
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
        let mut pace = cx.pace();
        let mut floats = Vec::with_capacity(batch.floats.len().saturating_mul(repeat_n));
        for value in &batch.floats {
            for piece in cx.pieces(0..repeat_n) {
                floats.resize(floats.len() + piece.len(), *value);
            }
            pace.tick(repeat_n)?;
        }
        batch.floats = floats;
        batch.histograms = batch
            .histograms
            .take()
            .map(|all| all.into_iter().flat_map(|h| std::iter::repeat_n(h, repeat_n)).collect());
        batch.steps = repeat_n;
        cx.check()
    }
}

/// The same as an operand, for those that take streams.
pub(crate) fn take_vector(slots: &mut Slots, id: NodeId) -> Result<VectorStream, QueryError> {
    slots.take(id)?.into_vector()
}
