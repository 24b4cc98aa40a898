//! Which experimental parts of the language a tenant may use.
//!
//! The limits name functions and range selectors, separated by commas; `all` allows every one. The
//! parser knows only on and off: it takes all of them, and what is not named is refused here.

use config::Limits;
use model::QueryContext;
use promql::ast::{DurationSpec, Expr, RangeExtension, ValueType, VectorSelector, Visit};
use promql::parser::{ParserOptions, parse_expr_while};
use promql::{QueryError, QueryKind};

use crate::error::ApiError;

/// The expression of a query, if the tenant may use all of it. Long ones are stopped with
/// `context`.
pub(crate) fn parse(
    query: &str,
    limits: &Limits,
    context: &QueryContext,
) -> Result<Expr, ApiError> {
    let parsed = parse_expr_while(query, &parser_options(), &|| context.check().is_ok());
    context.check().map_err(QueryError::from)?;
    let mut expr = parsed.map_err(|error| ApiError::invalid_parameter("query", error))?;
    check(&expr, limits)?;
    if limits.prom2_range_compat {
        take_in_the_start(&mut expr);
    }
    Ok(expr)
}

/// Refuses range queries of what has no value at each step, with Mimir's text.
pub(crate) fn check_type(expr: &Expr, kind: QueryKind) -> Result<(), ApiError> {
    let value_type = expr.value_type();
    let has_values = matches!(value_type, ValueType::Scalar | ValueType::Vector);
    if has_values || matches!(kind, QueryKind::Instant { .. }) {
        return Ok(());
    }
    let name = value_type.documented_name();
    let reason = format!(
        "query expression produces a {name}, but expression for range queries must produce an \
         instant vector or scalar"
    );
    Err(ApiError::invalid_parameter("query", reason))
}

/// Subqueries as wide as their step had two points in Prometheus 2, where windows were closed at
/// both ends; a millisecond more gives them back.
fn take_in_the_start(expr: &mut Expr) {
    expr.visit_mut(&mut |node| {
        if let Expr::Subquery(subquery) = node
            && let (DurationSpec::Fixed(range_ms), Some(DurationSpec::Fixed(step_ms))) =
                (&mut subquery.range, &subquery.step)
            && *range_ms == *step_ms
        {
            *range_ms += 1;
        }
        Visit::Children
    });
}

/// The switches of the parser: everything is on, since what a tenant may not use is refused by
/// name.
pub(crate) fn parser_options() -> ParserOptions {
    ParserOptions {
        enable_experimental_functions: true,
        enable_extended_range_selectors: true,
        ..ParserOptions::default()
    }
}

/// Refuses experimental functions, aggregations and range selectors that are not named.
fn check(expr: &Expr, limits: &Limits) -> Result<(), ApiError> {
    let functions = &limits.enabled_promql_experimental_functions;
    let selectors = &limits.enabled_promql_extended_range_selectors;
    let mut refused = None;
    expr.visit(&mut |node| {
        let Some(feature) = used_feature(node) else { return Visit::Children };
        let (list, kind, name) = match feature {
            Feature::Function(name) => (functions, "function", name),
            Feature::Aggregation(name) => (functions, "aggregation", name),
            Feature::RangeSelector(name) => (selectors, "extended range selector modifier", name),
        };
        if allows(list, name) {
            return Visit::Children;
        }
        refused = Some(format!("experimental {kind} {name:?} is not enabled for tenant"));
        Visit::Skip
    });
    refused.map_or(Ok(()), |reason| Err(ApiError::invalid_parameter("query", reason)))
}

enum Feature {
    Function(&'static str),
    Aggregation(&'static str),
    RangeSelector(&'static str),
}

fn used_feature(node: &Expr) -> Option<Feature> {
    match node {
        Expr::Call(call) if call.func.experimental => Some(Feature::Function(call.func.name)),
        Expr::Aggregate(aggregate) if aggregate.op.is_experimental() => {
            Some(Feature::Aggregation(aggregate.op.name()))
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

    #[test]
    fn only_what_is_named_may_be_used() {
        let mut limits = config::Config::default().limits;
        limits.enabled_promql_experimental_functions = "limitk, mad_over_time".to_owned();
        limits.enabled_promql_extended_range_selectors = "anchored".to_owned();
        let ask = |query: &str, limits: &Limits| {
            parse(query, limits, &QueryContext::unlimited())
                .map(|_| ())
                .map_err(|error| error.message)
        };
        for query in
            ["up", "limitk(2, up)", "1 + sum(mad_over_time(up[5m]))", "rate(up[5m] anchored)"]
        {
            assert_eq!(ask(query, &limits), Ok(()), "{query}");
        }
        let error = ask("sum(limit_ratio(0.5, up))", &limits).unwrap_err();
        let refused = |what: &str| {
            format!("invalid parameter \"query\": experimental {what} is not enabled for tenant")
        };
        assert_eq!(error, refused("aggregation \"limit_ratio\""));
        for (query, what) in [
            ("rate(up[5m] smoothed)", "extended range selector modifier \"smoothed\""),
            ("-sort_by_label(up)", "function \"sort_by_label\""),
        ] {
            assert_eq!(ask(query, &limits).unwrap_err(), refused(what));
        }
        limits.enabled_promql_experimental_functions = "all".to_owned();
        assert_eq!(ask("limit_ratio(0.5, up)", &limits), Ok(()));
    }

    #[test]
    fn windows_of_one_step_are_widened_for_those_who_come_from_prometheus_2() {
        let mut limits = config::Config::default().limits;
        let text = "sum(rate(up[5m:5m])) + rate(up[5m:1m]) + rate(up[1m:])";
        let parse =
            |limits: &Limits| parse(text, limits, &QueryContext::unlimited()).unwrap().to_string();
        assert_eq!(parse(&limits), text);
        limits.prom2_range_compat = true;
        let widened = "sum(rate(up[5m1ms:5m])) + rate(up[5m:1m]) + rate(up[1m:])";
        assert_eq!(parse(&limits), widened);
    }

    #[test]
    fn a_range_query_needs_a_value_at_each_step() {
        let range = QueryKind::Range { start_ms: 0, end_ms: 1000, step_ms: 1000 };
        let limits = config::Config::default().limits;
        let check = |text: &str, kind| {
            let expr = parse(text, &limits, &QueryContext::unlimited()).unwrap();
            check_type(&expr, kind).map_err(|error| error.message)
        };
        assert_eq!(check("up + 1", range), Ok(()));
        assert_eq!(check("up[5m]", QueryKind::Instant { time_ms: 0 }), Ok(()));
        for (text, name) in [("up[5m]", "range vector"), ("\"a\"", "string")] {
            let want = format!(
                "invalid parameter \"query\": query expression produces a {name}, but expression \
                 for range queries must produce an instant vector or scalar"
            );
            assert_eq!(check(text, range), Err(want));
        }
    }

    #[test]
    fn a_long_text_is_not_parsed_to_its_end_when_the_client_has_gone() {
        let limits = config::Config::default().limits;
        let context = QueryContext::unlimited();
        // What is wrong stands behind what is parsed before the question.
        let text = "1 + ".repeat(10_000) + ")";
        let error = parse(&text, &limits, &context).unwrap_err();
        assert_eq!(error.error_type, crate::error::ErrorType::BadData);
        context.cancel();
        let error = parse(&text, &limits, &context).unwrap_err();
        assert_eq!(error.error_type, crate::error::ErrorType::Canceled);
    }
}
