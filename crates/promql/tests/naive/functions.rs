//! Functions at one moment, except those of a range vector, which stand in `over_time.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::classic::{ClassicBucket, bucket_fraction, bucket_quantile};
use model::regex::Regex;
use model::{FloatHistogram, Labels, LabelsBuilder, MatchOp};
use promql::ast::{Call, Expr, RangeExtension};

use crate::evaluate::{Cx, Outcome, distinct};
use crate::value::{Operand, Point, Value};
use crate::{info, over_time};

pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

pub(crate) fn call(cx: &Cx<'_>, call: &Call) -> Outcome<Operand> {
    let arg = |index: usize| cx.evaluate(&call.args[index]);
    let scalar = |index: usize| arg(index).map(Operand::scalar);
    match call.func.name {
        "time" => Ok(Operand::Scalar(seconds(cx.time))),
        "pi" => Ok(Operand::Scalar(std::f64::consts::PI)),
        "start" => Ok(Operand::Scalar(seconds(cx.query.start))),
        "end" => Ok(Operand::Scalar(seconds(cx.query.end))),
        // There is no step where there is only one moment.
        "step" if cx.query.start == cx.query.end => Ok(Operand::Scalar(0.0)),
        "step" => Ok(Operand::Scalar(seconds(cx.query.step))),
        "range" => Ok(Operand::Scalar(seconds(cx.query.end - cx.query.start))),
        "max_of" => Ok(Operand::Scalar(go_max(scalar(0)?, scalar(1)?))),
        "min_of" => Ok(Operand::Scalar(-go_max(-scalar(0)?, -scalar(1)?))),
        "vector" => Ok(one(Labels::empty(), scalar(0)?)),
        "scalar" => {
            let points = arg(0)?.vector();
            let floats: Vec<f64> = points.iter().filter_map(|p| p.value.float()).collect();
            Ok(Operand::Scalar(if floats.len() == 1 { floats[0] } else { f64::NAN }))
        }
        "absent" => {
            let is_absent = arg(0)?.vector().is_empty();
            Ok(absent(is_absent, call.args[0].unwrap_parens()))
        }
        "absent_over_time" => {
            let matrix = arg(0)?.matrix();
            if matrix.extension != RangeExtension::None {
                return Err("absent_over_time takes no extended range".to_owned());
            }
            let is_absent = matrix.rows.is_empty();
            Ok(absent(is_absent, call.args[0].unwrap_parens()))
        }
        "sort" | "sort_desc" => {
            let points = arg(0)?.vector();
            Ok(Operand::Vector(points.into_iter().filter(|p| p.value.float().is_some()).collect()))
        }
        "sort_by_label" | "sort_by_label_desc" => arg(0),
        "timestamp" => timestamp(cx, call),
        "info" => info::info(cx, call),
        "label_replace" => label_replace(cx, call),
        "label_join" => label_join(cx, call),
        "histogram_quantile" | "histogram_fraction" => of_buckets(cx, call),
        name if name.starts_with("histogram_") => of_histograms(cx, call),
        _ if call.args.iter().any(|a| a.value_type() == promql::ast::ValueType::Matrix) => {
            over_time::call(cx, call)
        }
        _ => math(cx, call),
    }
}

fn one(labels: Labels, value: f64) -> Operand {
    Operand::Vector(vec![Point { labels, drop_name: false, value: Value::Float(value) }])
}

/// Unlike `f64::max` a NaN wins over everything but +Inf.
fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

fn absent(is_absent: bool, expr: &Expr) -> Operand {
    let matchers = match expr {
        Expr::VectorSelector(selector) => selector.matchers(),
        Expr::MatrixSelector(matrix) => matrix.selector.matchers(),
        _ => Vec::new(),
    };
    let mut builder = LabelsBuilder::default();
    let mut set = Vec::new();
    for matcher in matchers.iter().filter(|m| m.name() != "__name__") {
        if matcher.op() == MatchOp::Equal && !set.contains(&matcher.name()) {
            builder.set(matcher.name(), &String::from_utf8_lossy(matcher.value()));
            set.push(matcher.name());
        } else {
            // A second condition takes the label away again.
            builder.remove(matcher.name());
        }
    }
    if is_absent { one(builder.build(), 1.0) } else { Operand::Vector(Vec::new()) }
}

