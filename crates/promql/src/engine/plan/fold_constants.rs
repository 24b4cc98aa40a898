//! Numbers that are known when planning: `-(2 * 3)`, `1 < bool 2`, `pi() / 180`.
//!
//! What the engine would compute is computed here with the same functions, so that rounding is the
//! same; parts of an expression that become a number tell the passes after this one more.

use super::{NodeId, Plan, PlanArg, PlanNode, PlanOp};
use crate::binops;
use crate::functions;

/// Replaces operators and functions between numbers by their values.
pub(super) fn run(plan: &mut Plan) {
    // Operands stand before those that take them, so one round is enough.
    for id in 0..plan.nodes.len() {
        if let Some(value) = constant(&plan.nodes, id) {
            plan.nodes[id].op = PlanOp::Number(value);
        }
    }
}

fn constant(nodes: &[PlanNode], id: NodeId) -> Option<f64> {
    let number = |id: NodeId| match nodes[id].op {
        PlanOp::Number(value) => Some(value),
        _ => None,
    };
    match &nodes[id].op {
        PlanOp::Repeat(input) => number(*input),
        PlanOp::Negate(input) => number(*input).map(|value| -value),
        PlanOp::Binary(plan) => {
            Some(binops::scalar_value(plan.op, number(plan.lhs)?, number(plan.rhs)?))
        }
        PlanOp::Call(call) => {
            let args: Option<Vec<f64>> = call
                .args
                .iter()
                .map(|arg| match arg {
                    PlanArg::Node(id) => number(*id),
                    _ => None,
                })
                .collect();
            functions::scalar_value(call.name, &args?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::plan::{Passes, PlanOp};
    use crate::engine::tests::planned;

    const ONLY: Passes = Passes { fold_constants: true, ..Passes::NONE };

    #[test]
    fn numbers_are_computed_when_planning() {
        for (query, want) in [
            ("1 + 2 * 3", 7.0),
            ("-(2 ^ 3)", -8.0),
            ("pi() * 2", std::f64::consts::TAU),
            ("1 < bool 2", 1.0),
            ("max_of(1, min_of(7, 4))", 4.0),
        ] {
            let plan = planned(query, ONLY);
            let last = &plan.nodes.last().unwrap().op;
            assert!(matches!(last, PlanOp::Number(value) if *value == want), "{query}: {last:?}");
        }
    }

    #[test]
    fn what_depends_on_the_step_stays() {
        for query in ["time() + 1", "vector(1)", "scalar(x) * 2", "x + 1"] {
            let plan = planned(query, ONLY);
            let last = &plan.nodes.last().unwrap().op;
            assert!(!matches!(last, PlanOp::Number(_)), "{query}: {last:?}");
        }
    }
}
