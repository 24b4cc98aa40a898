//! Checks of a series' labels.

use model::labels::{is_legacy_label_name, is_legacy_metric_name};
use model::{Label, METRIC_NAME_LABEL};

use super::message::{ascii_only, cut, limit_rejection, rejection, series_text};
use super::{Rejection, ValidationLimits};

/// Checks sorted labels; the first thing that is wrong.
pub(super) fn check(labels: &[Label<'_>], limits: &ValidationLimits) -> Result<(), Rejection> {
    check_metric_name(labels, limits)?;
    check_count(labels, limits)?;
    let mut previous = None;
    for label in labels {
        check_name(label.name, limits, || series_text(labels))?;
        check_value(label, limits, || series_text(labels))?;
        if previous == Some(label.name) {
            return Err(duplicate_name(label.name, &series_text(labels)));
        }
        previous = Some(label.name);
    }
    Ok(())
}

/// Whether the names, which are ascending, are valid whatever the values are.
pub(super) fn are_valid_names(labels: &[Label<'_>], limits: &ValidationLimits) -> bool {
    labels.len() <= limits.max_label_names
        && labels.iter().all(|label| {
            is_valid_name(label.name, limits) && label.name.len() <= limits.max_label_name_bytes
        })
}

fn is_valid_name(name: &str, limits: &ValidationLimits) -> bool {
    if limits.utf8_names { !name.is_empty() } else { is_legacy_label_name(name) }
}

pub(super) fn check_metric_name(
    labels: &[Label<'_>],
    limits: &ValidationLimits,
) -> Result<(), Rejection> {
    let Some(name) = metric_name(labels) else {
        let message = "received series has no metric name";
        return Err(rejection("missing_metric_name", "missing-metric-name", message));
    };
    if limits.utf8_names || is_legacy_metric_name(name) {
        return Ok(());
    }
    Err(invalid_metric_name(name))
}

pub(super) fn invalid_metric_name(name: &str) -> Rejection {
    let name = ascii_only(name);
    let message = format!("received a series with invalid metric name: '{}'", cut(&name));
    rejection("metric_name_invalid", "metric-name-invalid", &message)
}

pub(super) fn metric_name<'a>(labels: &[Label<'a>]) -> Option<&'a str> {
    // Upper-case names sort before it, so it need not be the first.
    labels.iter().find(|l| l.name == METRIC_NAME_LABEL).map(|l| l.value)
}

pub(super) fn check_count(
    labels: &[Label<'_>],
    limits: &ValidationLimits,
) -> Result<(), Rejection> {
    let is_over = labels.len() > limits.max_label_names;
    if !is_over {
        return Ok(());
    }
    let is_info = metric_name(labels).is_some_and(|name| name.ends_with("_info"));
    let (limit, id, flag) = if is_info {
        let id = "max-label-names-per-info-series";
        (limits.max_label_names_info, id, "validation.max-label-names-per-info-series")
    } else {
        let id = "max-label-names-per-series";
        (limits.max_label_names, id, "validation.max-label-names-per-series")
    };
    if labels.len() <= limit {
        return Ok(());
    }
    let text = series_text(labels);
    let shown = cut(&text);
    let ellipsis = if shown.len() < text.len() { "…" } else { "" };
    let message = format!(
        "received a series whose number of labels exceeds the limit (actual: {}, limit: {limit}) \
         series: '{shown}{ellipsis}'",
        labels.len()
    );
    let reason =
        if is_info { "max_label_names_per_info_series" } else { "max_label_names_per_series" };
    Err(limit_rejection(reason, (id, flag), &message))
}

/// Checks the name of a label of the series that `series` shows.
pub(super) fn check_name(
    name: &str,
    limits: &ValidationLimits,
    series: impl Fn() -> String,
) -> Result<(), Rejection> {
    if !is_valid_name(name, limits) {
        return Err(invalid_name(name, &series()));
    }
    if name.len() > limits.max_label_name_bytes {
        let message = format!(
            "received a series whose label name length exceeds the limit, label: '{}' series: '{}'",
            cut(name),
            cut(&series())
        );
        let flag = ("label-name-too-long", "validation.max-length-label-name");
        return Err(limit_rejection("label_name_too_long", flag, &message));
    }
    Ok(())
}

pub(super) fn invalid_name(name: &str, series: &str) -> Rejection {
    let message = format!(
        "received a series with an invalid label: '{}' series: '{}'",
        cut(name),
        cut(series)
    );
    rejection("label_invalid", "label-invalid", &message)
}

pub(super) fn duplicate_name(name: &str, series: &str) -> Rejection {
    let message = format!(
        "received a series with duplicate label name, label: '{}' series: '{}'",
        cut(name),
        cut(series)
    );
    rejection("duplicate_label_names", "duplicate-label-names", &message)
}

/// Checks the value of a label of the series that `series` shows.
pub(super) fn check_value(
    label: &Label<'_>,
    limits: &ValidationLimits,
    series: impl Fn() -> String,
) -> Result<(), Rejection> {
    if label.value.len() <= limits.max_label_value_bytes {
        return Ok(());
    }
    let message = format!(
        "received a series whose label value length of {} exceeds the limit of {}, label: '{}', \
         value: '{}' (truncated) series: '{}'",
        label.value.len(),
        limits.max_label_value_bytes,
        label.name,
        cut(label.value),
        cut(&series())
    );
    let flag = ("label-value-too-long", "validation.max-length-label-value");
    Err(limit_rejection("label_value_too_long", flag, &message))
}
