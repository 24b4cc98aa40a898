//! The naive evaluator: an expression at one moment, by walking the tree, from the definitions of
//! the language. Every window is scanned anew, nothing is kept from step to step. It shares the
//! syntax tree, labels, and the arithmetic of single histograms with the engine, nothing else.

use std::collections::BTreeMap;

use model::Matcher;
use promql::ast::{
    AtModifier, DurationSpec, Expr, RangeExtension, SubqueryExpr, UnaryOp, VectorSelector,
};

use crate::value::{Data, Matrix, Operand, Point, Row, Value, nameless};
use crate::{aggregate, binary, durations, extended, functions};

/// What an expression is evaluated with.
#[derive(Clone, Copy)]
pub(crate) struct Cx<'a> {
    pub(crate) data: &'a Data,
    /// The moment.
    pub(crate) time: i64,
    pub(crate) query: Query,
}

/// The query as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// 0 for an instant query.
    pub(crate) step: i64,
    pub(crate) lookback: i64,
    pub(crate) default_subquery_step: i64,
    pub(crate) delayed_name_removal: bool,
}

pub(crate) type Outcome<T> = Result<T, String>;

/// The series of the whole query: for each the samples at its steps.
pub(crate) type Answer = BTreeMap<model::Labels, BTreeMap<i64, Value>>;

/// The query at all its steps.
pub(crate) fn answer(expr: &Expr, data: &Data, query: Query) -> Outcome<Answer> {
    let mut all = Answer::new();
    let mut time = query.start;
    while time <= query.end {
        let cx = Cx { data, time, query };
        match cx.evaluate(expr)? {
            Operand::Scalar(value) => {
                add(&mut all, model::Labels::empty(), time, Value::Float(value))?
            }
            Operand::Vector(points) => {
                for point in cx.settled(points) {
                    add(&mut all, point.labels, time, point.value)?;
                }
            }
            other => return Err(format!("neither scalar nor vector: {other:?}")),
        }
        time += query.step.max(1);
    }
    Ok(all)
}

fn add(all: &mut Answer, labels: model::Labels, time: i64, value: Value) -> Outcome<()> {
    match all.entry(labels).or_default().insert(time, value) {
        None => Ok(()),
        Some(_) => Err(SAME_LABELSET.to_owned()),
    }
}

/// The error of two series that are alike.
pub(crate) const SAME_LABELSET: &str = "vector cannot contain metrics with the same labelset";

