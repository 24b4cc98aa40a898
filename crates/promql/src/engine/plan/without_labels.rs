//! Selectors whose series are only counted: `count(…)` and `group(…)` without labels. Storage need
//! not put labels together nor bring the series in order.
//!
//! The last pass: what other passes let others know of a selector's series needs their labels.

use super::{AggregateParam, NodeId, Plan, PlanOp};
use crate::ast::AggregateOp;

/// Marks the selectors.
pub(super) fn run(plan: &mut Plan) {
    for id in 0..plan.nodes.len() {
        if plan.is_needed(id)
            && let Some(input) = counted_input(plan, id)
            && let PlanOp::Select(select) = &mut plan.nodes[input].op
        {
            select.without_labels = select.pair.is_none();
        }
    }
}

/// What a node counts, if nobody else takes it.
fn counted_input(plan: &Plan, id: NodeId) -> Option<NodeId> {
    let PlanOp::Aggregate(aggregate) = &plan.nodes[id].op else { return None };
    let counts = matches!(aggregate.op, AggregateOp::Count | AggregateOp::Group)
        && matches!(aggregate.param, AggregateParam::None);
    let marks = &plan.nodes[aggregate.input].marks;
    let is_taken_by_others =
        marks.is_shared || marks.alias.is_some() || marks.narrowing_labels.is_some();
    let has_one_group = aggregate.grouping.is_empty() && !aggregate.without;
    (counts && has_one_group && !is_taken_by_others).then_some(aggregate.input)
}

#[cfg(test)]
mod tests {
    use crate::engine::plan::Passes;
    use crate::engine::tests::planned;

    /// How many selectors of a query come without labels.
    fn count(query: &str) -> usize {
        let plan = planned(query, Passes::ALL);
        let selects = plan.nodes.iter().flat_map(super::super::PlanNode::selects);
        selects.filter(|select| select.without_labels).count()
    }

    #[test]
    fn what_is_only_counted_comes_without_labels() {
        assert_eq!(count("count(x)"), 1);
        assert_eq!(count("group({a=\"1\"} offset 5m)"), 1);
        assert_eq!(count("count(x) / count(y)"), 2);
        assert_eq!(count("count by () (x)"), 1);
        assert_eq!(count("count(x) / count(x)"), 1, "the second one is the first one's value");
        assert_eq!(count("max_over_time(count(x)[5m:1m])"), 1);
    }

    #[test]
    fn labels_that_somebody_needs_come() {
        for query in [
            "x",
            "sum(x)",
            "count by (a) (x)",
            "count without () (x)",
            "count_values(\"a\", x)",
            "count(x) + sum(x)",
            "count(rate(x[5m]))",
            "count(-x)",
            "count(x) + on (a) group_left x",
        ] {
            assert_eq!(count(query), 0, "{query}");
        }
    }
}
