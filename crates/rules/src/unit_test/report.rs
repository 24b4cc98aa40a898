//! Failures in promtool's words.

use model::Labels;

/// A list of alerts, each with its labels and annotations.
pub(super) fn alerts_text(alerts: &[(Labels, Labels)]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let items: Vec<String> = alerts
        .iter()
        .enumerate()
        .map(|(i, (labels, annotations))| {
            let text = format!("\nLabels:{labels}\nAnnotations:{annotations}");
            format!("{i}:{}", indented(&text, "  "))
        })
        .collect();
    format!("[\n{}\n]", items.join(",\n"))
}

/// The same with `indent` in front of every line but the first.
pub(super) fn indented(text: &str, indent: &str) -> String {
    text.replace('\n', &format!("\n{indent}"))
}

/// A list of samples as they are shown.
pub(super) fn samples_text(samples: &[(Labels, String)]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let shown = samples.iter().map(|(labels, value)| format!("{labels} {value}"));
    shown.collect::<Vec<_>>().join(", ")
}

/// A float with an exponent, as `strconv.FormatFloat(v, 'E', -1, 64)`.
pub(super) fn float_text(value: f64) -> String {
    if value.is_finite() {
        crate::go_format::e(value, None).to_uppercase()
    } else {
        crate::go_format::e(value, None)
    }
}