impl Cx<'_> {
    pub(crate) fn evaluate(&self, expr: &Expr) -> Outcome<Operand> {
        Ok(match expr {
            Expr::NumberLiteral(number) => Operand::Scalar(number.value),
            Expr::StringLiteral(text) => Operand::Text(text.value.clone()),
            Expr::Paren(paren) => self.evaluate(&paren.expr)?,
            Expr::VectorSelector(selector) if selector.extension != RangeExtension::None => {
                Operand::Vector(self.smoothed(selector)?)
            }
            Expr::VectorSelector(selector) => {
                let points = self.newest(selector)?.into_iter().map(|(_, point)| point);
                Operand::Vector(points.collect())
            }
            Expr::MatrixSelector(matrix) => {
                let range = self.positive(&matrix.range)?;
                let end = self.reference(matrix.selector.at, matrix.selector.offset.as_ref())?;
                let (start, lookback) = (end - range, self.query.lookback);
                let extension = matrix.selector.extension;
                let (from, to) = match extension {
                    RangeExtension::None => (start, end),
                    RangeExtension::Anchored => (start - lookback, end),
                    RangeExtension::Smoothed => (start - lookback, end + lookback),
                };
                let rows = self.window(&matrix.selector, from, to);
                Operand::Matrix(Matrix { rows, start, end, extension })
            }
            Expr::Subquery(subquery) => Operand::Matrix(self.subquery(subquery)?),
            Expr::Unary(unary) => {
                let operand = self.evaluate(&unary.expr)?;
                if unary.op == UnaryOp::Minus { self.negated(operand)? } else { operand }
            }
            Expr::Call(call) => functions::call(self, call)?,
            Expr::Aggregate(aggregate) => aggregate::aggregate(self, aggregate)?,
            Expr::Binary(binary) => binary::binary(self, binary)?,
        })
    }

    pub(crate) fn vector(&self, expr: &Expr) -> Outcome<Vec<Point>> {
        self.evaluate(expr).map(Operand::vector)
    }

    /// The same with the names gone that are to go, as whoever looks at labels sees it.
    pub(crate) fn seen(&self, expr: &Expr) -> Outcome<Vec<Point>> {
        self.vector(expr).map(|points| {
            if self.query.delayed_name_removal { points } else { self.settled(points) }
        })
    }

    fn settled(&self, points: Vec<Point>) -> Vec<Point> {
        let settle = |mut point: Point| {
            if point.drop_name {
                point.labels = nameless(&point.labels);
                point.drop_name = false;
            }
            point
        };
        points.into_iter().map(settle).collect()
    }

    /// The points after their names went: now, and no two may be alike, or at the end.
    pub(crate) fn renamed(&self, points: Vec<Point>) -> Outcome<Vec<Point>> {
        let marked = points.into_iter().map(|point| Point { drop_name: true, ..point }).collect();
        if self.query.delayed_name_removal {
            return Ok(marked);
        }
        distinct(self.settled(marked))
    }

    /// The moment that a selector looks at.
    pub(crate) fn reference(
        &self,
        at: Option<AtModifier>,
        offset: Option<&DurationSpec>,
    ) -> Outcome<i64> {
        let base = match at {
            Some(AtModifier::Timestamp(time)) => time,
            Some(AtModifier::Start) => self.query.start,
            Some(AtModifier::End) => self.query.end,
            None => self.time,
        };
        let offset = offset.map_or(Ok(0), |offset| durations::signed(offset, &self.query))?;
        Ok(base - offset)
    }

    fn positive(&self, duration: &DurationSpec) -> Outcome<i64> {
        durations::positive(duration, &self.query)
    }

    /// The newest sample of each series within the look-back, with its time.
    pub(crate) fn newest(&self, selector: &VectorSelector) -> Outcome<Vec<(i64, Point)>> {
        let end = self.reference(selector.at, selector.offset.as_ref())?;
        let matchers = selector.matchers();
        let mut found = Vec::new();
        for (labels, samples) in &self.data.series {
            if !selects(&matchers, labels) {
                continue;
            }
            let newest = samples.iter().rev().find(|(time, _)| *time <= end);
            let Some((time, value)) = newest else { continue };
            if *time > end - self.query.lookback && !value.is_stale() {
                let point =
                    Point { labels: labels.clone(), drop_name: false, value: value.clone() };
                found.push((*time, point));
            }
        }
        Ok(found)
    }

    /// The value on the line between the samples around the moment; the last one where none
    /// follows. Of floats.
    fn smoothed(&self, selector: &VectorSelector) -> Outcome<Vec<Point>> {
        let at = self.reference(selector.at, selector.offset.as_ref())?;
        let lookback = self.query.lookback;
        let mut found = Vec::new();
        for row in self.window(selector, at - lookback, at + lookback) {
            let samples: Vec<_> =
                row.samples.iter().filter_map(|(t, v)| Some((*t, v.float()?))).collect();
            let before = samples.iter().rev().find(|s| s.0 <= at);
            let value = match (before, samples.iter().find(|s| s.0 > at)) {
                (Some(before), Some(after)) => extended::line(*before, *after, at, false),
                (Some(before), None) => before.1,
                (None, _) => continue,
            };
            let value = Value::Float(value);
            found.push(Point { labels: row.labels, drop_name: false, value });
        }
        Ok(found)
    }

    /// The samples after `start`, up to `end`.
    fn window(&self, selector: &VectorSelector, start: i64, end: i64) -> Vec<Row> {
        let matchers = selector.matchers();
        let mut rows = Vec::new();
        for (labels, samples) in &self.data.series {
            if !selects(&matchers, labels) {
                continue;
            }
            let inside = |&&(time, ref value): &&(i64, Value)| {
                time > start && time <= end && !value.is_stale()
            };
            let samples: Vec<_> = samples.iter().filter(inside).cloned().collect();
            if !samples.is_empty() {
                rows.push(Row { labels: labels.clone(), drop_name: false, samples });
            }
        }
        rows
    }

    fn subquery(&self, subquery: &SubqueryExpr) -> Outcome<Matrix> {
        let range = self.positive(&subquery.range)?;
        let step = match &subquery.step {
            Some(step) => self.positive(step)?,
            None => self.query.default_subquery_step,
        };
        let end = self.reference(subquery.at, subquery.offset.as_ref())?;
        let start = end - range;
        let mut rows: Vec<Row> = Vec::new();
        // The first multiple of the step after the start.
        let mut time = (start.div_euclid(step) + 1) * step;
        while time <= end {
            let at = Cx { time, ..*self };
            let points = match at.evaluate(&subquery.expr)? {
                Operand::Scalar(value) => vec![Point {
                    labels: model::Labels::empty(),
                    drop_name: false,
                    value: Value::Float(value),
                }],
                operand => operand.vector(),
            };
            for point in points {
                let same = |row: &&mut Row| row.labels == point.labels;
                match rows.iter_mut().find(same) {
                    Some(row) if row.samples.last().is_some_and(|(last, _)| *last == time) => {
                        return Err(SAME_LABELSET.to_owned());
                    }
                    Some(row) => row.samples.push((time, point.value)),
                    None => rows.push(Row {
                        labels: point.labels,
                        drop_name: point.drop_name,
                        samples: vec![(time, point.value)],
                    }),
                }
            }
            time += step;
        }
        Ok(Matrix { rows, start, end, extension: RangeExtension::None })
    }

    fn negated(&self, operand: Operand) -> Outcome<Operand> {
        let points = match operand {
            Operand::Scalar(value) => return Ok(Operand::Scalar(-value)),
            operand => operand.vector(),
        };
        let negate = |point: Point| {
            let value = match &point.value {
                Value::Float(value) => Value::Float(-value),
                Value::Histogram(histogram) => {
                    let mut histogram = (**histogram).clone();
                    histogram.mul(-1.0);
                    Value::Histogram(histogram.into())
                }
            };
            Point { value, ..point }
        };
        self.renamed(points.into_iter().map(negate).collect()).map(Operand::Vector)
    }
}

/// Fails where two series are alike.
pub(crate) fn distinct(points: Vec<Point>) -> Outcome<Vec<Point>> {
    let mut labels: Vec<_> = points.iter().map(|p| &p.labels).collect();
    labels.sort();
    if labels.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(SAME_LABELSET.to_owned());
    }
    Ok(points)
}

fn selects(matchers: &[Matcher], labels: &model::Labels) -> bool {
    matchers.iter().all(|m| m.matches(labels.value(m.name())))
}
