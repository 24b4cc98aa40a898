//! Functions of a range vector, window by window.

use std::sync::Arc;

use model::histogram::{HistogramMean, HistogramSum};
use model::{CounterResetHint, FloatHistogram};
use promql::ast::{Call, RangeExtension, ValueType};

use crate::aggregate::quantile;
use crate::evaluate::{Cx, Outcome};
use crate::extended;
use crate::functions::seconds;
use crate::value::{Matrix, Operand, Point, Row, Value};
use crate::window::{Window, kahan};

pub(crate) fn call(cx: &Cx<'_>, call: &Call) -> Outcome<Operand> {
    let mut scalars = Vec::new();
    let mut matrix = None;
    for arg in &call.args {
        match arg.value_type() {
            ValueType::Matrix => matrix = Some(cx.evaluate(arg)?.matrix()),
            _ => scalars.push(cx.evaluate(arg)?.scalar()),
        }
    }
    let Matrix { rows, start, end, extension } = matrix.ok_or("a range vector is missing")?;
    let mut out = Vec::new();
    if extension != RangeExtension::None {
        let function = (call.func.name, extension);
        extended::value(function, &[], (start, end))?;
        for row in rows {
            let value = extended::value(function, &floats(&row), (start, end))?.map(Value::Float);
            let point = |value| Point { labels: row.labels, drop_name: row.drop_name, value };
            out.extend(value.map(point));
        }
        return cx.renamed(out).map(Operand::Vector);
    }
    for row in &rows {
        let window = Window { samples: floats(row), start, end };
        let computed = Function { cx, name: call.func.name, scalars: &scalars, row, window };
        if let Some(value) = computed.value()? {
            out.push(Point { labels: row.labels.clone(), drop_name: row.drop_name, value });
        }
    }
    if matches!(call.func.name, "last_over_time" | "first_over_time") {
        return Ok(Operand::Vector(out));
    }
    cx.renamed(out).map(Operand::Vector)
}

fn floats(row: &Row) -> Vec<(i64, f64)> {
    row.samples.iter().filter_map(|(time, value)| Some((*time, value.float()?))).collect()
}

struct Function<'a> {
    cx: &'a Cx<'a>,
    name: &'a str,
    scalars: &'a [f64],
    row: &'a Row,
    window: Window,
}

