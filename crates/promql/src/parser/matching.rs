//! What may stand between a binary operator and its right operand.

use super::cursor::{Parsed, Parser};
use super::operand::unary_op;
use crate::ast::{Cardinality, UnaryOp, VectorMatching};
use crate::lexer::{Keyword, TokenKind};

/// `bool`, `on`, `group_left`, `fill` and their like.
pub(super) struct BinaryModifiers {
    pub(super) return_bool: bool,
    pub(super) matching: VectorMatching,
}

impl Parser<'_> {
    pub(super) fn parse_binary_modifiers(&mut self) -> Parsed<BinaryModifiers> {
        let return_bool = self.accept_keyword(Keyword::Bool)?;
        let on = self.accept_keyword(Keyword::On)?;
        let mut matching = VectorMatching { on, ..VectorMatching::default() };
        if on || self.accept_keyword(Keyword::Ignoring)? {
            matching.labels = self.parse_grouping_labels()?;
            self.parse_group_modifier(&mut matching)?;
        }
        self.parse_fill_modifiers(&mut matching)?;
        Ok(BinaryModifiers { return_bool, matching })
    }

    fn accept_keyword(&mut self, keyword: Keyword) -> Parsed<bool> {
        self.accept(TokenKind::Keyword(keyword)).map(|token| token.is_some())
    }

    fn parse_group_modifier(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        matching.card = if self.accept_keyword(Keyword::GroupLeft)? {
            Cardinality::ManyToOne
        } else if self.accept_keyword(Keyword::GroupRight)? {
            Cardinality::OneToMany
        } else {
            return Ok(());
        };
        if self.peek()?.kind == TokenKind::LeftParen {
            matching.include = self.parse_grouping_labels()?;
        }
        Ok(())
    }

    fn parse_fill_modifiers(&mut self, matching: &mut VectorMatching) -> Parsed<()> {
        let fill = &mut matching.fill;
        if self.accept_keyword(Keyword::Fill)? {
            fill.lhs = Some(self.parse_fill_value()?);
            fill.rhs = fill.lhs;
        } else if self.accept_keyword(Keyword::FillLeft)? {
            fill.lhs = Some(self.parse_fill_value()?);
            if self.accept_keyword(Keyword::FillRight)? {
                fill.rhs = Some(self.parse_fill_value()?);
            }
        } else if self.accept_keyword(Keyword::FillRight)? {
            fill.rhs = Some(self.parse_fill_value()?);
            if self.accept_keyword(Keyword::FillLeft)? {
                fill.lhs = Some(self.parse_fill_value()?);
            }
        }
        Ok(())
    }

    fn parse_fill_value(&mut self) -> Parsed<f64> {
        self.expect(TokenKind::LeftParen)?;
        let sign = unary_op(self.peek()?.kind);
        if sign.is_some() {
            self.next()?;
        }
        let value = self.parse_number_literal()?.value;
        self.expect(TokenKind::RightParen)?;
        Ok(if sign == Some(UnaryOp::Minus) { -value } else { value })
    }
}
