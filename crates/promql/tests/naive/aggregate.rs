//! Aggregations at one moment: the points of a group in a list, then the definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::{HistogramMean, HistogramSum};
use model::{FloatHistogram, Labels, LabelsBuilder};
use promql::ast::{AggregateExpr, AggregateOp};

use crate::evaluate::{Cx, Outcome};
use crate::value::{Operand, Point, Value, nameless};
use crate::window::{Window, kahan};

/// The naive evaluator leaves the choice among equal values to the engine.
pub(crate) const TIE: &str = "a choice among equal values";

pub(crate) fn aggregate(cx: &Cx<'_>, node: &AggregateExpr) -> Outcome<Operand> {
    let points = cx.vector(&node.expr)?;
    let chooses = matches!(
        node.op,
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
    );
    let points =
        if chooses || node.op == AggregateOp::CountValues { cx.seen(&node.expr)? } else { points };
    if node.op == AggregateOp::CountValues {
        return count_values(cx, node, points);
    }
    let param = match &node.param {
        Some(param) => cx.evaluate(param)?.scalar(),
        None => 0.0,
    };
    let mut groups: BTreeMap<Labels, Vec<Point>> = BTreeMap::new();
    for point in points {
        groups.entry(group_labels(node, &visible(cx, &point))).or_default().push(point);
    }
    let mut out = Vec::new();
    for (labels, points) in groups {
        if chooses {
            out.extend(chosen(node.op, param, &points)?);
        } else if let Some(value) = reduced(node.op, param, &points) {
            out.push(Point { drop_name: all_drop(cx, &points), labels, value });
        }
    }
    Ok(Operand::Vector(out))
}

/// The labels that grouping looks at.
fn visible(cx: &Cx<'_>, point: &Point) -> Labels {
    if point.drop_name && !cx.query.delayed_name_removal {
        nameless(&point.labels)
    } else {
        point.labels.clone()
    }
}

/// A group's name goes at the end of the query where that of its first series goes.
fn all_drop(cx: &Cx<'_>, points: &[Point]) -> bool {
    cx.query.delayed_name_removal && points.first().is_some_and(|p| p.drop_name)
}

fn group_labels(node: &AggregateExpr, labels: &Labels) -> Labels {
    let named = |name: &str| node.grouping.iter().any(|label| label == name);
    labels
        .retain(|name| if node.without { name != "__name__" && !named(name) } else { named(name) })
}

fn floats(points: &[Point]) -> Vec<f64> {
    points.iter().filter_map(|p| p.value.float()).collect()
}

fn histograms(points: &[Point]) -> Vec<&Arc<FloatHistogram>> {
    let histogram = |p: &'_ Point| -> bool { matches!(p.value, Value::Histogram(_)) };
    points
        .iter()
        .filter(|p| histogram(p))
        .map(|p| match &p.value {
            Value::Histogram(h) => h,
            Value::Float(_) => unreachable!("filtered"),
        })
        .collect()
}

fn reduced(op: AggregateOp, param: f64, points: &[Point]) -> Option<Value> {
    let (values, native) = (floats(points), histograms(points));
    let float = |value: f64| Some(Value::Float(value));
    match op {
        AggregateOp::Count => return float(points.len() as f64),
        AggregateOp::Group => return float(1.0),
        AggregateOp::Sum | AggregateOp::Avg if !native.is_empty() => {
            return if values.is_empty() { of_histograms(op, &native) } else { None };
        }
        _ => {}
    }
    if values.is_empty() {
        return None;
    }
    let window = Window { samples: values.iter().map(|v| (0, *v)).collect(), start: 0, end: 0 };
    match op {
        AggregateOp::Sum => {
            let (sum, lost) = kahan(values.iter().copied());
            float(if sum.is_infinite() { sum } else { sum + lost })
        }
        AggregateOp::Avg => float(window.average()),
        AggregateOp::Min => float(window.extreme(|a, b| a < b)),
        AggregateOp::Max => float(window.extreme(|a, b| a > b)),
        AggregateOp::Quantile => float(quantile(param, &window)),
        AggregateOp::Stdvar => float(variance(&values)),
        AggregateOp::Stddev => float(variance(&values).sqrt()),
        _ => None,
    }
}

