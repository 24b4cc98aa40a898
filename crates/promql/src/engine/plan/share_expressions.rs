//! Common sub-expressions: what stands in a query twice is evaluated once, and its value is kept
//! for the others if it is not too large.

use hashbrown::HashMap;

use super::key::{constant_key, key};
use super::{Alias, NodeId, Plan, PlanOp};
use crate::engine::context::Site;

/// Marks expressions that have the value of an earlier one.
pub(super) fn run(plan: &mut Plan) {
    let same = same_values(plan);
    let Some(root) = plan.root() else { return };
    let mut pending = vec![root];
    while let Some(id) = pending.pop() {
        if same[id] == id || is_cheap(&plan.nodes[id].op) {
            pending.extend(plan.nodes[id].operands());
        } else {
            make_alias(plan, id, same[id]);
        }
    }
}

/// For each node the first one that has the same value.
fn same_values(plan: &Plan) -> Vec<NodeId> {
    let mut first_with: HashMap<String, NodeId, foldhash::fast::FixedState> = HashMap::default();
    let mut same = Vec::with_capacity(plan.nodes.len());
    for (id, node) in plan.nodes.iter().enumerate() {
        let key = key(node, &same).or_else(|| constant_key(node));
        same.push(key.map_or(id, |key| *first_with.entry(key).or_insert(id)));
    }
    same
}

fn is_cheap(op: &PlanOp) -> bool {
    matches!(op, PlanOp::Number(_) | PlanOp::Text(_) | PlanOp::Matrix(_))
}

fn make_alias(plan: &mut Plan, id: NodeId, of: NodeId) {
    let (here, there) = (plan.expression(id), plan.expression(of));
    debug_assert_eq!(here.len(), there.len(), "expressions of one value are alike");
    let sites = |ids: &[NodeId]| -> Vec<Site> {
        ids.iter().flat_map(|&id| plan.nodes[id].sites(id)).collect()
    };
    let sites = sites(&there).into_iter().zip(sites(&here)).collect();
    for &covered in &here[1..] {
        plan.nodes[covered].marks.covered_by = Some(of);
    }
    plan.nodes[id].marks.alias = Some(Alias { of, sites });
    plan.nodes[of].marks.is_shared = true;
}

#[cfg(test)]
mod tests {
    use crate::engine::plan::{Passes, Plan};
    use crate::engine::tests::planned;

    const ONLY: Passes = Passes { share_expressions: true, fold_constants: true, ..Passes::NONE };

    fn counts(plan: &Plan) -> (usize, usize) {
        let shared = plan.nodes.iter().filter(|node| node.marks.is_shared).count();
        let aliases = plan.nodes.iter().filter(|node| node.marks.alias.is_some()).count();
        (shared, aliases)
    }

    #[test]
    fn the_same_expression_is_found_wherever_it_stands() {
        for (query, want) in [
            ("x + x", (1, 1)),
            ("rate(x[5m]) / rate( x [5m] )", (1, 1)),
            ("x{a=\"1\",b=\"2\"} + x{b=\"2\",a=\"1\"} - x{a=\"1\",b=\"2\"}", (1, 2)),
            ("sum(x) / count(x)", (1, 1)),
            ("(x + y) * (x + y)", (1, 1)),
            ("(x + y) * (x + y) + x", (2, 2)),
            ("max_over_time(sum(x)[5m:1m]) - min_over_time(sum(x)[5m:1m])", (1, 1)),
            ("quantile_over_time(0.5, x[5m]) + quantile_over_time(1 / 2, x[5m])", (1, 1)),
        ] {
            assert_eq!(counts(&planned(query, ONLY)), want, "{query}");
        }
    }

    #[test]
    fn other_times_or_conditions_are_another_expression() {
        for query in [
            "x + y",
            "x + x offset 1m",
            "x + x @ 10",
            "rate(x[5m]) / rate(x[6m])",
            "rate(x[5m]) / increase(x[5m])",
            "sum by (a) (y) + sum by (b) (z)",
            "1 + 1",
            "sum_over_time(x[5m:1m]) + x",
        ] {
            assert_eq!(counts(&planned(query, ONLY)), (0, 0), "{query}");
        }
    }
}
