//! Going along a plan: the operands of a node and the selectors that it reads itself.

use super::{
    AggregateParam, CallPlan, MatrixPlan, MatrixPlanSource, NodeId, Plan, PlanArg, PlanNode,
    PlanOp, SelectPlan,
};
use crate::engine::context::Site;

impl PlanNode {
    /// The nodes whose values it takes, in the order in which they are written.
    pub(crate) fn operands(&self) -> Vec<NodeId> {
        match &self.op {
            PlanOp::Number(_) | PlanOp::Text(_) | PlanOp::Select(_) => Vec::new(),
            PlanOp::Matrix(matrix) => matrix.operand().into_iter().collect(),
            PlanOp::Repeat(input) | PlanOp::Negate(input) => vec![*input],
            PlanOp::Call(call) => call.args.iter().filter_map(PlanArg::operand).collect(),
            PlanOp::Aggregate(plan) => {
                let param = match plan.param {
                    AggregateParam::Node(id) => Some(id),
                    AggregateParam::None | AggregateParam::Label(_) => None,
                };
                param.into_iter().chain([plan.input]).collect()
            }
            PlanOp::Binary(plan) => vec![plan.lhs, plan.rhs],
        }
    }

    /// The selectors that it reads itself, whose samples it may share with another one.
    pub(crate) fn selects_mut(&mut self) -> Vec<&mut SelectPlan> {
        match &mut self.op {
            PlanOp::Select(select) => vec![&mut **select],
            PlanOp::Call(call) => call.args.iter_mut().filter_map(PlanArg::select_mut).collect(),
            _ => Vec::new(),
        }
    }

    /// As [`PlanNode::selects_mut`].
    pub(crate) fn selects(&self) -> Vec<&SelectPlan> {
        match &self.op {
            PlanOp::Select(select) => vec![&**select],
            PlanOp::Call(call) => call.args.iter().filter_map(PlanArg::select).collect(),
            _ => Vec::new(),
        }
    }

    /// All places that its annotations may point at, in the order of the expression.
    pub(super) fn sites(&self, id: NodeId) -> Vec<Site> {
        let mut positions = vec![self.pos];
        match &self.op {
            PlanOp::Aggregate(plan) => positions.extend([plan.input_pos, plan.param_pos]),
            PlanOp::Call(call) => positions.extend(call.positions()),
            PlanOp::Matrix(matrix) => positions.push(matrix.pos),
            _ => {}
        }
        positions.into_iter().map(|pos| Site { order: id, pos }).collect()
    }
}

impl CallPlan {
    fn positions(&self) -> impl Iterator<Item = crate::position::PositionRange> {
        let inner = self.args.iter().filter_map(|arg| match arg {
            PlanArg::Matrix(matrix) => Some(matrix.pos),
            PlanArg::Select(select) => Some(select.pos),
            PlanArg::Node(_) | PlanArg::Text(_) | PlanArg::Matchers(_) => None,
        });
        self.arg_positions.iter().copied().chain(inner)
    }
}

impl MatrixPlan {
    fn operand(&self) -> Option<NodeId> {
        match self.source {
            MatrixPlanSource::Subquery { input, .. } => Some(input),
            MatrixPlanSource::Select(_) => None,
        }
    }
}

impl PlanArg {
    fn operand(&self) -> Option<NodeId> {
        match self {
            Self::Node(id) => Some(*id),
            Self::Matrix(matrix) => matrix.operand(),
            Self::Text(_) | Self::Select(_) | Self::Matchers(_) => None,
        }
    }

    fn select(&self) -> Option<&SelectPlan> {
        match self {
            Self::Matrix(MatrixPlan { source: MatrixPlanSource::Select(select), .. })
            | Self::Select(select) => Some(select),
            _ => None,
        }
    }

    fn select_mut(&mut self) -> Option<&mut SelectPlan> {
        match self {
            Self::Matrix(MatrixPlan { source: MatrixPlanSource::Select(select), .. })
            | Self::Select(select) => Some(select),
            _ => None,
        }
    }
}

impl Plan {
    /// The node of the query's value.
    pub(crate) fn root(&self) -> Option<NodeId> {
        self.nodes.len().checked_sub(1)
    }

    /// The nodes of the expression of `root`, it first, operands in the order in which they are
    /// written.
    pub(crate) fn expression(&self, root: NodeId) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut pending = vec![root];
        while let Some(id) = pending.pop() {
            found.push(id);
            pending.extend(self.nodes[id].operands().into_iter().rev());
        }
        found
    }

    /// Whether a node is carried out in any case.
    pub(super) fn is_needed(&self, id: NodeId) -> bool {
        let marks = &self.nodes[id].marks;
        marks.covered_by.is_none() && marks.alias.is_none()
    }
}