/// The quantile with its edges.
pub(crate) fn quantile(q: f64, window: &Window) -> f64 {
    if q.is_nan() {
        f64::NAN
    } else if q < 0.0 {
        f64::NEG_INFINITY
    } else if q > 1.0 {
        f64::INFINITY
    } else {
        window.quantile(q)
    }
}

/// Welford's method, as Prometheus adds up a group.
fn variance(values: &[f64]) -> f64 {
    if values.len() == 1 {
        return if values[0].is_finite() { 0.0 } else { f64::NAN };
    }
    let (mut mean, mut squares, mut count) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }
    squares / count
}

fn of_histograms(op: AggregateOp, native: &[&Arc<FloatHistogram>]) -> Option<Value> {
    let (first, rest) = native.split_first()?;
    let mut result = if op == AggregateOp::Sum {
        let mut sum = HistogramSum::new(first);
        for histogram in rest {
            sum.add(histogram).ok()?;
        }
        sum.finish()
    } else {
        let mut mean = HistogramMean::new(first);
        for histogram in rest {
            mean.add(histogram).ok()?;
        }
        mean.finish()
    };
    result.compact(0);
    Some(Value::Histogram(Arc::new(result)))
}

fn chosen(op: AggregateOp, param: f64, points: &[Point]) -> Outcome<Vec<Point>> {
    if op == AggregateOp::LimitRatio {
        let ratio = param.clamp(-1.0, 1.0);
        if param.is_nan() {
            return Err("Ratio value is NaN".to_owned());
        }
        let keep = |p: &&Point| {
            let offset = p.labels.stable_hash() as f64 / u64::MAX as f64;
            if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
        };
        return Ok(points.iter().filter(keep).cloned().collect());
    }
    if param.is_nan() {
        return Err("Parameter value is NaN".to_owned());
    }
    let k = if param < 1.0 { 0 } else { param as usize };
    if op == AggregateOp::Limitk {
        return Ok(points.iter().take(k).cloned().collect());
    }
    let mut sorted: Vec<&Point> = points.iter().filter(|p| p.value.float().is_some()).collect();
    let key = |p: &Point| p.value.float().unwrap_or(f64::NAN);
    sorted.sort_by(|a, b| match (key(a).is_nan(), key(b).is_nan()) {
        (false, false) => {
            let order = key(a).partial_cmp(&key(b)).expect("neither is NaN");
            if op == AggregateOp::Topk { order.reverse() } else { order }
        }
        (a, b) => a.cmp(&b),
    });
    if k > 0 && k < sorted.len() {
        let (last, next) = (key(sorted[k - 1]), key(sorted[k]));
        if last == next || (last.is_nan() && next.is_nan()) {
            return Err(TIE.to_owned());
        }
    }
    Ok(sorted.into_iter().take(k).cloned().collect())
}

fn count_values(cx: &Cx<'_>, node: &AggregateExpr, points: Vec<Point>) -> Outcome<Operand> {
    let Some(param) = &node.param else { return Err("a label is missing".to_owned()) };
    let label = cx.evaluate(param)?.text();
    let mut node = node.clone();
    if !node.without && !node.grouping.contains(&label) {
        node.grouping.push(label.clone());
    }
    let mut counts: BTreeMap<Labels, f64> = BTreeMap::new();
    for point in points {
        let text = match &point.value {
            Value::Float(v) if v.is_nan() => "NaN".to_owned(),
            Value::Float(v) if v.is_infinite() => {
                (if *v > 0.0 { "+Inf" } else { "-Inf" }).to_owned()
            }
            Value::Float(v) => format!("{v}"),
            Value::Histogram(h) => h.to_string(),
        };
        let mut builder = LabelsBuilder::new(&point.labels);
        builder.set(&label, &text);
        let labels = builder.build();
        // The value's label stays also where `without` names it.
        let grouped = group_labels(&node, &labels);
        *counts.entry(grouped).or_default() += 1.0;
    }
    let point = |(labels, count)| Point { labels, drop_name: false, value: Value::Float(count) };
    Ok(Operand::Vector(counts.into_iter().map(point).collect()))
}
