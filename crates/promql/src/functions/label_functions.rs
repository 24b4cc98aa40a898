//! `label_replace` and `label_join`: new labels, the same samples.

use std::sync::Arc;

use model::{Labels, LabelsBuilder, METRIC_NAME_LABEL};
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use super::CallContext;
use super::args::Args;
use crate::engine::QueryError;
use crate::engine::batch::SeriesBatch;
use crate::engine::context::EvalContext;
use crate::engine::naming::{Duplicates, merge_duplicates, settle_names};
use crate::engine::operand::Operand;
use crate::engine::stream::{SeriesMap, VectorStream};

pub(super) fn label_replace(
    call: &CallContext<'_>,
    args: &mut Args,
) -> Result<Operand, QueryError> {
    let target = label_name(&args.text(1)?);
    let template = Template::parse(&args.text(2)?);
    let source = String::from_utf8_lossy(&args.text(3)?).into_owned();
    let pattern = args.text(4)?;
    let regex = compile(&pattern).ok_or_else(|| {
        let pattern = String::from_utf8_lossy(&pattern);
        QueryError::execution(format!("invalid regular expression in label_replace(): {pattern}"))
    })?;
    let target = target.map_err(|name| {
        QueryError::execution(format!("invalid destination label name in label_replace(): {name}"))
    })?;
    let map = ReplaceMap { target, template, source, regex };
    relabel(call, args.vector(0)?, Box::new(map))
}

pub(super) fn label_join(call: &CallContext<'_>, args: &mut Args) -> Result<Operand, QueryError> {
    let target = label_name(&args.text(1)?);
    let separator = String::from_utf8_lossy(&args.text(2)?).into_owned();
    let mut sources = Vec::new();
    for index in 3..args.len() {
        sources.push(label_name(&args.text(index)?).map_err(|name| {
            QueryError::execution(format!("invalid source label name in label_join(): {name}"))
        })?);
    }
    let target = target.map_err(|name| {
        QueryError::execution(format!("invalid destination label name in label_join(): {name}"))
    })?;
    relabel(call, args.vector(0)?, Box::new(JoinMap { target, separator, sources }))
}

/// Any text but an empty one is a label name; the error is what to print.
fn label_name(bytes: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(bytes) {
        Ok(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(String::from_utf8_lossy(bytes).into_owned()),
    }
}

fn compile(pattern: &[u8]) -> Option<Arc<Regex>> {
    // What the language accepts is checked as for matchers; the groups are needed besides.
    model::regex::Regex::new(pattern).ok()?;
    let pattern = std::str::from_utf8(pattern).ok()?;
    Regex::new(&format!("^(?s:{pattern})$")).ok().map(Arc::new)
}

fn relabel(
    call: &CallContext<'_>,
    input: VectorStream,
    map: Box<dyn SeriesMap>,
) -> Result<Operand, QueryError> {
    let batch = input.map(map).collect(call.cx)?;
    let merged = merge_duplicates(batch, Duplicates::Merge, call.cx)?;
    Ok(Operand::Vector(VectorStream::of(merged)))
}

struct ReplaceMap {
    target: String,
    template: Template,
    source: String,
    regex: Arc<Regex>,
}

impl SeriesMap for ReplaceMap {
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        settle_names(batch, cx);
        let mut captures = self.regex.create_captures();
        for head in &mut batch.heads {
            let value = head.labels.value(&self.source);
            self.regex.captures(value, &mut captures);
            if !captures.is_match() {
                continue;
            }
            let replacement = self.template.expand(value, &captures);
            head.labels = with_label(&head.labels, &self.target, &replacement);
            head.drop_name &= self.target != METRIC_NAME_LABEL;
        }
        Ok(())
    }
}

struct JoinMap {
    target: String,
    separator: String,
    sources: Vec<String>,
}

impl SeriesMap for JoinMap {
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        settle_names(batch, cx);
        for head in &mut batch.heads {
            let values: Vec<&str> = self.sources.iter().map(|s| head.labels.value(s)).collect();
            head.labels = with_label(&head.labels, &self.target, &values.join(&self.separator));
            head.drop_name &= self.target != METRIC_NAME_LABEL;
        }
        Ok(())
    }
}

fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    let mut builder = LabelsBuilder::new(labels);
    builder.set(name, value);
    builder.build()
}

/// A replacement with references to groups, as Go's `Regexp.Expand` reads it: `$name` and
/// `${name}`, where a name is letters, digits and underscores and `$name` takes as many of them
/// as there are; `$$` is a dollar sign.
#[derive(Debug, PartialEq)]
struct Template(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Index(usize),
    Name(String),
}

impl Template {
    fn parse(template: &[u8]) -> Self {
        let template = String::from_utf8_lossy(template);
        let mut rest: &str = &template;
        let mut parts = Vec::new();
        while let Some((before, after)) = rest.split_once('$') {
            parts.push(Part::Text(before.to_owned()));
            if let Some(after_dollar) = after.strip_prefix('$') {
                parts.push(Part::Text("$".to_owned()));
                rest = after_dollar;
            } else if let Some((name, after_name)) = take_reference(after) {
                parts.push(reference(name));
                rest = after_name;
            } else {
                parts.push(Part::Text("$".to_owned()));
                rest = after;
            }
        }
        parts.push(Part::Text(rest.to_owned()));
        Self(parts)
    }

    fn expand(&self, value: &str, captures: &Captures) -> String {
        let mut out = String::new();
        for part in &self.0 {
            let span = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Index(index) => captures.get_group(*index),
                Part::Name(name) => captures.get_group_by_name(name),
            };
            out.push_str(span.and_then(|span| value.get(span.range())).unwrap_or_default());
        }
        out
    }
}

/// The name that `text`, which stood behind a dollar sign, begins with, and what follows.
fn take_reference(text: &str) -> Option<(&str, &str)> {
    let (braced, body) = match text.strip_prefix('{') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let end = body.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(body.len());
    let (name, after) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced { after.strip_prefix('}').map(|after| (name, after)) } else { Some((name, after)) }
}

fn reference(name: &str) -> Part {
    match name.parse() {
        Ok(index) if name.bytes().all(|b| b.is_ascii_digit()) => Part::Index(index),
        _ => Part::Name(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(pattern: &str, value: &str, template: &str) -> String {
        let regex = compile(pattern.as_bytes()).unwrap();
        let mut captures = regex.create_captures();
        regex.captures(value, &mut captures);
        Template::parse(template.as_bytes()).expand(value, &captures)
    }

    /// The cases of Go's documentation of `Regexp.Expand`.
    #[test]
    fn templates_expand_as_go_expands() {
        for (template, want) in [
            ("$1-$2", "a-b"),
            ("$1x", ""),
            ("${1}x", "ax"),
            ("$10", ""),
            ("${1}0", "a0"),
            ("$$1", "$1"),
            ("$", "$"),
            ("${", "${"),
            ("${1", "${1"),
            ("$name", "b"),
            ("[$0]", "[a:b]"),
            ("$none", ""),
        ] {
            assert_eq!(expand("(.*):(?P<name>.*)", "a:b", template), want, "{template}");
        }
    }
}