impl Function<'_> {
    fn value(&self) -> Outcome<Option<Value>> {
        Ok(match self.name {
            "count_over_time" => Some(Value::Float(self.row.samples.len() as f64)),
            "present_over_time" => Some(Value::Float(1.0)),
            "first_over_time" => self.row.samples.first().map(|(_, value)| value.clone()),
            "last_over_time" => self.row.samples.last().map(|(_, value)| value.clone()),
            "ts_of_first_over_time" => {
                self.row.samples.first().map(|(time, _)| Value::Float(seconds(*time)))
            }
            "ts_of_last_over_time" => {
                self.row.samples.last().map(|(time, _)| Value::Float(seconds(*time)))
            }
            "changes" if self.has_only_floats() => Some(Value::Float(self.window.changes())),
            "resets" if self.has_only_floats() => Some(Value::Float(self.window.resets())),
            "changes" => Some(Value::Float(self.count_pairs(differ))),
            "resets" => Some(Value::Float(self.count_pairs(fell))),
            "irate" => self.instant_delta(true),
            "idelta" => self.instant_delta(false),
            "rate" => {
                self.of_either(|w| w.rate(true, true), |h| self.histogram_rate(h, true, true))
            }
            "increase" => {
                self.of_either(|w| w.rate(true, false), |h| self.histogram_rate(h, true, false))
            }
            "delta" => {
                self.of_either(|w| w.rate(false, false), |h| self.histogram_rate(h, false, false))
            }
            "sum_over_time" => self.of_either(|w| Some(sum(w)), sum_of),
            "avg_over_time" => self.of_either(|w| Some(w.average()), mean_of),
            _ if self.window.samples.is_empty() => None,
            _ => self.of_floats()?.map(Value::Float),
        })
    }

    fn has_only_floats(&self) -> bool {
        self.window.samples.len() == self.row.samples.len()
    }

    /// A window with both kinds of samples has no result.
    fn of_either(
        &self,
        of_floats: impl Fn(&Window) -> Option<f64>,
        of_histograms: impl Fn(&[Arc<FloatHistogram>]) -> Option<FloatHistogram>,
    ) -> Option<Value> {
        let histograms = self.histograms();
        match (self.window.samples.is_empty(), histograms.is_empty()) {
            (false, true) => of_floats(&self.window).map(Value::Float),
            (true, false) => of_histograms(&histograms).map(|h| Value::Histogram(Arc::new(h))),
            _ => None,
        }
    }

    fn histograms(&self) -> Vec<Arc<FloatHistogram>> {
        let samples = self.row.samples.iter();
        samples
            .filter_map(|(_, value)| match value {
                Value::Histogram(h) => Some(h.clone()),
                Value::Float(_) => None,
            })
            .collect()
    }

    fn of_floats(&self) -> Outcome<Option<f64>> {
        let (w, end) = (&self.window, self.cx.time);
        let time_of = |better: fn(f64, f64) -> bool| {
            let mut best = w.samples[0];
            for sample in &w.samples {
                if better(sample.1, best.1) || best.1.is_nan() {
                    best = *sample;
                }
            }
            seconds(best.0)
        };
        Ok(match self.name {
            "min_over_time" => Some(w.extreme(|a, b| a < b)),
            "max_over_time" => Some(w.extreme(|a, b| a > b)),
            "ts_of_min_over_time" => Some(time_of(|a, b| a <= b)),
            "ts_of_max_over_time" => Some(time_of(|a, b| a >= b)),
            "stdvar_over_time" => Some(w.variance()),
            "stddev_over_time" => Some(w.variance().sqrt()),
            "quantile_over_time" => Some(quantile(self.scalars[0], w)),
            "mad_over_time" => {
                let median = w.quantile(0.5);
                let samples = w.samples.iter().map(|s| (s.0, (s.1 - median).abs())).collect();
                Some(Window { samples, start: w.start, end: w.end }.quantile(0.5))
            }
            "deriv" => w.line(w.samples[0].0).map(|line| line.0),
            "predict_linear" => w.line(end).map(|(slope, at)| slope * self.scalars[0] + at),
            "double_exponential_smoothing" => self.smoothed()?,
            name => return Err(format!("the naive evaluator does not know {name}")),
        })
    }

    fn smoothed(&self) -> Outcome<Option<f64>> {
        let (sf, tf) = (self.scalars[0], self.scalars[1]);
        if sf <= 0.0 || sf >= 1.0 || tf <= 0.0 || tf >= 1.0 {
            return Err("invalid factor".to_owned());
        }
        let values: Vec<f64> = self.window.values().collect();
        let [first, second, ..] = values[..] else { return Ok(None) };
        let (mut before, mut smoothed, mut trend) = (0.0, first, second - first);
        for (i, value) in values.iter().enumerate().skip(1) {
            if i > 1 {
                trend = tf * (smoothed - before) + (1.0 - tf) * trend;
            }
            let next = sf * value + (1.0 - sf) * (smoothed + trend);
            (before, smoothed) = (smoothed, next);
        }
        Ok(Some(smoothed))
    }

    fn count_pairs(&self, counts: fn(&Value, &Value) -> bool) -> f64 {
        let pairs = self.row.samples.windows(2);
        pairs.filter(|pair| counts(&pair[0].1, &pair[1].1)).count() as f64
    }

    fn instant_delta(&self, is_rate: bool) -> Option<Value> {
        let [.., (from_time, from), (to_time, to)] = &self.row.samples[..] else { return None };
        let interval = seconds(to_time - from_time);
        match (from, to) {
            (Value::Float(_), Value::Float(_)) => {
                self.window.instant_delta(is_rate).map(Value::Float)
            }
            (Value::Histogram(from), Value::Histogram(to)) => {
                let mut delta = (**to).clone();
                if !(is_rate && to.detect_reset(from)) {
                    delta.sub(from).ok()?;
                }
                delta.counter_reset_hint = CounterResetHint::Gauge;
                delta.compact(0);
                if is_rate {
                    delta.div(interval);
                }
                Some(Value::Histogram(Arc::new(delta)))
            }
            _ => None,
        }
    }

    fn histogram_rate(
        &self,
        histograms: &[Arc<FloatHistogram>],
        is_counter: bool,
        is_rate: bool,
    ) -> Option<FloatHistogram> {
        let (first, last) = (histograms.first()?, histograms.last()?);
        if histograms.len() < 2 {
            return None;
        }
        let mut result = histogram_increase(histograms, is_counter)?;
        let times: Vec<i64> = self.row.samples.iter().map(|(time, _)| *time).collect();
        let counts = [first.count, last.count];
        // A window of two floats that stands for the counts of the histograms.
        let increase = result.count;
        let factor = extrapolation(&self.window, &times, (increase, counts[0]), is_counter);
        let factor =
            if is_rate { factor / seconds(self.window.end - self.window.start) } else { factor };
        result.mul(factor);
        Some(result)
    }
}

