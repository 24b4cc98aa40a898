//! Whether a value is the expected one.

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{FloatHistogram, Labels, Span, is_stale};

use super::script::{Eval, Expected, ExpectedSeries};
use crate::series_desc::SequenceValue;
use crate::value::{MatrixSeries, SampleValue, Value, VectorSample};

/// Relative difference of values that are equal.
const EPSILON: f64 = 0.000_001;

/// Compares the value of `eval`'s query.
pub(super) fn compare(eval: &Eval, value: &Value) -> Result<(), String> {
    match value {
        Value::Scalar(point) => compare_scalar(&eval.expected, point.value),
        Value::String { value, .. } => match &eval.expected.text {
            Some(want) if want == value => Ok(()),
            want => Err(format!("expected string {want:?}, but got {value:?}")),
        },
        Value::Vector(samples) => compare_vector(eval, samples),
        Value::Matrix(series) => compare_matrix(eval, series),
    }
}

/// Compares a scalar.
pub(super) fn compare_scalar(expected: &Expected, value: f64) -> Result<(), String> {
    match expected.scalar {
        Some(want) if almost_equal(want, value) => Ok(()),
        Some(want) => Err(format!("expected scalar {want}, but got {value}")),
        None => Err(format!("expected vector or matrix result, but got scalar {value}")),
    }
}

/// Compares an instant vector.
pub(super) fn compare_vector(eval: &Eval, samples: &[VectorSample]) -> Result<(), String> {
    if eval.expected.scalar.is_some() {
        return Err("expected scalar result, but got vector".to_owned());
    }
    for (index, sample) in samples.iter().enumerate() {
        let (position, expected) =
            find(&eval.expected.series, &sample.labels).ok_or_else(|| {
                format!("unexpected metric {} with {}", sample.labels, shown(&sample.value))
            })?;
        if eval.ordered && position != index {
            return Err(format!(
                "expected {} at position {}, but was at {}",
                sample.labels,
                position + 1,
                index + 1
            ));
        }
        let want = expected.values.first();
        if !want.is_some_and(|want| same_value(want, &sample.value)) {
            return Err(format!(
                "expected {} for {}, but got {}",
                want.map_or_else(|| "nothing".to_owned(), shown_wanted),
                sample.labels,
                shown(&sample.value)
            ));
        }
    }
    missing(&eval.expected.series, samples.iter().map(|sample| &sample.labels))
}

fn find<'a>(
    expected: &'a [ExpectedSeries],
    labels: &Labels,
) -> Option<(usize, &'a ExpectedSeries)> {
    expected.iter().enumerate().find(|(_, series)| series.labels == *labels)
}

fn missing<'a>(
    expected: &[ExpectedSeries],
    got: impl Iterator<Item = &'a Labels>,
) -> Result<(), String> {
    let got: Vec<_> = got.collect();
    match expected.iter().find(|series| !got.contains(&&series.labels)) {
        Some(series) => Err(format!("expected metric {} not found", series.labels)),
        None => Ok(()),
    }
}

fn shown(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => value.to_string(),
        SampleValue::Histogram(histogram) => histogram.test_expression(),
    }
}

fn shown_wanted(want: &SequenceValue) -> String {
    match want {
        SequenceValue::Omitted => "nothing".to_owned(),
        SequenceValue::Float(value) => value.to_string(),
        SequenceValue::Histogram { histogram, .. } => histogram.test_expression(),
    }
}

fn same_value(want: &SequenceValue, got: &SampleValue) -> bool {
    match (want, got) {
        (SequenceValue::Float(want), SampleValue::Float(got)) => almost_equal(*want, *got),
        (SequenceValue::Omitted, SampleValue::Float(got)) => almost_equal(0.0, *got),
        (SequenceValue::Histogram { histogram, is_hint_given }, SampleValue::Histogram(got)) => {
            same_histogram(histogram, got, *is_hint_given)
        }
        _ => false,
    }
}

