//! Numbers, durations and strings as values.

use super::cursor::{Parsed, Parser};
use crate::ast::{Expr, NumberLiteral, StringLiteral};
use crate::duration::parse_duration;
use crate::lexer::{Token, TokenKind};
use crate::strings::{quote, unquote};

impl Parser<'_> {
    /// A number or duration, which must stand next.
    pub(super) fn parse_number_literal(&mut self) -> Parsed<NumberLiteral> {
        let token = self.peek()?;
        let is_duration = token.kind == TokenKind::Duration;
        if !is_duration && token.kind != TokenKind::Number {
            return Err(self.unexpected());
        }
        self.next()?;
        Ok(NumberLiteral { value: self.number_value(token)?, is_duration, pos: token.pos })
    }

    /// The value of a number token, or the seconds of a duration token.
    pub(crate) fn number_value(&self, token: Token) -> Parsed<f64> {
        let text = self.ascii_text(token);
        if token.kind == TokenKind::Duration {
            let ms = parse_duration(text).map_err(|e| self.error(token.pos, e.to_string()))?;
            return Ok(seconds(ms));
        }
        parse_number(text).map_err(|reason| {
            let quoted = quote(text.as_bytes());
            let message = format!("error parsing number: strconv.ParseFloat: parsing {quoted}: ");
            self.error(token.pos, message + reason)
        })
    }

    pub(super) fn parse_string_literal(&mut self) -> Parsed<Expr> {
        let token = self.next()?;
        let value = self.unquote_token(token)?;
        Ok(Expr::StringLiteral(Box::new(StringLiteral { value, pos: token.pos })))
    }

    /// The bytes that a string token means.
    pub(super) fn unquote_token(&self, token: Token) -> Parsed<Vec<u8>> {
        let text = self.text(token);
        unquote(text).map_err(|error| {
            self.error(token.pos, format!("error unquoting string {}: {error}", quote(text)))
        })
    }
}

/// Whole seconds and the rest are converted apart, as Prometheus does it.
#[expect(clippy::cast_precision_loss, reason = "at most 292 years")]
fn seconds(ms: i64) -> f64 {
    (ms / 1000) as f64 + ((ms % 1000) * 1_000_000) as f64 / 1e9
}

/// A number as Go reads it: an integer with any base prefix (a leading 0 means octal), else a
/// float.
fn parse_number(text: &str) -> Result<f64, &'static str> {
    if text.contains('_') && !has_proper_underscores(text) {
        return Err("invalid syntax");
    }
    let digits = text.replace('_', "");
    if let Some(integer) = parse_integer(&digits) {
        #[expect(clippy::cast_precision_loss, reason = "the nearest float is meant")]
        return Ok(integer as f64);
    }
    let is_word = digits.starts_with(|c: char| c.is_ascii_alphabetic());
    let value: f64 = digits.parse().map_err(|_| "invalid syntax")?;
    if value.is_infinite() && !is_word { Err("value out of range") } else { Ok(value) }
}

fn parse_integer(digits: &str) -> Option<i64> {
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok();
    }
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => i64::from_str_radix(octal, 8).ok(),
        _ => digits.parse().ok(),
    }
}

/// Underscores stand between digits, or between a base prefix and a digit.
fn has_proper_underscores(text: &str) -> bool {
    let is_hex = text.len() > 1 && text.as_bytes()[1].eq_ignore_ascii_case(&b'x');
    let body = if is_hex { &text[2..] } else { text };
    let is_digit = |byte: u8| if is_hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    let bytes = body.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| {
        let before = at.checked_sub(1).map_or(is_hex, |before| is_digit(bytes[before]));
        before && bytes.get(at + 1).is_some_and(|next| is_digit(*next))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_go() {
        for (text, want) in [
            ("1_000", Ok(1000.0)),
            ("0x_1F", Ok(31.0)),
            ("0755", Ok(493.0)),
            ("0_7", Ok(7.0)),
            ("08", Ok(8.0)),
            ("1_0.5e1_0", Ok(1.05e11)),
            ("9223372036854775808", Ok(9_223_372_036_854_775_808.0)),
            ("iNf", Ok(f64::INFINITY)),
            ("1e309", Err("value out of range")),
            ("0x8000000000000000", Err("invalid syntax")),
            ("1_.5", Err("invalid syntax")),
            ("0x", Err("invalid syntax")),
        ] {
            assert_eq!(parse_number(text), want, "{text}");
        }
        assert!(parse_number("NaN").unwrap().is_nan());
    }
}
