//! `print`, `println` and `printf` with the verbs that alerts use, and Go's marks for mistakes.

use super::value::{Value, quoted};
use crate::go_format;

/// The widest field that is padded.
const MAX_WIDTH: usize = 1_000;

/// `print`: a space between two values neither of which is a text.
pub(super) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::Str(_));
        if i > 0 && !is_text(value) && !is_text(&values[i - 1]) {
            out.push(' ');
        }
        out.push_str(&nil_text(value));
    }
    out
}

/// `println`: a space between all values.
pub(super) fn println(values: &[Value]) -> String {
    let texts: Vec<String> = values.iter().map(nil_text).collect();
    format!("{}\n", texts.join(" "))
}

fn nil_text(value: &Value) -> String {
    if matches!(value, Value::Nil) { "<nil>".to_owned() } else { value.text() }
}

/// One directive of a format.
#[derive(Debug, Default, Clone, Copy)]
struct Directive {
    minus: bool,
    plus: bool,
    zero: bool,
    space: bool,
    sharp: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `printf`.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let directive = directive(&mut rest);
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        match values.next() {
            Some(value) => out.push_str(&padded(&formatted(directive, verb, value), directive)),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
    }
    if !rest.contains('%') {
        out.push_str(rest);
    }
    let extra: Vec<String> =
        values.map(|value| format!("{}={}", value.type_name(), value.text())).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn directive(rest: &mut &str) -> Directive {
    let mut directive = Directive::default();
    loop {
        match rest.bytes().next() {
            Some(b'-') => directive.minus = true,
            Some(b'+') => directive.plus = true,
            Some(b'0') => directive.zero = true,
            Some(b' ') => directive.space = true,
            Some(b'#') => directive.sharp = true,
            _ => break,
        }
        *rest = &rest[1..];
    }
    directive.width = number(rest);
    if let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        directive.precision = Some(number(rest).unwrap_or(0));
    }
    directive
}

fn number(rest: &mut &str) -> Option<usize> {
    let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(length);
    *rest = after;
    let number: Option<usize> = digits.parse().ok();
    number.map(|number| number.min(MAX_WIDTH))
}

fn formatted(directive: Directive, verb: char, value: &Value) -> String {
    let text = match (verb, value) {
        ('v', Value::Float(number)) => go_format::g(*number, directive.precision),
        ('v', other) => nil_text(other),
        ('t', Value::Bool(value)) => value.to_string(),
        ('e' | 'E', Value::Float(number)) => {
            go_format::e(*number, Some(directive.precision.unwrap_or(6)))
        }
        ('f' | 'F', Value::Float(number)) => {
            go_format::f(*number, Some(directive.precision.unwrap_or(6)))
        }
        ('g' | 'G', Value::Float(number)) => go_format::g(*number, directive.precision),
        ('d', Value::Int(number) | Value::Duration(number)) => number.to_string(),
        ('x', Value::Int(number)) => signed_radix(*number, |n| format!("{n:x}")),
        ('X', Value::Int(number)) => signed_radix(*number, |n| format!("{n:X}")),
        ('o', Value::Int(number)) => signed_radix(*number, |n| format!("{n:o}")),
        ('b', Value::Int(number)) => signed_radix(*number, |n| format!("{n:b}")),
        ('c', Value::Int(number)) => {
            u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
        }
        ('s', Value::Str(text)) => cut(text, directive.precision),
        ('q', Value::Str(text)) => quoted(&cut(text, directive.precision)),
        ('x', Value::Str(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('s', value @ (Value::Duration(_) | Value::Time(_) | Value::Histogram(_))) => value.text(),
        ('s', value @ (Value::List(_) | Value::Labels(_) | Value::Map(_))) => value.text(),
        (verb, value) => {
            return format!("%!{verb}({}={})", value.type_name(), nil_text(value));
        }
    };
    let is_number = matches!(value, Value::Int(_) | Value::Float(_));
    if is_number && !text.starts_with(['-', '+']) {
        if directive.plus {
            return format!("+{text}");
        }
        if directive.space {
            return format!(" {text}");
        }
    }
    text
}

fn signed_radix(number: i64, digits: impl Fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", digits(number.unsigned_abs()))
}

fn cut(text: &str, precision: Option<usize>) -> String {
    precision.map_or_else(|| text.to_owned(), |count| text.chars().take(count).collect())
}

fn padded(text: &str, directive: Directive) -> String {
    let missing = directive.width.unwrap_or(0).saturating_sub(text.chars().count());
    if missing == 0 {
        return text.to_owned();
    }
    if directive.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    if directive.zero {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => text.split_at(text.len() - digits.len()),
            None => ("", text),
        };
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    format!("{}{text}", " ".repeat(missing))
}
