//! What a pattern says, after parsing. Flags are gone: they are in the nodes.

use regex_syntax::hir::{ClassUnicode, Look};

/// A part of a pattern.
#[derive(Debug)]
pub(super) enum Node {
    /// Matches the empty text.
    Empty,
    /// Matches nothing at all.
    Never,
    /// Some characters; `fold` ignores case.
    Literal { text: String, fold: bool },
    /// One character of a class.
    Class(ClassUnicode),
    /// Any character (`.`).
    AnyChar,
    /// Any character but a line feed (`.` under `(?-s)`).
    AnyCharNotNewline,
    /// A condition on a position.
    Look(Look),
    /// A repetition; `max` of `None` is without end.
    Repeat { min: u32, max: Option<u32>, greedy: bool, sub: Box<Self> },
    /// A capture group; the index counts from 1.
    Capture { index: u32, sub: Box<Self> },
    /// One after the other.
    Concat(Vec<Self>),
    /// One or the other; the earlier is preferred.
    Alternate(Vec<Self>),
}
