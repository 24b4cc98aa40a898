//! Histogram literals: `{{schema:1 count:3 sum:2.5 buckets:[1 2] counter_reset_hint:gauge}}`.

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Span};

use super::SequenceValue;
use crate::ast::BinaryOp;
use crate::lexer::{HistogramKey, TokenKind};
use crate::parser::{Context, Parsed, Parser};
use crate::position::PositionRange;
use crate::strings::quote;

const IN_DESCRIPTION: Context = Context {
    place: "histogram description",
    expected: "histogram description key, e.g. buckets:[5 10 7]",
};

/// A histogram as written.
pub(super) struct HistogramLiteral {
    pub(super) histogram: FloatHistogram,
    pub(super) is_hint_given: bool,
}

impl HistogramLiteral {
    pub(super) fn into_value(self) -> SequenceValue {
        SequenceValue::Histogram {
            histogram: Arc::new(self.histogram),
            is_hint_given: self.is_hint_given,
        }
    }
}

/// What has been read of a literal.
#[derive(Default)]
struct Fields {
    histogram: FloatHistogram,
    positive_offset: i32,
    negative_offset: i32,
    seen: Vec<HistogramKey>,
}

/// A literal, whose opening braces stand next.
pub(super) fn parse_literal(parser: &mut Parser<'_>) -> Parsed<HistogramLiteral> {
    parser.expect(TokenKind::OpenHistogram)?;
    let mut fields = Fields::default();
    if parser.accept(TokenKind::Space)?.is_some() {
        parser.expect(TokenKind::CloseHistogram)?;
    } else if parser.accept(TokenKind::CloseHistogram)?.is_none() {
        parse_field(parser, &mut fields)?;
        parser.in_context(IN_DESCRIPTION, |parser| parse_more_fields(parser, &mut fields))?;
    }
    Ok(fields.finish())
}

fn parse_more_fields(parser: &mut Parser<'_>, fields: &mut Fields) -> Parsed<()> {
    while parser.accept(TokenKind::CloseHistogram)?.is_none() {
        parser.expect(TokenKind::Space)?;
        if parser.peek()?.kind != TokenKind::CloseHistogram {
            parse_field(parser, fields)?;
        }
    }
    Ok(())
}

fn parse_field(parser: &mut Parser<'_>, fields: &mut Fields) -> Parsed<()> {
    let TokenKind::HistogramKey(key) = parser.peek()?.kind else {
        return Err(parser.unexpected());
    };
    parser.next()?;
    parser.expect(TokenKind::Colon)?;
    fields.parse_value(parser, key)?;
    if fields.seen.contains(&key) {
        let message = format!("duplicate key {} in histogram", quote(key.word().as_bytes()));
        return Err(parser.error(PositionRange::default(), message));
    }
    fields.seen.push(key);
    Ok(())
}

impl Fields {
    fn parse_value(&mut self, parser: &mut Parser<'_>, key: HistogramKey) -> Parsed<()> {
        let histogram = &mut self.histogram;
        match key {
            HistogramKey::Sum => histogram.sum = parser.parse_signed_number()?,
            HistogramKey::Count => histogram.count = parser.parse_signed_number()?,
            HistogramKey::ZeroBucket => histogram.zero_count = parser.parse_signed_number()?,
            HistogramKey::ZeroBucketWidth => {
                histogram.zero_threshold = parser.parse_unsigned_number()?;
            }
            HistogramKey::Schema => histogram.schema = parse_int(parser)?,
            HistogramKey::Offset => self.positive_offset = parse_int(parser)?,
            HistogramKey::NegativeOffset => self.negative_offset = parse_int(parser)?,
            HistogramKey::Buckets => histogram.positive_buckets = parse_buckets(parser)?,
            HistogramKey::NegativeBuckets => histogram.negative_buckets = parse_buckets(parser)?,
            HistogramKey::CustomValues => histogram.custom_values = parse_buckets(parser)?.into(),
            HistogramKey::CounterResetHint => histogram.counter_reset_hint = parse_hint(parser)?,
        }
        Ok(())
    }

    fn finish(self) -> HistogramLiteral {
        let mut histogram = self.histogram;
        histogram.positive_spans = spans(self.positive_offset, &histogram.positive_buckets);
        histogram.negative_spans = spans(self.negative_offset, &histogram.negative_buckets);
        let is_hint_given = self.seen.contains(&HistogramKey::CounterResetHint);
        HistogramLiteral { histogram, is_hint_given }
    }
}

/// All buckets in one span; none without buckets.
fn spans(offset: i32, buckets: &[f64]) -> Vec<Span> {
    match u32::try_from(buckets.len()) {
        Ok(length) if length > 0 => vec![Span { offset, length }],
        _ => Vec::new(),
    }
}

fn parse_int(parser: &mut Parser<'_>) -> Parsed<i32> {
    let is_negative = parser.accept(TokenKind::Op(BinaryOp::Sub))?.is_some();
    let token = parser.peek()?;
    let value = i32::try_from(parser.parse_unsigned()?)
        .map_err(|_| parser.error(token.pos, "number is out of range"))?;
    Ok(if is_negative { -value } else { value })
}

fn parse_buckets(parser: &mut Parser<'_>) -> Parsed<Vec<f64>> {
    parser.expect(TokenKind::LeftBracket)?;
    let mut buckets = vec![parser.parse_signed_number()?];
    while parser.accept(TokenKind::RightBracket)?.is_none() {
        parser.expect(TokenKind::Space)?;
        if parser.peek()?.kind != TokenKind::RightBracket {
            buckets.push(parser.parse_signed_number()?);
        }
    }
    Ok(buckets)
}

fn parse_hint(parser: &mut Parser<'_>) -> Parsed<CounterResetHint> {
    let TokenKind::ResetHint(hint) = parser.peek()?.kind else {
        return Err(parser.unexpected());
    };
    parser.next()?;
    Ok(hint)
}
