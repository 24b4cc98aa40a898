//! The ingester's administrative routes, below `/ingester`. Only the last one needs a tenant.
//!
//! | route | does |
//! |---|---|
//! | GET, POST `/ingester/flush?tenant=..&wait=true` | cuts and uploads the heads of these tenants (all without `tenant`); their pushes are refused meanwhile with 503; 204 at once, or with `wait` when it is done |
//! | POST `/ingester/shutdown` | leaves the ring, flushes, uploads, closes; the process stays and is not ready any more; 204 |
//! | GET, POST, DELETE `/ingester/prepare-shutdown` | whether the next end flushes, uploads and unregisters (`set`, `unset`); survives a restart |
//! | GET, PUT, DELETE `/ingester/unregister-on-shutdown` | whether the next end takes the instance out of the ring |
//! | GET, POST, DELETE `/ingester/prepare-instance-ring-downscale` | read-only in the ring: since when, in seconds; 0 is not at all |
//! | GET `/ingester/tenants`, `/ingester/tsdb/{tenant}` | what is in memory and on the local disk, as HTML or JSON |
//! | GET `/ingester/tsdb_metrics` | figures of the tenant's TSDB under Prometheus' names |

mod downscale;
mod pages;
mod tsdb_metrics;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawForm, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use model::TenantId;

use crate::ingester::Phase;
use crate::{Ingester, IngesterError, prepare};

/// So many flushes may wait for their turn without an answer waiting for them.
const MAX_WAITING_FLUSHES: usize = 16;

type Shared = State<Arc<Ingester>>;

/// The routes.
pub fn routes(ingester: Arc<Ingester>) -> Router {
    Router::new()
        .route("/ingester/flush", get(flush).post(flush))
        .route("/ingester/shutdown", post(shutdown))
        .route(
            "/ingester/prepare-shutdown",
            get(is_prepared).post(prepare_shutdown).delete(cancel_shutdown),
        )
        .route(
            "/ingester/unregister-on-shutdown",
            get(unregister).put(set_unregister).delete(reset_unregister),
        )
        .route(
            "/ingester/prepare-instance-ring-downscale",
            get(downscale::show).post(downscale::prepare).delete(downscale::cancel),
        )
        .route("/ingester/tenants", get(pages::tenants))
        .route("/ingester/tsdb/{tenant}", get(pages::tsdb))
        .with_state(ingester)
}

