//! The PromQL parser: from query text to a checked syntax tree.
//!
//! Called by the HTTP API, the rule loader and the test scripts. Must never panic, overflow the
//! stack or take more than linear time on any input.

/// The deepest nesting of a query: parentheses, calls, signs, right operands.
pub const MAX_DEPTH: usize = 1_000;

/// What the language allows beyond its stable part. The default is that of a Prometheus server
/// without feature flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParserOptions {
    /// Experimental functions, `limitk` and `limit_ratio`.
    pub enable_experimental_functions: bool,
    /// `anchored` and `smoothed`.
    pub enable_extended_range_selectors: bool,
    /// `fill`, `fill_left` and `fill_right`.
    pub enable_binop_fill_modifiers: bool,
    /// Arithmetic, `step()`, `range()`, `min_of()` and `max_of()` in durations.
    pub enable_duration_expressions: bool,
}

impl Default for ParserOptions {
    fn default() -> Self {
        Self {
            enable_experimental_functions: false,
            enable_extended_range_selectors: false,
            enable_binop_fill_modifiers: false,
            enable_duration_expressions: true,
        }
    }
}

impl ParserOptions {
    /// Everything switched on, as the test scripts want it.
    #[must_use]
    pub fn all() -> Self {
        Self {
            enable_experimental_functions: true,
            enable_extended_range_selectors: true,
            enable_binop_fill_modifiers: true,
            enable_duration_expressions: true,
        }
    }
}