fn timestamp(cx: &Cx<'_>, call: &Call) -> Outcome<Operand> {
    let points = match call.args[0].unwrap_parens() {
        Expr::VectorSelector(selector) => cx.newest(selector)?,
        other => cx.vector(other)?.into_iter().map(|point| (cx.time, point)).collect(),
    };
    let at = |(time, point)| Point { value: Value::Float(seconds(time)), ..point };
    cx.renamed(points.into_iter().map(at).collect()).map(Operand::Vector)
}

fn label_replace(cx: &Cx<'_>, call: &Call) -> Outcome<Operand> {
    let text = |index: usize| cx.evaluate(&call.args[index]).map(Operand::text);
    let (target, template, source, pattern) = (text(1)?, text(2)?, text(3)?, text(4)?);
    let regex = Regex::new(pattern.as_bytes()).map_err(|e| e.to_string())?;
    let replace = |point: Point| {
        let Some(value) = regex.captures_expand(point.labels.value(&source), &template) else {
            return point;
        };
        relabelled(point, &target, &value)
    };
    relabel(cx, call, replace)
}

fn label_join(cx: &Cx<'_>, call: &Call) -> Outcome<Operand> {
    let text = |index: usize| cx.evaluate(&call.args[index]).map(Operand::text);
    let (target, separator) = (text(1)?, text(2)?);
    let sources: Vec<String> = (3..call.args.len()).map(text).collect::<Outcome<_>>()?;
    let join = |point: Point| {
        let values: Vec<&str> = sources.iter().map(|s| point.labels.value(s)).collect();
        let value = values.join(&separator);
        relabelled(point, &target, &value)
    };
    relabel(cx, call, join)
}

fn relabel(cx: &Cx<'_>, call: &Call, change: impl Fn(Point) -> Point) -> Outcome<Operand> {
    let points: Vec<Point> = cx.seen(&call.args[0])?.into_iter().map(change).collect();
    let points = if cx.query.delayed_name_removal { points } else { distinct(points)? };
    Ok(Operand::Vector(points))
}

/// A name that was set stays.
fn relabelled(point: Point, target: &str, value: &str) -> Point {
    let mut builder = LabelsBuilder::new(&point.labels);
    builder.set(target, value);
    let drop_name = point.drop_name && target != "__name__";
    Point { labels: builder.build(), drop_name, ..point }
}

fn math(cx: &Cx<'_>, call: &Call) -> Outcome<Operand> {
    let scalar = |index: usize| cx.evaluate(&call.args[index]).map(Operand::scalar);
    let parameters: Vec<f64> = (1..call.args.len()).map(scalar).collect::<Outcome<_>>()?;
    if call.args.is_empty() {
        let value = float_function(call.func.name, &[], seconds(cx.time).floor());
        return Ok(one(Labels::empty(), value));
    }
    if call.func.name == "clamp" && parameters[1] < parameters[0] {
        return Ok(Operand::Vector(Vec::new()));
    }
    let mut out = Vec::new();
    for point in cx.vector(&call.args[0])? {
        if let Some(value) = point.value.float() {
            let value = Value::Float(float_function(call.func.name, &parameters, value));
            out.push(Point { value, ..point });
        }
    }
    cx.renamed(out).map(Operand::Vector)
}

