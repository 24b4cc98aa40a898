//! The layer that turns events into lines and keeps the fields of open spans.

use std::fmt;
use std::sync::Arc;

use model::Clock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::encode::{Line, LogFormat};

/// Takes a whole line with its line break.
type Sink = Box<dyn Fn(&str) + Send + Sync>;

pub(super) struct LineLayer {
    format: LogFormat,
    clock: Arc<dyn Clock>,
    sink: Sink,
}

impl LineLayer {
    pub(super) fn new(
        format: LogFormat,
        clock: Arc<dyn Clock>,
        sink: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self { format, clock, sink: Box::new(sink) }
    }
}

impl<S> Layer<S> for LineLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Line::new(self.format);
        line.push_time(self.clock.now_ms());
        line.push("caller", &caller(metadata));
        line.push("level", level_word(metadata));
        line.push("msg", &fields.message);
        for (name, value) in &fields.fields {
            line.push(name, value);
        }
        for span in context.event_scope(event).into_iter().flatten().collect::<Vec<_>>() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                fields.fields.iter().for_each(|(name, value)| line.push(name, value));
            }
        }
        (self.sink)(&line.finish());
    }
}

fn level_word(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG | tracing::Level::TRACE => "debug",
    }
}

/// Where the event stands: crate, file and line, like `tsdb/head/append.rs:12`.
fn caller(metadata: &Metadata<'_>) -> String {
    let Some(file) = metadata.file() else { return metadata.target().to_owned() };
    let line = metadata.line().unwrap_or(0);
    match file.rsplit_once("/src/") {
        Some((package, file)) => {
            let package = package.rsplit('/').next().unwrap_or(package);
            format!("{package}/{file}:{line}")
        }
        None => format!("{file}:{line}"),
    }
}

/// The fields of a span or an event as text.
#[derive(Default)]
struct Fields {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => match self.fields.iter_mut().find(|(existing, _)| *existing == name) {
                Some((_, existing)) => *existing = value,
                None => self.fields.push((name, value)),
            },
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field, value.to_string());
    }
}
