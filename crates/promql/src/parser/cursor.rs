//! The parser's view of the tokens: one token of look-ahead, errors about unexpected tokens, the
//! depth limit.
//!
//! The next token is read only when it is asked for. That matters: an error in the next token must
//! not come before an error in what has been parsed already.

use model::Matcher;

use super::{MAX_AUTOMATA_BYTES, MAX_DEPTH, MAX_PARTS, ParseError, ParserOptions};
use crate::lexer::{LexError, Lexer, Token, TokenKind};
use crate::position::PositionRange;
use crate::strings::{quote, quote_shortened};

/// What the parser's methods return.
pub(crate) type Parsed<T> = Result<T, ParseError>;

/// What an error about an unexpected token says beyond the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Context {
    /// `in …`
    pub(crate) place: &'static str,
    /// `expected …`
    pub(crate) expected: &'static str,
}

/// The state of parsing one text.
pub(crate) struct Parser<'a> {
    pub(super) source: &'a [u8],
    pub(super) options: ParserOptions,
    /// What the innermost construct says about a token that fits nowhere.
    pub(super) context: Context,
    lexer: Lexer<'a>,
    peeked: Option<Token>,
    /// One past the last byte of the last token taken.
    pub(super) last_end: u32,
    /// How deep the current duration expression is.
    pub(super) duration_depth: usize,
    /// Subqueries directly on subqueries so far. All of them are ill-typed, but they nest.
    pub(super) stacked_subquery_count: usize,
    /// Operators of the current duration expression so far.
    pub(super) duration_op_count: usize,
    part_count: usize,
    automata_bytes: usize,
    /// Asked now and then whether to go on.
    goes_on: &'a dyn Fn() -> bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(source: &'a [u8], options: ParserOptions) -> Parsed<Self> {
        Self::with_lexer(source, Lexer::new(source), options)
    }

    pub(crate) fn for_series_description(source: &'a [u8]) -> Parsed<Self> {
        Self::with_lexer(source, Lexer::for_series_description(source), ParserOptions::default())
    }

    fn with_lexer(source: &'a [u8], lexer: Lexer<'a>, options: ParserOptions) -> Parsed<Self> {
        if u32::try_from(source.len()).is_err() {
            let message = "text is longer than 4 GiB";
            return Err(ParseError::new(source, PositionRange::default(), message));
        }
        Ok(Self {
            source,
            options,
            context: Context::default(),
            lexer,
            peeked: None,
            last_end: 0,
            duration_depth: 0,
            stacked_subquery_count: 0,
            duration_op_count: 0,
            part_count: 0,
            automata_bytes: 0,
            goes_on: &|| true,
        })
    }

    /// Ends with an error soon after `goes_on` says no.
    pub(super) fn while_true(self, goes_on: &'a dyn Fn() -> bool) -> Self {
        Self { goes_on, ..self }
    }

    /// The next token, left in place.
    pub(crate) fn peek(&mut self) -> Parsed<Token> {
        if let Some(token) = self.peeked {
            return Ok(token);
        }
        let token = self
            .lexer
            .next_token()
            .map_err(|LexError { pos, message }| ParseError::new(self.source, pos, message))?;
        self.peeked = Some(token);
        Ok(token)
    }

    /// Takes the next token.
    pub(crate) fn next(&mut self) -> Parsed<Token> {
        let token = self.peek()?;
        self.peeked = None;
        self.last_end = token.pos.end;
        Ok(token)
    }

    /// Takes the next token if it is of this kind.
    pub(crate) fn accept(&mut self, kind: TokenKind) -> Parsed<Option<Token>> {
        if self.peek()?.kind == kind { self.next().map(Some) } else { Ok(None) }
    }

    /// Takes the next token, which must be of this kind.
    pub(crate) fn expect(&mut self, kind: TokenKind) -> Parsed<Token> {
        match self.accept(kind)? {
            Some(token) => Ok(token),
            None => Err(self.unexpected()),
        }
    }

    /// Fails unless everything has been read.
    pub(crate) fn expect_end(&mut self) -> Parsed<()> {
        self.expect(TokenKind::Eof).map(drop)
    }

    /// The bytes of a token.
    pub(crate) fn text(&self, token: Token) -> &'a [u8] {
        &self.source[token.pos.start as usize..token.pos.end as usize]
    }

    /// The bytes of a token that is ASCII by its kind.
    pub(crate) fn ascii_text(&self, token: Token) -> &'a str {
        std::str::from_utf8(self.text(token)).unwrap_or_default()
    }

    pub(crate) fn error(&self, pos: PositionRange, message: impl Into<String>) -> ParseError {
        ParseError::new(self.source, pos, message)
    }

    /// The error that the next token fits nowhere, in the words of the innermost construct.
    pub(crate) fn unexpected(&mut self) -> ParseError {
        self.unexpected_in(self.context)
    }

    /// The error that the next token is not what stands in `context`.
    pub(crate) fn unexpected_in(&mut self, context: Context) -> ParseError {
        let token = match self.peek() {
            Ok(token) => token,
            Err(error) => return error,
        };
        let mut message = format!("unexpected {}", self.describe(token));
        if !context.place.is_empty() {
            message = format!("{message} in {}", context.place);
        }
        if !context.expected.is_empty() {
            message = format!("{message}, expected {}", context.expected);
        }
        self.error(token.pos, message)
    }

    /// As [`Self::unexpected_in`].
    pub(crate) fn expected(&mut self, place: &'static str, expected: &'static str) -> ParseError {
        self.unexpected_in(Context { place, expected })
    }

    fn describe(&self, token: Token) -> String {
        let text = self.text(token);
        let plain = || String::from_utf8_lossy(text);
        match token.kind {
            TokenKind::Eof => "end of input".to_owned(),
            TokenKind::Identifier => format!("identifier {}", quote(text)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quote(text)),
            TokenKind::String => format!("string {}", quote_shortened(text)),
            TokenKind::Number => format!("number {}", quote_shortened(text)),
            TokenKind::Duration => format!("duration {}", quote_shortened(text)),
            TokenKind::Op(_) | TokenKind::At | TokenKind::EqlRegex | TokenKind::NeqRegex => {
                format!("<op:{}>", plain())
            }
            TokenKind::Aggregate(_) => format!("<aggr:{}>", plain()),
            TokenKind::Keyword(keyword) if !keyword.is_function() => format!("<{}>", plain()),
            TokenKind::Space => quote(&text[..text.len().min(1)]),
            _ => quote_shortened(text),
        }
    }

    #[cold]
    pub(super) fn too_deep(&self) -> ParseError {
        let pos = PositionRange::new(self.last_end, self.last_end);
        self.error(pos, format!("expression is nested too deeply, the limit is {MAX_DEPTH} levels"))
    }

    /// Counts an operand or a matcher.
    pub(super) fn count_part(&mut self) -> Parsed<()> {
        /// A millisecond's work at most.
        const PARTS_BETWEEN_QUESTIONS: usize = 256;
        self.part_count += 1;
        let pos = PositionRange::new(self.last_end, self.last_end);
        if self.part_count.is_multiple_of(PARTS_BETWEEN_QUESTIONS) && !(self.goes_on)() {
            return Err(self.error(pos, "parsing was stopped"));
        }
        if self.part_count <= MAX_PARTS {
            return Ok(());
        }
        Err(self.error(pos, format!("expression is too long, the limit is {MAX_PARTS} operands")))
    }

    /// Counts what a matcher holds.
    pub(super) fn count_matcher(&mut self, matcher: &Matcher, pos: PositionRange) -> Parsed<()> {
        self.count_part()?;
        self.automata_bytes += matcher.regex().map_or(0, model::regex::Regex::automaton_bytes);
        if self.automata_bytes <= MAX_AUTOMATA_BYTES {
            return Ok(());
        }
        Err(self.error(pos, "the regular expressions are too large together"))
    }

    /// Runs `parse` with another context for unexpected tokens.
    pub(crate) fn in_context<T>(
        &mut self,
        context: Context,
        parse: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let outer = std::mem::replace(&mut self.context, context);
        let parsed = parse(self);
        self.context = outer;
        parsed
    }
}
