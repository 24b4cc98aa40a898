//! Checks of exemplars: those that are not valid are left out and counted, and nobody is told,
//! because some senders send empty ones by default.

use std::ops::RangeInclusive;

use model::batch::{BatchExemplar, BatchSeries};
use model::exemplar::MAX_EXEMPLAR_LABEL_CHARS;
use model::{TimestampMs, WriteBatch};

use super::{Cx, Findings, Reason, add};

/// How much older than the oldest sample of a request an exemplar may be, ms.
const MAX_BEFORE_SAMPLES_MS: i64 = 5 * 60 * 1000;

/// The times that exemplars of a request may have.
pub(super) fn times(batch: &WriteBatch<'_>, cx: &Cx<'_>) -> RangeInclusive<TimestampMs> {
    let floats = batch.samples.iter().map(|sample| sample.timestamp_ms);
    let all = floats.chain(batch.histograms.iter().map(|sample| sample.timestamp_ms));
    let oldest = all.min().map_or(0, |t| t.saturating_sub(MAX_BEFORE_SAMPLES_MS));
    let past_grace_ms = cx.limits.past_grace_ms;
    let oldest = past_grace_ms.map_or(oldest, |grace| oldest.max(cx.now_ms.saturating_sub(grace)));
    oldest..=cx.now_ms.saturating_add(cx.limits.creation_grace_ms)
}

/// Keeps the valid exemplars of a series in order of time, and shortens its range.
pub(super) fn retain_valid(
    batch: &mut WriteBatch<'_>,
    series: &mut BatchSeries,
    (cx, times): (&Cx<'_>, &RangeInclusive<TimestampMs>),
    findings: &mut Findings,
) {
    let max = cx.limits.max_exemplars_per_series;
    let count = series.exemplars.len();
    if max > 0 && count > max {
        let reason = Reason("too_many_exemplars_per_series_per_request");
        add(&mut findings.discarded_exemplars, reason, (count - max) as u64);
        // Bounded by the count, which fits.
        series.exemplars.end = series.exemplars.start + max as u32;
    }
    let mut kept = series.exemplars.start;
    for i in series.exemplars.range() {
        let exemplar = batch.exemplars[i];
        match check(batch, &exemplar, times) {
            Ok(()) => {
                batch.exemplars[kept as usize] = exemplar;
                kept += 1;
            }
            Err(reason) => add(&mut findings.discarded_exemplars, Reason(reason), 1),
        }
    }
    series.exemplars.end = kept;
    batch.exemplars[series.exemplars.range()].sort_by_key(|exemplar| exemplar.timestamp_ms);
}

fn check(
    batch: &WriteBatch<'_>,
    exemplar: &BatchExemplar,
    times: &RangeInclusive<TimestampMs>,
) -> Result<(), &'static str> {
    let labels = &batch.exemplar_labels[exemplar.labels.range()];
    if labels.is_empty() {
        return Err("exemplar_labels_missing");
    }
    if exemplar.timestamp_ms == 0 {
        return Err("exemplar_timestamp_invalid");
    }
    let chars = labels.iter().map(|l| l.name.chars().count() + l.value.chars().count());
    if chars.sum::<usize>() > MAX_EXEMPLAR_LABEL_CHARS {
        return Err("exemplar_labels_too_long");
    }
    if labels.iter().all(|label| label.name.is_empty() || label.value.is_empty()) {
        return Err("exemplar_labels_blank");
    }
    if exemplar.timestamp_ms < *times.start() {
        return Err("exemplar_too_old");
    }
    if exemplar.timestamp_ms > *times.end() {
        return Err("exemplar_too_far_in_future");
    }
    Ok(())
}
