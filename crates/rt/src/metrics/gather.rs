//! Reads an OpenMetrics exposition of this process' own registry back into samples, for the
//! service that scrapes itself. Not a parser for foreign text: that is Prometheus' work.

/// All samples of a registry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gathered {
    /// The families, in the order of registration.
    pub families: Vec<GatheredFamily>,
    /// The samples.
    pub samples: Vec<GatheredSample>,
}

/// What is known of a family of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatheredFamily {
    /// Its name as a scrape of Prometheus' text format names it: counters with `_total`.
    pub name: String,
    /// `counter`, `gauge`, `histogram`, `info` or `unknown`.
    pub kind: String,
    /// Its help text.
    pub help: String,
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct GatheredSample {
    /// Its name, with suffixes like `_bucket`.
    pub name: String,
    /// Its labels, sorted by name, without `__name__`.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

/// A line that is not of the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse exposition line {line:?}")]
pub struct ParseError {
    line: String,
}

/// Reads an exposition. Exemplars and times are left aside.
pub fn parse_exposition(text: &str) -> Result<Gathered, ParseError> {
    let mut gathered = Gathered::default();
    let mut help = ("", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap_or((rest, ""));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            gathered.families.push(family(rest, help));
        } else if !line.starts_with('#') && !line.is_empty() {
            let sample = sample(line).ok_or_else(|| ParseError { line: line.to_owned() })?;
            gathered.samples.push(sample);
        }
    }
    Ok(gathered)
}

fn family(rest: &str, help: (&str, &str)) -> GatheredFamily {
    let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
    let suffix = if kind == "counter" { "_total" } else { "" };
    let help = if help.0 == name { help.1 } else { "" };
    GatheredFamily { name: format!("{name}{suffix}"), kind: kind.to_owned(), help: unescape(help) }
}

fn sample(line: &str) -> Option<GatheredSample> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.trim_start().split(' ').next()?.parse().ok()?;
    Some(GatheredSample { name: name.to_owned(), labels, value })
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            labels.sort_unstable();
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let end = closing_quote(after)?;
        labels.push((name.to_owned(), unescape(&after[..end])));
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// The index of the first quote that is not escaped.
fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}
