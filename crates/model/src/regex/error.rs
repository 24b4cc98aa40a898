//! Why a pattern was refused, in Go's words: they are part of PromQL's error messages.

use std::fmt;

/// The longest piece of a pattern that a message repeats.
const MAX_SHOWN_BYTES: usize = 2048;

/// Why a pattern was refused; prints Go's message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {kind}: `{expression}`")]
pub struct RegexError {
    /// What is wrong.
    pub kind: RegexErrorKind,
    /// The offending part of the pattern.
    pub expression: String,
}

impl RegexError {
    /// An error about `expression`; a very long one is cut.
    pub(super) fn new(kind: RegexErrorKind, expression: &str) -> Self {
        let end = expression.floor_char_boundary(MAX_SHOWN_BYTES);
        let mut shown = expression[..end].to_owned();
        if end < expression.len() {
            shown.push_str("...");
        }
        Self { kind, expression: shown }
    }
}

/// What can be wrong with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegexErrorKind {
    /// A range that ends before it begins, or an unknown class.
    InvalidCharRange,
    /// An escape that does not exist.
    InvalidEscape,
    /// A group name that is none, or does not end.
    InvalidNamedCapture,
    /// `(?` followed by something else than flags or a name.
    InvalidPerlOp,
    /// One repetition directly behind another.
    InvalidRepeatOp,
    /// A repetition of more than 1000, also by nesting.
    InvalidRepeatSize,
    /// Not UTF-8.
    InvalidUtf8,
    /// `[` without `]`.
    MissingBracket,
    /// `(` without `)`.
    MissingParen,
    /// A repetition of nothing.
    MissingRepeatArgument,
    /// `\` at the end.
    TrailingBackslash,
    /// `)` without `(`.
    UnexpectedParen,
    /// Too many groups within each other.
    NestingDepth,
    /// The pattern or its automaton is too large.
    TooLarge,
}

impl fmt::Display for RegexErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidCharRange => "invalid character class range",
            Self::InvalidEscape => "invalid escape sequence",
            Self::InvalidNamedCapture => "invalid named capture",
            Self::InvalidPerlOp => "invalid or unsupported Perl syntax",
            Self::InvalidRepeatOp => "invalid nested repetition operator",
            Self::InvalidRepeatSize => "invalid repeat count",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::MissingBracket => "missing closing ]",
            Self::MissingParen => "missing closing )",
            Self::MissingRepeatArgument => "missing argument to repetition operator",
            Self::TrailingBackslash => "trailing backslash at end of expression",
            Self::UnexpectedParen => "unexpected )",
            Self::NestingDepth => "expression nests too deeply",
            Self::TooLarge => "expression too large",
        })
    }
}
