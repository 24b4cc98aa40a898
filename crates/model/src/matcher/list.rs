//! Matchers as configurations write them, in the tolerant syntax of the Alertmanager:
//! `{namespace=~"dev-.*", team!=ops}`. The braces and the quotes of a value may be left out, and a
//! comma may stand at the end; in a value `\"`, `\\` and `\n` are escapes.

use super::{MatchOp, Matcher};
use crate::labels::is_legacy_metric_name;

/// Why a text is no list of matchers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherListError {
    /// No name, operator and value.
    #[error("bad matcher format: {0}")]
    Format(String),
    /// A quote where none may stand, or none where one must.
    #[error("matcher value contains unescaped double quote: {0}")]
    Quote(String),
    /// The value is no regular expression.
    #[error("{0}")]
    Regex(String),
}

/// The matchers that `text` lists.
pub fn parse_matcher_list(text: &str) -> Result<Vec<Matcher>, MatcherListError> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    parts(text).into_iter().map(parse_matcher).collect()
}

/// The parts between the commas that stand in no quotes; a last one of blanks is none.
fn parts(text: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b',' if !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
                is_escaped = false;
            }
            b'"' if !is_escaped => is_quoted = !is_quoted,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(&text[start..]);
    }
    parts
}

fn parse_matcher(text: &str) -> Result<Matcher, MatcherListError> {
    let bad = || MatcherListError::Format(text.to_owned());
    let at = text.find(['=', '!']).ok_or_else(bad)?;
    let (name, rest) = (text[..at].trim(), &text[at..]);
    let operators = [
        ("=~", MatchOp::Regex),
        ("!~", MatchOp::NotRegex),
        ("!=", MatchOp::NotEqual),
        ("=", MatchOp::Equal),
    ];
    let (op, value) = operators
        .iter()
        .find_map(|&(sign, op)| rest.strip_prefix(sign).map(|value| (op, value.trim())))
        .ok_or_else(bad)?;
    // Colons may stand in names here.
    if !is_legacy_metric_name(name) {
        return Err(bad());
    }
    let value = unquote(value).ok_or_else(|| MatcherListError::Quote(value.to_owned()))?;
    Matcher::new(op, name, value).map_err(|error| MatcherListError::Regex(error.to_string()))
}

/// The value without quotes and escapes; `None` where a quote stands alone.
fn unquote(text: &str) -> Option<String> {
    let (mut rest, is_quoted) = match text.strip_prefix('"') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut value = String::with_capacity(rest.len());
    loop {
        let Some(at) = rest.find(['\\', '"']) else {
            value.push_str(rest);
            return (!is_quoted).then_some(value);
        };
        value.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if rest[at..].starts_with('"') {
            return (is_quoted && after.is_empty()).then_some(value);
        }
        let (character, length) = match after.bytes().next() {
            Some(b'n') => ('\n', 1),
            Some(b'"') => ('"', 1),
            Some(b'\\') => ('\\', 1),
            // Nothing that is escaped: the backslash stands for itself.
            _ => ('\\', 0),
        };
        value.push(character);
        rest = &after[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse_matcher_list(text) {
            Ok(matchers) => {
                let shown: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
                shown.join(" ")
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn lists_in_all_their_forms() {
        for (text, want) in [
            (r#"{foo = "bar", dings != "bums", }"#, r#"foo="bar" dings!="bums""#),
            ("foo=bar,dings!=bums", r#"foo="bar" dings!="bums""#),
            (r#"statuscode=~"5..""#, r#"statuscode=~"5..""#),
            ("a!~x|y", r#"a!~"x|y""#),
            (r#"{q="She said: \"Hi, you\""}"#, r#"q="She said: \"Hi, you\"""#),
            (r"a=one\two\n", r#"a="one\\two\n""#),
            ("a=", r#"a="""#),
            ("{}", ""),
            ("", ""),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_list_says_why() {
        for (text, want) in [
            ("foo", "error: bad matcher format: foo"),
            ("a=1,,b=2", "error: bad matcher format: "),
            ("1a=x", "error: bad matcher format: 1a=x"),
            (r#"a="x"#, r#"error: matcher value contains unescaped double quote: "x"#),
            (r#"a=x"y"#, r#"error: matcher value contains unescaped double quote: x"y"#),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
        assert!(shown("a=~(").starts_with("error: "));
    }
}
