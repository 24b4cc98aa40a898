//! Go's text templates as Prometheus uses them in labels and annotations of alerts.
//!
//! `parse.rs` makes a tree, `exec.rs` walks it, `functions.rs` and `printf.rs` hold what can be
//! called. Output, loops and nesting are bounded: a template is written by a tenant.
//!
//! Known differences: methods of Go values (`.Format` of a time) do not exist, and errors name
//! the template but no column.

mod compare;
mod exec;
mod functions;
mod humanize;
mod parse;
mod printf;
mod value;

use model::{Labels, TimestampMs};
use promql::value::{SampleValue, VectorSample};

pub use value::Value;

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is no template.
    #[error("error parsing template {name}: {message}")]
    Parse {
        /// The template's name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// It cannot be filled in.
    #[error("error executing template {name}: {message}")]
    Execute {
        /// The template's name.
        name: String,
        /// What went wrong.
        message: String,
    },
}

/// Runs an instant query at the time of the evaluation, for the function `query`.
pub type QueryFunction<'a> = &'a dyn Fn(&str) -> Result<Vec<VectorSample>, String>;

/// What a template is filled in with.
#[derive(Clone, Copy)]
pub struct TemplateContext<'a> {
    /// For error texts.
    pub name: &'a str,
    /// The time of the evaluation, ms.
    pub time_ms: TimestampMs,
    /// The address that links lead to.
    pub external_url: &'a str,
    /// The function `query`.
    pub query: QueryFunction<'a>,
}

/// The variables that every template of an alert starts with.
const DEFINITIONS: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                           {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// The data of an alert's templates.
pub fn alert_data(
    labels: &Labels,
    external_labels: &Labels,
    external_url: &str,
    value: &SampleValue,
) -> Value {
    Value::object([
        ("Labels", Value::labels(labels)),
        ("ExternalLabels", Value::labels(external_labels)),
        ("ExternalURL", Value::Str(external_url.to_owned())),
        ("Value", Value::from_sample(value)),
    ])
}

/// Fills in a template of an alert.
///
/// # Errors
/// If it is no template or cannot be filled in.
pub fn expand_alert(
    text: &str,
    data: &Value,
    cx: &TemplateContext<'_>,
) -> Result<String, TemplateError> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    expand(&format!("{DEFINITIONS}{text}"), data, cx)
}

/// Fills in any template.
///
/// # Errors
/// If it is no template or cannot be filled in.
pub fn expand(text: &str, data: &Value, cx: &TemplateContext<'_>) -> Result<String, TemplateError> {
    let parsed = parse::parse(text)
        .map_err(|message| TemplateError::Parse { name: cx.name.to_owned(), message })?;
    exec::run(&parsed, data, cx)
        .map_err(|message| TemplateError::Execute { name: cx.name.to_owned(), message })
}

/// Whether a text can be a template of an alert.
///
/// # Errors
/// What is wrong with it.
pub fn check_alert(text: &str) -> Result<(), String> {
    parse::parse(&format!("{DEFINITIONS}{text}")).map(drop)
}

#[cfg(test)]
mod tests;
