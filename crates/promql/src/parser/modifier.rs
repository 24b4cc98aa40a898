//! What may stand behind an operand: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`.

use super::MAX_DEPTH;
use super::cursor::{Context, Parsed, Parser};
use super::operand::unary_op;
use crate::ast::{
    AtModifier, DurationSpec, Expr, MatrixSelector, RangeExtension, SubqueryExpr, UnaryOp,
};
use crate::lexer::{Keyword, Token, TokenKind};
use crate::position::PositionRange;
use crate::strings::format_float;

const IN_OFFSET: Context =
    Context { place: "offset", expected: "number, duration, step(), or range()" };
const IN_AT: Context = Context { place: "@", expected: "timestamp" };
const IN_RANGE: Context = Context {
    place: "subquery or range selector",
    expected: "number, duration, step(), or range()",
};
const BEHIND_RANGE: Context = Context { place: "subquery or range", expected: "\":\" or \"]\"" };
const IN_STEP: Context =
    Context { place: "subquery selector", expected: "number, duration, step(), range(), or \"]\"" };
const BEHIND_STEP: Context = Context { place: "subquery selector", expected: "\"]\"" };

/// The parts of a selector or subquery that modifiers change.
struct Modifiable<'a> {
    offset: &'a mut Option<DurationSpec>,
    at: &'a mut Option<AtModifier>,
    pos: &'a mut PositionRange,
}

