//! The values of templates, and how they are printed.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{FloatHistogram, Labels, TimestampMs};
use promql::value::{SampleValue, VectorSample};

use crate::{duration, go_format};

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Str(String),
    /// A histogram.
    Histogram(Arc<FloatHistogram>),
    /// A length of time, ns.
    Duration(i64),
    /// A moment, ms.
    Time(TimestampMs),
    /// A list.
    List(Arc<Vec<Value>>),
    /// A map whose missing keys are empty texts: labels.
    Labels(Arc<BTreeMap<String, Value>>),
    /// A map whose missing keys are nothing.
    Map(Arc<BTreeMap<String, Value>>),
    /// Something with fields: the data of an alert, or a sample.
    Object(Arc<BTreeMap<String, Value>>),
}

impl Value {
    /// Something with these fields.
    pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        Self::Object(Arc::new(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
    }

    /// A label set.
    pub fn labels(labels: &Labels) -> Self {
        let pairs = labels.iter().map(|l| (l.name.to_owned(), Value::Str(l.value.to_owned())));
        Self::Labels(Arc::new(pairs.collect()))
    }

    /// The value of a sample.
    pub fn from_sample(value: &SampleValue) -> Self {
        match value {
            SampleValue::Float(value) => Self::Float(*value),
            SampleValue::Histogram(histogram) => Self::Histogram(Arc::clone(histogram)),
        }
    }

    /// The result of a query.
    pub(super) fn samples(samples: &[VectorSample]) -> Self {
        let object = |sample: &VectorSample| {
            Self::object([
                ("Labels", Self::labels(&sample.labels)),
                ("Value", Self::from_sample(&sample.value)),
            ])
        };
        Self::List(Arc::new(samples.iter().map(object).collect()))
    }

    /// Go's name of the type, for error texts.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Histogram(_) => "*histogram.FloatHistogram",
            Self::Duration(_) => "*time.Duration",
            Self::Time(_) => "*time.Time",
            Self::List(_) => "template.queryResult",
            Self::Labels(_) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Object(_) => "*template.sample",
        }
    }

    /// Whether `if` takes it as true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Duration(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Labels(map) | Self::Map(map) => !map.is_empty(),
            Self::Histogram(_) | Self::Time(_) | Self::Object(_) => true,
        }
    }

    /// `.name` of it.
    pub(super) fn field(&self, name: &str) -> Result<Value, String> {
        match self {
            Self::Labels(map) => {
                Ok(map.get(name).cloned().unwrap_or_else(|| Self::Str(String::new())))
            }
            Self::Map(map) => Ok(map.get(name).cloned().unwrap_or(Self::Nil)),
            Self::Object(map) => map.get(name).cloned().ok_or_else(|| self.no_field(name)),
            Self::Nil => Err(format!("nil data; no entry for key \"{name}\"")),
            other => Err(other.no_field(name)),
        }
    }

    fn no_field(&self, name: &str) -> String {
        format!("can't evaluate field {name} in type {}", self.type_name())
    }

    /// As `{{ value }}` prints it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Nil => "<no value>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => go_format::g(*value, None),
            Self::Str(text) => text.clone(),
            Self::Histogram(histogram) => histogram.to_string(),
            Self::Duration(ns) => duration::go_text(*ns),
            Self::Time(ms) => time_text(*ms),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::text).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Labels(map) | Self::Map(map) => map_text(map),
            Self::Object(map) => {
                let fields: Vec<String> = map.values().map(Self::text).collect();
                format!("{{{}}}", fields.join(" "))
            }
        }
    }

    /// As a number, for the humanizing functions.
    pub(super) fn to_float(&self) -> Result<f64, String> {
        match self {
            Self::Float(value) => Ok(*value),
            Self::Int(value) => Ok(*value as f64),
            Self::Duration(ns) => Ok(*ns as f64 / 1e9),
            Self::Str(text) => text.parse().map_err(|_| {
                format!("strconv.ParseFloat: parsing {}: invalid syntax", quoted(text))
            }),
            other => Err(format!("can't convert {} to float", other.type_name())),
        }
    }
}

fn map_text(map: &BTreeMap<String, Value>) -> String {
    let pairs: Vec<String> =
        map.iter().map(|(key, value)| format!("{key}:{}", value.text())).collect();
    format!("map[{}]", pairs.join(" "))
}

/// `2015-07-01 20:10:51.781 +0000 UTC`.
pub(super) fn time_text(time_ms: TimestampMs) -> String {
    let Ok(time) = jiff::Timestamp::from_millisecond(time_ms) else {
        return format!("{time_ms} ms");
    };
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    let whole = time.strftime("%Y-%m-%d %H:%M:%S");
    let ms = time.millisecond();
    let fraction = if ms == 0 { String::new() } else { format!(".{ms:03}") };
    format!("{whole}{} +0000 UTC", fraction.trim_end_matches('0'))
}

/// A text in Go's quotes.
pub(super) fn quoted(text: &str) -> String {
    model::quote::quote(text.as_bytes())
}
