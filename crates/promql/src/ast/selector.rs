//! Selectors: `metric{label="value"}`, `metric[5m]`, `expr[1h:5m]`, with `offset` and `@`.

use model::Matcher;

use super::{DurationSpec, Expr};
use crate::position::PositionRange;

/// One condition on a label, with its place in the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMatcher {
    /// The condition, ready to be used; a regular expression is compiled.
    pub matcher: Matcher,
    /// Byte range in the query.
    pub pos: PositionRange,
}

/// The `@` modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtModifier {
    /// `@ 1234.5`, in milliseconds since the epoch.
    Timestamp(i64),
    /// `@ start()`.
    Start,
    /// `@ end()`.
    End,
}

/// The `anchored` and `smoothed` modifiers, which exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RangeExtension {
    /// Neither.
    #[default]
    None,
    /// `anchored`.
    Anchored,
    /// `smoothed`.
    Smoothed,
}

/// An instant vector selector.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorSelector {
    /// The metric name in front of the braces; empty if there is none (a name within the braces is
    /// only a matcher).
    pub name: Vec<u8>,
    /// All conditions in the order written; that of a `name` comes last, as `__name__`.
    pub matchers: Vec<LabelMatcher>,
    /// `offset`; a positive one looks back.
    pub offset: Option<DurationSpec>,
    /// `@`.
    pub at: Option<AtModifier>,
    /// `anchored` or `smoothed`.
    pub extension: RangeExtension,
    /// Set for the second argument of `info()`, which may match everything and is no selection of
    /// series by itself.
    pub is_info_argument: bool,
    /// Byte range in the query, with the modifiers.
    pub pos: PositionRange,
}

impl VectorSelector {
    /// The conditions without their places, for a querier.
    #[must_use]
    pub fn matchers(&self) -> Vec<Matcher> {
        self.matchers.iter().map(|label| label.matcher.clone()).collect()
    }
}

/// A range vector selector.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// The series; also holds `offset`, `@`, `anchored` and `smoothed`, though they stand behind
    /// the range in the text.
    pub selector: VectorSelector,
    /// The range, greater than zero.
    pub range: DurationSpec,
    /// Byte range in the query, with the modifiers.
    pub pos: PositionRange,
}

/// A subquery.
#[derive(Debug, Clone, PartialEq)]
pub struct SubqueryExpr {
    /// What is evaluated at each step.
    pub expr: Expr,
    /// The range, greater than zero.
    pub range: DurationSpec,
    /// The step, greater than zero; without one the engine's default holds.
    pub step: Option<DurationSpec>,
    /// `offset`; a positive one looks back.
    pub offset: Option<DurationSpec>,
    /// `@`.
    pub at: Option<AtModifier>,
    /// Byte range in the query, with the modifiers.
    pub pos: PositionRange,
}
