//! Joins of which the right side need not be read as a whole: the values that the left side has in
//! the labels of `on` become matchers of the right side's selectors.
//!
//! Only where nothing else can be told from the result: series that are not read could not have
//! been matched, could not have made the query fail, and could not have been annotated. So the
//! right side's operators are of a kind that never annotates, and where series without a partner
//! can make the operator fail (the "one" side) its series are told apart by the labels of `on`.

use std::sync::Arc;

use super::{AggregatePlan, BinaryPlan, CallPlan, NodeId, Plan, PlanArg, PlanOp};
use crate::ast::{AggregateOp, BinaryOp, Cardinality, RangeExtension};

/// Marks left sides and the selectors that they narrow.
pub(super) fn run(plan: &mut Plan) {
    for id in 0..plan.nodes.len() {
        if plan.is_needed(id)
            && let Some(join) = join(plan, id)
        {
            narrow(plan, join);
        }
    }
}

/// A left side, the labels that it hands on, and what they narrow.
struct Join {
    left: NodeId,
    labels: Vec<String>,
    /// The node of each selector, with the labels that reach it unchanged.
    selectors: Vec<(NodeId, Vec<String>)>,
}

fn join(plan: &Plan, id: NodeId) -> Option<Join> {
    let PlanOp::Binary(binary) = &plan.nodes[id].op else { return None };
    let labels = joined_labels(binary)?;
    let left_is_usable = plan.is_needed(binary.lhs) && !plan.nodes[binary.lhs].marks.is_shared;
    if !left_is_usable || may_fail_unmatched(plan, binary, &labels) {
        return None;
    }
    let mut selectors = Vec::new();
    find_selectors(plan, binary.rhs, labels.clone(), &mut selectors)?;
    (!selectors.is_empty()).then_some(Join { left: binary.lhs, labels, selectors })
}

/// The labels in which both sides of a match are alike.
fn joined_labels(binary: &BinaryPlan) -> Option<Vec<String>> {
    let matching = binary.matching.as_ref()?;
    let fills = matching.fill.lhs.is_some() || matching.fill.rhs.is_some();
    if !matching.on || matching.labels.is_empty() || fills || binary.op == BinaryOp::Or {
        return None;
    }
    Some(matching.labels.clone())
}

/// Whether series on the right that have no partner can make the operator fail.
fn may_fail_unmatched(plan: &Plan, binary: &BinaryPlan, labels: &[String]) -> bool {
    let right_is_one = matches!(
        binary.matching.as_ref().map(|matching| matching.card),
        Some(Cardinality::OneToOne | Cardinality::ManyToOne)
    );
    right_is_one && !is_unique_by(plan, binary.rhs, labels)
}

/// Whether no two series of an expression are alike in `labels`.
fn is_unique_by(plan: &Plan, id: NodeId, labels: &[String]) -> bool {
    match &plan.nodes[id].op {
        PlanOp::Aggregate(aggregate) => {
            is_reduction(aggregate)
                && !aggregate.without
                && aggregate.grouping.iter().all(|name| labels.contains(name))
        }
        PlanOp::Repeat(input) => is_unique_by(plan, *input, labels),
        _ => false,
    }
}

/// One value of each group, and never an annotation.
fn is_reduction(aggregate: &AggregatePlan) -> bool {
    matches!(aggregate.op, AggregateOp::Count | AggregateOp::Group)
}

/// The selectors below `id` that all of its series come from; `None` if an operator on the way
/// could tell of series that have no partner.
fn find_selectors(
    plan: &Plan,
    id: NodeId,
    labels: Vec<String>,
    found: &mut Vec<(NodeId, Vec<String>)>,
) -> Option<()> {
    let marks = &plan.nodes[id].marks;
    if !plan.is_needed(id) || marks.is_shared {
        return None;
    }
    match &plan.nodes[id].op {
        PlanOp::Select(select) => {
            let is_alone = select.pair.is_none() && select.extension == RangeExtension::None;
            is_alone.then(|| found.push((id, labels)))
        }
        PlanOp::Repeat(input) => find_selectors(plan, *input, labels, found),
        PlanOp::Aggregate(aggregate) if is_reduction(aggregate) => {
            let labels: Vec<String> = labels
                .into_iter()
                .filter(|name| aggregate.grouping.contains(name) != aggregate.without)
                .collect();
            (!labels.is_empty()).then_some(())?;
            find_selectors(plan, aggregate.input, labels, found)
        }
        PlanOp::Call(call) if is_silent(call) => {
            found.push((id, labels));
            Some(())
        }
        _ => None,
    }
}

/// Functions of the samples of a selector that never annotate, and keep names so that they cannot
/// fail for series that are alike without them.
fn is_silent(call: &CallPlan) -> bool {
    let reads_selector = |arg: &PlanArg| match arg {
        PlanArg::Matrix(super::MatrixPlan {
            source: super::MatrixPlanSource::Select(select),
            ..
        }) => select.pair.is_none() && select.extension == RangeExtension::None,
        _ => false,
    };
    matches!(call.name, "last_over_time" | "first_over_time")
        && call.args.len() == 1
        && call.args.iter().all(reads_selector)
}

fn narrow(plan: &mut Plan, join: Join) {
    for (id, labels) in join.selectors {
        for select in plan.nodes[id].selects_mut() {
            let narrowed = labels.iter().map(|label| (join.left, label.clone()));
            select.narrowed_by.extend(narrowed);
        }
    }
    plan.nodes[join.left].marks.narrowing_labels = Some(Arc::from(join.labels));
}

#[cfg(test)]
mod tests {
    use crate::engine::plan::{Passes, PlanNode};
    use crate::engine::tests::planned;

    const ONLY: Passes = Passes { narrow_joins: true, ..Passes::NONE };

    fn narrowed(query: &str) -> Vec<String> {
        let plan = planned(query, ONLY);
        let selects = plan.nodes.iter().flat_map(PlanNode::selects);
        selects.flat_map(|s| s.narrowed_by.iter().map(|(_, label)| label.clone())).collect()
    }

    #[test]
    fn right_sides_are_narrowed_where_nobody_can_tell() {
        assert_eq!(narrowed("x and on (pod) y"), ["pod"]);
        assert_eq!(narrowed("rate(x[5m]) unless on (pod, ns) y"), ["pod", "ns"]);
        assert_eq!(narrowed("x * on (pod) group_right y"), ["pod"]);
        assert_eq!(narrowed("x / on (pod) count by (pod) (y)"), ["pod"]);
        assert_eq!(narrowed("x and on (pod) last_over_time(y[5m])"), ["pod"]);
        assert_eq!(narrowed("x and on (a, b) count by (b) (y)"), ["b"]);
    }

    #[test]
    fn errors_and_annotations_of_the_rest_are_not_lost() {
        for query in [
            "x or on (pod) y",
            "x and y",
            "x and on () y",
            "x * on (pod) y",
            "x * on (pod) group_left y",
            "x and on (pod) rate(y[5m])",
            "x and on (pod) sum by (pod) (y)",
            "x and on (pod) count by (ns) (y)",
            "x and on (pod) (y > 1)",
            "x + on (pod) fill(0) count by (pod) (y)",
        ] {
            assert_eq!(narrowed(query), [""; 0], "{query}");
        }
    }
}
