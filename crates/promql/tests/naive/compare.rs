//! One case: both evaluators asked the same, and the answers compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{FloatHistogram, QueryContext};
use promql::parser::{ParserOptions, parse_expr};
use promql::value::{SampleValue, Value as EngineValue};
use promql::{Engine, EngineOptions, QueryKind};

use crate::aggregate::TIE;
use crate::evaluate::{Answer, Query, SAME_LABELSET, answer};
use crate::value::{Data, Value};
use crate::{LOOKBACK_MS, data};

/// Sums in another order may differ by so much.
const TOLERANCE: f64 = 1e-9;

/// A query over data.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) data: Data,
    pub(crate) query: String,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// 0 for an instant query.
    pub(crate) step: i64,
    pub(crate) delayed_name_removal: bool,
}

/// What came of a case.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Same,
    SameFailure,
    /// The language leaves the answer open.
    Open,
    Differ(String),
}

impl Case {
    pub(crate) fn verdict(&self) -> Verdict {
        let options = ParserOptions::all();
        let expr = match parse_expr(&self.query, &options) {
            Ok(expr) => expr,
            Err(error) => return Verdict::Differ(format!("{}: {error}", self.query)),
        };
        let (storage, data) = data::stored(&self.data);
        let query = Query {
            start: self.start,
            end: self.end,
            step: self.step,
            lookback: LOOKBACK_MS,
            default_subquery_step: 60_000,
            delayed_name_removal: self.delayed_name_removal,
        };
        let want = answer(&expr, &data, query);
        let engine = Engine::new(EngineOptions {
            lookback_delta_ms: LOOKBACK_MS,
            enable_delayed_name_removal: self.delayed_name_removal,
            ..EngineOptions::default()
        });
        let kind = match self.step {
            0 => QueryKind::Instant { time_ms: self.start },
            step_ms => QueryKind::Range { start_ms: self.start, end_ms: self.end, step_ms },
        };
        let context = Arc::new(QueryContext::unlimited());
        let got = engine.query(&expr, kind, &storage, &context);
        match (want, got) {
            (Err(tie), _) if tie == TIE => Verdict::Open,
            (Ok(want), Ok(got)) => match same(&want, &flat(got.value)) {
                Ok(()) => Verdict::Same,
                Err(how) => Verdict::Differ(format!("{}: {how}", self.query)),
            },
            (Err(_), Err(_)) => Verdict::SameFailure,
            // Series that are alike without their names fail a query also where they never have
            // values at the same step.
            (Ok(_), Err(error)) if error.to_string().contains(SAME_LABELSET) => Verdict::Open,
            (Ok(_), Err(error)) => Verdict::Differ(format!("{}: fails: {error}", self.query)),
            (Err(error), Ok(_)) => Verdict::Differ(format!("{}: must fail: {error}", self.query)),
        }
    }

    /// As a script in the language of Prometheus' tests.
    pub(crate) fn script(&self) -> String {
        let mut text = format!(
            "# delayed name removal: {}, look-back {LOOKBACK_MS} ms\nload 1ms\n",
            self.delayed_name_removal
        );
        for (labels, samples) in &self.data.series {
            text += &format!("  {labels}");
            let mut next = 0;
            for (time, value) in samples {
                if *time > next {
                    text += &format!(" _x{}", time - next - 1);
                }
                text += &match value {
                    Value::Float(v) if model::is_stale(*v) => " stale".to_owned(),
                    Value::Float(v) => format!(" {v}"),
                    Value::Histogram(h) => format!(" {}", h.test_expression()),
                };
                next = time + 1;
            }
            text.push('\n');
        }
        match self.step {
            0 => text + &format!("eval instant at {}ms {}\n", self.start, self.query),
            step => {
                let (start, end) = (self.start, self.end);
                text + &format!(
                    "eval range from {start}ms to {end}ms step {step}ms {}\n",
                    self.query
                )
            }
        }
    }
}

fn flat(value: EngineValue) -> Answer {
    let mut all = Answer::new();
    let of = |sample: SampleValue| match sample {
        SampleValue::Float(value) => Value::Float(value),
        SampleValue::Histogram(histogram) => Value::Histogram(histogram),
    };
    match value {
        EngineValue::Scalar(point) => {
            let points = BTreeMap::from([(point.timestamp_ms, Value::Float(point.value))]);
            all.insert(model::Labels::empty(), points);
        }
        EngineValue::Vector(samples) => {
            for sample in samples {
                let points = all.entry(sample.labels.clone()).or_default();
                let before = points.insert(sample.timestamp_ms, of(sample.value));
                assert!(before.is_none(), "{:?} twice", sample.labels);
            }
        }
        EngineValue::Matrix(series) => {
            for series in series {
                let floats = series.floats.iter().map(|p| (p.timestamp_ms, Value::Float(p.value)));
                let histograms = series.histograms.iter();
                let histograms =
                    histograms.map(|p| (p.timestamp_ms, Value::Histogram(p.histogram.clone())));
                let points: BTreeMap<i64, Value> = floats.chain(histograms).collect();
                assert!(!points.is_empty(), "{:?} is empty", series.labels);
                assert!(
                    all.insert(series.labels.clone(), points).is_none(),
                    "{:?} twice",
                    series.labels
                );
            }
        }
        EngineValue::String { .. } => panic!("the generator makes no strings"),
    }
    all
}

fn same(want: &Answer, got: &Answer) -> Result<(), String> {
    for (labels, points) in want {
        let Some(others) = got.get(labels) else {
            return Err(format!("{labels} is missing; there are {:?}", got.keys()));
        };
        for (time, value) in points {
            match others.get(time) {
                None => return Err(format!("{labels} at {time}: nothing instead of {value:?}")),
                Some(other) if !alike(value, other) => {
                    return Err(format!("{labels} at {time}: {other:?} instead of {value:?}"));
                }
                Some(_) => {}
            }
        }
        if let Some(time) = others.keys().find(|time| !points.contains_key(time)) {
            return Err(format!("{labels} at {time}: {:?} instead of nothing", others[time]));
        }
    }
    match got.keys().find(|labels| !want.contains_key(labels)) {
        Some(labels) => Err(format!("{labels} should not be there: {:?}", got[labels])),
        None => Ok(()),
    }
}

fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => close(*a, *b),
        (Value::Histogram(a), Value::Histogram(b)) => alike_histograms(a, b),
        _ => false,
    }
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

fn alike_histograms(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let compact = |h: &FloatHistogram| {
        let mut h = h.clone();
        h.compact(0);
        h
    };
    let (a, b) = (compact(a), compact(b));
    let counts = [(a.count, b.count), (a.sum, b.sum), (a.zero_count, b.zero_count)];
    let sides =
        [(&a.positive_buckets, &b.positive_buckets), (&a.negative_buckets, &b.negative_buckets)];
    a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && a.custom_values == b.custom_values
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && counts.iter().all(|(a, b)| close(*a, *b))
        && sides
            .iter()
            .all(|(a, b)| a.len() == b.len() && a.iter().zip(*b).all(|(a, b)| close(*a, *b)))
}
