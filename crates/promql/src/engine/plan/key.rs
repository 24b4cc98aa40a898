//! What a node computes, as a text that two nodes share exactly if their values are the same.
//!
//! Places in the query and what a result is used for are no part of it.

use std::fmt::Write as _;

use model::Matcher;

use super::{
    AggregateParam, CallPlan, MatrixPlan, MatrixPlanSource, NodeId, PlanArg, PlanNode, PlanOp,
    SelectPlan,
};

/// The text of `node`; operands stand in it by their numbers in `same`, where nodes with one value
/// have one number. `None` where sharing has no use.
pub(super) fn key(node: &PlanNode, same: &[NodeId]) -> Option<String> {
    let mut key = Key { text: format!("{:?} ", node.grid), same };
    match &node.op {
        PlanOp::Number(_) | PlanOp::Text(_) | PlanOp::Matrix(_) => return None,
        PlanOp::Select(select) => key.select(select),
        PlanOp::Repeat(input) => key.operand("repeat", *input),
        PlanOp::Negate(input) => key.operand("negate", *input),
        PlanOp::Call(call) => key.call(call),
        PlanOp::Aggregate(plan) => {
            key.operand(plan.op.name(), plan.input);
            match &plan.param {
                AggregateParam::None => {}
                AggregateParam::Node(id) => key.operand("of", *id),
                AggregateParam::Label(label) => key.push(format_args!("{label:?}")),
            }
            key.push(format_args!("{:?} {}", plan.grouping, plan.without));
        }
        PlanOp::Binary(plan) => {
            key.operand(plan.op.symbol(), plan.lhs);
            key.operand("and", plan.rhs);
            key.push(format_args!("{:?} {}", plan.matching, plan.return_bool));
        }
    }
    Some(key.text)
}

/// A number is what it is; its key is needed as an operand only.
pub(super) fn constant_key(node: &PlanNode) -> Option<String> {
    match &node.op {
        PlanOp::Number(value) => Some(format!("number {:x}", value.to_bits())),
        PlanOp::Text(text) => Some(format!("text {text:?}")),
        _ => None,
    }
}

struct Key<'a> {
    text: String,
    same: &'a [NodeId],
}

impl Key<'_> {
    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).unwrap_or_default(); // A string takes every write.
        self.text.push(';');
    }

    fn operand(&mut self, name: &str, id: NodeId) {
        let same = self.same[id];
        self.push(format_args!("{name} #{same}"));
    }

    fn select(&mut self, select: &SelectPlan) {
        let SelectPlan { references, extension, range_ms, only_histogram_stats, .. } = select;
        let mut matchers: Vec<String> = select.matchers.iter().map(Matcher::to_string).collect();
        matchers.sort_unstable();
        self.push(format_args!(
            "select {matchers:?} {references:?} {extension:?} {range_ms} {only_histogram_stats}"
        ));
    }

    fn matrix(&mut self, matrix: &MatrixPlan) {
        self.push(format_args!("{:?}", matrix.windows));
        match &matrix.source {
            MatrixPlanSource::Select(select) => self.select(select),
            MatrixPlanSource::Subquery { input, grid } => {
                self.operand("subquery", *input);
                self.push(format_args!("{grid:?}"));
            }
        }
    }

    fn call(&mut self, call: &CallPlan) {
        self.push(format_args!(
            "{}({:?} {:?}",
            call.name, call.absent_labels, call.info_references
        ));
        for arg in &call.args {
            match arg {
                PlanArg::Node(id) => self.operand("node", *id),
                PlanArg::Text(text) => self.push(format_args!("text {text:?}")),
                PlanArg::Matrix(matrix) => self.matrix(matrix),
                PlanArg::Select(select) => self.select(select),
                PlanArg::Matchers(matchers) => self.push(format_args!("{matchers:?}")),
            }
        }
    }
}
