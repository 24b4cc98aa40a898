//! Which experimental parts of the language a tenant may use.
//!
//! The limits name functions and range selectors, separated by commas; `all` allows every one. The
//! parser knows only on and off: what is on but not named is refused here.

use config::Limits;
use promql::ast::{Expr, RangeExtension, VectorSelector, Visit};
use promql::parser::ParserOptions;

use crate::error::ApiError;

/// The switches of the parser for a tenant.
pub(crate) fn parser_options(limits: &Limits) -> ParserOptions {
    let is_on = |list: &str| names(list).next().is_some();
    ParserOptions {
        enable_experimental_functions: is_on(&limits.enabled_promql_experimental_functions),
        enable_extended_range_selectors: is_on(&limits.enabled_promql_extended_range_selectors),
        ..ParserOptions::default()
    }
}

/// Refuses experimental functions, aggregations and range selectors that are not named.
pub(crate) fn check(expr: &Expr, limits: &Limits) -> Result<(), ApiError> {
    let functions = &limits.enabled_promql_experimental_functions;
    let selectors = &limits.enabled_promql_extended_range_selectors;
    let mut refused = None;
    expr.visit(&mut |node| match used_feature(node) {
        Some(Feature::Function(name)) if !allows(functions, name) => {
            refused = Some(format!("function {name:?} is not enabled"));
            Visit::Skip
        }
        Some(Feature::RangeSelector(name)) if !allows(selectors, name) => {
            refused = Some(format!("{name:?} modifier is not enabled"));
            Visit::Skip
        }
        _ => Visit::Children,
    });
    refused.map_or(Ok(()), |reason| Err(ApiError::invalid_parameter("query", reason)))
}

enum Feature {
    Function(&'static str),
    RangeSelector(&'static str),
}

fn used_feature(node: &Expr) -> Option<Feature> {
    match node {
        Expr::Call(call) if call.func.experimental => Some(Feature::Function(call.func.name)),
        Expr::Aggregate(aggregate) if aggregate.op.is_experimental() => {
            Some(Feature::Function(aggregate.op.name()))
        }
        Expr::VectorSelector(selector) => extension(selector),
        Expr::MatrixSelector(matrix) => extension(&matrix.selector),
        _ => None,
    }
}

fn extension(selector: &VectorSelector) -> Option<Feature> {
    match selector.extension {
        RangeExtension::Anchored => Some(Feature::RangeSelector("anchored")),
        RangeExtension::Smoothed => Some(Feature::RangeSelector("smoothed")),
        RangeExtension::None => None,
    }
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn allows(list: &str, name: &str) -> bool {
    names(list).any(|allowed| allowed == "all" || allowed == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use promql::parser::parse_expr;

    #[test]
    fn only_what_is_named_may_be_used() {
        let mut limits = config::Config::default().limits;
        limits.enabled_promql_experimental_functions = "limitk, mad_over_time".to_owned();
        limits.enabled_promql_extended_range_selectors = "anchored".to_owned();
        let ask = |query: &str, limits: &Limits| {
            let expr = parse_expr(query, &parser_options(limits)).unwrap();
            check(&expr, limits).map_err(|error| error.message)
        };
        for query in
            ["up", "limitk(2, up)", "1 + sum(mad_over_time(up[5m]))", "rate(up[5m] anchored)"]
        {
            assert_eq!(ask(query, &limits), Ok(()), "{query}");
        }
        let error = ask("sum(limit_ratio(0.5, up))", &limits).unwrap_err();
        assert!(error.ends_with("function \"limit_ratio\" is not enabled"), "{error}");
        assert!(ask("rate(up[5m] smoothed)", &limits).is_err());
        limits.enabled_promql_experimental_functions = "all".to_owned();
        assert_eq!(ask("limit_ratio(0.5, up)", &limits), Ok(()));
    }
}
