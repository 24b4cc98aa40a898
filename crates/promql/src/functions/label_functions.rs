//! `label_replace` and `label_join`: new labels, the same samples.

use model::regex::Regex;
use model::{Labels, LabelsBuilder, METRIC_NAME_LABEL};

use super::CallContext;
use super::args::Args;
use crate::engine::QueryError;
use crate::engine::batch::SeriesBatch;
use crate::engine::context::EvalContext;
use crate::engine::naming::{Duplicates, merge_duplicates, settle_names};
use crate::engine::operand::Operand;
use crate::engine::stream::{SeriesMap, VectorStream};

/// A label value may become so long; nothing that is stored comes near.
const MAX_VALUE_BYTES: usize = 1 << 20;

pub(super) fn label_replace(
    call: &CallContext<'_>,
    args: &mut Args,
) -> Result<Operand, QueryError> {
    let target = label_name(&args.text(1)?);
    let template = String::from_utf8_lossy(&args.text(2)?).into_owned();
    let source = String::from_utf8_lossy(&args.text(3)?).into_owned();
    let pattern = args.text(4)?;
    let regex = Regex::new(&pattern).map_err(|_| {
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
    template: String,
    source: String,
    regex: Regex,
}

impl SeriesMap for ReplaceMap {
    fn apply(&self, batch: &mut SeriesBatch, cx: &EvalContext<'_>) -> Result<(), QueryError> {
        settle_names(batch, cx);
        let (mut pace, mut meter) = (cx.pace(), cx.meter());
        for head in &mut batch.heads {
            let value = head.labels.value(&self.source);
            let most = self.template.len().saturating_mul(value.len().max(1));
            pace.tick(most.min(MAX_VALUE_BYTES))?;
            let Some(replacement) = self.regex.captures_expand(value, &self.template) else {
                continue;
            };
            check_length("label_replace", replacement.len())?;
            meter.add(replacement.len())?;
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
        let (mut pace, mut meter) = (cx.pace(), cx.meter());
        for head in &mut batch.heads {
            let values: Vec<&str> = self.sources.iter().map(|s| head.labels.value(s)).collect();
            let separators = values.len().saturating_mul(self.separator.len());
            let len = separators.saturating_add(values.iter().map(|value| value.len()).sum());
            pace.tick(len)?;
            check_length("label_join", len)?;
            meter.add(len)?;
            head.labels = with_label(&head.labels, &self.target, &values.join(&self.separator));
            head.drop_name &= self.target != METRIC_NAME_LABEL;
        }
        Ok(())
    }
}

fn check_length(function: &str, len: usize) -> Result<(), QueryError> {
    if len <= MAX_VALUE_BYTES {
        return Ok(());
    }
    Err(QueryError::execution(format!(
        "{function}() made a label value of {len} bytes (limit: {MAX_VALUE_BYTES} bytes)"
    )))
}

fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    let mut builder = LabelsBuilder::new(labels);
    builder.set(name, value);
    builder.build()
}
