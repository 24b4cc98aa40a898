//! The routes of block upload; what they do is in `crate::upload`.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures::StreamExt as _;
use model::TenantId;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tsdb::meta::ThanosFile;

use super::Shared;
use crate::Compactor;
use crate::upload::{MAX_META_BYTES, UploadError, UploadState};

/// `/api/v1/upload/block/{id}/...`
pub(super) fn routes() -> Router<Arc<Compactor>> {
    Router::new()
        .route("/api/v1/upload/block/{block}/start", post(start))
        .route("/api/v1/upload/block/{block}/files", post(files))
        .route("/api/v1/upload/block/{block}/finish", post(finish))
        .route("/api/v1/upload/block/{block}/check", get(check))
}

#[derive(Deserialize)]
struct FileQuery {
    #[serde(default)]
    path: String,
}

#[derive(Serialize)]
struct StateBody {
    result: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

async fn start(
    State(compactor): Shared,
    Extension(tenant): Extension<TenantId>,
    Path(block): Path<String>,
    body: Body,
) -> Result<StatusCode, UploadError> {
    let upload = compactor.upload(&tenant, &block)?;
    let too_large = |_| {
        let message = format!(
            "The block metadata was too large (maximum size allowed is {MAX_META_BYTES} bytes)"
        );
        UploadError::refused(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let json = axum::body::to_bytes(body, MAX_META_BYTES).await.map_err(too_large)?;
    compactor.start_upload(&upload, &json).await?;
    tracing::info!(user = %tenant, block, "block upload begins");
    Ok(StatusCode::OK)
}

/// The file goes to the local disk first: it gets into the bucket whole and with the size that
/// `meta.json` says, or not at all.
async fn files(
    State(compactor): Shared,
    Extension(tenant): Extension<TenantId>,
    Path(block): Path<String>,
    Query(query): Query<FileQuery>,
    request: Request,
) -> Result<StatusCode, UploadError> {
    let upload = compactor.upload(&tenant, &block)?;
    let size_bytes = content_length(request.headers());
    let file = compactor.expected_file(&upload, &query.path, size_bytes).await?;
    let spool = compactor.spool_path();
    let spooled = spool_body(request.into_body(), &spool, &file).await;
    let taken = match spooled {
        Ok(()) => compactor.take_file(&upload, &file, &spool).await,
        Err(error) => Err(error),
    };
    let _ = tokio::fs::remove_file(&spool).await;
    taken.map(|()| StatusCode::OK)
}

async fn finish(
    State(compactor): Shared,
    Extension(tenant): Extension<TenantId>,
    Path(block): Path<String>,
) -> Result<StatusCode, UploadError> {
    let upload = compactor.upload(&tenant, &block)?;
    compactor.end_upload(upload).await?;
    Ok(StatusCode::OK)
}

async fn check(
    State(compactor): Shared,
    Extension(tenant): Extension<TenantId>,
    Path(block): Path<String>,
) -> Result<Response, UploadError> {
    let upload = compactor.upload(&tenant, &block)?;
    let (result, error) = match upload.state(compactor.clock.now_ms()).await? {
        UploadState::NotStarted => {
            return Err(UploadError::refused(StatusCode::NOT_FOUND, "block doesn't exist"));
        }
        UploadState::Uploading(_) => ("uploading", String::new()),
        UploadState::Validating => ("validating", String::new()),
        UploadState::Failed(error) => ("failed", error),
        UploadState::Complete => ("complete", String::new()),
    };
    Ok(Json(StateBody { result, error }).into_response())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Writes the body to `path`; fails when it is not of the file's size.
async fn spool_body(body: Body, path: &FilePath, file: &ThanosFile) -> Result<(), UploadError> {
    let disk = |error| UploadError::Disk("keep an uploaded file", error);
    if let Some(dir) = path.parent() {
        tokio::fs::create_dir_all(dir).await.map_err(disk)?;
    }
    let mut local = tokio::fs::File::create(path).await.map_err(disk)?;
    let (mut parts, mut size_bytes) = (body.into_data_stream(), 0);
    while let Some(part) = parts.next().await {
        let cut = |error| UploadError::bad_request(format!("failed reading body: {error}"));
        let part = part.map_err(cut)?;
        size_bytes += part.len() as u64;
        if size_bytes > file.size_bytes {
            break;
        }
        local.write_all(&part).await.map_err(disk)?;
    }
    local.flush().await.map_err(disk)?;
    if size_bytes == 0 {
        return Err(UploadError::bad_request("file cannot be empty"));
    }
    if size_bytes != file.size_bytes {
        return Err(UploadError::bad_request("file size doesn't match meta.json"));
    }
    Ok(())
}

impl IntoResponse for UploadError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(status, message) => {
                tracing::warn!(%status, message, "block upload request refused");
                (status, format!("{message}\n")).into_response()
            }
            error => {
                tracing::error!(%error, "block upload request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "internal server error\n").into_response()
            }
        }
    }
}
