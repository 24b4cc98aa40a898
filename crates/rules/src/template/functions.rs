//! Everything that can be called: Go's own functions and Prometheus'.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use model::html::escape_html;
use regex_automata::meta::Regex;

use super::TemplateContext;
use super::compare::{Comparison, compare};
use super::humanize;
use super::printf;
use super::value::Value;

/// The most bytes that a regular expression may compile to.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// All names.
const NAMES: &[&str] = &[
    "and",
    "or",
    "not",
    "len",
    "index",
    "slice",
    "print",
    "printf",
    "println",
    "html",
    "js",
    "urlquery",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "query",
    "first",
    "label",
    "value",
    "strvalue",
    "args",
    "reReplaceAll",
    "safeHtml",
    "match",
    "title",
    "toUpper",
    "toLower",
    "graphLink",
    "tableLink",
    "sortByLabel",
    "stripPort",
    "stripDomain",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "toTime",
    "toDuration",
    "now",
    "pathPrefix",
    "externalURL",
    "parseDuration",
    "urlQueryEscape",
];

/// Whether a function has this name.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls a function.
pub(super) fn call(
    name: &str,
    arguments: Vec<Value>,
    cx: &TemplateContext<'_>,
) -> Result<Value, String> {
    if let Some(value) = call_go(name, &arguments) {
        return value;
    }
    match name {
        "query" => {
            let [query] = texts(&arguments)?;
            (cx.query)(query).map(|samples| Value::samples(&samples))
        }
        "now" => Ok(Value::Float(cx.time_ms as f64 / 1000.0)),
        "externalURL" => Ok(Value::Str(cx.external_url.to_owned())),
        "pathPrefix" => Ok(Value::Str(path_of(cx.external_url).to_owned())),
        "first" | "label" | "value" | "strvalue" | "sortByLabel" | "args" => {
            call_samples(name, &arguments)
        }
        "humanize" | "humanize1024" | "humanizeDuration" | "humanizePercentage"
        | "humanizeTimestamp" | "toTime" | "toDuration" => call_number(name, &arguments),
        _ => call_text(name, &arguments),
    }
}

fn count<const N: usize>(arguments: &[Value]) -> Result<&[Value; N], String> {
    arguments
        .try_into()
        .map_err(|_| format!("wrong number of args: want {N} got {}", arguments.len()))
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Str(text) => Ok(text),
        other => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
    }
}

fn texts<const N: usize>(arguments: &[Value]) -> Result<[&str; N], String> {
    let mut out = [""; N];
    for (out, value) in out.iter_mut().zip(count::<N>(arguments)?) {
        *out = text(value)?;
    }
    Ok(out)
}

/// Go's own functions; nothing for a name of another one.
fn call_go(name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let comparison = match name {
        "eq" => Some(Comparison::Equal),
        "ne" => Some(Comparison::NotEqual),
        "lt" => Some(Comparison::Less),
        "le" => Some(Comparison::LessOrEqual),
        "gt" => Some(Comparison::Greater),
        "ge" => Some(Comparison::GreaterOrEqual),
        _ => None,
    };
    if let Some(comparison) = comparison {
        return Some(compare(comparison, arguments));
    }
    let shown = || printf::print(arguments);
    Some(match name {
        // What decides is the first that is false, or true; else the last.
        "and" => Ok(decisive(arguments, false)),
        "or" => Ok(decisive(arguments, true)),
        "not" => count::<1>(arguments).map(|[value]| Value::Bool(!value.is_true())),
        "len" => count::<1>(arguments).and_then(|[value]| length(value)),
        "index" => index(arguments),
        "slice" => slice(arguments),
        "print" => Ok(Value::Str(shown())),
        "println" => Ok(Value::Str(printf::println(arguments))),
        "printf" => match arguments {
            [Value::Str(format), values @ ..] => Ok(Value::Str(printf::printf(format, values))),
            _ => Err("wrong type for value; expected string".to_owned()),
        },
        "html" => Ok(Value::Str(escape_html(&shown()))),
        "js" => Ok(Value::Str(escape_js(&shown()))),
        "urlquery" => Ok(Value::Str(escape_query(&shown()))),
        _ => return None,
    })
}

fn decisive(arguments: &[Value], decides: bool) -> Value {
    let found = arguments.iter().find(|value| value.is_true() == decides);
    found.or_else(|| arguments.last()).cloned().unwrap_or(Value::Nil)
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Str(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Labels(map) | Value::Map(map) => map.len(),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(length as i64))
}

fn index(arguments: &[Value]) -> Result<Value, String> {
    let [first, keys @ ..] = arguments else {
        return Err("wrong number of args: want at least 1 got 0".to_owned());
    };
    keys.iter().try_fold(first.clone(), |value, key| match (&value, key) {
        (Value::List(items), Value::Int(at)) => {
            let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
            item.cloned().ok_or_else(|| format!("index out of range: {at}"))
        }
        (Value::Labels(_) | Value::Map(_), Value::Str(key)) => value.field(key),
        (Value::Str(text), Value::Int(at)) => {
            let byte = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at));
            let byte = byte.ok_or_else(|| format!("index out of range: {at}"))?;
            Ok(Value::Int(i64::from(*byte)))
        }
        (other, _) => Err(format!("can't index item of type {}", other.type_name())),
    })
}

fn slice(arguments: &[Value]) -> Result<Value, String> {
    let [Value::Str(text), bounds @ ..] = arguments else {
        return Err("slice of something that is not a string".to_owned());
    };
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(Value::Int(bound)) => {
            usize::try_from(*bound).map_err(|_| format!("index out of range: {bound}"))
        }
        Some(other) => Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let (start, end) = (bound(0, 0)?, bound(1, text.len())?);
    let part = text.get(start..end).ok_or_else(|| format!("index out of range: {end}"))?;
    Ok(Value::Str(part.to_owned()))
}

