//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: the order of an instant query's
//! result. Range queries are always in order of labels.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::CallContext;
use super::args::Args;
use super::natural_order::natural_cmp;
use crate::annotations::Annotation;
use crate::engine::QueryError;
use crate::engine::batch::SeriesBatch;
use crate::engine::context::EvalContext;
use crate::engine::naming::settle_names;
use crate::engine::operand::Operand;
use crate::engine::pace;
use crate::engine::stream::{SeriesMap, VectorStream};

pub(super) fn call(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let input = args.vector(0)?;
    let by_value = matches!(call.name, "sort" | "sort_desc");
    let unique = input.unique_without_name;
    let input = if by_value { input.map(Box::new(OnlyFloats)) } else { input };
    if !call.grid.is_instant() {
        call.cx.annotate(call.site, Annotation::SortInRangeQuery);
        return Ok(Operand::Vector(input));
    }
    let mut batch = input.collect(call.cx)?;
    settle_names(&mut batch, call.cx);
    let mut order: Vec<usize> = (0..batch.len()).collect();
    match call.name {
        "sort" | "sort_desc" => {
            let descending = call.name == "sort_desc";
            let value = |row: &usize| batch.floats[*row];
            pace::sort(&mut order, call.cx, |a, b| nan_last(value(a), value(b), descending))?;
        }
        _ => {
            let names = known_names(label_names(args)?, &batch);
            pace::sort(&mut order, call.cx, |&a, &b| by_labels(&batch, &names, a, b))?;
            if call.name == "sort_by_label_desc" {
                order.reverse();
            }
        }
    }
    let copy = call.cx.account.reserve(0, batch.held_bytes())?;
    let mut sorted = batch.reordered(&order);
    drop((copy, batch));
    call.cx.hold(&mut sorted)?;
    Ok(Operand::Vector(VectorStream::of(sorted).with_unique_series(unique)))
}

fn label_names(args: &mut Args) -> Result<Vec<String>, QueryError> {
    let names = (1..args.len()).map(|index| args.text(index));
    names.map(|name| Ok(String::from_utf8_lossy(&name?).into_owned())).collect()
}

/// Each name once, and only those that a series has: what all series lack orders none, and a
/// comparison looks at all names.
fn known_names(mut names: Vec<String>, batch: &SeriesBatch) -> Vec<String> {
    let labels = batch.heads.iter().flat_map(|head| head.labels.iter());
    let mut known: HashSet<&str> = labels.map(|label| label.name).collect();
    names.retain(|name| known.remove(&**name));
    names
}

/// NaN comes last in both directions.
fn nan_last(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}

/// By the named labels in natural order, then by all labels.
fn by_labels(batch: &SeriesBatch, names: &[String], a: usize, b: usize) -> Ordering {
    let (a, b) = (&batch.heads[a].labels, &batch.heads[b].labels);
    for name in names {
        let order = natural_cmp(a.value(name), b.value(name));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.cmp(b)
}

/// Lets go of histograms.
struct OnlyFloats;

impl SeriesMap for OnlyFloats {
    fn apply(&self, batch: &mut SeriesBatch, _cx: &EvalContext<'_>) -> Result<(), QueryError> {
        batch.histograms = None;
        Ok(())
    }
}
