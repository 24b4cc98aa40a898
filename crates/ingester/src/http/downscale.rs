//! `/ingester/prepare-instance-ring-downscale`: an ingester that shall go takes no new series any
//! more, and answers queries until its samples are old enough for the bucket.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{Ingester, Shared, not_running};

/// Since when the instance is read-only, seconds; 0 when it is not.
pub(super) async fn show(State(ingester): Shared) -> Response {
    not_running(&ingester).unwrap_or_else(|| answer(&ingester))
}

/// Makes the instance read-only; again does not change since when it is.
pub(super) async fn prepare(State(ingester): Shared) -> Response {
    if let Some(refused) = not_running(&ingester) {
        return refused;
    }
    change(&ingester, true).await
}

/// Takes new series again, unless the head is being cut because it does not.
pub(super) async fn cancel(State(ingester): Shared) -> Response {
    if let Some(refused) = not_running(&ingester) {
        return refused;
    }
    if is_read_only(&ingester) && ingester.metrics.compaction.forced_in_progress.get() > 0 {
        let message = "cannot clear read-only mode while compaction is pending or in progress\n";
        return (StatusCode::CONFLICT, message).into_response();
    }
    change(&ingester, false).await
}

async fn change(ingester: &Ingester, read_only: bool) -> Response {
    let Some(lifecycler) = ingester.membership.lifecycler() else {
        return (StatusCode::METHOD_NOT_ALLOWED, "there is no ring\n").into_response();
    };
    match lifecycler.set_read_only(read_only).await {
        Ok(()) => answer(ingester),
        Err(error) => {
            tracing::error!(%error, read_only, "could not change the read-only mode");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
    }
}

fn is_read_only(ingester: &Ingester) -> bool {
    ingester.membership.lifecycler().is_some_and(|lifecycler| lifecycler.read_only().0)
}

fn answer(ingester: &Ingester) -> Response {
    let timestamp = match ingester.membership.lifecycler().map(|l| l.read_only()) {
        Some((true, since_s)) => since_s,
        _ => 0,
    };
    axum::Json(serde_json::json!({ "timestamp": timestamp })).into_response()
}
