//! Metrics with their labels, as in series descriptions: `name{label="value"}`.

use model::{Labels, LabelsBuilder};

use super::cursor::{Parsed, Parser};
use super::operand::is_metric_name;
use crate::lexer::{Token, TokenKind};

impl Parser<'_> {
    /// A name, labels in braces, both, or nothing.
    pub(crate) fn parse_metric_labels(&mut self) -> Parsed<Labels> {
        let mut labels = LabelsBuilder::default();
        let name = match is_metric_name(self.peek()?.kind) {
            true => Some(self.next()?),
            false => None,
        };
        if self.accept(TokenKind::LeftBrace)?.is_some() {
            self.parse_label_set(&mut labels)?;
        }
        if let Some(name) = name {
            labels.set(model::METRIC_NAME_LABEL, self.ascii_text(name));
        }
        Ok(labels.build())
    }

    /// Labels behind an opening brace, with the closing one.
    fn parse_label_set(&mut self, labels: &mut LabelsBuilder) -> Parsed<()> {
        loop {
            if self.accept(TokenKind::RightBrace)?.is_some() {
                return Ok(());
            }
            self.parse_label(labels)?;
            if self.accept(TokenKind::RightBrace)?.is_some() {
                return Ok(());
            }
            if self.accept(TokenKind::Comma)?.is_none() {
                return Err(self.expected("label set", "\",\" or \"}\""));
            }
        }
    }

    fn parse_label(&mut self, labels: &mut LabelsBuilder) -> Parsed<()> {
        let token = self.peek()?;
        let name = match token.kind {
            TokenKind::Identifier => self.ascii_text(token).to_owned(),
            TokenKind::String => self.unquote_utf8(token)?,
            _ => return Err(self.expected("label set", "identifier or \"}\"")),
        };
        self.next()?;
        if self.accept(TokenKind::Eql)?.is_none() {
            if token.kind == TokenKind::String {
                labels.set(model::METRIC_NAME_LABEL, &name);
                return Ok(());
            }
            return Err(self.expected("label set", "\"=\""));
        }
        let Some(value) = self.accept(TokenKind::String)? else {
            return Err(self.expected("label set", "string"));
        };
        labels.set(&name, &self.unquote_utf8(value)?);
        Ok(())
    }

    fn unquote_utf8(&self, token: Token) -> Parsed<String> {
        String::from_utf8(self.unquote_token(token)?)
            .map_err(|_| self.error(token.pos, "label names and values must be valid UTF-8"))
    }
}
