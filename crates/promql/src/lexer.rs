//! The lexer: query text to tokens, one at a time, without looking at more than it has to.
//!
//! It knows three modes. Outside brackets words may be keywords; inside braces they are plain
//! names; directly behind `[` only durations and arithmetic are allowed. Series descriptions have
//! a fourth one for their values ([`series`]). Called by [`crate::parser`] alone. Errors are those
//! of Prometheus, word by word and with its positions, because clients and tests match on them.

mod number;
mod series;
mod string;
mod token;

pub(crate) use token::{HistogramKey, Keyword, Token, TokenKind};

use crate::ast::BinaryOp;
use crate::position::PositionRange;
use crate::strings::{decode_char, quote_char};
use series::HistogramState;
use token::keyword_from_word;

/// Why a text has no further tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LexError {
    pub(crate) pos: PositionRange,
    pub(crate) message: String,
}

type LexResult = Result<TokenKind, LexError>;

/// What stands next, unless a brace or a histogram is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Expression,
    /// Behind `[` until the first number.
    DurationStart,
    /// The values of a series description.
    SeriesValues,
}

/// Reads tokens from a query.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    source: &'a [u8],
    /// The next byte to read.
    at: usize,
    /// Where the current token starts.
    token_start: usize,
    mode: Mode,
    paren_depth: u32,
    is_brace_open: bool,
    is_bracket_open: bool,
    got_colon: bool,
    /// Never reset: a duration in an earlier bracket counts, as in Prometheus.
    got_duration: bool,
    is_series_description: bool,
    histogram: Option<HistogramState>,
}

impl<'a> Lexer<'a> {
    /// A lexer for an expression, a selector or a metric.
    pub(crate) fn new(source: &'a [u8]) -> Self {
        Self {
            source,
            at: 0,
            token_start: 0,
            mode: Mode::Expression,
            paren_depth: 0,
            is_brace_open: false,
            is_bracket_open: false,
            got_colon: false,
            got_duration: false,
            is_series_description: false,
            histogram: None,
        }
    }

    /// A lexer for a series description.
    pub(crate) fn for_series_description(source: &'a [u8]) -> Self {
        Self { is_series_description: true, ..Self::new(source) }
    }

    /// The next token; [`TokenKind::Eof`] again and again at the end. After an error the lexer
    /// must not be used any more.
    pub(crate) fn next_token(&mut self) -> Result<Token, LexError> {
        self.skip_blanks_and_comments();
        self.token_start = self.at;
        let kind = if self.histogram.is_some() {
            self.lex_histogram()
        } else if self.is_brace_open {
            self.lex_inside_braces()
        } else {
            match self.mode {
                Mode::Expression => self.lex_expression(),
                Mode::DurationStart => self.lex_duration_start(),
                Mode::SeriesValues => self.lex_series_values(),
            }
        }?;
        Ok(Token { kind, pos: self.range_from(self.token_start) })
    }

    fn skip_blanks_and_comments(&mut self) {
        if self.histogram.is_some() || (self.mode == Mode::SeriesValues && !self.is_brace_open) {
            return;
        }
        let allows_comment = self.is_brace_open || self.mode == Mode::Expression;
        loop {
            while self.peek_byte().is_some_and(is_space) {
                self.at += 1;
            }
            if !allows_comment || self.peek_byte() != Some(b'#') {
                return;
            }
            while self.peek_byte().is_some_and(|byte| !matches!(byte, b'\r' | b'\n')) {
                self.at += 1;
            }
        }
    }

    fn lex_expression(&mut self) -> LexResult {
        let Some((c, width)) = self.peek_char() else { return self.lex_end_of_input() };
        if c.is_ascii_digit() || (c == '.' && self.byte_at(1).is_some_and(|b| b.is_ascii_digit())) {
            return self.lex_number_or_duration();
        }
        if is_alpha(c) || c == ':' {
            return if self.is_bracket_open {
                self.lex_word_in_brackets()
            } else {
                self.lex_keyword_or_identifier()
            };
        }
        self.at += width;
        Ok(match c {
            '=' => return self.lex_equals(),
            '!' => return self.lex_not(),
            '"' | '\'' | '`' => return self.lex_string(c),
            '(' | ')' => return self.lex_paren(c),
            '{' => {
                self.is_brace_open = true;
                TokenKind::LeftBrace
            }
            '[' => return self.open_bracket(),
            ']' => return self.close_bracket(),
            '<' => self.lex_comparison(BinaryOp::Lss, BinaryOp::Lte, BinaryOp::TrimUpper),
            '>' => self.lex_comparison(BinaryOp::Gtr, BinaryOp::Gte, BinaryOp::TrimLower),
            '@' => TokenKind::At,
            ',' => TokenKind::Comma,
            _ => match arithmetic_op(c) {
                Some(op) => TokenKind::Op(op),
                None => return self.unexpected_character("unexpected character", c),
            },
        })
    }

