//! The parser against Prometheus' own answers: whether an expression is accepted, its printed form,
//! its syntax tree, its error text, and the values of series descriptions.
//!
//! The corpora are read from the conformance folder beside the project; without it the tests are
//! skipped loudly.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test")]

use std::fs;
use std::path::PathBuf;

use model::FloatHistogram;
use promql::ast_json;
use promql::parser::{ParseError, ParserOptions, parse_expr};
use promql::series_desc::{SequenceValue, parse_series_desc};
use serde_json::Value;

fn corpus(name: &str) -> Option<Vec<Value>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/parser");
    let path = PathBuf::from(folder).join(name);
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("SKIPPED: no conformance data at {}", path.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn check_expr(case: &Value) -> Result<(), String> {
    let text = case["expr"].as_str().unwrap();
    let parsed = parse_expr(text, &ParserOptions::all());
    check_error(&parsed, &case["ok"], &case["error"])?;
    if let Ok(expr) = &parsed {
        check_equal("string", &Value::from(expr.to_string()), &case["string"])?;
        let json = match ast_json::to_json(expr) {
            Ok(json) => serde_json::from_str(&json).map_err(|e| e.to_string())?,
            Err(error) => Value::from(format!("unencodable: {error}")),
        };
        check_equal("ast", &json, &case["ast"])?;
    }
    // A case that is refused even with everything on has no entry for the default server.
    if let Some(ok) = case.get("ok_server_default") {
        let parsed = parse_expr(text, &ParserOptions::default());
        check_error(&parsed, ok, &case["error_server_default"])?;
    }
    Ok(())
}

fn check_error<T>(parsed: &Result<T, ParseError>, ok: &Value, error: &Value) -> Result<(), String> {
    let got = parsed.as_ref().err().map(ToString::to_string);
    check_equal("ok", &Value::from(got.is_none()), ok).map_err(|e| format!("{e}: {got:?}"))?;
    check_equal("error", &got.map_or(Value::Null, Value::from), error)
}

fn check_equal(what: &str, got: &Value, want: &Value) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}:\n  got  {got}\n  want {want}")) }
}

fn check_corpus(name: &str, count: usize, check: impl Fn(&Value) -> Result<(), String>) {
    let Some(cases) = corpus(name) else { return };
    assert_eq!(cases.len(), count, "cases in {name}");
    let failures = cases.iter().filter_map(|case| {
        let input = case.get("expr").or_else(|| case.get("line"));
        check(case).err().map(|error| format!("{} {error}", input.unwrap_or(case)))
    });
    let failures: Vec<_> = failures.collect();
    println!("{name}: {} of {count} right", count - failures.len());
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn expressions_of_the_test_scripts() {
    check_corpus("dottest.jsonl", 1_861, check_expr);
}

#[test]
fn inputs_of_prometheus_parser_test() {
    check_corpus("parse_test.jsonl", 356, check_expr);
}

#[test]
fn queries_of_the_compliance_suite() {
    check_corpus("compliance.jsonl", 539, check_expr);
}

#[test]
fn hand_made_edge_cases() {
    check_corpus("hand.jsonl", 572, check_expr);
}

#[test]
fn series_descriptions() {
    check_corpus("series-desc.jsonl", 2_370, check_series);
}

fn check_series(case: &Value) -> Result<(), String> {
    let series = parse_series_desc(case["line"].as_str().unwrap()).map_err(|e| e.to_string())?;
    let labels = series.labels.iter().map(|l| (l.name.to_owned(), Value::from(l.value)));
    check_equal("labels", &Value::Object(labels.collect()), &case["labels"])?;
    let mut values: Vec<_> = series.values.iter().collect();
    let want = case["values"].as_array().unwrap();
    // Long lists are cut in the data: the first 200 and the last 5 of `n`.
    if let Some(count) = case.get("n") {
        check_equal("n", &Value::from(values.len()), count)?;
        values.drain(200..values.len() - 5);
    }
    check_equal("number of values", &Value::from(values.len()), &Value::from(want.len()))?;
    for (value, want) in values.iter().zip(want) {
        check_value(value, want.as_str().unwrap())?;
    }
    Ok(())
}

fn check_value(value: &SequenceValue, want: &str) -> Result<(), String> {
    let text = match value {
        SequenceValue::Omitted => "_".to_owned(),
        SequenceValue::Float(value) if model::is_stale(*value) => "stale".to_owned(),
        SequenceValue::Float(value) => return check_float(*value, want),
        SequenceValue::Histogram { histogram, is_hint_given } => {
            let hint = if *is_hint_given { "!hint" } else { "" };
            let mut histogram = FloatHistogram::clone(histogram);
            histogram.compact(0);
            format!("{}{hint}", histogram.test_expression())
        }
    };
    check_equal("value", &Value::from(text), &Value::from(want))
}

/// The data have floats to 15 digits.
fn check_float(value: f64, want: &str) -> Result<(), String> {
    let number: f64 = want.parse().map_err(|e| format!("{want}: {e}"))?;
    let is_same = value == number || (value.is_nan() && number.is_nan());
    if is_same || ((value - number) / number).abs() < 1e-14 {
        Ok(())
    } else {
        Err(format!("value: got {value}, want {want}"))
    }
}