fn float_function(name: &str, parameters: &[f64], v: f64) -> f64 {
    let go_min = |a: f64, b: f64| -go_max(-a, -b);
    match name {
        "clamp" => go_max(parameters[0], go_min(parameters[1], v)),
        "clamp_min" => go_max(parameters[0], v),
        "clamp_max" => go_min(parameters[0], v),
        "round" => {
            let inverse = 1.0 / parameters.first().copied().unwrap_or(1.0);
            (v * inverse + 0.5).floor() / inverse
        }
        "abs" => v.abs(),
        "ceil" => v.ceil(),
        "floor" => v.floor(),
        "exp" => v.exp(),
        "sqrt" => v.sqrt(),
        "ln" => v.ln(),
        "log2" => v.log2(),
        "log10" => v.log10(),
        "sin" => v.sin(),
        "cos" => v.cos(),
        "tan" => v.tan(),
        "asin" => v.asin(),
        "acos" => v.acos(),
        "atan" => v.atan(),
        "sinh" => v.sinh(),
        "cosh" => v.cosh(),
        "tanh" => v.tanh(),
        "asinh" => v.asinh(),
        "acosh" => v.acosh(),
        "atanh" => v.atanh(),
        "deg" => v * 180.0 / std::f64::consts::PI,
        "rad" => v * std::f64::consts::PI / 180.0,
        "sgn" if v < 0.0 => -1.0,
        "sgn" if v > 0.0 => 1.0,
        "sgn" => v,
        _ => date(name, v),
    }
}

/// Parts of a date, by jiff's calendar; only for moments that it knows.
fn date(name: &str, v: f64) -> f64 {
    let Ok(time) = jiff::Timestamp::from_second(v as i64) else { return f64::NAN };
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    match name {
        "minute" => f64::from(time.minute()),
        "hour" => f64::from(time.hour()),
        "day_of_week" => f64::from(time.weekday().to_sunday_zero_offset()),
        "day_of_month" => f64::from(time.day()),
        "day_of_year" => f64::from(time.day_of_year()),
        "days_in_month" => f64::from(time.days_in_month()),
        "month" => f64::from(time.month()),
        "year" => f64::from(time.year()),
        _ => panic!("the naive evaluator does not know {name}"),
    }
}

fn of_histograms(cx: &Cx<'_>, call: &Call) -> Outcome<Operand> {
    let function: fn(&FloatHistogram) -> f64 = match call.func.name {
        "histogram_count" => |h| h.count,
        "histogram_sum" => |h| h.sum,
        "histogram_avg" => |h| h.sum / h.count,
        "histogram_stddev" => FloatHistogram::stddev,
        _ => FloatHistogram::stdvar,
    };
    let mut out = Vec::new();
    for point in cx.vector(&call.args[0])? {
        if let Value::Histogram(histogram) = &point.value {
            let value = Value::Float(function(histogram));
            out.push(Point { value, ..point });
        }
    }
    cx.renamed(out).map(Operand::Vector)
}

/// `histogram_quantile` and `histogram_fraction`, over classic buckets and native histograms.
fn of_buckets(cx: &Cx<'_>, call: &Call) -> Outcome<Operand> {
    let last = call.args.len() - 1;
    let scalar = |index: usize| cx.evaluate(&call.args[index]).map(Operand::scalar);
    let parameters: Vec<f64> = (0..last).map(scalar).collect::<Outcome<_>>()?;
    let mut classic: BTreeMap<Labels, Vec<ClassicBucket>> = BTreeMap::new();
    let mut native: Vec<(Labels, Arc<FloatHistogram>)> = Vec::new();
    for point in cx.seen(&call.args[last])? {
        match point.value {
            Value::Histogram(histogram) => native.push((point.labels, histogram)),
            Value::Float(count) => {
                let Ok(upper_bound) = point.labels.value("le").parse::<f64>() else { continue };
                let labels = point.labels.retain(|name| name != "le");
                classic.entry(labels).or_default().push(ClassicBucket { upper_bound, count });
            }
        }
    }
    let mut out = Vec::new();
    for (labels, histogram) in native {
        if classic.remove(&labels).is_some() {
            continue;
        }
        let value = match parameters[..] {
            [q] => histogram.quantile(q).0,
            _ => histogram.fraction(parameters[0], parameters[1]).0,
        };
        out.push(Point { labels, drop_name: true, value: Value::Float(value) });
    }
    for (labels, mut buckets) in classic {
        buckets.sort_by(|a, b| a.upper_bound.total_cmp(&b.upper_bound));
        let value = match parameters[..] {
            [q] => bucket_quantile(q, &mut buckets).value,
            _ => bucket_fraction(parameters[0], parameters[1], &mut buckets),
        };
        out.push(Point { labels, drop_name: true, value: Value::Float(value) });
    }
    cx.renamed(out).map(Operand::Vector)
}
