//! Checks of sample times: not too far in the future, not too far in the past.

use model::batch::BatchSeries;
use model::{Label, TimestampMs, WriteBatch};

use super::message::{cut, limit_rejection, series_text};
use super::{Cx, Findings, Rejection};

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
        cut(&series_text(labels))
    );
    limit_rejection(reason, flag, &message)
}
