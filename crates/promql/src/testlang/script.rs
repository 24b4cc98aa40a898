//! From the text of a script to its commands.

use model::{Labels, TimestampMs};
use regex_automata::meta::Regex;

use super::annotations::{Expectation, ExpectationKind, Pattern};
use super::load::{self, Load};
use crate::duration::parse_duration;
use crate::series_desc::{SequenceValue, parse_series_desc};
use crate::strings::unquote;

/// A command.
#[derive(Debug)]
pub(super) enum Command {
    /// Forget all samples.
    Clear,
    /// Store samples.
    Load(Load),
    /// Evaluate and compare.
    Eval(Box<Eval>),
}

/// A query and what it must give.
#[derive(Debug)]
pub(super) struct Eval {
    /// From 1.
    pub(super) line: usize,
    /// The query.
    pub(super) expr: String,
    /// When it is evaluated.
    pub(super) time: EvalTime,
    /// What it must give.
    pub(super) expected: Expected,
    /// What else is expected: failures, annotations.
    pub(super) expectations: Vec<Expectation>,
    /// The order of an instant vector is compared.
    pub(super) ordered: bool,
    /// Not repeated in range mode.
    pub(super) instant_only: bool,
}

/// When a query is evaluated, and the times of the expected values.
#[derive(Debug, Clone, Copy)]
pub(super) struct EvalTime {
    pub(super) is_range: bool,
    /// The time of the first expected value.
    pub(super) start_ms: TimestampMs,
    /// The last time, and that of an instant query.
    pub(super) end_ms: TimestampMs,
    pub(super) step_ms: i64,
}

/// What a query must give.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// A number.
    pub(super) scalar: Option<f64>,
    /// A text.
    pub(super) text: Option<Vec<u8>>,
    /// Series, in the order written.
    pub(super) series: Vec<ExpectedSeries>,
}

/// A series that a query must give.
#[derive(Debug)]
pub(super) struct ExpectedSeries {
    pub(super) labels: Labels,
    pub(super) values: Vec<SequenceValue>,
}

/// The commands up to the first that cannot be understood, and what is wrong with that one.
pub(super) fn parse(text: &str) -> (Vec<Command>, Option<String>) {
    let lines: Vec<&str> = text
        .split('\n')
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut reader = Reader { lines, at: 0 };
    let mut commands = Vec::new();
    while let Some((line, head)) = reader.next_head() {
        match parse_command(&mut reader, line, head) {
            Ok(command) => commands.push(command),
            Err(message) => return (commands, Some(format!("line {line}: {message}"))),
        }
    }
    (commands, None)
}

/// Goes through the lines.
pub(super) struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next line that is not empty, with its number.
    fn next_head(&mut self) -> Option<(usize, &'a str)> {
        while let Some(line) = self.lines.get(self.at) {
            self.at += 1;
            if !line.is_empty() {
                return Some((self.at, line));
            }
        }
        None
    }

    /// The next line of the command's body.
    pub(super) fn next_of_body(&mut self) -> Option<(usize, &'a str)> {
        let line = self.lines.get(self.at).filter(|line| !line.is_empty())?;
        self.at += 1;
        Some((self.at, line))
    }
}

fn parse_command(reader: &mut Reader<'_>, line: usize, head: &str) -> Result<Command, String> {
    let word = head.split_whitespace().next().unwrap_or_default().to_lowercase();
    if word == "clear" {
        Ok(Command::Clear)
    } else if word.starts_with("load") {
        load::parse(reader, line, head).map(Command::Load)
    } else if word.starts_with("eval") {
        parse_eval(reader, line, head).map(|eval| Command::Eval(Box::new(eval)))
    } else {
        Err(format!("invalid command {head:?}"))
    }
}

/// The first word and the rest.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn take_keyword<'a>(text: &'a str, keyword: &str) -> Result<&'a str, String> {
    match split_word(text) {
        (word, rest) if word == keyword => Ok(rest),
        (word, _) => Err(format!("expected {keyword:?}, got {word:?}")),
    }
}

fn parse_eval(reader: &mut Reader<'_>, line: usize, head: &str) -> Result<Eval, String> {
    let (command, rest) = split_word(head);
    let (kind, rest) = split_word(rest);
    let (time, expr) = match kind {
        "instant" => parse_instant(rest)?,
        "range" => parse_range(rest)?,
        _ => return Err(format!("invalid eval command {head:?}")),
    };
    let mut eval = Eval {
        line,
        expr: expr.to_owned(),
        time,
        expected: Expected::default(),
        expectations: Vec::new(),
        ordered: command == "eval_ordered",
        instant_only: false,
    };
    let legacy = match command {
        "eval_fail" => Some(ExpectationKind::Fail),
        "eval_warn" => Some(ExpectationKind::SomeWarning),
        "eval_info" => Some(ExpectationKind::SomeInfo),
        "eval" | "eval_ordered" => None,
        _ => return Err(format!("invalid command {command:?}")),
    };
    eval.expectations.extend(legacy.map(Expectation::any));
    parse_body(reader, &mut eval)?;
    Ok(eval)
}

fn parse_instant(rest: &str) -> Result<(EvalTime, &str), String> {
    let (time, expr) = split_word(take_keyword(rest, "at")?);
    let time_ms = duration(time)?;
    let time = EvalTime { is_range: false, start_ms: time_ms, end_ms: time_ms, step_ms: 0 };
    Ok((time, expr))
}

