//! Binary operators at one moment: every left point against every right one.

use std::sync::Arc;

use model::{CounterResetHint, Labels, LabelsBuilder};
use promql::ast::{BinaryExpr, BinaryOp, Cardinality, VectorMatching};

use crate::evaluate::{Cx, Outcome, distinct};
use crate::value::{Operand, Point, Value, nameless};

pub(crate) fn binary(cx: &Cx<'_>, node: &BinaryExpr) -> Outcome<Operand> {
    let (lhs, rhs) = (cx.evaluate(&node.lhs)?, cx.evaluate(&node.rhs)?);
    let points = match (lhs, rhs) {
        (Operand::Scalar(a), Operand::Scalar(b)) => {
            let (value, keep) = floats(node.op, a, b);
            let value = if node.op.is_comparison() { f64::from(u8::from(keep)) } else { value };
            return Ok(Operand::Scalar(value));
        }
        (Operand::Vector(points), Operand::Scalar(number)) => {
            with_scalar(cx, node, points, number, false)?
        }
        (Operand::Scalar(number), Operand::Vector(points)) => {
            with_scalar(cx, node, points, number, true)?
        }
        _ => {
            let (lhs, rhs) = (cx.seen(&node.lhs)?, cx.seen(&node.rhs)?);
            let matching = node.matching.clone().unwrap_or_default();
            if node.op.is_set() {
                sets(node.op, &matching, lhs, rhs)
            } else {
                join(cx, node, &matching, lhs, rhs)?
            }
        }
    };
    if cx.query.delayed_name_removal {
        Ok(Operand::Vector(points))
    } else {
        distinct(points).map(Operand::Vector)
    }
}

/// `a op b`, and for a comparison whether it holds; then the value is the left one.
pub(crate) fn floats(op: BinaryOp, a: f64, b: f64) -> (f64, bool) {
    match op {
        BinaryOp::Add => (a + b, true),
        BinaryOp::Sub => (a - b, true),
        BinaryOp::Mul => (a * b, true),
        BinaryOp::Div => (a / b, true),
        BinaryOp::Mod => (a % b, true),
        BinaryOp::Pow => (a.powf(b), true),
        BinaryOp::Atan2 => (a.atan2(b), true),
        BinaryOp::Eql => (a, a == b),
        BinaryOp::Neq => (a, a != b),
        BinaryOp::Lss => (a, a < b),
        BinaryOp::Lte => (a, a <= b),
        BinaryOp::Gtr => (a, a > b),
        BinaryOp::Gte => (a, a >= b),
        _ => (f64::NAN, false),
    }
}

/// The value of a pair and whether it is kept; nothing where the types do not fit.
fn values(op: BinaryOp, a: &Value, b: &Value) -> Option<(Value, bool)> {
    let of = |h: model::FloatHistogram| Some((Value::Histogram(Arc::new(h)), true));
    match (a, b) {
        (Value::Float(a), Value::Float(b)) if !op.is_trim() => {
            let (value, keep) = floats(op, *a, *b);
            Some((Value::Float(value), keep))
        }
        (Value::Float(number), Value::Histogram(h))
        | (Value::Histogram(h), Value::Float(number))
            if op == BinaryOp::Mul =>
        {
            let mut h = (**h).clone();
            h.mul(*number);
            h.compact(0);
            of(h)
        }
        (Value::Histogram(h), Value::Float(number)) => {
            let mut h = (**h).clone();
            match op {
                BinaryOp::Div => {
                    h.div(*number);
                    h.compact(0);
                }
                BinaryOp::TrimUpper => h.trim_upper(*number),
                BinaryOp::TrimLower => h.trim_lower(*number),
                _ => return None,
            }
            of(h)
        }
        (Value::Histogram(x), Value::Histogram(y)) => {
            let mut h = (**x).clone();
            let outcome = match op {
                BinaryOp::Add => h.add(y),
                BinaryOp::Sub => h.sub(y),
                BinaryOp::Eql => return Some((a.clone(), x.equals(y))),
                BinaryOp::Neq => return Some((a.clone(), !x.equals(y))),
                _ => return None,
            };
            if outcome.ok()?.counter_reset_collision {
                return None;
            }
            if op == BinaryOp::Sub {
                h.counter_reset_hint = CounterResetHint::Gauge;
            }
            h.compact(0);
            of(h)
        }
        _ => None,
    }
}

fn drops_name(op: BinaryOp) -> bool {
    use BinaryOp::{Add, Atan2, Div, Mod, Mul, Pow, Sub};
    matches!(op, Add | Sub | Mul | Div | Mod | Pow | Atan2)
}

fn with_scalar(
    cx: &Cx<'_>,
    node: &BinaryExpr,
    points: Vec<Point>,
    number: f64,
    swapped: bool,
) -> Outcome<Vec<Point>> {
    let number = Value::Float(number);
    let mut out = Vec::new();
    for point in points {
        let (a, b) = if swapped { (&number, &point.value) } else { (&point.value, &number) };
        let Some((value, keep)) = values(node.op, a, b) else { continue };
        let value = if node.return_bool {
            Value::Float(f64::from(u8::from(keep)))
        } else if !keep {
            continue;
        } else if node.op.is_comparison() {
            point.value.clone()
        } else {
            value
        };
        out.push(Point { value, ..point });
    }
    if drops_name(node.op) || node.return_bool { cx.renamed(out) } else { Ok(out) }
}