/// Functions of query results.
fn call_samples(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match name {
        "first" => match count::<1>(arguments)? {
            [Value::List(items)] => items
                .first()
                .cloned()
                .ok_or_else(|| "first() called on vector with no elements".to_owned()),
            [other] => Err(format!("wrong type for value: {}", other.type_name())),
        },
        "label" => {
            let [name, sample] = count::<2>(arguments)?;
            sample.field("Labels")?.field(text(name)?)
        }
        "value" => count::<1>(arguments)?[0].field("Value"),
        "strvalue" => count::<1>(arguments)?[0].field("Labels")?.field("__value__"),
        "sortByLabel" => sort_by_label(arguments),
        _ => {
            let numbered = arguments.iter().enumerate();
            let map = numbered.map(|(i, value)| (format!("arg{i}"), value.clone()));
            Ok(Value::Map(Arc::new(map.collect::<BTreeMap<_, _>>())))
        }
    }
}

fn sort_by_label(arguments: &[Value]) -> Result<Value, String> {
    let [label, Value::List(items)] = count::<2>(arguments)? else {
        return Err("wrong type for value; expected a query's result".to_owned());
    };
    let label = text(label)?;
    let key = |value: &Value| {
        let found = value.field("Labels").and_then(|labels| labels.field(label));
        found.map(|value| value.text()).unwrap_or_default()
    };
    let mut sorted = Vec::clone(items);
    sorted.sort_by(|a, b| -> Ordering { key(a).cmp(&key(b)) });
    Ok(Value::List(Arc::new(sorted)))
}

/// Functions of a number.
fn call_number(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let number = count::<1>(arguments)?[0].to_float()?;
    Ok(Value::Str(match name {
        "humanize" => humanize::humanize(number),
        "humanize1024" => humanize::humanize_1024(number),
        "humanizeDuration" => humanize::duration(number),
        "humanizePercentage" => humanize::percentage(number),
        "humanizeTimestamp" => humanize::timestamp(number)?,
        "toTime" => return humanize::to_time(number),
        _ => return Ok(Value::Duration((number * 1e9) as i64)),
    }))
}

/// Functions of texts.
fn call_text(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let value = match name {
        "reReplaceAll" => {
            let [pattern, replacement, text] = texts(arguments)?;
            replace_all(&compiled(pattern)?, replacement, text)
        }
        "match" => {
            let [pattern, text] = texts(arguments)?;
            return Ok(Value::Bool(compiled(pattern)?.is_match(text)));
        }
        "parseDuration" => {
            let [text] = texts(arguments)?;
            return parse_duration(text).map(Value::Float);
        }
        "title" => title(texts::<1>(arguments)?[0]),
        "toUpper" => texts::<1>(arguments)?[0].to_uppercase(),
        "toLower" => texts::<1>(arguments)?[0].to_lowercase(),
        "safeHtml" => texts::<1>(arguments)?[0].to_owned(),
        "graphLink" => link(texts::<1>(arguments)?[0], 0),
        "tableLink" => link(texts::<1>(arguments)?[0], 1),
        "stripPort" => strip_port(texts::<1>(arguments)?[0]),
        "stripDomain" => strip_domain(texts::<1>(arguments)?[0]),
        "urlQueryEscape" => escape_query(texts::<1>(arguments)?[0]),
        other => return Err(format!("{other:?} is not a defined function")),
    };
    Ok(Value::Str(value))
}

fn compiled(pattern: &str) -> Result<Regex, String> {
    Regex::builder()
        .configure(Regex::config().nfa_size_limit(Some(MAX_REGEX_BYTES)))
        .build(pattern)
        .map_err(|error| format!("error parsing regexp: {error}"))
}

/// Go's `ReplaceAllString`: `$1` and `${name}` stand for groups.
fn replace_all(regex: &Regex, replacement: &str, text: &str) -> String {
    let mut out = String::new();
    let mut end = 0;
    for captures in regex.captures_iter(text) {
        let Some(whole) = captures.get_match() else { continue };
        out.push_str(&text[end..whole.start()]);
        captures.interpolate_string_into(text, replacement, &mut out);
        end = whole.end();
    }
    out.push_str(&text[end..]);
    out
}

fn parse_duration(text: &str) -> Result<f64, String> {
    let (sign, rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let ms = promql::duration::parse_duration(rest).map_err(|error| error.to_string())?;
    Ok(sign * ms as f64 / 1000.0)
}

/// Every word with a capital, the rest as it is.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        let is_letter = c.is_alphanumeric() || c == '_' || c == '\'';
        if is_letter && !in_word {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        in_word = is_letter;
    }
    out
}

fn link(expr: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", escape_query(expr))
}

/// Host and port; none where there is no port.
fn split_port(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        return Some((inner.strip_suffix(']')?, port));
    }
    (!host.contains(':')).then_some((host, port))
}

fn strip_port(address: &str) -> String {
    split_port(address).map_or(address, |(host, _)| host).to_owned()
}

fn strip_domain(address: &str) -> String {
    let (host, port) = split_port(address).unwrap_or((address, ""));
    if host.parse::<IpAddr>().is_ok() {
        return address.to_owned();
    }
    let host = host.split('.').next().unwrap_or_default();
    if port.is_empty() { host.to_owned() } else { format!("{host}:{port}") }
}

/// The path of an address.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    path.split(['?', '#']).next().unwrap_or_default()
}

fn escape_query(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn escape_js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
