//! `anchored` and `smoothed` selectors of floats, by their definitions: each window is made into a
//! list of points with one at each end, and the function looks at that list.

use promql::ast::RangeExtension;

use crate::evaluate::Outcome;
use crate::functions::seconds;
use crate::window::Sample;

/// The value of `name` over the window `(start, end]` from the samples in and around it; `None`
/// where nothing lies inside.
pub(crate) fn value(
    (name, extension): (&str, RangeExtension),
    samples: &[Sample],
    (start, end): (i64, i64),
) -> Outcome<Option<f64>> {
    let smoothed = extension == RangeExtension::Smoothed;
    let allowed: &[&str] = if smoothed {
        &["delta", "increase", "rate"]
    } else {
        &["changes", "delta", "increase", "rate", "resets"]
    };
    if !allowed.contains(&name) {
        return Err(format!("{extension:?} does not go with {name}"));
    }
    let is_counter = name != "delta";
    let points = if matches!(name, "changes" | "resets") {
        anchored_samples(samples, start)
    } else {
        points(samples, (start, end), smoothed, is_counter)
    };
    let Some(points) = points else { return Ok(None) };
    let pairs = || points.windows(2).map(|pair| (pair[0], pair[1]));
    let change = points[points.len() - 1] - points[0];
    let lost = || pairs().filter(|(a, b)| b < a).map(|(a, _)| a).sum::<f64>();
    Ok(Some(match name {
        "changes" => pairs().filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count() as f64,
        "resets" => pairs().filter(|(a, b)| b < a).count() as f64,
        "delta" => change,
        "increase" => change + lost(),
        _ => (change + lost()) / seconds(end - start),
    }))
}

/// The samples of the window, and before them the newest one at its start or earlier.
fn anchored_samples(samples: &[Sample], start: i64) -> Option<Vec<f64>> {
    let inside: Vec<f64> = samples.iter().filter(|s| s.0 > start).map(|s| s.1).collect();
    let before = samples.iter().rev().find(|s| s.0 <= start).map(|s| s.1);
    (!inside.is_empty()).then(|| before.into_iter().chain(inside).collect())
}

/// The values at the window's start, inside, and at its end.
fn points(
    samples: &[Sample],
    (start, end): (i64, i64),
    smoothed: bool,
    is_counter: bool,
) -> Option<Vec<f64>> {
    let reaches_in = samples.iter().any(|s| s.0 > start);
    let begins_in_time = samples.iter().any(|s| s.0 <= end);
    if !reaches_in || !begins_in_time {
        return None;
    }
    let inside = samples.iter().filter(|s| s.0 > start && s.0 < end).map(|s| s.1);
    let first = samples.iter().rev().find(|s| s.0 <= start);
    let next = samples.iter().find(|s| s.0 > start);
    let left = match (first, next) {
        (Some(first), Some(next)) if smoothed => line(*first, *next, start, is_counter),
        (Some(first), _) => first.1,
        (None, next) => next?.1,
    };
    let before = samples.iter().rev().find(|s| s.0 <= end);
    let after = samples.iter().find(|s| s.0 > end);
    let right = match (before, after) {
        (Some(before), Some(after)) if smoothed => line(*before, *after, end, is_counter),
        (Some(before), _) => before.1,
        (None, _) => return None,
    };
    Some([left].into_iter().chain(inside).chain([right]).collect())
}

/// The value at `at` between two samples; a counter that fell began at 0.
pub(crate) fn line(from: Sample, to: Sample, at: i64, is_counter: bool) -> f64 {
    if at == from.0 {
        return from.1;
    }
    let start = if is_counter && to.1 < from.1 { 0.0 } else { from.1 };
    start + (to.1 - start) * (at - from.0) as f64 / (to.0 - from.0) as f64
}