fn differ(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Value::Histogram(a), Value::Histogram(b)) => !b.equals(a),
        _ => true,
    }
}

fn fell(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => b < a,
        (Value::Histogram(a), Value::Histogram(b)) => b.detect_reset(a),
        _ => true,
    }
}

fn sum(window: &Window) -> f64 {
    let (sum, lost) = kahan(window.values());
    if sum.is_infinite() { sum } else { sum + lost }
}

fn sum_of(histograms: &[Arc<FloatHistogram>]) -> Option<FloatHistogram> {
    let (first, rest) = histograms.split_first()?;
    let mut sum = HistogramSum::new(first);
    rest.iter().try_for_each(|h| sum.add(h)).ok()?;
    Some(sum.finish())
}

fn mean_of(histograms: &[Arc<FloatHistogram>]) -> Option<FloatHistogram> {
    let (first, rest) = histograms.split_first()?;
    let mut mean = HistogramMean::new(first);
    rest.iter().try_for_each(|h| mean.add(h)).ok()?;
    Some(mean.finish())
}

fn histogram_increase(
    histograms: &[Arc<FloatHistogram>],
    is_counter: bool,
) -> Option<FloatHistogram> {
    let [first, .., last] = histograms else { return None };
    let mut previous = (**first).clone();
    if is_counter && histograms[1].detect_reset(&previous) {
        // Nothing of the first one is needed, also not its layout.
        previous = FloatHistogram {
            schema: histograms[1].schema,
            custom_values: histograms[1].custom_values.clone(),
            ..FloatHistogram::default()
        };
    }
    let custom = previous.uses_custom_buckets();
    let between = if is_counter { &histograms[1..histograms.len() - 1] } else { &[] };
    if last.uses_custom_buckets() != custom
        || between.iter().any(|h| h.uses_custom_buckets() != custom)
    {
        return None;
    }
    let schemas = between.iter().map(|h| h.schema).chain([last.schema, previous.schema]);
    let mut result = last.copy_to_schema(schemas.min()?);
    result.sub(&previous).ok()?;
    if is_counter {
        for current in &histograms[1..] {
            if current.detect_reset(&previous) {
                result.add(&previous).ok()?;
            }
            previous = (**current).clone();
        }
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    result.compact(0);
    Some(result)
}

/// How much longer than the samples the window is taken to be.
fn extrapolation(
    window: &Window,
    times: &[i64],
    (increase, first_value): (f64, f64),
    is_counter: bool,
) -> f64 {
    let (first, last) = (times[0], times[times.len() - 1]);
    let sampled = seconds(last - first);
    let average = sampled / (times.len() - 1) as f64;
    let limit = average * 1.1;
    let mut before = seconds(first - window.start);
    if before >= limit {
        before = average / 2.0;
    }
    if is_counter && increase > 0.0 && first_value >= 0.0 {
        before = before.min(sampled * (first_value / increase));
    }
    let mut after = seconds(window.end - last);
    if after >= limit {
        after = average / 2.0;
    }
    (sampled + before + after) / sampled
}