    fn lex_end_of_input(&self) -> LexResult {
        if self.paren_depth != 0 {
            return self.error("unclosed left parenthesis");
        }
        if self.is_bracket_open {
            return self.error("unclosed left bracket");
        }
        Ok(TokenKind::Eof)
    }

    fn lex_equals(&mut self) -> LexResult {
        match self.peek_byte() {
            Some(b'=') => {
                self.at += 1;
                Ok(TokenKind::Op(BinaryOp::Eql))
            }
            Some(b'~') => self.error("unexpected character after '=': '~'"),
            _ => Ok(TokenKind::Eql),
        }
    }

    fn lex_not(&mut self) -> LexResult {
        let next = self.next_char();
        if next == Some('=') {
            return Ok(TokenKind::Op(BinaryOp::Neq));
        }
        self.error(&format!("unexpected character after '!': {}", quote_char(next)))
    }

    fn lex_comparison(&mut self, alone: BinaryOp, equal: BinaryOp, trim: BinaryOp) -> TokenKind {
        let op = match self.peek_byte() {
            Some(b'=') => equal,
            Some(b'/') => trim,
            _ => return TokenKind::Op(alone),
        };
        self.at += 1;
        TokenKind::Op(op)
    }

    fn lex_paren(&mut self, c: char) -> LexResult {
        if c == '(' {
            self.paren_depth += 1;
            return Ok(TokenKind::LeftParen);
        }
        let Some(depth) = self.paren_depth.checked_sub(1) else {
            return self.error_behind("unexpected right parenthesis ')'");
        };
        self.paren_depth = depth;
        Ok(TokenKind::RightParen)
    }

    fn open_bracket(&mut self) -> LexResult {
        if self.is_bracket_open {
            return self.error("unexpected left bracket '['");
        }
        self.is_bracket_open = true;
        self.got_colon = false;
        self.mode = Mode::DurationStart;
        Ok(TokenKind::LeftBracket)
    }

    fn close_bracket(&mut self) -> LexResult {
        if !self.is_bracket_open {
            return self.error("unexpected right bracket ']'");
        }
        self.is_bracket_open = false;
        self.mode = Mode::Expression;
        Ok(TokenKind::RightBracket)
    }

    /// Behind the first number in brackets: a colon or the name of a duration function.
    fn lex_word_in_brackets(&mut self) -> LexResult {
        let c = self.next_char().unwrap_or(':');
        if c == ':' {
            if self.got_colon {
                return self.error("unexpected colon ':'");
            }
            self.got_colon = true;
            return Ok(TokenKind::Colon);
        }
        match self.lex_duration_function(c) {
            Some(keyword) => Ok(TokenKind::Keyword(keyword)),
            None => {
                self.error(&format!("unexpected character: {}, expected ':'", quote_char(Some(c))))
            }
        }
    }

    /// Directly behind `[`, up to the first number.
    fn lex_duration_start(&mut self) -> LexResult {
        let Some((c, width)) = self.peek_char() else {
            return self.error("unexpected end of input in duration expression");
        };
        if c.is_ascii_digit() || (c == '.' && self.byte_at(1).is_some_and(|b| b.is_ascii_digit())) {
            self.got_duration = true;
            self.mode = Mode::Expression;
            return self.lex_number_or_duration();
        }
        self.at += width;
        match c {
            ']' => return self.close_bracket(),
            ':' => return self.lex_colon_before_number(),
            '(' | ')' => return self.lex_paren(c),
            ',' => return Ok(TokenKind::Comma),
            _ => {}
        }
        if let Some(op) = arithmetic_op(c) {
            return Ok(TokenKind::Op(op));
        }
        match self.lex_duration_function(c) {
            Some(keyword) => Ok(TokenKind::Keyword(keyword)),
            None => self.unexpected_character("unexpected character in duration expression", c),
        }
    }

    fn lex_colon_before_number(&mut self) -> LexResult {
        if !self.got_duration {
            return self.error_behind("unexpected colon before duration in duration expression");
        }
        if self.got_colon {
            return self.error_behind("unexpected repeated colon in duration expression");
        }
        self.got_colon = true;
        Ok(TokenKind::Colon)
    }

