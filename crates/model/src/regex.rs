//! Regular expressions with the meaning of Go's `regexp` (RE2), anchored as `^(?s:...)$`: those
//! of label matchers, of `label_replace` and of relabelling.
//!
//! Go's syntax is parsed here, because it differs from that of Rust's crates in what is a
//! literal, an error, or ASCII only; the automata are `regex-automata`'s. Most patterns of
//! matchers are literals, alternations of literals or literals around `.*`: those never get an
//! automaton, and the others only when they are first needed. Matching takes time linear in the
//! value for any pattern; length, nesting and size of patterns are bounded.

mod ast;
mod class;
mod engine;
mod error;
mod escape;
mod expand;
mod glob;
mod group;
mod literals;
mod lower;
mod parse;
mod set;
mod unicode;

use std::sync::OnceLock;

use memchr::arch::all::{is_prefix, is_suffix};

pub use error::{RegexError, RegexErrorKind};

use engine::Engine;
use expand::Captures;
use glob::Glob;
use set::StringSet;

/// The longest pattern that is accepted.
pub const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A compiled, fully anchored expression.
#[derive(Debug)]
pub struct Regex {
    pattern: Box<str>,
    plan: Plan,
    prefix: String,
    suffix: String,
    automaton_bytes: usize,
    engine: OnceLock<Engine>,
    captures: OnceLock<Captures>,
}

/// How values are matched.
#[derive(Debug)]
enum Plan {
    /// A finite set of values.
    Set(StringSet),
    /// One of a few patterns of literals and `.*`.
    Globs(Vec<Glob>),
    /// An automaton, behind a look at the literal prefix and suffix.
    Automaton,
}

impl Regex {
    /// Compiles `pattern`, which must match the whole of a value.
    ///
    /// A pattern of plain characters may be any bytes, as in Prometheus; values are UTF-8, so
    /// one that is not matches nothing.
    pub fn new(pattern: &[u8]) -> Result<Self, RegexError> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(RegexError::new(
                RegexErrorKind::TooLarge,
                &String::from_utf8_lossy(pattern),
            ));
        }
        if let Some(set) = StringSet::of_plain_alternatives(pattern) {
            return Ok(Self::of_set(&String::from_utf8_lossy(pattern), set));
        }
        let text = std::str::from_utf8(pattern).map_err(|error| {
            let rest = String::from_utf8_lossy(&pattern[error.valid_up_to()..]);
            RegexError::new(RegexErrorKind::InvalidUtf8, &rest)
        })?;
        Self::parsed(text)
    }

    fn parsed(text: &str) -> Result<Self, RegexError> {
        let node = parse::parse(text)?.node;
        if let Some(values) = literals::finite_set(&node) {
            return Ok(Self::of_set(text, StringSet::new(values)));
        }
        let prefix = literals::prefix(&node);
        if let Some(globs) = glob::globs(&node) {
            let plan = Plan::Globs(globs);
            return Ok(Self::with_plan(text, plan, prefix, String::new()));
        }
        let mut regex = Self::with_plan(text, Plan::Automaton, prefix, literals::suffix(&node));
        regex.automaton_bytes = engine::estimated_bytes(&node);
        if !engine::is_small(&node) {
            // Only building it tells whether it fits.
            let engine = Engine::bounded(&node)
                .ok_or_else(|| RegexError::new(RegexErrorKind::TooLarge, text))?;
            regex.automaton_bytes = engine.nfa_bytes();
            let _ = regex.engine.set(engine);
        }
        Ok(regex)
    }

    fn of_set(text: &str, set: StringSet) -> Self {
        let prefix = set.common_prefix().to_owned();
        Self::with_plan(text, Plan::Set(set), prefix, String::new())
    }

    fn with_plan(text: &str, plan: Plan, prefix: String, suffix: String) -> Self {
        Self {
            pattern: text.into(),
            plan,
            prefix,
            suffix,
            automaton_bytes: 0,
            engine: OnceLock::new(),
            captures: OnceLock::new(),
        }
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// About the memory that its automaton takes, or will take once it is needed; 0 without one.
    /// For those who hold many expressions that a client has sent.
    pub fn automaton_bytes(&self) -> usize {
        self.automaton_bytes
    }

    /// Whether `value` as a whole matches.
    #[inline]
    pub fn is_match(&self, value: &str) -> bool {
        match &self.plan {
            Plan::Set(set) => set.contains(value),
            Plan::Globs(globs) => globs.iter().any(|glob| glob.matches(value)),
            Plan::Automaton => self.automaton_matches(value),
        }
    }

    fn automaton_matches(&self, value: &str) -> bool {
        is_prefix(value.as_bytes(), self.prefix.as_bytes())
            && is_suffix(value.as_bytes(), self.suffix.as_bytes())
            && self.engine.get_or_init(|| Engine::of_pattern(&self.pattern)).is_match(value)
    }

    /// All values that match, sorted and without duplicates, where they are few enough to have
    /// been written out or nearly so.
    pub fn set_matches(&self) -> Option<&[String]> {
        match &self.plan {
            Plan::Set(set) => Some(set.values()),
            Plan::Globs(_) | Plan::Automaton => None,
        }
    }

    /// What every value that matches begins with, if that is known and not empty.
    pub fn prefix(&self) -> Option<&str> {
        (!self.prefix.is_empty()).then_some(&*self.prefix)
    }

    /// Whether every value matches (`.*`). False does not say that some value does not.
    pub fn matches_everything(&self) -> bool {
        matches!(&self.plan, Plan::Globs(globs) if globs.iter().any(Glob::matches_everything))
    }

    /// Whether exactly the values that are not empty match (`.+`). False does not say otherwise.
    pub fn matches_all_but_empty(&self) -> bool {
        matches!(&self.plan, Plan::Globs(globs) if globs.iter().any(Glob::matches_all_but_empty))
            && !self.is_match("")
    }

    /// `template` with `$1`, `${1}`, `$name` and `${name}` replaced by what the groups of the
    /// pattern matched in `value`, and `$$` by `$`, as Go's `Expand` does it; `None` if `value`
    /// does not match.
    pub fn captures_expand(&self, value: &str, template: &str) -> Option<String> {
        if !self.is_match(value) {
            return None;
        }
        self.captures.get_or_init(|| Captures::of_pattern(&self.pattern)).expand(value, template)
    }
}

#[cfg(test)]
mod tests;
