//! Series descriptions: a metric and its values on one line, `up{job="a"} 1 2+3x4 _ stale`.
//!
//! The language of Prometheus' test scripts and of rule unit tests. A value is a number, `stale`,
//! `_` (none), or a histogram `{{…}}`; `x5` repeats it, `+2x5` counts up. Values are expanded here,
//! so their number has a limit.

mod histogram;

use std::sync::Arc;

use model::{FloatHistogram, Labels};

use crate::ast::BinaryOp;
use crate::lexer::{Token, TokenKind};
use crate::parser::{Context, ParseError, Parsed, Parser};
use crate::position::PositionRange;
use crate::strings::quote;
use histogram::HistogramLiteral;

/// The most values that one line may expand to.
pub const MAX_VALUES: usize = 1_000_000;

const IN_VALUES: Context = Context { place: "series values", expected: "" };

/// A metric and its values, one for each step.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesDescription {
    /// The labels of the series.
    pub labels: Labels,
    /// The values, expanded.
    pub values: Vec<SequenceValue>,
}

/// One value of a series description.
#[derive(Debug, Clone, PartialEq)]
pub enum SequenceValue {
    /// `_`: no sample.
    Omitted,
    /// A number, or the stale marker.
    Float(f64),
    /// A histogram.
    Histogram {
        /// The histogram as written or summed up, not compacted.
        histogram: Arc<FloatHistogram>,
        /// The counter reset hint was written; a comparison must not ignore it then.
        is_hint_given: bool,
    },
}

/// The series that a line describes.
///
/// # Errors
/// If the line is no series description or expands to more than [`MAX_VALUES`] values.
pub fn parse_series_desc(line: impl AsRef<[u8]>) -> Result<SeriesDescription, ParseError> {
    let mut parser = Parser::for_series_description(line.as_ref())?;
    let labels = parser.parse_metric_labels()?;
    let mut values = Vec::new();
    while parser.accept(TokenKind::Space)?.is_some() {
        if !matches!(parser.peek()?.kind, TokenKind::Space | TokenKind::Eof) {
            parser.in_context(IN_VALUES, |parser| parse_item(parser, &mut values))?;
        }
    }
    parser.expect_end()?;
    Ok(SeriesDescription { labels, values })
}

/// One item with its repetitions, appended to `values`.
fn parse_item(parser: &mut Parser<'_>, values: &mut Vec<SequenceValue>) -> Parsed<()> {
    match parser.peek()?.kind {
        TokenKind::Blank => {
            parser.next()?;
            let is_repeated = parser.peek()?.kind == TokenKind::Times;
            let repetition = parse_repetition(parser, values.len())?;
            let count = if is_repeated { repetition.count } else { 1 };
            values.extend(std::iter::repeat_n(SequenceValue::Omitted, count));
            Ok(())
        }
        TokenKind::OpenHistogram => parse_histograms(parser, values),
        _ => parse_floats(parser, values),
    }
}

fn parse_floats(parser: &mut Parser<'_>, values: &mut Vec<SequenceValue>) -> Parsed<()> {
    let mut value = parse_float(parser)?;
    let has_step = sign_of(parser.peek()?.kind).is_some();
    let step = if has_step { parser.parse_signed_number()? } else { 0.0 };
    if has_step && parser.peek()?.kind != TokenKind::Times {
        return Err(parser.unexpected());
    }
    let repetition = parse_repetition(parser, values.len())?;
    values.push(SequenceValue::Float(value));
    for _ in 0..repetition.count {
        value = if has_step { value + step } else { value };
        values.push(SequenceValue::Float(value));
    }
    Ok(())
}

fn parse_float(parser: &mut Parser<'_>) -> Parsed<f64> {
    let token = parser.peek()?;
    if token.kind != TokenKind::Identifier {
        return parser.parse_signed_number();
    }
    if parser.text(token) != b"stale" {
        return Err(parser.expected("series values", "number or \"stale\""));
    }
    parser.next()?;
    Ok(model::stale_nan())
}

fn parse_histograms(parser: &mut Parser<'_>, values: &mut Vec<SequenceValue>) -> Parsed<()> {
    let base = histogram::parse_literal(parser)?;
    let Some(op) = sign_of(parser.peek()?.kind) else {
        let count = parse_repetition(parser, values.len())?.count + 1;
        values.extend(std::iter::repeat_n(base.into_value(), count));
        return Ok(());
    };
    parser.next()?;
    let step = histogram::parse_literal(parser)?;
    if parser.peek()?.kind != TokenKind::Times {
        return Err(parser.unexpected());
    }
    let repetition = parse_repetition(parser, values.len())?;
    let is_hint_given = step.is_hint_given;
    let mut current = base.histogram;
    values.push(HistogramLiteral { histogram: current.clone(), is_hint_given }.into_value());
    for _ in 0..repetition.count {
        combine(&mut current, op, &step.histogram)
            .map_err(|message| parser.error(repetition.pos, message))?;
        values.push(HistogramLiteral { histogram: current.clone(), is_hint_given }.into_value());
    }
    Ok(())
}

