//! The endpoints below `/prometheus/api/v1`: parameters in, JSON out. One family a file.

mod analyze;
mod cardinality;
mod exemplars;
mod format;
mod instrument;
mod labels;
mod metadata;
mod params;
mod query;
mod remote_read;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use model::TenantId;
use parking_lot::Mutex;
use rt::ComputeError;

use crate::QueryService;
use crate::error::ApiError;
use crate::json::PIECE_BYTES;
use instrument::RequestTimes;

/// The routes of the read path, relative to the Prometheus prefix. Requests must carry a
/// [`model::TenantId`] as an extension.
pub fn routes(service: Arc<QueryService>) -> Router {
    let seconds = service.metrics().request_seconds.clone();
    let times = RequestTimes { seconds, clock: service.clock() };
    Router::new()
        .route("/api/v1/query", get(query::instant).post(query::instant))
        .route("/api/v1/query_range", get(query::range).post(query::range))
        .route("/api/v1/analyze", post(analyze::analyze))
        .route("/api/v1/labels", get(labels::names).post(labels::names))
        .route("/api/v1/label/{name}/values", get(labels::values))
        .route("/api/v1/series", get(labels::series).post(labels::series))
        .route("/api/v1/metadata", get(metadata::metadata))
        .merge(cardinality_routes())
        .route("/api/v1/query_exemplars", get(exemplars::query).post(exemplars::query))
        .route("/api/v1/read", post(remote_read::read))
        .route("/api/v1/format_query", get(format::format).post(format::format))
        .route("/api/v1/parse_query", get(format::parse).post(format::parse))
        .layer(from_fn_with_state(times, instrument::observe))
        .with_state(service)
}

/// The routes that Mimir has outside of the Prometheus prefix as well.
pub fn root_routes(service: Arc<QueryService>) -> Router {
    Router::new().route("/api/v1/analyze", post(analyze::analyze)).with_state(service)
}

fn cardinality_routes() -> Router<Arc<QueryService>> {
    use cardinality::{active_native_histogram_metrics, active_series, label_names, label_values};
    Router::new()
        .route("/api/v1/cardinality/label_names", get(label_names).post(label_names))
        .route("/api/v1/cardinality/label_values", get(label_values).post(label_values))
        .route("/api/v1/cardinality/active_series", get(active_series).post(active_series))
        .route(
            "/api/v1/cardinality/active_native_histogram_metrics",
            get(active_native_histogram_metrics).post(active_native_histogram_metrics),
        )
}

/// A JSON answer from its text.
fn json_response(body: Vec<u8>) -> Response {
    with_json_type(Body::from(body))
}

/// A JSON answer that is written already, in pieces.
fn json_pieces(pieces: Vec<Bytes>) -> Response {
    let pieces = pieces.into_iter().map(Ok::<_, std::convert::Infallible>);
    with_json_type(Body::from_stream(futures::stream::iter(pieces)))
}

/// A JSON answer that is written while it is sent; each piece but the last has [`PIECE_BYTES`] or
/// more. Of a long one all but the first piece are written on the threads of queries, in the
/// tenant's turn: it must not keep the threads of the network from serving others.
fn json_stream(
    service: &Arc<QueryService>,
    tenant: TenantId,
    mut pieces: impl Iterator<Item = Bytes> + Send + 'static,
) -> Response {
    let first = pieces.next().unwrap_or_default();
    if first.len() < PIECE_BYTES {
        return with_json_type(Body::from(first));
    }
    let service = Arc::clone(service);
    let pieces = Arc::new(Mutex::new(pieces));
    let rest = futures::stream::unfold(pieces, move |pieces| {
        let (service, tenant) = (Arc::clone(&service), tenant.clone());
        async move {
            let shared = Arc::clone(&pieces);
            let job = move || shared.lock().next();
            let piece = match service.pool().run_for(tenant.as_str(), job).await {
                // Where no thread is to be had, what was begun is finished here.
                Err(ComputeError::QueueFull { .. }) => Ok(pieces.lock().next()),
                other => other,
            };
            piece.transpose().map(|piece| (piece, pieces))
        }
    });
    let first = futures::stream::iter([Ok(first)]);
    with_json_type(Body::from_stream(futures::StreamExt::chain(first, rest)))
}

fn with_json_type(body: Body) -> Response {
    let mut response = body.into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// `{"status":"success","data":` followed by what `write_data` writes.
fn success(write_data: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = br#"{"status":"success","data":"#.to_vec();
    write_data(&mut body);
    body.push(b'}');
    body
}

/// The answer of a handler.
type ApiResult = Result<Response, ApiError>;
