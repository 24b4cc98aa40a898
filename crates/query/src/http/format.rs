//! `format_query` and `parse_query`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use promql::ast::Expr;
use promql::parser::parse_expr;

use super::params::Params;
use super::{ApiResult, json_response, success};
use crate::error::ApiError;
use crate::json::push_string;
use crate::{QueryService, features};

pub(super) async fn format(
    State(service): State<Arc<QueryService>>,
    request: Request<Body>,
) -> ApiResult {
    let expr = parsed(&service, request).await?;
    let text = promql::prettier::prettify(&expr)
        .map_err(|error| ApiError::invalid_parameter("query", error))?;
    Ok(json_response(success(|out| push_string(out, &text))))
}

pub(super) async fn parse(
    State(service): State<Arc<QueryService>>,
    request: Request<Body>,
) -> ApiResult {
    let expr = parsed(&service, request).await?;
    let json = promql::ast_json::to_json(&expr)
        .map_err(|error| ApiError::invalid_parameter("query", error))?;
    Ok(json_response(success(|out| out.extend_from_slice(json.as_bytes()))))
}

async fn parsed(service: &QueryService, request: Request<Body>) -> Result<Expr, ApiError> {
    let params = Params::read(request, service.frontend.max_body_size).await?;
    let query = params.get("query").unwrap_or_default();
    parse_expr(query, &features::parser_options())
        .map_err(|error| ApiError::invalid_parameter("query", error))
}
