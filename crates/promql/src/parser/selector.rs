//! Vector selectors and their label matchers.

use model::{MatchOp, Matcher};

use super::cursor::{Parsed, Parser};
use super::operand::is_metric_name;
use crate::ast::{BinaryOp, LabelMatcher, VectorSelector};
use crate::lexer::{Token, TokenKind};
use crate::position::PositionRange;

impl Parser<'_> {
    /// A vector selector without modifiers.
    pub(super) fn parse_vector_selector(&mut self) -> Parsed<VectorSelector> {
        let kind = self.peek()?.kind;
        if is_metric_name(kind) {
            let name = self.next()?;
            return self.parse_selector_behind_name(name);
        }
        if kind != TokenKind::LeftBrace {
            return Err(self.unexpected());
        }
        let left = self.peek()?.pos;
        let matchers = self.parse_label_matchers()?;
        let pos = PositionRange::new(left.start, self.last_end);
        Ok(VectorSelector { matchers, pos, ..VectorSelector::default() })
    }

    /// A vector selector whose name has been taken.
    pub(super) fn parse_selector_behind_name(&mut self, token: Token) -> Parsed<VectorSelector> {
        let mut matchers = match self.peek()?.kind {
            TokenKind::LeftBrace => self.parse_label_matchers()?,
            _ => Vec::new(),
        };
        let name = self.ascii_text(token);
        let matcher = Matcher::equal(model::METRIC_NAME_LABEL, name);
        matchers.push(LabelMatcher { matcher, pos: token.pos });
        let pos = PositionRange::new(token.pos.start, self.last_end);
        let name = name.as_bytes().to_vec();
        Ok(VectorSelector { name, matchers, pos, ..VectorSelector::default() })
    }

    /// Matchers in braces.
    fn parse_label_matchers(&mut self) -> Parsed<Vec<LabelMatcher>> {
        self.expect(TokenKind::LeftBrace)?;
        let mut matchers = Vec::new();
        loop {
            // A comma may stand behind the last matcher, but not alone.
            if self.accept(TokenKind::RightBrace)?.is_some() {
                return Ok(matchers);
            }
            matchers.push(self.parse_label_matcher()?);
            if self.accept(TokenKind::RightBrace)?.is_some() {
                return Ok(matchers);
            }
            if self.accept(TokenKind::Comma)?.is_none() {
                return Err(self.expected("label matching", "\",\" or \"}\""));
            }
        }
    }

    fn parse_label_matcher(&mut self) -> Parsed<LabelMatcher> {
        let label = self.peek()?;
        if !matches!(label.kind, TokenKind::Identifier | TokenKind::String) {
            return Err(self.expected("label matching", "identifier or \"}\""));
        }
        self.next()?;
        let name = match label.kind {
            TokenKind::String => self.unquote_token(label)?,
            _ => self.text(label).to_vec(),
        };
        match match_op(self.peek()?.kind) {
            Some(op) => self.parse_match_value(label, &name, op),
            None if label.kind == TokenKind::String => {
                self.new_matcher(label.pos, model::METRIC_NAME_LABEL, MatchOp::Equal, &name)
            }
            None => Err(self.expected("label matching", "label matching operator")),
        }
    }

    fn parse_match_value(
        &mut self,
        label: Token,
        name: &[u8],
        op: MatchOp,
    ) -> Parsed<LabelMatcher> {
        self.next()?;
        let Some(value) = self.accept(TokenKind::String)? else {
            return Err(self.expected("label matching", "string"));
        };
        let pos = label.pos.to(value.pos);
        // No stored label has a name that is not UTF-8.
        let name = String::from_utf8_lossy(name);
        let value = self.unquote_token(value)?;
        self.new_matcher(pos, &name, op, &value)
    }

    fn new_matcher(
        &mut self,
        pos: PositionRange,
        name: &str,
        op: MatchOp,
        value: &[u8],
    ) -> Parsed<LabelMatcher> {
        let matcher =
            Matcher::new(op, name, value).map_err(|error| self.error(pos, error.to_string()))?;
        self.count_matcher(&matcher, pos)?;
        Ok(LabelMatcher { matcher, pos })
    }
}

fn match_op(kind: TokenKind) -> Option<MatchOp> {
    Some(match kind {
        TokenKind::Eql => MatchOp::Equal,
        TokenKind::Op(BinaryOp::Neq) => MatchOp::NotEqual,
        TokenKind::EqlRegex => MatchOp::Regex,
        TokenKind::NeqRegex => MatchOp::NotRegex,
        _ => return None,
    })
}
