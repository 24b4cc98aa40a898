//! `query_exemplars`: the exemplars of all series that the selectors of an expression select.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use model::{Exemplar, Matcher, SeriesExemplars, TenantId, TimeRange};
use promql::ast::{Expr, VectorSelector, Visit};
use promql::parser::parse_expr;

use super::params::Params;
use super::{ApiResult, json_response, success};
use crate::error::ApiError;
use crate::json::{push_labels, push_quoted_float, push_timestamp};
use crate::{QueryService, features, limits};

pub(super) async fn query(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> ApiResult {
    let params = Params::read(request, service.frontend.max_body_size).await?;
    let (start_ms, end_ms) =
        params.range_or_error("end timestamp must not be before start timestamp")?;
    let limits = service.limits(&tenant);
    let query = params.get("query").unwrap_or_default();
    limits::check_expression_size(query, &limits)?;
    let expr = parse_expr(query, &features::parser_options())
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    let selectors = selectors_of(&expr);
    if selectors.is_empty() {
        // As Prometheus answers where there is nothing to answer.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let earliest = limits::earliest_start(service.now_ms(), &limits);
    let range = TimeRange::new(earliest.map_or(start_ms, |e| start_ms.max(e)), end_ms);
    let ingester = Arc::clone(service.ingester());
    let user = tenant.clone();
    let job = move |_| Ok(ingester.exemplars(&tenant, range, &selectors)?);
    let found = service.run(&user, (service.timeout(None), &limits), job).await?;
    Ok(json_response(success(|out| push_list(out, &found, push_series))))
}

/// The matchers of all selectors of an expression.
fn selectors_of(expr: &Expr) -> Vec<Vec<Matcher>> {
    let matchers = |selector: &VectorSelector| {
        selector.matchers.iter().map(|m| m.matcher.clone()).collect::<Vec<_>>()
    };
    let mut selectors = Vec::new();
    expr.visit(&mut |node| {
        match node {
            Expr::VectorSelector(selector) => selectors.push(matchers(selector)),
            Expr::MatrixSelector(matrix) => selectors.push(matchers(&matrix.selector)),
            _ => {}
        }
        Visit::Children
    });
    selectors
}

fn push_list<T>(out: &mut Vec<u8>, items: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

fn push_series(out: &mut Vec<u8>, series: &SeriesExemplars) {
    out.extend_from_slice(br#"{"seriesLabels":"#);
    push_labels(out, &series.labels);
    out.extend_from_slice(br#","exemplars":"#);
    push_list(out, &series.exemplars, push_exemplar);
    out.push(b'}');
}

fn push_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    out.extend_from_slice(br#"{"labels":"#);
    push_labels(out, &exemplar.labels);
    out.extend_from_slice(br#","value":"#);
    push_quoted_float(out, exemplar.value);
    out.extend_from_slice(br#","timestamp":"#);
    push_timestamp(out, exemplar.timestamp_ms);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;
    use promql::parser::ParserOptions;

    #[test]
    fn all_selectors_of_an_expression_count() {
        let expr = parse_expr("rate(a{x=\"1\"}[5m]) / on () b + 1", &ParserOptions::default());
        let selectors = selectors_of(&expr.unwrap());
        let names: Vec<usize> = selectors.iter().map(Vec::len).collect();
        assert_eq!(names, [2, 1]);
        let scalar = parse_expr("1 + time()", &ParserOptions::default()).unwrap();
        assert!(selectors_of(&scalar).is_empty());
    }

    #[test]
    fn exemplars_are_written_as_prometheus_does() {
        let labels = Labels::from_pairs([("trace_id", "abc")]);
        let exemplar = Exemplar { labels, value: 6.0, timestamp_ms: 1_600_096_945_479 };
        let labels = Labels::from_pairs([("__name__", "x"), ("service", "bar")]);
        let mut out = Vec::new();
        push_series(&mut out, &SeriesExemplars { labels, exemplars: vec![exemplar] });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"seriesLabels":{"__name__":"x","service":"bar"},"exemplars":[{"labels":{"trace_id":"abc"},"value":"6","timestamp":1600096945.479}]}"#
        );
    }
}