fn parse_range(rest: &str) -> Result<(EvalTime, &str), String> {
    let (start, rest) = split_word(take_keyword(rest, "from")?);
    let (end, rest) = split_word(take_keyword(rest, "to")?);
    let (step, expr) = split_word(take_keyword(rest, "step")?);
    let (start_ms, end_ms, step_ms) = (duration(start)?, duration(end)?, duration(step)?);
    if end_ms < start_ms {
        return Err("invalid test definition, end timestamp is before start timestamp".to_owned());
    }
    Ok((EvalTime { is_range: true, start_ms, end_ms, step_ms }, expr))
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration(text).map_err(|e| format!("invalid timestamp definition {text:?}: {e}"))
}

fn parse_body(reader: &mut Reader<'_>, eval: &mut Eval) -> Result<(), String> {
    let fails_by_legacy = eval.expectations.iter().any(|e| e.kind == ExpectationKind::Fail);
    let mut has_range_vector = false;
    while let Some((_, line)) = reader.next_of_body() {
        if fails_by_legacy && parse_legacy_failure(line, eval)? {
            break;
        }
        if let Some(times) = line.strip_prefix("expect range vector") {
            parse_range_vector(times, eval)?;
            has_range_vector = true;
        } else if let Some(text) = line.strip_prefix("expect string") {
            let text = unquote(text.trim_start().as_bytes())
                .map_err(|_| "expected string literal not valid".to_owned())?;
            eval.expected.text = Some(text);
            eval.instant_only = true;
        } else if line.split(' ').next() == Some("expect") {
            parse_expect(line, eval)?;
        } else if let Some(number) = parse_number(line) {
            eval.expected.scalar = Some(number);
            break;
        } else {
            parse_series(line, eval, has_range_vector)?;
        }
    }
    Ok(())
}

/// Reads `expected_fail_message` and `expected_fail_regexp`, which end the body.
fn parse_legacy_failure(line: &str, eval: &mut Eval) -> Result<bool, String> {
    let pattern = if let Some(text) = line.strip_prefix("expected_fail_message") {
        Pattern::Text(text.trim().to_owned())
    } else if let Some(text) = line.strip_prefix("expected_fail_regexp") {
        Pattern::Regex(Regex::new(text.trim()).map_err(|e| e.to_string())?)
    } else {
        return Ok(false);
    };
    eval.expectations.clear();
    eval.expectations.push(Expectation { kind: ExpectationKind::Fail, pattern: Some(pattern) });
    Ok(true)
}

fn parse_range_vector(times: &str, eval: &mut Eval) -> Result<(), String> {
    let (start, rest) = split_word(take_keyword(times, "from")?);
    let (end, rest) = split_word(take_keyword(rest, "to")?);
    let (step, _) = split_word(take_keyword(rest, "step")?);
    eval.time = EvalTime {
        is_range: eval.time.is_range,
        start_ms: duration(start)?,
        end_ms: duration(end)?,
        step_ms: duration(step)?,
    };
    eval.instant_only = true;
    Ok(())
}

fn parse_expect(line: &str, eval: &mut Eval) -> Result<(), String> {
    let invalid = || {
        format!(
            "invalid expect statement, must match `expect <type> <match_type>:` format: {line:?}"
        )
    };
    let (_, rest) = split_word(line);
    let (kind, rest) = split_word(rest);
    let kind = match kind {
        "ordered" => {
            eval.ordered = true;
            return Ok(());
        }
        "fail" => ExpectationKind::Fail,
        "warn" => ExpectationKind::Warning,
        "no_warn" => ExpectationKind::NoWarning,
        "info" => ExpectationKind::Info,
        "no_info" => ExpectationKind::NoInfo,
        _ => return Err(invalid()),
    };
    let pattern = if rest.is_empty() {
        None
    } else if let Some(text) = rest.strip_prefix("msg:") {
        Some(Pattern::Text(text.trim().to_owned()))
    } else if let Some(text) = rest.strip_prefix("regex:") {
        Some(Pattern::Regex(Regex::new(text.trim()).map_err(|e| e.to_string())?))
    } else {
        return Err(invalid());
    };
    eval.expectations.push(Expectation { kind, pattern });
    Ok(())
}

fn parse_series(line: &str, eval: &mut Eval, has_range_vector: bool) -> Result<(), String> {
    let description = parse_series_desc(line).map_err(|e| e.to_string())?;
    if description.values.len() > 1 && !eval.time.is_range && !has_range_vector {
        return Err("expecting multiple values in instant evaluation not allowed".to_owned());
    }
    let series = ExpectedSeries { labels: description.labels, values: description.values };
    let same = eval.expected.series.iter_mut().find(|other| other.labels == series.labels);
    match same {
        Some(other) => *other = series,
        None => eval.expected.series.push(series),
    }
    Ok(())
}

/// A number by itself, decimal or hexadecimal.
#[expect(clippy::cast_precision_loss, reason = "as Go's ParseInt followed by a conversion")]
pub(super) fn parse_number(text: &str) -> Option<f64> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => i64::from_str_radix(digits, 16).ok().map(|number| number as f64),
        None => text.parse().ok(),
    }
}
