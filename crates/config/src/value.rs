//! The types that an option can have: how each is read from a flag, read from YAML, and shown.
//! Called by the option table (`table.rs`) alone. Never validates across options.

mod bytes;
mod duration;
mod list;
mod scalar;
mod trackers;

pub use bytes::ByteSize;
pub use duration::{GoDuration, PromDuration};
pub use list::{CommaList, DurationList, NumberMap, StringList, StringMap};
pub use scalar::Secret;
pub use trackers::TrackerMap;

use crate::yaml::{Node, Out};

/// What an option's value is, as the documentation and Mimir's descriptor call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A size in bytes, which may carry a unit.
    Bytes,
    /// A floating point number.
    Float,
    /// Text.
    Text,
    /// One of a fixed set of words.
    Choice,
    /// Text that is never shown.
    Secret,
    /// `1h30m0s`.
    GoDuration,
    /// `1d`.
    PromDuration,
    /// Texts separated by commas, or a repeated flag.
    TextList,
    /// Durations separated by commas.
    DurationList,
    /// Text to text.
    TextMap,
    /// Text to number.
    NumberMap,
}

impl Kind {
    /// The word that `-help` and the reference use.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bool => "boolean",
            Kind::Int | Kind::Bytes => "int",
            Kind::Float => "float",
            Kind::Text | Kind::Choice | Kind::Secret => "string",
            Kind::GoDuration | Kind::PromDuration => "duration",
            Kind::TextList => "list of strings",
            Kind::DurationList => "list of durations",
            Kind::TextMap => "map of string to string",
            Kind::NumberMap => "map of string to number",
        }
    }
}

/// A value that stands in an option.
///
/// `set_flag` follows Go's `flag` package, `set_yaml` follows what Go's yaml.v3 accepts for the
/// type. Both leave the value untouched when they fail. A list flag that is repeated adds to the
/// list, as in Mimir; `set_yaml` always replaces.
pub trait Value {
    /// What kind of value this is.
    fn kind(&self) -> Kind;
    /// Reads the text of a flag; the error says what is wrong with the text.
    fn set_flag(&mut self, text: &str) -> Result<(), String>;
    /// Reads a YAML node; the error says what is wrong with the node.
    fn set_yaml(&mut self, node: &Node) -> Result<(), String>;
    /// The value as YAML, secrets masked.
    fn yaml(&self) -> Out;
    /// The value as `-help` shows a default.
    fn show(&self) -> String;
}

/// The text of a scalar node, or why it is none; YAML's null is Go's empty string.
fn scalar<'a>(node: &'a Node, wanted: &str) -> Result<&'a str, String> {
    match node.scalar() {
        Some(text) => Ok(text),
        None => Err(format!("cannot use {} as {wanted}", node.describe())),
    }
}

#[cfg(test)]
mod tests;
