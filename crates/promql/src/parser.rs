//! The PromQL parser: from query text to a checked syntax tree.
//!
//! Called by the HTTP API, the rule loader and the test scripts. Hand-written: a token cursor
//! (`cursor`), operators by precedence on a stack of their own (`expr`), and one file for each
//! kind of operand. Must
//! never panic, overflow the stack or take more than linear time on any input. Error texts and
//! positions are Prometheus', since clients and tests match on them; where several things are
//! wrong with a query, the one is reported that Prometheus' generated parser finds first, which is
//! why some checks stand before and others behind the look at the next token.

mod aggregate;
mod call;
mod cursor;
mod duration_expr;
mod error;
mod expr;
mod literal;
mod matching;
mod metric;
mod modifier;
mod operand;
mod selector;

pub(crate) use cursor::{Context, Parsed, Parser};
pub use error::ParseError;

use model::{Labels, Matcher};

use crate::ast::{Expr, VectorSelector};
use crate::typecheck;

/// The deepest nesting of a query: parentheses, calls, signs, right operands.
pub const MAX_DEPTH: usize = 1_000;
/// The most operands, matchers and arguments of a query together: each takes memory before any
/// limit of a tenant counts it.
pub const MAX_PARTS: usize = 100_000;
/// The most memory that the automata of a query's matchers take, bytes. Large ones are built
/// while the query is parsed, which cannot be stopped: it takes about 9 ms for each MiB.
pub const MAX_AUTOMATA_BYTES: usize = 5 << 20;

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

/// A query as a syntax tree, with its types checked.
///
/// ```
/// use promql::parser::{ParserOptions, parse_expr};
///
/// let expr = parse_expr("sum(rate(x[5m])) by (job) > 0.5", &ParserOptions::default())?;
/// assert_eq!(expr.to_string(), "sum by (job) (rate(x[5m])) > 0.5");
///
/// let error = parse_expr("sum(rate(x))", &ParserOptions::default()).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "1:10: parse error: expected type range vector in call to function \"rate\", \
///      got instant vector"
/// );
/// # Ok::<(), promql::parser::ParseError>(())
/// ```
///
/// # Errors
/// If the text is no PromQL, uses what `options` leave out, is ill-typed or nested too deeply.
pub fn parse_expr(query: impl AsRef<[u8]>, options: &ParserOptions) -> Result<Expr, ParseError> {
    parse_expr_while(query, options, &|| true)
}

/// As [`parse_expr`], for texts of strangers, which may be long: `goes_on` is asked now and then.
///
/// # Errors
/// As [`parse_expr`]; also soon after `goes_on` has said no.
pub fn parse_expr_while(
    query: impl AsRef<[u8]>,
    options: &ParserOptions,
    goes_on: &dyn Fn() -> bool,
) -> Result<Expr, ParseError> {
    let query = query.as_ref();
    let mut parser = Parser::new(query, *options)?.while_true(goes_on);
    let mut expr = parser.parse_whole_expr()?;
    typecheck::check(&mut expr, query)?;
    Ok(expr)
}

/// The conditions of a bare vector selector, as in the HTTP API's `match[]`. They may be empty or
/// match everything; a name may be given twice.
///
/// # Errors
/// If the text is anything but a selector without modifiers.
pub fn parse_metric_selector(selector: impl AsRef<[u8]>) -> Result<Vec<Matcher>, ParseError> {
    parse_selector(selector.as_ref()).map(|selector| selector.matchers())
}

fn parse_selector(source: &[u8]) -> Result<VectorSelector, ParseError> {
    let mut parser = Parser::new(source, ParserOptions::default())?;
    let selector = parser.parse_vector_selector()?;
    parser.expect_end()?;
    Ok(selector)
}

/// The labels of a metric: `name{label="value"}`.
///
/// # Errors
/// If the text is no metric, or a label is not UTF-8.
pub fn parse_metric(metric: impl AsRef<[u8]>) -> Result<Labels, ParseError> {
    let mut parser = Parser::new(metric.as_ref(), ParserOptions::default())?;
    let labels = parser.parse_metric_labels()?;
    parser.expect_end()?;
    Ok(labels)
}

#[cfg(test)]
mod tests;