/// The labels by which series are matched.
fn signature(matching: &VectorMatching, labels: &Labels) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    labels.retain(|name| if matching.on { named(name) } else { name != "__name__" && !named(name) })
}

fn sets(op: BinaryOp, matching: &VectorMatching, lhs: Vec<Point>, rhs: Vec<Point>) -> Vec<Point> {
    let keys = |points: &[Point]| -> Vec<Labels> {
        points.iter().map(|p| signature(matching, &p.labels)).collect()
    };
    let (left, right) = (keys(&lhs), keys(&rhs));
    let keep_left = |wanted: bool| {
        let pairs = lhs.iter().zip(&left);
        pairs.filter(|(_, key)| right.contains(key) == wanted).map(|(p, _)| p.clone()).collect()
    };
    match op {
        BinaryOp::And => keep_left(true),
        BinaryOp::Unless => keep_left(false),
        _ => {
            let others = rhs.iter().zip(&right).filter(|(_, key)| !left.contains(key));
            lhs.iter().chain(others.map(|(p, _)| p)).cloned().collect()
        }
    }
}

/// A side of a pair: a point, or a fill value with the matched labels.
#[derive(Clone)]
struct Side {
    labels: Labels,
    value: Value,
}

fn join(
    cx: &Cx<'_>,
    node: &BinaryExpr,
    matching: &VectorMatching,
    lhs: Vec<Point>,
    rhs: Vec<Point>,
) -> Outcome<Vec<Point>> {
    let fill = matching.fill;
    let has_fill = fill.lhs.is_some() || fill.rhs.is_some();
    if (lhs.is_empty() && rhs.is_empty()) || ((lhs.is_empty() || rhs.is_empty()) && !has_fill) {
        return Ok(Vec::new());
    }
    let swapped = matching.card == Cardinality::OneToMany;
    let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    for (i, a) in one.iter().enumerate() {
        let key = signature(matching, &a.labels);
        if one[..i].iter().any(|b| signature(matching, &b.labels) == key) {
            return Err("many-to-many matching not allowed".to_owned());
        }
    }
    let mut pairs: Vec<(Labels, Side, Side)> = Vec::new();
    let side = |p: &Point| Side { labels: p.labels.clone(), value: p.value.clone() };
    for point in &many {
        let key = signature(matching, &point.labels);
        let partner = one.iter().find(|p| signature(matching, &p.labels) == key).map(side);
        let filled = fill.rhs.map(|v| Side { labels: key.clone(), value: Value::Float(v) });
        if let Some(partner) = partner.or(filled) {
            pairs.push((key, side(point), partner));
        }
    }
    let mut out = Vec::new();
    let mut results: Vec<(Labels, Labels)> = Vec::new();
    for (key, many, one) in pairs {
        pair(cx, node, matching, (&key, &many, &one), (&mut results, &mut out))?;
    }
    if let Some(value) = fill.lhs {
        for point in &one {
            let key = signature(matching, &point.labels);
            if !results.iter().any(|(k, _)| *k == key) {
                let filled = Side { labels: key.clone(), value: Value::Float(value) };
                pair(cx, node, matching, (&key, &filled, &side(point)), (&mut results, &mut out))?;
            }
        }
    }
    Ok(out)
}

fn pair(
    cx: &Cx<'_>,
    node: &BinaryExpr,
    matching: &VectorMatching,
    (key, many, one): (&Labels, &Side, &Side),
    (results, out): (&mut Vec<(Labels, Labels)>, &mut Vec<Point>),
) -> Outcome<()> {
    let swapped = matching.card == Cardinality::OneToMany;
    let (a, b) = if swapped { (one, many) } else { (many, one) };
    let Some((value, keep)) = values(node.op, &a.value, &b.value) else { return Ok(()) };
    let labels = result_labels(cx, node, matching, &many.labels, &one.labels);
    let one_to_one = matching.card == Cardinality::OneToOne;
    if one_to_one && results.iter().any(|(k, _)| k == key) {
        return Err("many-to-one matching must be explicit".to_owned());
    }
    if results.iter().any(|(k, l)| k == key && *l == labels) {
        return Err("grouping labels must ensure unique matches".to_owned());
    }
    results.push((key.clone(), labels.clone()));
    let value = match node.return_bool {
        true => Value::Float(f64::from(u8::from(keep))),
        false if keep => value,
        false => return Ok(()),
    };
    out.push(Point { labels, drop_name: node.return_bool, value });
    Ok(())
}

fn result_labels(
    cx: &Cx<'_>,
    node: &BinaryExpr,
    matching: &VectorMatching,
    many: &Labels,
    one: &Labels,
) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    let bool_drops = node.return_bool && !cx.query.delayed_name_removal;
    let mut labels = if drops_name(node.op) || bool_drops { nameless(many) } else { many.clone() };
    if matching.card == Cardinality::OneToOne {
        labels = labels.retain(|name| named(name) == matching.on);
    }
    let mut builder = LabelsBuilder::new(&labels);
    for name in &matching.include {
        builder.set(name, one.value(name));
    }
    builder.build()
}