fn combine(
    current: &mut FloatHistogram,
    op: BinaryOp,
    step: &FloatHistogram,
) -> Result<(), String> {
    if current.schema > step.schema {
        return Err(format!(
            "error combining histograms: cannot merge from schema {} to {}",
            step.schema, current.schema
        ));
    }
    let combined = if op == BinaryOp::Add { current.add(step) } else { current.sub(step) };
    combined.map(drop).map_err(|error| error.to_string())
}

/// How often a value is repeated, 0 if it is not.
#[derive(Default)]
struct Repetition {
    count: usize,
    /// Where the number stands.
    pos: PositionRange,
}

/// The number behind an `x`, if one stands next. `present` values exist already.
fn parse_repetition(parser: &mut Parser<'_>, present: usize) -> Parsed<Repetition> {
    if parser.accept(TokenKind::Times)?.is_none() {
        return Ok(Repetition::default());
    }
    let pos = parser.peek()?.pos;
    let count = parser.parse_unsigned()?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count >= MAX_VALUES.saturating_sub(present) {
        let message = format!("a series description has at most {MAX_VALUES} values");
        return Err(parser.error(pos, message));
    }
    Ok(Repetition { count, pos })
}

fn sign_of(kind: TokenKind) -> Option<BinaryOp> {
    match kind {
        TokenKind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => Some(op),
        _ => None,
    }
}

impl Parser<'_> {
    /// A number with or without a sign.
    fn parse_signed_number(&mut self) -> Parsed<f64> {
        let sign = sign_of(self.peek()?.kind);
        if sign.is_some() {
            self.next()?;
        }
        let value = self.parse_unsigned_number()?;
        Ok(if sign == Some(BinaryOp::Sub) { -value } else { value })
    }

    fn parse_unsigned_number(&mut self) -> Parsed<f64> {
        let token = self.expect(TokenKind::Number)?;
        self.number_value(token)
    }

    fn parse_unsigned(&mut self) -> Parsed<u64> {
        let token = self.expect(TokenKind::Number)?;
        self.unsigned_value(token)
    }

    fn unsigned_value(&self, token: Token) -> Parsed<u64> {
        let text = self.ascii_text(token);
        let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().map_err(|_| {
            let reason = if is_decimal { "value out of range" } else { "invalid syntax" };
            let quoted = quote(text.as_bytes());
            let cause = format!("strconv.ParseUint: parsing {quoted}: {reason}");
            self.error(token.pos, format!("invalid repetition in series values: {cause}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: &str) -> String {
        parse_series_desc(line).unwrap_err().to_string()
    }

    #[test]
    fn values_expand() {
        let series = parse_series_desc(r#"a{b="c"} 1+2x2 _x2 stale -3 5x1"#).unwrap();
        assert_eq!(series.labels.get("b"), Some("c"));
        let values = &series.values;
        let floats = [1.0, 3.0, 5.0].map(SequenceValue::Float);
        assert_eq!(values[..3], floats);
        assert_eq!(values[3..5], [SequenceValue::Omitted, SequenceValue::Omitted]);
        assert!(matches!(values[5], SequenceValue::Float(value) if model::is_stale(value)));
        assert_eq!(values[6..], [-3.0, 5.0, 5.0].map(SequenceValue::Float));
    }

    /// The texts follow Prometheus' grammar for series descriptions.
    #[test]
    fn mistakes_are_named() {
        for (line, want) in [
            ("a 1 ,", "1:5: parse error: unexpected character in series sequence: ','"),
            (
                "a {{schema:1",
                "1:13: parse error: histogram description incomplete unexpected: '\u{fffd}'",
            ),
            ("a 1+2", "1:6: parse error: unexpected end of input in series values"),
            (
                "a bogus",
                "1:3: parse error: unexpected identifier \"bogus\" in series values, expected number or \"stale\"",
            ),
            ("a 1x-1", "1:5: parse error: unexpected <op:-> in series values"),
            (
                "a 1x1.5",
                "1:5: parse error: invalid repetition in series values: strconv.ParseUint: parsing \"1.5\": invalid syntax",
            ),
            ("a 1x999999999", "1:5: parse error: a series description has at most 1000000 values"),
            ("a {{sum:1 sum:2}}", "1:1: parse error: duplicate key \"sum\" in histogram"),
            (
                "a {{schema:1}}+{{schema:0}}x1",
                "1:29: parse error: error combining histograms: cannot merge from schema 0 to 1",
            ),
        ] {
            assert_eq!(error(line), want, "{line}");
        }
    }
}