/// The routes of a tenant. Requests must carry a [`TenantId`] as an extension.
pub fn tenant_routes(ingester: Arc<Ingester>) -> Router {
    Router::new()
        .route("/ingester/tsdb_metrics", get(tsdb_metrics::tsdb_metrics))
        .with_state(ingester)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct FlushRequest {
    /// `None` = all.
    tenants: Option<Vec<TenantId>>,
    is_waiting: bool,
}

impl FlushRequest {
    fn parse(parameters: &[u8]) -> Self {
        let mut request = Self::default();
        for (name, value) in form_urlencoded::parse(parameters) {
            match (&*name, &*value) {
                ("wait", value) => request.is_waiting = value == "true",
                // An id that no tenant can have selects none.
                ("tenant", id) if !id.is_empty() => {
                    request.tenants.get_or_insert_default().extend(TenantId::new(id));
                }
                _ => {}
            }
        }
        request
    }
}

async fn flush(
    State(ingester): Shared,
    RawQuery(query): RawQuery,
    form: Result<RawForm, axum::extract::rejection::RawFormRejection>,
) -> Response {
    let mut parameters = query.unwrap_or_default().into_bytes();
    if let Ok(RawForm(form)) = form {
        parameters.push(b'&');
        parameters.extend_from_slice(&form);
    }
    let request = FlushRequest::parse(&parameters);
    if ingester.phase() != Phase::Running {
        return failed(&IngesterError::Unavailable(ingester.phase().as_str()));
    }
    if request.is_waiting {
        return done(ingester.flush(request.tenants.as_deref()).await);
    }
    if ingester.tasks.len() >= MAX_WAITING_FLUSHES {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many flushes are waiting\n").into_response();
    }
    let flushing = Arc::clone(&ingester);
    ingester.tasks.spawn("flush", async move {
        if let Err(error) = flushing.flush(request.tenants.as_deref()).await {
            tracing::error!(%error, "flush failed");
        }
    });
    StatusCode::NO_CONTENT.into_response()
}

/// The end goes its way also when the client does not wait for it.
async fn shutdown(State(ingester): Shared) -> Response {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let stopping = Arc::clone(&ingester);
    ingester.tasks.spawn("shutdown", async move {
        let result = stopping.shut_down().await;
        if let Err(result) = sender.send(result) {
            tracing::info!(?result, "shut down; nobody waited for it");
        }
    });
    match receiver.await {
        Ok(result) => done(result),
        Err(_) => failed(&IngesterError::Unavailable(ingester.phase().as_str())),
    }
}

async fn is_prepared(State(ingester): Shared) -> Response {
    if let Some(refused) = not_running(&ingester) {
        return refused;
    }
    let is_set = ingester.shutdown.flush.load(Ordering::Relaxed);
    if is_set { "set\n" } else { "unset\n" }.into_response()
}

async fn prepare_shutdown(State(ingester): Shared) -> Response {
    if let Some(refused) = not_running(&ingester) {
        return refused;
    }
    let marked = ingester.blocking(|i| prepare::mark(&i.opener)).await;
    set_prepared(&ingester, marked, true)
}

async fn cancel_shutdown(State(ingester): Shared) -> Response {
    if let Some(refused) = not_running(&ingester) {
        return refused;
    }
    let unmarked = ingester.blocking(|i| prepare::unmark(&i.opener)).await;
    set_prepared(&ingester, unmarked, false)
}

fn set_prepared(
    ingester: &Ingester,
    written: Result<std::io::Result<()>, rt::ComputeError>,
    is_set: bool,
) -> Response {
    let written = written.map_err(IngesterError::from).and_then(|written| {
        let (operation, dir) = ("write in", ingester.opener.dir.clone());
        written.map_err(|source| IngesterError::Directory { operation, dir, source })
    });
    if written.is_ok() {
        ingester.prepare_shutdown(is_set);
    }
    done(written)
}

async fn unregister(State(ingester): Shared) -> Response {
    unregister_answer(&ingester)
}

/// Nobody may change the end while the process starts or ends.
fn not_running(ingester: &Ingester) -> Option<Response> {
    (ingester.phase() != Phase::Running).then(|| StatusCode::SERVICE_UNAVAILABLE.into_response())
}

async fn set_unregister(State(ingester): Shared, body: Bytes) -> Response {
    #[derive(serde::Deserialize)]
    struct Wanted {
        unregister: bool,
    }
    if let Some(refused) = not_running(&ingester) {
        return refused;
    }
    match serde_json::from_slice::<Wanted>(&body) {
        Ok(Wanted { unregister }) => ingester.set_unregister(Some(unregister)),
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
    unregister_answer(&ingester)
}

async fn reset_unregister(State(ingester): Shared) -> Response {
    if let Some(refused) = not_running(&ingester) {
        return refused;
    }
    ingester.set_unregister(None);
    unregister_answer(&ingester)
}

fn unregister_answer(ingester: &Ingester) -> Response {
    if let Some(refused) = not_running(ingester) {
        return refused;
    }
    let unregister = ingester.unregisters();
    axum::Json(serde_json::json!({ "unregister": unregister })).into_response()
}

fn done(result: Result<(), IngesterError>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &IngesterError) -> Response {
    let status = match error {
        IngesterError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        IngesterError::Directory { .. }
        | IngesterError::Locked(_)
        | IngesterError::Tsdb { .. }
        | IngesterError::Pool(_)
        | IngesterError::Flush { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, format!("{error}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_flush() {
        assert_eq!(FlushRequest::parse(b""), FlushRequest::default());
        let both = FlushRequest::parse(b"tenant=a&wait=true&tenant=b%2A");
        let ids = ["a", "b*"].map(|id| TenantId::new(id).unwrap());
        assert_eq!(both, FlushRequest { tenants: Some(ids.to_vec()), is_waiting: true });
        let none = FlushRequest::parse(b"tenant=a/b&wait=1");
        assert_eq!(none, FlushRequest { tenants: Some(Vec::new()), is_waiting: false });
    }
}
