//! The native histograms that are written, and what an answer says of them. Both follow from the
//! series and the time, by different ways: spans and differences here, bounds and counts there.

use model::TimestampMs;
use model::histogram::{Histogram, Span};

/// Observations in each bucket, the first one of the values in (1, 2].
fn counts(series: usize, at_ms: TimestampMs) -> Vec<u64> {
    // It grows, begins anew, and has other buckets every now and then.
    let growing = (at_ms / 1000).unsigned_abs() % 600;
    let buckets = 2 + (at_ms / 100_000).unsigned_abs() % 3;
    (0..buckets).map(|bucket| growing + 3 * bucket + series as u64).collect()
}

/// What is written.
pub(crate) fn written(series: usize, at_ms: TimestampMs) -> Histogram {
    let counts = counts(series, at_ms);
    let mut before = 0;
    let differences = counts.iter().map(|count| {
        let count = *count as i64;
        count - std::mem::replace(&mut before, count)
    });
    Histogram {
        count: counts.iter().sum(),
        sum: sum(series, at_ms),
        positive_spans: vec![Span { offset: 1, length: counts.len() as u32 }],
        positive_buckets: differences.collect(),
        ..Histogram::default()
    }
}

/// How many observations it has: its value in the model.
pub(crate) fn count(series: usize, at_ms: TimestampMs) -> f64 {
    counts(series, at_ms).iter().sum::<u64>() as f64
}

fn sum(series: usize, at_ms: TimestampMs) -> f64 {
    (at_ms % 1_000_000) as f64 / 4.0 + series as f64
}

/// Compares an answer's JSON with what was written.
pub(crate) fn compare(
    series: usize,
    at_ms: TimestampMs,
    json: &serde_json::Value,
) -> Result<f64, String> {
    let number = |json: &serde_json::Value| json.as_str()?.parse::<f64>().ok();
    let bucket = |json: &serde_json::Value| {
        let rule = json.get(0)?.as_u64()?;
        Some((rule, number(json.get(1)?)?, number(json.get(2)?)?, number(json.get(3)?)?))
    };
    let buckets: Option<Vec<_>> =
        json["buckets"].as_array().into_iter().flatten().map(bucket).collect();
    let expected = counts(series, at_ms).into_iter().enumerate();
    let expected = expected.filter(|(_, count)| *count > 0).map(|(at, count)| {
        let lower = f64::from(1 << at);
        // Open on the left.
        (0, lower, 2.0 * lower, count as f64)
    });
    let is_right = number(&json["count"]) == Some(count(series, at_ms))
        && number(&json["sum"]) == Some(sum(series, at_ms))
        && buckets == Some(expected.collect());
    if is_right { Ok(count(series, at_ms)) } else { Err(format!("histogram {json} at {at_ms}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another bucket, count or sum is another histogram.
    #[test]
    fn a_changed_histogram_is_told_apart() {
        let at_ms = 200_000; // 200 and 203 of series 0, in (1, 2], (2, 4] and more.
        let json = |count: &str, sum: &str, last: &str| {
            serde_json::json!({ "count": count, "sum": sum, "buckets": [
                [0, "1", "2", "200"], [0, "2", "4", "203"], [0, "4", "8", "206"], [0, "8", "16", last],
            ] })
        };
        assert_eq!(compare(0, at_ms, &json("818", "50000", "209")), Ok(818.0));
        for wrong in [("819", "50000", "209"), ("818", "50001", "209"), ("818", "50000", "208")] {
            assert!(compare(0, at_ms, &json(wrong.0, wrong.1, wrong.2)).is_err());
        }
        let histogram = written(0, at_ms);
        assert_eq!((histogram.count, histogram.positive_buckets), (818, vec![200, 3, 3, 3]));
    }
}
