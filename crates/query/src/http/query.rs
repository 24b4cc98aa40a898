//! `query` and `query_range`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderName, HeaderValue};
use model::TenantId;
use promql::QueryKind;

use super::params::Params;
use super::{ApiResult, json_stream};
use crate::QueryService;
use crate::error::ApiError;
use crate::json::AnswerChunks;
use crate::run::QueryRequest;
use crate::stats::WantedStats;

/// What was done for an answer, for browsers and dashboards.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// The most points a series of a range query may have; more cannot be seen on any screen.
const MAX_POINTS: i64 = 11_000;

pub(super) async fn instant(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> ApiResult {
    let params = Params::read(request, service.frontend.max_body_size).await?;
    let time_ms = params.time_or("time", service.now_ms())?;
    answer(&service, tenant, &params, QueryKind::Instant { time_ms }).await
}

pub(super) async fn range(
    State(service): State<Arc<QueryService>>,
    Extension(tenant): Extension<TenantId>,
    request: Request<Body>,
) -> ApiResult {
    let params = Params::read(request, service.frontend.max_body_size).await?;
    let kind = range_kind(&params, service.limits(&tenant).align_queries_with_step)?;
    answer(&service, tenant, &params, kind).await
}

pub(super) fn range_kind(params: &Params, is_aligned: bool) -> Result<QueryKind, ApiError> {
    let mut start_ms = params.time("start")?;
    let mut end_ms = params.time("end")?;
    if end_ms < start_ms {
        let reason = "end timestamp must not be before start time";
        return Err(ApiError::invalid_parameter("end", reason));
    }
    let step_ms = params.duration_ms("step")?;
    if step_ms <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a \
                      positive integer";
        return Err(ApiError::invalid_parameter("step", reason));
    }
    if is_aligned {
        start_ms -= start_ms.rem_euclid(step_ms);
        end_ms -= end_ms.rem_euclid(step_ms);
    }
    if end_ms.saturating_sub(start_ms) / step_ms > MAX_POINTS {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
             query resolution (?step=XX)",
        ));
    }
    Ok(QueryKind::Range { start_ms, end_ms, step_ms })
}

async fn answer(
    service: &Arc<QueryService>,
    tenant: TenantId,
    params: &Params,
    kind: QueryKind,
) -> ApiResult {
    let mut request = request_of(params, kind)?;
    request.logged_headers = params.headers_text(&service.frontend.log_query_request_headers.0);
    let (answer, cost) = service.query(tenant.clone(), request).await?;
    let mut response = json_stream(service, tenant, AnswerChunks::new(answer));
    if service.frontend.query_stats_enabled {
        let details = params.header("x-mimir-response-query-stats") == Some("true");
        let timing = HeaderValue::try_from(cost.server_timing(details));
        response.headers_mut().extend(timing.map(|timing| (SERVER_TIMING, timing)));
    }
    Ok(response)
}

/// What is asked, from the parameters that all kinds of queries have.
pub(super) fn request_of(params: &Params, kind: QueryKind) -> Result<QueryRequest, ApiError> {
    Ok(QueryRequest {
        query: params.get("query").unwrap_or_default().to_owned(),
        kind,
        timeout: params.timeout()?,
        lookback_delta_ms: params.optional_duration_ms("lookback_delta")?,
        limit: params.count("limit")?,
        wanted_stats: WantedStats::parse(params.get("stats").unwrap_or_default()),
        logged_headers: String::new(),
    })
}
