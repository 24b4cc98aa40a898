//! YAML as the loader sees it: a tree of nodes that know their line, and the other way round what
//! a dump writes. Called by `value/`, `raw.rs`, `runtime.rs` and `dump.rs`. Never guesses types:
//! a scalar stays the text that was written.

mod parse;
mod write;

pub use parse::{YamlError, parse};

/// One node of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The line in the file, from 1.
    pub line: usize,
    data: Data,
}

#[derive(Clone, Debug, PartialEq)]
enum Data {
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text of a scalar; null is the empty text, as Go reads it into a string.
    pub fn scalar(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar { .. } if self.is_null() => Some(""),
            Data::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether it is a scalar written without quotes, which alone may be a number or a boolean.
    pub fn is_plain(&self) -> bool {
        matches!(self.data, Data::Scalar { plain: true, .. })
    }

    /// Whether nothing or YAML's null was written.
    pub fn is_null(&self) -> bool {
        matches!(&self.data, Data::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The items of a list.
    pub fn list(&self) -> Option<&[Node]> {
        match &self.data {
            Data::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a map in the order of the file; keys are unique.
    pub fn map(&self) -> Option<&[(Node, Node)]> {
        match &self.data {
            Data::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// What it is, for an error message.
    pub fn describe(&self) -> String {
        match &self.data {
            Data::Scalar { .. } if self.is_null() => "null".to_owned(),
            Data::Scalar { text, .. } => format!("\"{}\"", text.escape_debug()),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a map".to_owned(),
        }
    }
}

/// YAML that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Out {
    /// A number, a boolean: written as it is.
    Bare(String),
    /// Text, quoted where it must be.
    Text(String),
    /// A list.
    List(Vec<Out>),
    /// A map in the order given.
    Map(Vec<(String, Out)>),
}

impl Out {
    /// Text.
    pub fn text(text: &str) -> Out {
        Out::Text(text.to_owned())
    }
}

#[cfg(test)]
mod tests;
