//! `info` at one moment: for each series the newest of the info series with its `instance` and
//! `job`, of each info metric.

use std::collections::BTreeMap;

use model::{Labels, LabelsBuilder, MatchOp, Matcher};
use promql::ast::{Call, Expr, SubqueryExpr, VectorSelector};

use crate::evaluate::{Cx, Outcome, distinct};
use crate::value::{Operand, Point};

pub(crate) fn info(cx: &Cx<'_>, call: &Call) -> Outcome<Operand> {
    let asked = match call.args.get(1).map(Expr::unwrap_parens) {
        Some(Expr::VectorSelector(selector)) => selector.matchers(),
        _ => Vec::new(),
    };
    let (mut names, data): (Vec<Matcher>, Vec<Matcher>) =
        asked.into_iter().partition(|m| m.name() == "__name__");
    let demands = |m: &Matcher| matches!(m.op(), MatchOp::Equal | MatchOp::Regex);
    if names.is_empty() {
        names.push(Matcher::equal("__name__", "target_info"));
    } else if !names.iter().any(demands) {
        names.extend(Matcher::new(MatchOp::Regex, "__name__", ".+_info"));
    }
    let is_info = |labels: &Labels| names.iter().all(|m| m.matches(labels.value("__name__")));
    let base = cx.seen(&call.args[0])?;
    let known = info_series(cx, call, |labels| {
        is_info(labels) && data.iter().all(|m| m.matches(labels.value(m.name())))
    })?;
    let mut out = Vec::new();
    for point in base {
        if is_info(&point.labels) {
            out.push(point);
            continue;
        }
        let newest = newest_of_each(&known, &point.labels);
        if newest.is_empty() {
            if data.iter().all(|m| m.matches("")) {
                out.push(point);
            }
            continue;
        }
        let wanted = |name: &str| data.is_empty() || data.iter().any(|m| m.name() == name);
        out.push(Point { labels: joined(&point.labels, &newest, wanted)?, ..point });
    }
    distinct(out).map(Operand::Vector)
}

/// The info series and the time of the newest sample of each.
fn info_series(
    cx: &Cx<'_>,
    call: &Call,
    is_wanted: impl Fn(&Labels) -> bool,
) -> Outcome<Vec<(Labels, i64)>> {
    let Some(end) = moment(cx, &call.args[0])? else { return Ok(Vec::new()) };
    let mut known = Vec::new();
    for (labels, samples) in cx.data.series.iter().filter(|(labels, _)| is_wanted(labels)) {
        match samples.iter().rev().find(|(time, _)| *time <= end) {
            Some((time, value)) if *time > end - cx.query.lookback && !value.is_stale() => {
                known.push((labels.clone(), *time));
            }
            _ => {}
        }
    }
    Ok(known)
}

/// When the first selector of the argument looks at its samples.
fn moment(cx: &Cx<'_>, expr: &Expr) -> Outcome<Option<i64>> {
    let Some((selector, around)) = first_selector(expr) else { return Ok(None) };
    // From the inside out, until an `@` says when; offsets add up.
    let mut offset = cx.time - cx.reference(None, selector.offset.as_ref())?;
    let mut at = selector.at;
    for subquery in around.iter().rev() {
        if at.is_some() {
            break;
        }
        offset += cx.time - cx.reference(None, subquery.offset.as_ref())?;
        at = subquery.at;
    }
    cx.reference(at, None).map(|base| Some(base - offset))
}

/// With the subqueries around it, the outermost first.
fn first_selector(expr: &Expr) -> Option<(&VectorSelector, Vec<&SubqueryExpr>)> {
    match expr {
        Expr::VectorSelector(selector) => Some((selector, Vec::new())),
        Expr::MatrixSelector(matrix) => Some((&matrix.selector, Vec::new())),
        Expr::Subquery(subquery) => first_selector(&subquery.expr).map(|(selector, mut around)| {
            around.insert(0, &**subquery);
            (selector, around)
        }),
        other => other.children().find_map(first_selector),
    }
}

fn newest_of_each<'a>(known: &'a [(Labels, i64)], labels: &Labels) -> Vec<&'a Labels> {
    let mut newest: BTreeMap<&str, &(Labels, i64)> = BTreeMap::new();
    for info in known {
        if ["instance", "job"].iter().any(|l| info.0.value(l) != labels.value(l)) {
            continue;
        }
        let best = newest.entry(info.0.value("__name__")).or_insert(info);
        if info.1 > best.1 {
            *best = info;
        }
    }
    newest.into_values().map(|info| &info.0).collect()
}

fn joined(
    labels: &Labels,
    newest: &[&Labels],
    is_wanted: impl Fn(&str) -> bool,
) -> Outcome<Labels> {
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for label in newest.iter().flat_map(|info| info.iter()) {
        let is_new = labels.value(label.name).is_empty();
        if label.name == "__name__" || !is_wanted(label.name) || !is_new {
            continue;
        }
        if added.insert(label.name, label.value).is_some_and(|before| before != label.value) {
            return Err(format!("conflicting label: {}", label.name));
        }
    }
    let mut builder = LabelsBuilder::new(labels);
    for (name, value) in added {
        builder.set(name, value);
    }
    Ok(builder.build())
}