impl Parser<'_> {
    /// `operand` with all modifiers that follow it.
    pub(super) fn parse_modifiers(&mut self, mut operand: Expr) -> Parsed<Expr> {
        loop {
            let kind = self.peek()?.kind;
            match kind {
                TokenKind::LeftBracket => operand = self.parse_range_or_subquery(operand)?,
                TokenKind::At => self.parse_at(&mut operand)?,
                TokenKind::Keyword(Keyword::Offset) => self.parse_offset(&mut operand)?,
                TokenKind::Keyword(Keyword::Anchored) => {
                    self.next()?;
                    self.set_extension(&mut operand, RangeExtension::Anchored, "anchored")?;
                }
                TokenKind::Keyword(Keyword::Smoothed) => {
                    self.next()?;
                    self.set_extension(&mut operand, RangeExtension::Smoothed, "smoothed")?;
                }
                _ => return Ok(operand),
            }
        }
    }

    fn parse_range_or_subquery(&mut self, operand: Expr) -> Parsed<Expr> {
        let left = self.next()?;
        let range = self.in_context(IN_RANGE, Self::parse_positive_duration)?;
        if self.accept(TokenKind::RightBracket)?.is_some() {
            let brackets = PositionRange::new(left.pos.start, self.last_end);
            return self.new_matrix_selector(operand, range, brackets);
        }
        if self.accept(TokenKind::Colon)?.is_none() {
            return Err(self.unexpected_in(BEHIND_RANGE));
        }
        let step = self.parse_step()?;
        self.new_subquery(operand, range, step)
    }

    /// The step of a subquery and the closing bracket.
    fn parse_step(&mut self) -> Parsed<Option<DurationSpec>> {
        if self.accept(TokenKind::RightBracket)?.is_some() {
            return Ok(None);
        }
        let step = self.in_context(IN_STEP, Self::parse_positive_duration)?;
        if self.accept(TokenKind::RightBracket)?.is_none() {
            return Err(self.unexpected_in(BEHIND_STEP));
        }
        Ok(Some(step))
    }

    fn new_matrix_selector(
        &self,
        operand: Expr,
        range: DurationSpec,
        brackets: PositionRange,
    ) -> Parsed<Expr> {
        let fail = |message| Err(self.error(brackets, message));
        let Expr::VectorSelector(selector) = operand else {
            return fail("ranges only allowed for vector selectors");
        };
        if selector.offset.is_some() {
            return fail("no offset modifiers allowed before range");
        }
        if selector.at.is_some() {
            return fail("no @ modifiers allowed before range");
        }
        let pos = selector.pos.to(brackets);
        let matrix = MatrixSelector { selector: *selector, range, pos };
        Ok(Expr::MatrixSelector(Box::new(matrix)))
    }

    fn new_subquery(
        &mut self,
        operand: Expr,
        range: DurationSpec,
        step: Option<DurationSpec>,
    ) -> Parsed<Expr> {
        if matches!(operand, Expr::Subquery(_)) {
            self.stacked_subquery_count += 1;
            if self.stacked_subquery_count > MAX_DEPTH {
                return Err(self.too_deep());
            }
        }
        let pos = PositionRange::new(operand.position().start, self.last_end);
        let subquery = SubqueryExpr { expr: operand, range, step, offset: None, at: None, pos };
        Ok(Expr::Subquery(Box::new(subquery)))
    }

    fn parse_offset(&mut self, operand: &mut Expr) -> Parsed<()> {
        self.next()?;
        let offset = self.in_context(IN_OFFSET, Self::parse_offset_duration)?;
        let end = self.last_end;
        let pos = operand.position();
        let Some(target) = modifiable(operand) else {
            return Err(self.misplaced("offset", pos));
        };
        if target.offset.is_some() {
            return Err(self.error(pos, "offset may not be set multiple times"));
        }
        *target.offset = offset;
        target.pos.end = end;
        Ok(())
    }

    fn parse_at(&mut self, operand: &mut Expr) -> Parsed<()> {
        self.next()?;
        let pos = operand.position();
        let at = self.in_context(IN_AT, |parser| parser.parse_at_value(pos))?;
        let end = self.last_end;
        let Some(target) = modifiable(operand) else {
            return Err(self.misplaced("@", pos));
        };
        if target.at.is_some() {
            return Err(self.error(pos, "@ <timestamp> may not be set multiple times"));
        }
        *target.at = Some(at);
        target.pos.end = end;
        Ok(())
    }

    fn parse_at_value(&mut self, operand_pos: PositionRange) -> Parsed<AtModifier> {
        let token = self.peek()?;
        let function = match token.kind {
            TokenKind::Keyword(Keyword::Start) => AtModifier::Start,
            TokenKind::Keyword(Keyword::End) => AtModifier::End,
            _ => return self.parse_at_timestamp(token, operand_pos),
        };
        self.next()?;
        self.expect(TokenKind::LeftParen)?;
        self.expect(TokenKind::RightParen)?;
        Ok(function)
    }

    fn parse_at_timestamp(
        &mut self,
        first: Token,
        operand_pos: PositionRange,
    ) -> Parsed<AtModifier> {
        let sign = unary_op(first.kind);
        if sign.is_some() {
            self.next()?;
        }
        let value = self.parse_number_literal()?.value;
        let seconds = if sign == Some(UnaryOp::Minus) { -value } else { value };
        if seconds.is_nan() || seconds.abs() >= 2_f64.powi(63) {
            let text =
                if seconds.is_finite() { format!("{seconds:.6}") } else { format_float(seconds) };
            let message = format!("timestamp out of bounds for @ modifier: {text}");
            return Err(self.error(operand_pos, message));
        }
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        Ok(AtModifier::Timestamp((seconds * 1000.0).round() as i64))
    }

    fn misplaced(&self, modifier: &str, pos: PositionRange) -> super::ParseError {
        let message = format!(
            "{modifier} modifier must be preceded by an instant vector selector or range vector \
             selector or a subquery"
        );
        self.error(pos, message)
    }

    fn set_extension(
        &self,
        operand: &mut Expr,
        extension: RangeExtension,
        name: &str,
    ) -> Parsed<()> {
        let pos = operand.position();
        if !self.options.enable_extended_range_selectors {
            let message = format!("{name} modifier is experimental and not enabled");
            return Err(self.error(pos, message));
        }
        let target = match operand {
            Expr::VectorSelector(selector) => &mut selector.extension,
            Expr::MatrixSelector(matrix) => &mut matrix.selector.extension,
            Expr::Subquery(_) => {
                let message = format!("{name} modifier is not supported for subqueries");
                return Err(self.error(pos, message));
            }
            _ => return Err(self.error(pos, format!("{name} modifier not implemented"))),
        };
        if *target != RangeExtension::None && *target != extension {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(self.error(pos, message));
        }
        *target = extension;
        Ok(())
    }
}

fn modifiable(expr: &mut Expr) -> Option<Modifiable<'_>> {
    Some(match expr {
        Expr::VectorSelector(node) => {
            Modifiable { offset: &mut node.offset, at: &mut node.at, pos: &mut node.pos }
        }
        Expr::MatrixSelector(node) => Modifiable {
            offset: &mut node.selector.offset,
            at: &mut node.selector.at,
            pos: &mut node.pos,
        },
        Expr::Subquery(node) => {
            Modifiable { offset: &mut node.offset, at: &mut node.at, pos: &mut node.pos }
        }
        _ => return None,
    })
}
