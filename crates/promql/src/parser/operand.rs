//! Operands: what may stand in front of one and opens something, and what closes it again.

use super::aggregate::OpenAggregate;
use super::cursor::{Parsed, Parser};
use super::expr::PendingBinary;
use crate::ast::{BinaryOp, Expr, ParenExpr, UnaryOp};
use crate::lexer::{Keyword, Token, TokenKind};
use crate::position::PositionRange;

/// Something that has begun and waits for an operand.
pub(super) enum Open {
    Sign(UnaryOp, PositionRange),
    Binary(Box<PendingBinary>),
    /// A parenthesis, with its place.
    Paren(PositionRange),
    /// A function call with the arguments so far.
    Call {
        name: Token,
        args: Vec<Expr>,
    },
    Aggregate(Box<OpenAggregate>),
}

/// What an operand has brought to an end.
pub(super) enum Closed {
    /// The whole construct, an operand itself.
    Operand(Expr),
    /// One argument; the next one follows.
    NextArgument(Open),
}

impl Parser<'_> {
    /// Reads an operand without modifiers, or opens something and gives `None`.
    pub(super) fn start_operand(&mut self, open: &mut Vec<Open>) -> Parsed<Option<Expr>> {
        let token = self.peek()?;
        if let Some(op) = unary_op(token.kind) {
            self.next()?;
            open.push(Open::Sign(op, token.pos));
            return Ok(None);
        }
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                self.parse_number_literal().map(|number| Some(Expr::NumberLiteral(number)))
            }
            TokenKind::String => self.parse_string_literal().map(Some),
            TokenKind::LeftParen => {
                self.next()?;
                open.push(Open::Paren(token.pos));
                Ok(None)
            }
            TokenKind::Aggregate(op) => self.start_aggregate_or_selector(op, open),
            TokenKind::Identifier => self.start_call_or_selector(open),
            TokenKind::Keyword(keyword) if keyword.is_function() => {
                self.start_call_or_selector(open)
            }
            _ => {
                let selector = self.parse_vector_selector()?;
                Ok(Some(Expr::VectorSelector(Box::new(selector))))
            }
        }
    }

    fn start_call_or_selector(&mut self, open: &mut Vec<Open>) -> Parsed<Option<Expr>> {
        let name = self.next()?;
        if self.accept(TokenKind::LeftParen)?.is_none() {
            return self.parse_selector_from(name).map(Some);
        }
        if self.accept(TokenKind::RightParen)?.is_some() {
            return self.finish_call(name, Vec::new()).map(Some);
        }
        open.push(Open::Call { name, args: Vec::new() });
        Ok(None)
    }

    /// A vector selector whose name has been taken.
    pub(super) fn parse_selector_from(&mut self, name: Token) -> Parsed<Expr> {
        let selector = self.parse_selector_behind_name(name)?;
        Ok(Expr::VectorSelector(Box::new(selector)))
    }

    /// Reads what stands behind the last operand in `open`: a closing parenthesis or a comma.
    pub(super) fn close(&mut self, open: Open, operand: Expr) -> Parsed<Closed> {
        match open {
            Open::Sign(..) | Open::Binary(_) => Ok(Closed::Operand(operand)),
            Open::Paren(left) => {
                let right = self.expect(TokenKind::RightParen)?.pos;
                let paren = ParenExpr { expr: operand, pos: left.to(right) };
                Ok(Closed::Operand(Expr::Paren(Box::new(paren))))
            }
            Open::Call { name, mut args } => {
                args.push(operand);
                if self.is_last_argument()? {
                    return self.finish_call(name, args).map(Closed::Operand);
                }
                Ok(Closed::NextArgument(Open::Call { name, args }))
            }
            Open::Aggregate(mut aggregate) => {
                aggregate.args.push(operand);
                if self.is_last_argument()? {
                    return self.finish_aggregate(*aggregate).map(Closed::Operand);
                }
                Ok(Closed::NextArgument(Open::Aggregate(aggregate)))
            }
        }
    }

    /// Takes the closing parenthesis or the comma behind an argument.
    fn is_last_argument(&mut self) -> Parsed<bool> {
        if self.accept(TokenKind::RightParen)?.is_some() {
            return Ok(true);
        }
        let comma = self.expect(TokenKind::Comma)?;
        if !starts_operand(self.peek()?.kind) {
            let message = "trailing commas not allowed in function call args";
            return Err(self.error(comma.pos, message));
        }
        Ok(false)
    }
}

/// The sign that a token may be.
pub(super) fn unary_op(kind: TokenKind) -> Option<UnaryOp> {
    match kind {
        TokenKind::Op(BinaryOp::Add) => Some(UnaryOp::Plus),
        TokenKind::Op(BinaryOp::Sub) => Some(UnaryOp::Minus),
        _ => None,
    }
}

fn starts_operand(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Number
        | TokenKind::Duration
        | TokenKind::String
        | TokenKind::LeftParen
        | TokenKind::LeftBrace => true,
        kind => unary_op(kind).is_some() || is_metric_name(kind),
    }
}

/// Whether a token may be the name of a metric. Most keywords may.
pub(super) fn is_metric_name(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
        TokenKind::Op(op) => op.is_set(),
        TokenKind::Keyword(keyword) => can_be_metric_name(keyword),
        _ => false,
    }
}

/// Whether a keyword may stand where a metric name is expected.
fn can_be_metric_name(keyword: Keyword) -> bool {
    use Keyword as K;
    !matches!(keyword, K::Bool | K::On | K::Ignoring | K::GroupLeft | K::GroupRight)
}