    /// The function whose name starts with `first`, which has been read; reads the rest of it.
    fn lex_duration_function(&mut self, first: char) -> Option<Keyword> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.skip_while(is_alpha);
        match keyword_from_word(&self.token_text_lowercase()) {
            Some(TokenKind::Keyword(
                keyword @ (Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf),
            )) => Some(keyword),
            _ => None,
        }
    }

    fn lex_inside_braces(&mut self) -> LexResult {
        let Some((c, width)) = self.peek_char() else {
            return self.error("unexpected end of input inside braces");
        };
        self.at += width;
        Ok(match c {
            ',' => TokenKind::Comma,
            '=' if self.accept(b'~') => TokenKind::EqlRegex,
            '=' => TokenKind::Eql,
            '!' => return self.lex_not_inside_braces(),
            '"' | '\'' | '`' => return self.lex_string(c),
            '{' => return self.error("unexpected left brace '{'"),
            '}' => {
                self.is_brace_open = false;
                if self.is_series_description {
                    self.mode = Mode::SeriesValues;
                }
                TokenKind::RightBrace
            }
            _ if is_alpha(c) => {
                self.skip_while(is_alphanumeric);
                TokenKind::Identifier
            }
            _ => return self.unexpected_character("unexpected character inside braces", c),
        })
    }

    fn lex_not_inside_braces(&mut self) -> LexResult {
        match self.next_char() {
            Some('~') => Ok(TokenKind::NeqRegex),
            Some('=') => Ok(TokenKind::Op(BinaryOp::Neq)),
            next => self.error(&format!(
                "unexpected character after '!' inside braces: {}",
                quote_char(next)
            )),
        }
    }

    fn lex_keyword_or_identifier(&mut self) -> LexResult {
        self.skip_while(|c| is_alphanumeric(c) || c == ':');
        let word = self.token_text_lowercase();
        let kind =
            match keyword_from_word(&word) {
                Some(TokenKind::Keyword(
                    Keyword::Fill | Keyword::FillLeft | Keyword::FillRight,
                )) if !self.is_followed_by_paren() => TokenKind::Identifier,
                Some(kind) => kind,
                None if word.contains(':') => TokenKind::MetricIdentifier,
                None => TokenKind::Identifier,
            };
        if self.is_series_description {
            let is_metric_name = self.peek_byte() == Some(b'{');
            self.mode = if is_metric_name { Mode::Expression } else { Mode::SeriesValues };
        }
        Ok(kind)
    }

    /// Whether the next byte that is not blank is `(`.
    fn is_followed_by_paren(&self) -> bool {
        let mut rest = self.source[self.at..].iter();
        rest.find(|byte| !is_space(**byte)) == Some(&b'(')
    }

    fn token_text_lowercase(&self) -> String {
        String::from_utf8_lossy(self.token_text()).to_ascii_lowercase()
    }

    fn token_text(&self) -> &'a [u8] {
        &self.source[self.token_start..self.at]
    }

    fn byte_at(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn peek_byte(&self) -> Option<u8> {
        self.byte_at(0)
    }

    fn peek_char(&self) -> Option<(char, usize)> {
        decode_char(&self.source[self.at..])
    }

    fn next_char(&mut self) -> Option<char> {
        let (c, width) = self.peek_char()?;
        self.at += width;
        Some(c)
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.accept_any(&[byte])
    }

    fn accept_any(&mut self, bytes: &[u8]) -> bool {
        let is_accepted = self.peek_byte().is_some_and(|byte| bytes.contains(&byte));
        self.at += usize::from(is_accepted);
        is_accepted
    }

    fn skip_while(&mut self, accepts: impl Fn(char) -> bool) {
        while self.peek_byte().is_some_and(|byte| accepts(char::from(byte))) {
            self.at += 1;
        }
    }

    fn range_from(&self, start: usize) -> PositionRange {
        PositionRange::new(offset_u32(start), offset_u32(self.at))
    }

    /// An error at the start of the current token.
    fn error<T>(&self, message: &str) -> Result<T, LexError> {
        self.error_at(self.token_start, message)
    }

    /// An error behind the current token, which in itself is well-formed.
    fn error_behind<T>(&self, message: &str) -> Result<T, LexError> {
        self.error_at(self.at, message)
    }

    fn error_at<T>(&self, start: usize, message: &str) -> Result<T, LexError> {
        let pos = PositionRange::new(offset_u32(start), offset_u32(self.source.len()));
        Err(LexError { pos, message: message.to_owned() })
    }

    fn unexpected_character<T>(&self, what: &str, c: char) -> Result<T, LexError> {
        self.error(&format!("{what}: {}", quote_char(Some(c))))
    }
}

/// Sources are limited to 4 GiB by [`crate::parser`].
fn offset_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn arithmetic_op(c: char) -> Option<BinaryOp> {
    Some(match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        '^' => BinaryOp::Pow,
        _ => return None,
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_alpha(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}
