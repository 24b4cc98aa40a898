//! Expressions: operators by precedence, signs, and what operands look like.

use super::cursor::{Parsed, Parser, can_be_metric_name};
use crate::ast::{BinaryExpr, BinaryOp, Expr, ParenExpr, UnaryExpr, UnaryOp};
use crate::lexer::{Token, TokenKind};
use crate::position::PositionRange;

/// The precedence of the loosest operator.
const LOOSEST: u8 = 1;

impl Parser<'_> {
    /// The whole text as one expression.
    pub(super) fn parse_whole_expr(&mut self) -> Parsed<Expr> {
        if self.peek()?.kind == TokenKind::Eof {
            return Err(self.error(PositionRange::default(), "no expression found in input"));
        }
        let expr = self.parse_expr()?;
        self.expect_end()?;
        Ok(expr)
    }

    pub(super) fn parse_expr(&mut self) -> Parsed<Expr> {
        self.parse_binary(LOOSEST)
    }

    /// Operands joined by operators that bind at least as tightly as `loosest`.
    ///
    /// Left-associative chains are a loop, so they may have any length.
    fn parse_binary(&mut self, loosest: u8) -> Parsed<Expr> {
        self.nested(|parser| {
            let mut lhs = parser.parse_signed()?;
            while let TokenKind::Op(op) = parser.peek()?.kind {
                if op.precedence() < loosest {
                    break;
                }
                parser.next()?;
                lhs = parser.parse_binary_rest(op, lhs)?;
            }
            Ok(lhs)
        })
    }

    /// What follows a binary operator.
    fn parse_binary_rest(&mut self, op: BinaryOp, lhs: Expr) -> Parsed<Expr> {
        let modifiers = self.parse_binary_modifiers()?;
        let is_right_associative = op == BinaryOp::Pow;
        let rhs = self.parse_binary(op.precedence() + u8::from(!is_right_associative))?;
        let mut binary = BinaryExpr::new(op, lhs, rhs);
        let fill = modifiers.matching.fill;
        let has_fill = fill.lhs.is_some() || fill.rhs.is_some();
        if has_fill && !self.options.enable_binop_fill_modifiers {
            let message = "binop fill modifiers are experimental and not enabled";
            return Err(self.error(binary.pos, message));
        }
        binary.return_bool = modifiers.return_bool;
        binary.matching = Some(modifiers.matching);
        Ok(Expr::Binary(Box::new(binary)))
    }

    fn parse_signed(&mut self) -> Parsed<Expr> {
        let token = self.peek()?;
        match unary_op(token.kind) {
            Some(op) => self.parse_unary(op),
            None => {
                let operand = self.parse_operand()?;
                self.parse_modifiers(operand)
            }
        }
    }

    /// A sign and what it applies to; it binds as `*` does, so `-a^b` is `-(a^b)`.
    fn parse_unary(&mut self, op: UnaryOp) -> Parsed<Expr> {
        let sign = self.next()?.pos;
        let expr = self.parse_binary(BinaryOp::Pow.precedence())?;
        let pos = sign.to(expr.position());
        if let Expr::NumberLiteral(mut number) = expr {
            number.value = if op == UnaryOp::Minus { -number.value } else { number.value };
            number.pos = pos;
            return Ok(Expr::NumberLiteral(number));
        }
        Ok(Expr::Unary(Box::new(UnaryExpr { op, expr, pos })))
    }

    fn parse_operand(&mut self) -> Parsed<Expr> {
        match self.peek()?.kind {
            TokenKind::Number | TokenKind::Duration => {
                self.parse_number_literal().map(Expr::NumberLiteral)
            }
            TokenKind::String => self.parse_string_literal(),
            TokenKind::LeftParen => self.parse_paren(),
            TokenKind::Aggregate(op) => self.parse_aggregate_or_selector(op),
            TokenKind::Identifier => self.parse_call_or_selector(),
            TokenKind::Keyword(keyword) if keyword.is_function() => self.parse_call_or_selector(),
            _ => {
                let selector = self.parse_vector_selector()?;
                Ok(Expr::VectorSelector(Box::new(selector)))
            }
        }
    }

    fn parse_paren(&mut self) -> Parsed<Expr> {
        let left = self.next()?.pos;
        let expr = self.parse_expr()?;
        let right = self.expect(TokenKind::RightParen)?.pos;
        Ok(Expr::Paren(Box::new(ParenExpr { expr, pos: left.to(right) })))
    }

    fn parse_call_or_selector(&mut self) -> Parsed<Expr> {
        let name = self.next()?;
        if self.peek()?.kind == TokenKind::LeftParen {
            return self.parse_call(name);
        }
        self.parse_selector_from(name)
    }

    /// A vector selector whose name has been taken.
    pub(super) fn parse_selector_from(&mut self, name: Token) -> Parsed<Expr> {
        let selector = self.parse_selector_behind_name(name)?;
        Ok(Expr::VectorSelector(Box::new(selector)))
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

/// Whether a token may start an expression.
pub(super) fn starts_expr(kind: TokenKind) -> bool {
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
