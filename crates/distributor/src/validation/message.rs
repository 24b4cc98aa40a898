//! The parts of Mimir's error texts that all checks share.

use model::{Label, METRIC_NAME_LABEL};

use super::{Reason, Rejection};

/// Texts are cut after this many bytes inside an error message.
const MAX_TEXT_BYTES: usize = 200;

/// A series as error texts show it: `name{label="value", ...}`, in the given order.
pub(crate) fn series_text(labels: &[Label<'_>]) -> String {
    let name_at = labels.iter().position(|l| l.name == METRIC_NAME_LABEL);
    let mut text = name_at.map_or_else(String::new, |i| labels[i].value.to_owned());
    let rest = labels.iter().enumerate().filter(|(i, _)| Some(*i) != name_at);
    let pairs: Vec<String> = rest
        .map(|(_, l)| format!("{}={}", l.name, model::quote::quote(l.value.as_bytes())))
        .collect();
    if !pairs.is_empty() || text.is_empty() {
        text.push('{');
        text.push_str(&pairs.join(", "));
        text.push('}');
    }
    text
}

/// `text`, cut at a character border.
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// An error with its id.
pub(super) fn rejection(reason: &'static str, id: &str, message: &str) -> Rejection {
    Rejection { reason: Reason(reason), message: format!("{message} (err-mimir-{id})") }
}

/// An error with its id and the option that would allow it.
pub(super) fn limit_rejection(
    reason: &'static str,
    (id, flag): (&str, &str),
    message: &str,
) -> Rejection {
    Rejection {
        reason: Reason(reason),
        message: format!(
            "{message} (err-mimir-{id}). To adjust the related per-tenant limit, configure \
             -{flag}, or contact your service administrator."
        ),
    }
}
