//! `POST /api/v1/push`: what is accepted, and how errors are answered.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use model::{Random, TenantId};
use rt::{ComputeError, ComputePool};
use wire::client::{PushError, PushErrorCause};

use crate::Distributor;
use crate::errors;
use crate::push::{Begun, PushRequest, Round};

/// What the handler works with.
#[derive(Clone)]
struct PushState {
    distributor: Arc<Distributor>,
    pool: ComputePool,
    random: Arc<dyn Random>,
}

/// The routes of the write path. Requests must carry a [`TenantId`] as an extension.
pub fn routes(distributor: Arc<Distributor>, pool: ComputePool, random: Arc<dyn Random>) -> Router {
    Router::new().route("/api/v1/push", post(push)).with_state(PushState {
        distributor,
        pool,
        random,
    })
}

async fn push(
    State(state): State<PushState>,
    Extension(tenant): Extension<TenantId>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(text) = negotiate(&parts.headers) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    }
    match take(&state, tenant, body, content_length(&parts.headers)).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => answer(&state, &error, &parts.headers),
    }
}

/// Reads the body, bounded, and pushes it. A request of which the length was not told counts with
/// what was read.
async fn take(
    state: &PushState,
    tenant: TenantId,
    body: Body,
    length: Option<u64>,
) -> Result<(), PushError> {
    let max_bytes = state.distributor.config().max_recv_msg_size;
    if let Some(length) = length.filter(|&length| length > max_bytes as u64) {
        return Err(errors::body_too_large(usize::try_from(length).ok(), max_bytes));
    }
    let inflight = state.distributor.admit(&tenant, length.unwrap_or(0))?;
    let body = match Limited::new(body, max_bytes).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(errors::body_too_large(None, max_bytes));
        }
        Err(error) => {
            let message = format!("failed to read the request body: {error}");
            return Err(PushError::hard(PushErrorCause::BadData, message));
        }
    };
    let untold = (body.len() as u64).saturating_sub(length.unwrap_or(0));
    state.distributor.grow(&inflight, untold)?;
    push_body(state, PushRequest { tenant, body, inflight: Arc::new(inflight) }).await
}

/// Pushes a body: on a compute thread until its samples are on their way.
async fn push_body(state: &PushState, request: PushRequest) -> Result<(), PushError> {
    let mut round = Round::First;
    loop {
        let (distributor, of_job) = (Arc::clone(&state.distributor), request.clone());
        let begun = state.pool.run(move || distributor.begin(&of_job, round)).await;
        let begun = begun.map_err(|error| too_busy(&error))?;
        match begun? {
            Begun::Sent(sent) => {
                // The body is not needed any more; what is on its way holds its place itself.
                drop(request);
                return sent.ended().await;
            }
            Begun::Elects(election) => {
                state.distributor.elect(&election).await?;
                round = Round::AfterElection;
            }
        }
    }
}

fn too_busy(error: &ComputeError) -> PushError {
    PushError::hard(PushErrorCause::TooBusy, error.to_string())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// An error text for content types and encodings that are not served, as those of remote write
/// 2.0 are not. A missing header stands for what the specification prescribes.
fn negotiate(headers: &HeaderMap) -> Result<(), String> {
    if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
        check_content_type(content_type.to_str().unwrap_or_default())?;
    }
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(()) };
    match encoding.to_str().unwrap_or_default().trim() {
        "snappy" | "" => Ok(()),
        other => Err(format!(
            "{other:?} encoding (compression) is not accepted by this server; only snappy is \
             acceptable"
        )),
    }
}

fn check_content_type(content_type: &str) -> Result<(), String> {
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/x-protobuf") && !media_type.is_empty() {
        return Err(format!(
            "expected application/x-protobuf as the first (media) part, got {content_type} content-type"
        ));
    }
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let proto = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("proto") && proto != "prometheus.WriteRequest" {
            return Err(format!(
                "{proto} protobuf message is not accepted by this server; only \
                 prometheus.WriteRequest is acceptable"
            ));
        }
    }
    Ok(())
}

fn answer(state: &PushState, error: &PushError, headers: &HeaderMap) -> Response {
    let status = errors::status_of(error);
    if status.is_server_error() {
        tracing::warn!(%status, error = %error, "push failed");
    }
    let mut response = (status, format!("{}\n", error.message)).into_response();
    let config = &state.distributor.config().retry_after_header;
    if config.enabled && (status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()) {
        let seconds = retry_after_seconds(config, attempt(headers), &*state.random);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Which attempt the client says this is, from 1.
fn attempt(headers: &HeaderMap) -> u32 {
    let given = headers.get("Retry-Attempt").and_then(|v| v.to_str().ok()?.parse().ok());
    given.unwrap_or(1).max(1)
}

/// `min_backoff` doubled with each attempt, give or take half, within `min_backoff` and
/// `max_backoff`.
fn retry_after_seconds(
    config: &config::RetryAfterConfig,
    attempt: u32,
    random: &dyn Random,
) -> u64 {
    let doubled = config.min_backoff.secs_f64() * 2f64.powi(attempt.min(32) as i32 - 1);
    let (min, max) = (config.min_backoff.secs_f64(), config.max_backoff.secs_f64());
    let base = doubled.min(max);
    let jitter = 0.5 + random.below(1 << 20) as f64 / (1u64 << 20) as f64;
    // A maximum below the minimum loses.
    (base * jitter).min(max).max(min) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::env::SeededRandom;

    #[test]
    fn what_is_served_by_content_type_and_encoding() {
        for (content_type, encoding, want) in [
            (None, None, true),
            (Some("application/x-protobuf"), Some("snappy"), true),
            (Some("application/x-protobuf;proto=prometheus.WriteRequest"), None, true),
            (Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"), None, false),
            (Some("application/json"), Some("snappy"), false),
            (Some("application/x-protobuf"), Some("gzip"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = content_type {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            }
            if let Some(value) = encoding {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(negotiate(&headers).is_ok(), want, "{content_type:?} {encoding:?}");
        }
    }

    #[test]
    fn waits_double_up_to_the_maximum_within_half_of_jitter() {
        let config = config::RetryAfterConfig {
            enabled: true,
            min_backoff: config::GoDuration::from_secs(6),
            max_backoff: config::GoDuration::from_secs(96),
        };
        let random = SeededRandom::new(1);
        for (attempt, base) in [(1, 6.0), (2, 12.0), (5, 96.0), (1000, 96.0)] {
            for _ in 0..50 {
                let got = retry_after_seconds(&config, attempt, &random) as f64;
                let (low, high) = (f64::max(base * 0.5, 6.0), f64::min(base * 1.5, 96.0));
                assert!((low.floor()..=high).contains(&got), "{attempt}: {got}");
            }
        }
    }
}
