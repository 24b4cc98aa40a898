//! Checks of sample times: not too far in the future, not too far in the past, and no time twice in
//! one series of a request.

use hashbrown::HashSet;
use model::batch::BatchSeries;
use model::{Label, TimestampMs, WriteBatch};

use super::labels::metric_name;
use super::message::{cut, limit_rejection};
use super::{Cx, Findings, Reason, Rejection, add};

/// Keeps the valid float samples of a series, in order, and shortens its range.
pub(super) fn retain_valid(
    batch: &mut WriteBatch<'_>,
    series: &mut BatchSeries,
    cx: &Cx<'_>,
    findings: &mut Findings,
) {
    let mut kept = series.samples.start;
    for i in series.samples.range() {
        let sample = batch.samples[i];
        match check_time(sample.timestamp_ms, batch.labels_of(series), cx) {
            Ok(()) => {
                batch.samples[kept as usize] = sample;
                kept += 1;
            }
            Err(error) => findings.discard_samples(error, 1),
        }
    }
    series.samples.end = kept;
    let samples = &mut batch.samples[series.samples.range()];
    if !samples.is_sorted_by(|a, b| a.timestamp_ms < b.timestamp_ms) {
        let kept = keep_first_of_time(samples, |sample| sample.timestamp_ms, findings);
        series.samples.end = series.samples.start + kept;
    }
}

/// Moves the first sample of each time to the front, in order, and returns how many these are.
/// The others are counted, and the sender is not told, because it may have sent the same twice.
#[cold]
pub(super) fn keep_first_of_time<T>(
    samples: &mut [T],
    time: impl Fn(&T) -> TimestampMs,
    findings: &mut Findings,
) -> u32 {
    let mut seen = HashSet::with_capacity(samples.len());
    let mut kept = 0;
    for i in 0..samples.len() {
        if seen.insert(time(&samples[i])) {
            samples.swap(kept, i);
            kept += 1;
        }
    }
    if kept < samples.len() {
        let reason = Reason("sample_duplicate_timestamp");
        add(&mut findings.discarded_samples, reason, (samples.len() - kept) as u64);
    }
    kept as u32
}

/// Checks the time of one sample.
pub(super) fn check_time(
    timestamp_ms: TimestampMs,
    labels: &[Label<'_>],
    cx: &Cx<'_>,
) -> Result<(), Rejection> {
    if timestamp_ms > cx.now_ms.saturating_add(cx.limits.creation_grace_ms) {
        let flag = ("too-far-in-future", "validation.create-grace-period");
        return Err(wrong_time("too_far_in_future", "future", flag, (timestamp_ms, labels)));
    }
    let past_grace_ms = cx.limits.past_grace_ms;
    if past_grace_ms.is_some_and(|grace| timestamp_ms < cx.now_ms.saturating_sub(grace)) {
        let flag = ("too-far-in-past", "validation.past-grace-period");
        return Err(wrong_time("too_far_in_past", "past", flag, (timestamp_ms, labels)));
    }
    Ok(())
}

fn wrong_time(
    reason: &'static str,
    direction: &str,
    flag: (&str, &str),
    (timestamp_ms, labels): (TimestampMs, &[Label<'_>]),
) -> Rejection {
    let message = format!(
        "received a sample whose timestamp is too far in the {direction}, timestamp: \
         {timestamp_ms} series: '{}'",
        cut(metric_name(labels).unwrap_or_default())
    );
    limit_rejection(reason, flag, &message)
}
