//! Checks of metric metadata.

use model::batch::MetricMetadata;

use super::message::{cut, limit_rejection, rejection};
use super::{Rejection, ValidationLimits};

/// Checks one piece of metadata. A help text that is too long is cut, not refused.
pub(super) fn check(
    metadata: &mut MetricMetadata<'_>,
    limits: &ValidationLimits,
) -> Result<(), Rejection> {
    if limits.enforce_metadata_metric_name && metadata.family.is_empty() {
        let message = "received a metric metadata with no metric name";
        return Err(rejection("missing_metric_name", "metadata-missing-metric-name", message));
    }
    let max_bytes = limits.max_metadata_bytes;
    if max_bytes == 0 {
        return Ok(());
    }
    metadata.help = cut_at(metadata.help, max_bytes);
    for (what, text, reason, id) in [
        ("metric name", metadata.family, "metric_name_too_long", "metric-name-too-long"),
        ("unit name", metadata.unit, "unit_too_long", "unit-too-long"),
    ] {
        if text.len() > max_bytes {
            let shown =
                if what == "unit name" { format!("unit: '{}' ", cut(text)) } else { String::new() };
            let message = format!(
                "received a metric metadata whose {what} length exceeds the limit, {shown}metric \
                 name: '{}'",
                cut(metadata.family)
            );
            let flag = (id, "validation.max-metadata-length");
            return Err(limit_rejection(reason, flag, &message));
        }
    }
    Ok(())
}

fn cut_at(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
