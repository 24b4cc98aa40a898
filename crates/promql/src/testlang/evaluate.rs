//! The runs of one `eval`: as written, in range mode, and with `@` written into selectors.

use std::sync::Arc;

use model::{QueryContext, TimestampMs};

use super::annotations::{check_annotations, check_failure, expects_failure};
use super::compare::{check_sorted, compare, compare_scalar, compare_vector};
use super::script::Eval;
use crate::ast::{AtModifier, Expr, Visit};
use crate::engine::{Engine, QueryKind, QueryResult};
use crate::memstore::MemoryStorage;
use crate::parser::{ParserOptions, parse_expr};
use crate::value::{MatrixSeries, SampleValue, Value, VectorSample};

const MINUTE_MS: i64 = 60_000;

/// Runs evals.
pub(super) struct Evaluator {
    engine: Engine,
    parser: ParserOptions,
}

impl Evaluator {
    pub(super) fn new(engine: Engine, parser: ParserOptions) -> Self {
        Self { engine, parser }
    }

    /// Runs `eval`; the error says what is not as expected.
    pub(super) fn run(&self, eval: &Eval, storage: &MemoryStorage) -> Result<(), String> {
        if eval.time.is_range {
            let kind = QueryKind::Range {
                start_ms: eval.time.start_ms,
                end_ms: eval.time.end_ms,
                step_ms: eval.time.step_ms,
            };
            return match self.checked(eval, &eval.expr, kind, storage)? {
                Some(result) => compare(eval, &result.value),
                None => Ok(()),
            };
        }
        self.run_instant(eval, &eval.expr, eval.time.end_ms, storage)?;
        let parsed = parse_expr(&eval.expr, &self.parser).map_err(|e| e.to_string())?;
        let Some(pinned) = with_at(parsed, eval.time.end_ms) else { return Ok(()) };
        for time_ms in other_times(eval.time.end_ms) {
            self.run_instant(eval, &pinned, time_ms, storage)
                .map_err(|e| format!("as {pinned} at {time_ms} ms: {e}"))?;
        }
        Ok(())
    }

    fn run_instant(
        &self,
        eval: &Eval,
        expr: &str,
        time_ms: TimestampMs,
        storage: &MemoryStorage,
    ) -> Result<(), String> {
        let kind = QueryKind::Instant { time_ms };
        let Some(result) = self.checked(eval, expr, kind, storage)? else { return Ok(()) };
        compare(eval, &result.value)?;
        if eval.instant_only || uses_query_times(expr) {
            return Ok(());
        }
        let kind = QueryKind::Range {
            start_ms: time_ms - MINUTE_MS,
            end_ms: time_ms + MINUTE_MS,
            step_ms: MINUTE_MS,
        };
        let in_range = self.query(expr, kind, storage).map_err(|e| format!("range mode: {e}"))?;
        if eval.ordered {
            return Ok(());
        }
        let is_scalar = matches!(result.value, Value::Scalar(_));
        compare_middle(eval, &in_range.value, time_ms, is_scalar)
            .map_err(|e| format!("range mode: {e}"))
    }

    /// Runs a query and checks failure and annotations; `None` for a failure that is expected.
    fn checked(
        &self,
        eval: &Eval,
        expr: &str,
        kind: QueryKind,
        storage: &MemoryStorage,
    ) -> Result<Option<QueryResult>, String> {
        let should_fail = expects_failure(&eval.expectations);
        match self.query(expr, kind, storage) {
            Err(message) if should_fail => {
                check_failure(&eval.expectations, &message).map(|()| None)
            }
            Err(message) => Err(format!("query failed: {message}")),
            Ok(_) if should_fail => Err("expected an error, but got none".to_owned()),
            Ok(result) => {
                check_annotations(&eval.expectations, &result.annotations, expr)?;
                Ok(Some(result))
            }
        }
    }

    fn query(
        &self,
        expr: &str,
        kind: QueryKind,
        storage: &MemoryStorage,
    ) -> Result<QueryResult, String> {
        let parsed = parse_expr(expr, &self.parser).map_err(|e| e.to_string())?;
        let context = Arc::new(QueryContext::unlimited());
        self.engine.query(&parsed, kind, storage, &context).map_err(|e| e.to_string())
    }
}

/// Whether a query would mean something else in range mode.
fn uses_query_times(expr: &str) -> bool {
    ["start()", "end()", "range()", "step()"].iter().any(|call| expr.contains(call))
}

/// Compares the points at `time_ms` as if they were an instant query's value.
fn compare_middle(
    eval: &Eval,
    value: &Value,
    time_ms: TimestampMs,
    is_scalar: bool,
) -> Result<(), String> {
    let Value::Matrix(series) = value else { return Err("expected a matrix".to_owned()) };
    check_sorted(series)?;
    let samples: Vec<VectorSample> = series.iter().flat_map(|one| at(one, time_ms)).collect();
    if !is_scalar {
        return compare_vector(eval, &samples);
    }
    match samples.first().map(|sample| &sample.value) {
        Some(SampleValue::Float(value)) => compare_scalar(&eval.expected, *value),
        other => Err(format!("expected a scalar, but got {other:?}")),
    }
}

fn at(series: &MatrixSeries, timestamp_ms: TimestampMs) -> impl Iterator<Item = VectorSample> {
    let sample = move |value| VectorSample { labels: series.labels.clone(), timestamp_ms, value };
    let float = series.floats.iter().find(|point| point.timestamp_ms == timestamp_ms);
    let histogram = series.histograms.iter().find(|point| point.timestamp_ms == timestamp_ms);
    let float = float.map(|point| SampleValue::Float(point.value));
    let histogram = histogram.map(|point| SampleValue::Histogram(point.histogram.clone()));
    float.into_iter().chain(histogram).map(sample)
}

/// The query with `@ time_ms` at every selector and subquery that has none; `None` where its
/// value may still depend on when it is evaluated.
fn with_at(mut expr: Expr, time_ms: TimestampMs) -> Option<String> {
    let at = Some(AtModifier::Timestamp(time_ms));
    let mut depends_on_time = false;
    expr.visit_mut(&mut |node| {
        match node {
            Expr::VectorSelector(selector) => selector.at = selector.at.or(at),
            Expr::MatrixSelector(matrix) => matrix.selector.at = matrix.selector.at.or(at),
            Expr::Subquery(subquery) => {
                // What stands below is evaluated at the subquery's own steps.
                subquery.at = subquery.at.or(at);
                return Visit::Skip;
            }
            other => depends_on_time |= depends_on_evaluation_time(other),
        }
        Visit::Children
    });
    (!depends_on_time).then(|| expr.to_string())
}

fn depends_on_evaluation_time(expr: &Expr) -> bool {
    let Expr::Call(call) = expr else { return false };
    matches!(
        call.func.name,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "end"
            | "hour"
            | "minute"
            | "month"
            | "predict_linear"
            | "range"
            | "start"
            | "step"
            | "time"
            | "timestamp"
            | "year"
    )
}

fn other_times(time_ms: TimestampMs) -> Vec<TimestampMs> {
    if time_ms == 0 {
        return vec![-1000, 0, 1000];
    }
    vec![-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms]
}
