//! The arguments of a call, taken by their place.

use model::{Labels, Matcher};

use crate::engine::QueryError;
use crate::engine::context::{EvalContext, Site};
use crate::engine::matrix::RangeVector;
use crate::engine::operand::{Operand, ScalarColumn, unexpected};
use crate::engine::plan::{CallPlan, PlanArg, SelectPlan};
use crate::engine::run::Slots;
use crate::engine::sample_counts::CountsFor;
use crate::engine::stream::VectorStream;
use crate::engine::windows::References;
use crate::position::PositionRange;

/// The arguments of a call.
pub(super) struct Args {
    values: Vec<Option<Arg>>,
    positions: Vec<PositionRange>,
    /// What a selector as first argument demands.
    pub(super) absent_labels: Labels,
    /// The moments of the first selector within the first argument.
    pub(super) info_references: Option<References>,
    /// The steps of the query that samples are counted for which the function itself reads.
    pub(super) counts_for: CountsFor,
}

/// One argument.
pub(super) enum Arg {
    /// A value.
    Value(Operand),
    /// A range vector.
    Matrix(RangeVector),
    /// A selector that the function reads itself.
    Select(SelectPlan),
    /// Conditions.
    Matchers(Vec<Matcher>),
}

impl Args {
    pub(super) fn new(
        plan: CallPlan,
        slots: &mut Slots,
        cx: &EvalContext<'_>,
    ) -> Result<Self, QueryError> {
        let mut values = Vec::with_capacity(plan.args.len());
        for arg in plan.args {
            values.push(Some(match arg {
                PlanArg::Node(id) => Arg::Value(slots.take(id)?),
                PlanArg::Text(text) => Arg::Value(Operand::Text(text)),
                PlanArg::Matrix(matrix) => Arg::Matrix(RangeVector::new(matrix, slots, cx)?),
                PlanArg::Select(select) => Arg::Select(select),
                PlanArg::Matchers(matchers) => Arg::Matchers(matchers),
            }));
        }
        Ok(Self {
            values,
            positions: plan.arg_positions,
            absent_labels: plan.absent_labels,
            info_references: plan.info_references,
            counts_for: plan.counts_for,
        })
    }

    /// How many were written.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether one is a range vector.
    pub(super) fn has_matrix(&self) -> bool {
        self.values.iter().any(|arg| matches!(arg, Some(Arg::Matrix(_))))
    }

    /// The place of an argument, for annotations of the call at `site`.
    pub(super) fn site(&self, index: usize, site: Site) -> Site {
        Site { pos: self.positions.get(index).copied().unwrap_or(site.pos), ..site }
    }

    /// The argument at `index`; each is taken once.
    pub(super) fn take(&mut self, index: usize) -> Option<Arg> {
        self.values.get_mut(index).and_then(Option::take)
    }

    /// An instant vector.
    pub(super) fn vector(&mut self, index: usize) -> Result<VectorStream, QueryError> {
        match self.take(index) {
            Some(Arg::Value(operand)) => operand.into_vector(),
            _ => Err(unexpected("an instant vector")),
        }
    }

    /// A scalar.
    pub(super) fn scalar(&mut self, index: usize) -> Result<ScalarColumn, QueryError> {
        match self.take(index) {
            Some(Arg::Value(operand)) => operand.into_scalar(),
            _ => Err(unexpected("a scalar")),
        }
    }

    /// A text; PromQL's are bytes.
    pub(super) fn text(&mut self, index: usize) -> Result<Vec<u8>, QueryError> {
        match self.take(index) {
            Some(Arg::Value(Operand::Text(text))) => Ok(text),
            _ => Err(unexpected("a string")),
        }
    }

    /// The range vector, wherever it stands, and its place.
    pub(super) fn matrix(&mut self) -> Result<(RangeVector, usize), QueryError> {
        for (index, slot) in self.values.iter_mut().enumerate() {
            if let Some(Arg::Matrix(_)) = slot
                && let Some(Arg::Matrix(vector)) = slot.take()
            {
                return Ok((vector, index));
            }
        }
        Err(unexpected("a range vector"))
    }
}
