//! Label matchers.

mod list;

use std::fmt;
use std::sync::Arc;

pub use list::{MatcherListError, parse_matcher_list};

use crate::quote::quote;
use crate::regex::{Regex, RegexError};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

impl MatchOp {
    /// The operator as PromQL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A condition on the value of one label. A series without the label has the value "".
///
/// The value is a byte string, as PromQL's strings are; label values are UTF-8, so a value that
/// is not matches none of them.
#[derive(Clone)]
pub struct Matcher {
    name: Arc<str>,
    op: MatchOp,
    value: Arc<[u8]>,
    regex: Option<Arc<Regex>>,
}

impl Matcher {
    /// A matcher; fails where `value` is not a valid regular expression and should be one.
    pub fn new(op: MatchOp, name: &str, value: impl AsRef<[u8]>) -> Result<Self, RegexError> {
        let value = value.as_ref();
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(Regex::new(value)?)),
        };
        Ok(Self { name: Arc::from(name), op, value: Arc::from(value), regex })
    }

    /// A matcher for `name = value`.
    pub fn equal(name: &str, value: &str) -> Self {
        let value = Arc::from(value.as_bytes());
        Self { name: Arc::from(name), op: MatchOp::Equal, value, regex: None }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What it compares with: a text, or the source of the regular expression.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The compiled expression of a regex matcher (of both `=~` and `!~`).
    pub fn regex(&self) -> Option<&Regex> {
        self.regex.as_deref()
    }

    /// Whether a label value satisfies the matcher.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value.as_bytes() == &*self.value,
            (MatchOp::NotEqual, _) => value.as_bytes() != &*self.value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => false,
        }
    }

    /// Whether a series without the label satisfies the matcher.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::labels::is_legacy_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&quote(self.name.as_bytes()))?;
        }
        write!(f, "{}{}", self.op.as_str(), quote(&self.value))
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
