//! The values of series descriptions: `1 2+3x4 _ {{schema:1 buckets:[1 2]}}x5`.
//!
//! Blank space separates values here and is a token. Only the test scripts and rule tests use it.

use super::token::{HistogramKey, reset_hint_from_word};
use super::{LexResult, Lexer, Mode, TokenKind, is_alpha, is_space, keyword_from_word};
use crate::ast::BinaryOp;
use crate::strings::{quote, quote_char};

/// Where in a histogram literal the lexer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HistogramState {
    /// Behind `{{`.
    Open,
    /// Behind the sign of a number in `[…]`: only a number may follow.
    SignedBucket,
    /// Behind `}}`, in front of `x`, `+` or `-`.
    Closed,
}

impl Lexer<'_> {
    pub(super) fn lex_series_values(&mut self) -> LexResult {
        let Some((c, width)) = self.peek_char() else {
            self.mode = Mode::Expression;
            return self.lex_end_of_input();
        };
        if is_alpha(c) && c != '_' && c != 'x' {
            return self.lex_keyword_or_identifier();
        }
        if c.is_ascii_digit() || (c == '.' && self.byte_at(1).is_some_and(|b| b.is_ascii_digit())) {
            return self.lex_number();
        }
        self.at += width;
        match c {
            '{' if self.accept(b'{') => {
                self.histogram = Some(HistogramState::Open);
                Ok(TokenKind::OpenHistogram)
            }
            '_' => Ok(TokenKind::Blank),
            '+' => Ok(TokenKind::Op(BinaryOp::Add)),
            '-' => Ok(TokenKind::Op(BinaryOp::Sub)),
            'x' => Ok(TokenKind::Times),
            _ if c.is_ascii() && is_space(c as u8) => Ok(self.lex_space()),
            _ => self.unexpected_character("unexpected character in series sequence", c),
        }
    }

    fn lex_space(&mut self) -> TokenKind {
        while self.peek_byte().is_some_and(is_space) {
            self.at += 1;
        }
        TokenKind::Space
    }

    pub(super) fn lex_histogram(&mut self) -> LexResult {
        match self.histogram {
            Some(HistogramState::Closed) => return self.lex_behind_histogram(),
            Some(HistogramState::SignedBucket) => {
                self.histogram = Some(HistogramState::Open);
                return self.lex_number();
            }
            _ if self.is_bracket_open => return self.lex_buckets(),
            _ => {}
        }
        let Some((c, width)) = self.peek_char() else { return self.incomplete_histogram(None) };
        if is_alpha(c) {
            return self.lex_histogram_word();
        }
        if c.is_ascii_digit() {
            return self.lex_number();
        }
        self.at += width;
        match c {
            ':' => Ok(TokenKind::Colon),
            '-' => Ok(TokenKind::Op(BinaryOp::Sub)),
            '[' => {
                self.is_bracket_open = true;
                Ok(TokenKind::LeftBracket)
            }
            '}' if self.accept(b'}') => {
                let has_operator = matches!(self.peek_byte(), Some(b'x' | b'+' | b'-'));
                self.histogram = has_operator.then_some(HistogramState::Closed);
                Ok(TokenKind::CloseHistogram)
            }
            _ if c.is_ascii() && is_space(c as u8) => Ok(self.lex_space()),
            _ => self.incomplete_histogram(Some(c)),
        }
    }

    fn incomplete_histogram(&self, c: Option<char>) -> LexResult {
        self.error(&format!("histogram description incomplete unexpected: {}", quote_char(c)))
    }

    fn lex_behind_histogram(&mut self) -> LexResult {
        self.histogram = None;
        Ok(match self.next_char() {
            Some('x') => TokenKind::Times,
            Some('+') => TokenKind::Op(BinaryOp::Add),
            _ => TokenKind::Op(BinaryOp::Sub),
        })
    }

    fn lex_histogram_word(&mut self) -> LexResult {
        self.skip_while(is_alpha);
        let word = self.token_text_lowercase();
        if let Some(key) = HistogramKey::from_word(&word) {
            if self.peek_byte() == Some(b':') {
                return Ok(TokenKind::HistogramKey(key));
            }
            return self.error("missing `:` for histogram descriptor");
        }
        if let Some(TokenKind::Number) = keyword_from_word(&word) {
            return Ok(TokenKind::Number);
        }
        match reset_hint_from_word(&word) {
            Some(hint) => Ok(TokenKind::ResetHint(hint)),
            None => {
                self.error(&format!("bad histogram descriptor found: {}", quote(self.token_text())))
            }
        }
    }

    fn lex_buckets(&mut self) -> LexResult {
        let c = self.peek_char().map(|(c, _)| c);
        if c.is_some_and(|c| c.is_ascii_digit()) {
            return self.lex_number();
        }
        self.next_char();
        match c {
            Some('-') => {
                self.histogram = Some(HistogramState::SignedBucket);
                Ok(TokenKind::Op(BinaryOp::Sub))
            }
            Some(']') => {
                self.is_bracket_open = false;
                Ok(TokenKind::RightBracket)
            }
            Some(c) if c.is_ascii() && is_space(c as u8) => Ok(self.lex_space()),
            Some(c) if is_alpha(c) => self.lex_bucket_word(),
            _ => {
                self.error(&format!("invalid character in buckets description: {}", quote_char(c)))
            }
        }
    }

    /// `Inf` or `NaN`.
    fn lex_bucket_word(&mut self) -> LexResult {
        self.skip_while(is_alpha);
        match keyword_from_word(&self.token_text_lowercase()) {
            Some(TokenKind::Number) => Ok(TokenKind::Number),
            _ => self.error(&format!(
                "invalid character in buckets description: {}",
                quote_char(self.token_text().first().map(|byte| char::from(*byte)))
            )),
        }
    }
}
