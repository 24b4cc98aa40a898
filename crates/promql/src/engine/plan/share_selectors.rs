//! Pairs of selectors of which one selects all series of the other one: storage is asked once,
//! and each chunk is decoded once.
//!
//! The one that is carried out first leads: it reads what both need and leaves the samples of the
//! other one behind. If they become too many, or if the other one is carried out before the first
//! one is through, the other one asks storage itself.

use std::collections::VecDeque;

use model::{Matcher, TimeRange};

use super::{NodeId, Plan, SelectPair, SelectPlan};

/// Finds pairs.
pub(super) fn run(plan: &mut Plan) {
    /// Selectors further apart than this are not compared: a query may have thousands.
    const MAX_DISTANCE: usize = 64;
    let mut places: VecDeque<Place> = places(plan).into();
    while let Some(first) = places.pop_front() {
        let partner = places.iter().take(MAX_DISTANCE).position(|other| {
            other.node != first.node && widest(at(plan, &first), at(plan, other)).is_some()
        });
        if let Some(second) = partner.and_then(|partner| places.remove(partner)) {
            make_pair(plan, &first, &second);
        }
    }
}

/// A selector: the node that reads it, and which of that node's selectors it is.
struct Place {
    node: NodeId,
    index: usize,
}

fn places(plan: &Plan) -> Vec<Place> {
    let mut places = Vec::new();
    for (node, plan_node) in plan.nodes.iter().enumerate().filter(|(id, _)| plan.is_needed(*id)) {
        let count = if plan_node.grid.count == 0 { 0 } else { plan_node.selects().len() };
        places.extend((0..count).map(|index| Place { node, index }));
    }
    places
}

fn at<'a>(plan: &'a Plan, place: &Place) -> &'a SelectPlan {
    plan.nodes[place.node].selects()[place.index]
}

/// The matchers of the one that selects all series of the other one, if both fit together.
fn widest<'a>(a: &'a SelectPlan, b: &'a SelectPlan) -> Option<&'a [Matcher]> {
    if a.only_histogram_stats != b.only_histogram_stats || !are_near(a.time_range, b.time_range) {
        return None;
    }
    let implies = |narrow: &[Matcher], wide: &[Matcher]| wide.iter().all(|m| narrow.contains(m));
    if implies(&b.matchers, &a.matchers) {
        Some(&a.matchers)
    } else if implies(&a.matchers, &b.matchers) {
        Some(&b.matchers)
    } else {
        None
    }
}

/// Whether reading both ranges at once reads nothing that neither needs.
fn are_near(a: TimeRange, b: TimeRange) -> bool {
    a.start_ms_incl <= b.end_ms_incl.saturating_add(1)
        && b.start_ms_incl <= a.end_ms_incl.saturating_add(1)
}

fn make_pair(plan: &mut Plan, first: &Place, second: &Place) {
    let (a, b) = (at(plan, first), at(plan, second));
    let Some(matchers) = widest(a, b).map(<[Matcher]>::to_vec) else { return };
    let own = |select: &SelectPlan| -> Vec<Matcher> {
        select.matchers.iter().filter(|m| !matchers.contains(m)).cloned().collect()
    };
    let time_range = TimeRange::new(
        a.time_range.start_ms_incl.min(b.time_range.start_ms_incl),
        a.time_range.end_ms_incl.max(b.time_range.end_ms_incl),
    );
    let number = plan.pairs;
    let leader = SelectPair {
        number,
        leads: true,
        own: own(a),
        others: own(b),
        matchers: matchers.clone(),
        time_range,
    };
    let follower = SelectPair {
        leads: false,
        own: leader.others.clone(),
        others: leader.own.clone(),
        ..leader.clone()
    };
    plan.pairs += 1;
    for (place, pair) in [(first, leader), (second, follower)] {
        let select = plan.nodes[place.node].selects_mut().into_iter().nth(place.index);
        if let Some(select) = select {
            select.pair = Some(Box::new(pair));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::Passes;
    use crate::engine::tests::planned;

    const ONLY: Passes = Passes { share_selectors: true, ..Passes::NONE };

    /// For each selector that is in a pair: whether it leads, and its own conditions.
    fn pairs(query: &str) -> Vec<(bool, String)> {
        let plan = planned(query, ONLY);
        let selects: Vec<&SelectPlan> =
            plan.nodes.iter().flat_map(super::super::PlanNode::selects).collect();
        let text =
            |own: &[Matcher]| own.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        selects
            .into_iter()
            .filter_map(|select| select.pair.as_ref())
            .map(|pair| (pair.leads, text(&pair.own)))
            .collect()
    }

    #[test]
    fn one_reads_what_both_need() {
        let both =
            |own: &str, others: &str| vec![(true, own.to_owned()), (false, others.to_owned())];
        assert_eq!(pairs("sum_over_time(x[5m]) / count_over_time(x[5m])"), both("", ""));
        assert_eq!(pairs(r#"sum(rate(x{c="5"}[5m])) / sum(rate(x[5m]))"#), both(r#"c="5""#, ""));
        assert_eq!(pairs(r#"x / ignoring(c) x{c="5"}"#), both("", r#"c="5""#));
        assert_eq!(pairs("x / x offset 1m"), both("", ""));
    }

    #[test]
    fn what_has_nothing_in_common_is_read_apart() {
        for query in
            ["x + y", r#"x{a="1"} + x{a="2"}"#, "x - x offset 1d", r#"x{a="1"} / x{b="1"}"#]
        {
            assert_eq!(pairs(query), [], "{query}");
        }
    }
}
