//! Reads the test language's histograms, for tests alone.

use super::*;

/// A histogram written as `{{schema:1 count:3 buckets:[1 2]}}`.
pub(super) fn parse(text: &str) -> FloatHistogram {
    let body = text.trim().strip_prefix("{{").and_then(|t| t.strip_suffix("}}")).unwrap();
    let mut histogram = FloatHistogram::default();
    let (mut offset, mut negative_offset) = (0, 0);
    for field in fields(body) {
        let (name, value) = field.split_once(':').unwrap();
        match name {
            "schema" => histogram.schema = value.parse().unwrap(),
            "sum" => histogram.sum = number(value),
            "count" => histogram.count = number(value),
            "z_bucket" => histogram.zero_count = number(value),
            "z_bucket_w" => histogram.zero_threshold = number(value),
            "offset" => offset = value.parse().unwrap(),
            "n_offset" => negative_offset = value.parse().unwrap(),
            "buckets" => histogram.positive_buckets = list(value),
            "n_buckets" => histogram.negative_buckets = list(value),
            "custom_values" => histogram.custom_values = list(value).into(),
            "counter_reset_hint" => histogram.counter_reset_hint = hint(value),
            _ => panic!("field {name}"),
        }
    }
    histogram.positive_spans = span(offset, &histogram.positive_buckets);
    histogram.negative_spans = span(negative_offset, &histogram.negative_buckets);
    histogram
}

/// Splits at blanks outside brackets.
fn fields(body: &str) -> Vec<&str> {
    let mut inside = false;
    body.split(|c: char| {
        inside = (inside || c == '[') && c != ']';
        c == ' ' && !inside
    })
    .filter(|field| !field.is_empty())
    .collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

fn list(text: &str) -> Vec<f64> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap();
    inner.split_whitespace().map(number).collect()
}

fn span(offset: i32, buckets: &[f64]) -> Vec<Span> {
    let length = buckets.len() as u32;
    if length == 0 { vec![] } else { vec![Span { offset, length }] }
}

fn hint(text: &str) -> CounterResetHint {
    match text {
        "unknown" => CounterResetHint::Unknown,
        "reset" => CounterResetHint::CounterReset,
        "not_reset" => CounterResetHint::NotCounterReset,
        "gauge" => CounterResetHint::Gauge,
        _ => panic!("hint {text}"),
    }
}
