//! The parts of Mimir's error texts that all checks share.

use std::borrow::Cow;

use model::{Label, METRIC_NAME_LABEL};

use super::{Reason, Rejection};

/// Texts are cut after this many characters inside an error message.
const MAX_TEXT_CHARS: usize = 200;

/// A series as error texts show it: `name{label="value", ...}`, in the given order.
pub(crate) fn series_text(labels: &[Label<'_>]) -> String {
    raw_series_text(labels.iter().map(|l| (l.name.as_bytes(), l.value.as_bytes())))
}

/// The same of names and values that need not be UTF-8.
pub(super) fn raw_series_text<'a>(
    labels: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> String {
    let name_at = labels.clone().position(|(name, _)| name == METRIC_NAME_LABEL.as_bytes());
    let name = name_at.and_then(|at| labels.clone().nth(at));
    let mut text = name.map_or_else(String::new, |(_, value)| to_valid_utf8(value));
    let rest = labels.enumerate().filter(|(i, _)| Some(*i) != name_at);
    let pairs: Vec<String> = rest
        .map(|(_, (name, value))| format!("{}={}", to_valid_utf8(name), model::quote::quote(value)))
        .collect();
    if !pairs.is_empty() || text.is_empty() {
        text.push('{');
        text.push_str(&pairs.join(", "));
        text.push('}');
    }
    text
}

/// Text with one replacement character instead of each run of bytes that are not UTF-8.
pub(super) fn to_valid_utf8(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut is_in_run = false;
    for chunk in bytes.utf8_chunks() {
        is_in_run &= chunk.valid().is_empty();
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() && !is_in_run {
            text.push(char::REPLACEMENT_CHARACTER);
            is_in_run = true;
        }
    }
    text
}

/// A metric name without what is not ASCII, and a remark where there was such.
pub(super) fn ascii_only(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return Cow::Borrowed(name);
    }
    let ascii: String = name.chars().filter(char::is_ascii).collect();
    Cow::Owned(ascii + " (non-ascii characters removed)")
}

/// `text`, as far as an error message shows it.
pub(super) fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_TEXT_CHARS).map_or(text.len(), |(at, _)| at);
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