/// Whether a matrix is in order of its labels.
pub(super) fn check_sorted(series: &[MatrixSeries]) -> Result<(), String> {
    if series.is_sorted_by(|a, b| a.labels <= b.labels) {
        Ok(())
    } else {
        Err("matrix is not sorted by labels".to_owned())
    }
}

fn compare_matrix(eval: &Eval, series: &[MatrixSeries]) -> Result<(), String> {
    if eval.ordered {
        return Err("expected ordered result, but query returned a matrix".to_owned());
    }
    if eval.expected.scalar.is_some() {
        return Err("expected scalar result, but got matrix".to_owned());
    }
    check_sorted(series)?;
    for one in series {
        let (_, expected) = find(&eval.expected.series, &one.labels)
            .ok_or_else(|| format!("unexpected metric {} with {one:?}", one.labels))?;
        compare_points(eval, expected, one)?;
    }
    missing(&eval.expected.series, series.iter().map(|one| &one.labels))
}

fn compare_points(
    eval: &Eval,
    expected: &ExpectedSeries,
    got: &MatrixSeries,
) -> Result<(), String> {
    let (mut floats, mut histograms) = (got.floats.iter(), got.histograms.iter());
    let mut time_ms = eval.time.start_ms;
    for want in &expected.values {
        if time_ms > eval.time.end_ms {
            return Err(format!(
                "expected {} points, which the range cannot give",
                expected.values.len()
            ));
        }
        let point = match want {
            SequenceValue::Omitted => None,
            SequenceValue::Float(_) => {
                floats.next().map(|point| (point.timestamp_ms, SampleValue::Float(point.value)))
            }
            SequenceValue::Histogram { .. } => histograms
                .next()
                .map(|point| (point.timestamp_ms, SampleValue::Histogram(point.histogram.clone()))),
        };
        let is_right = match &point {
            None => *want == SequenceValue::Omitted,
            Some((time, value)) => *time == time_ms && same_value(want, value),
        };
        if !is_right {
            let got_value = point.map(|(time, value)| format!("{} @{time}", shown(&value)));
            let all: Vec<String> =
                got.floats.iter().map(|p| format!("{} @{}", p.value, p.timestamp_ms)).collect();
            return Err(format!(
                "expected {} @{time_ms} for {}, but got {}; all floats: [{}]",
                shown_wanted(want),
                expected.labels,
                got_value.as_deref().unwrap_or("nothing"),
                all.join(", ")
            ));
        }
        time_ms += eval.time.step_ms;
    }
    match (floats.next(), histograms.next()) {
        (None, None) => Ok(()),
        more => Err(format!("unexpected points for {}: {more:?}", expected.labels)),
    }
}

/// Prometheus' equality for tests.
pub(super) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn same_histogram(want: &FloatHistogram, got: &FloatHistogram, compare_hint: bool) -> bool {
    let (mut want, mut got) = (want.clone(), got.clone());
    want.compact(0);
    got.compact(0);
    want.schema == got.schema
        && almost_equal(want.count, got.count)
        && almost_equal(want.sum, got.sum)
        && (want.schema != CUSTOM_BUCKETS_SCHEMA || want.custom_values == got.custom_values)
        && want.zero_threshold == got.zero_threshold
        && almost_equal(want.zero_count, got.zero_count)
        && merged(&want.negative_spans) == merged(&got.negative_spans)
        && merged(&want.positive_spans) == merged(&got.positive_spans)
        && same_buckets(&want.negative_buckets, &got.negative_buckets)
        && same_buckets(&want.positive_buckets, &got.positive_buckets)
        && (!compare_hint || want.counter_reset_hint == got.counter_reset_hint)
}

fn same_buckets(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b))
}

/// The spans, those without buckets taken into the ones behind them.
fn merged(spans: &[Span]) -> Vec<Span> {
    let mut merged = Vec::new();
    let mut gap = 0;
    for span in spans {
        if span.length == 0 {
            gap += span.offset;
        } else {
            merged.push(Span { offset: span.offset + gap, length: span.length });
            gap = 0;
        }
    }
    merged
}
