//! The error of the parser.

use std::fmt;

use crate::position::PositionRange;

/// Why a text was refused; prints `line:column: parse error: message`.
#[derive(Clone, PartialEq, Eq)]
pub struct ParseError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    pos: PositionRange,
    message: String,
    location: String,
}

impl ParseError {
    /// An error about `pos` in `source`.
    pub(crate) fn new(source: &[u8], pos: PositionRange, message: impl Into<String>) -> Self {
        let location = pos.start_in(source);
        Self(Box::new(Inner { pos, message: message.into(), location }))
    }

    /// The byte range that is wrong.
    #[must_use]
    pub fn pos(&self) -> PositionRange {
        self.0.pos
    }

    /// What is wrong, without the position.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// `line:column` of the start, from one, columns in bytes.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.0.location
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: parse error: {}", self.0.location, self.0.message)
    }
}

impl fmt::Debug for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParseError({self})")
    }
}

impl std::error::Error for ParseError {}
