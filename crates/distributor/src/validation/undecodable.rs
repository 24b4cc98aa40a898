//! Series whose labels are not UTF-8: what is wrong with them, in the order of the checks of
//! `labels.rs`. At the latest the label that is not UTF-8 is.

use model::batch::{RawLabel, Undecodable, UndecodableSeries};
use model::{Label, METRIC_NAME_LABEL};

use super::labels::{check_count, check_metric_name, check_name, check_value, invalid_metric_name};
use super::labels::{duplicate_name, invalid_name};
use super::message::{cut, raw_series_text, rejection, to_valid_utf8};
use super::{Findings, Rejection, ValidationLimits};

/// Refuses the series of a request that are not UTF-8, in turn with its others.
pub(super) struct Refusals<'b> {
    all: &'b Undecodable<'b>,
    left: &'b [UndecodableSeries],
}

impl<'b> Refusals<'b> {
    pub(super) fn new(all: &'b Undecodable<'b>) -> Self {
        Self { all, left: &all.series }
    }

    /// Refuses those that stand before the series at `index` of the batch.
    #[inline]
    pub(super) fn before(
        &mut self,
        index: usize,
        limits: &ValidationLimits,
        findings: &mut Findings,
    ) {
        while let [next, left @ ..] = self.left
            && next.position as usize <= index
        {
            let error = check(self.all.labels_of(next), limits);
            findings.discard_samples(error, u64::from(next.sample_count).max(1));
            self.left = left;
        }
    }
}

/// The first thing that is wrong with sorted labels of which one is not UTF-8.
#[cold]
fn check(raw: &[RawLabel<'_>], limits: &ValidationLimits) -> Rejection {
    let shown: Vec<[String; 2]> =
        raw.iter().map(|l| [to_valid_utf8(l.name), to_valid_utf8(l.value)]).collect();
    let labels: Vec<Label<'_>> = shown.iter().map(|[name, value]| Label { name, value }).collect();
    check_set(raw, &labels, limits).err().unwrap_or_else(|| {
        // Not reached: one of the labels is not UTF-8.
        invalid_value(&Label { name: "", value: "" }, &labels)
    })
}

fn check_set(
    raw: &[RawLabel<'_>],
    labels: &[Label<'_>],
    limits: &ValidationLimits,
) -> Result<(), Rejection> {
    check_metric_name(labels, limits)?;
    let is_metric_name = |label: &&RawLabel<'_>| label.name == METRIC_NAME_LABEL.as_bytes();
    if let Some(metric) = raw.iter().find(is_metric_name)
        && metric.label().is_none()
    {
        return Err(invalid_metric_name(&to_valid_utf8(metric.value)));
    }
    check_count(labels, limits)?;
    let series = || raw_series_text(raw.iter().map(|label| (label.name, label.value)));
    let mut previous = None;
    for (label, raw) in labels.iter().zip(raw) {
        if std::str::from_utf8(raw.name).is_err() {
            return Err(invalid_name(label.name, &series()));
        }
        check_name(label.name, limits, series)?;
        if std::str::from_utf8(raw.value).is_err() {
            return Err(invalid_value(label, labels));
        }
        check_value(label, limits, series)?;
        if previous == Some(label.name) {
            return Err(duplicate_name(label.name, &series()));
        }
        previous = Some(label.name);
    }
    Ok(())
}

fn invalid_value(label: &Label<'_>, labels: &[Label<'_>]) -> Rejection {
    let metric = labels.iter().find(|l| l.name == METRIC_NAME_LABEL).map_or("", |l| l.value);
    let message = format!(
        "received a series with invalid value in label '{}': '{}' metric: '{}'",
        cut(label.name),
        cut(label.value),
        cut(metric)
    );
    rejection("label_value_invalid", "label-value-invalid", &message)
}
