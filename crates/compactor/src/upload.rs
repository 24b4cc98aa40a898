//! Block upload: a client (`mimirtool backfill`) brings a block of its own, file by file.
//!
//! ```text
//! start    meta.json is checked, stands as uploading-meta.json
//! files    index, chunks/000001, ...: those that the meta lists, with the sizes that it lists
//! finish   the block is fetched and checked from end to end beside the request (`validate.rs`),
//!          then meta.json is written, and with it the block exists; the bucket index next
//! check    where it stands
//! ```
//!
//! What is known of an upload stands in the bucket, so that any process can go on with it. A block
//! that is never finished has no `meta.json` and is removed by the cleaner as a partial one.

mod meta;
mod validate;

use axum::http::StatusCode;
use bucket::{BucketError, TenantBucket};
use bytes::Bytes;
use model::{TenantId, TimestampMs};
use serde::{Deserialize, Serialize};
use tsdb::meta::{BlockMeta, ThanosFile};
use ulid::Ulid;

use crate::Compactor;

/// `meta.json` while the block is uploaded.
const UPLOADING_META: &str = "uploading-meta.json";
/// The state of the validation.
const VALIDATION: &str = "validation.json";
/// A validation that was not heard of for so long has died with its process.
const HEARTBEAT_TIMEOUT_MS: i64 = 5 * 60 * 1000;
/// The largest `meta.json`, bytes.
pub(crate) const MAX_META_BYTES: usize = 1 << 20;

/// Why a request is refused, in the words that the client is given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// The client's fault.
    #[error("{1}")]
    Refused(StatusCode, String),
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("{0}: {1}")]
    Disk(&'static str, #[source] std::io::Error),
}

impl UploadError {
    pub(crate) fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Refused(status, message.into())
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, message)
    }
}

/// The content of `validation.json`; the names of the keys are Mimir's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Validation {
    /// When the validation was last seen alive, ms.
    last_update: TimestampMs,
    /// Why it failed; empty = it did not.
    #[serde(default)]
    error: String,
}

/// Where an upload stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum UploadState {
    NotStarted,
    Uploading(Box<BlockMeta>),
    Validating,
    /// The validation has found something.
    Failed(String),
    Complete,
}

/// One block of one tenant that is uploaded.
pub(crate) struct Upload {
    bucket: TenantBucket,
    id: Ulid,
}

impl Upload {
    pub(crate) fn new(bucket: TenantBucket, id: Ulid) -> Self {
        Self { bucket, id }
    }

    pub(crate) async fn state(&self, now_ms: TimestampMs) -> Result<UploadState, UploadError> {
        if self.bucket.has_block(self.id).await? {
            return Ok(UploadState::Complete);
        }
        let Some(meta) = self.get::<BlockMeta>(UPLOADING_META).await? else {
            return Ok(UploadState::NotStarted);
        };
        Ok(match self.get::<Validation>(VALIDATION).await? {
            Some(validation) if !validation.error.is_empty() => {
                UploadState::Failed(validation.error)
            }
            Some(Validation { last_update, .. })
                if now_ms.saturating_sub(last_update) < HEARTBEAT_TIMEOUT_MS =>
            {
                UploadState::Validating
            }
            // One that died can be started again.
            _ => UploadState::Uploading(Box::new(meta)),
        })
    }

    /// The meta of a block that is being uploaded.
    pub(crate) async fn in_progress(&self, now_ms: TimestampMs) -> Result<BlockMeta, UploadError> {
        match self.state(now_ms).await? {
            UploadState::Uploading(meta) => Ok(*meta),
            UploadState::NotStarted => {
                Err(UploadError::refused(StatusCode::NOT_FOUND, "block upload not started"))
            }
            other => Err(refusal(&other)),
        }
    }

    /// Begins the upload of a block with this meta.
    async fn start(&self, meta: &BlockMeta, now_ms: TimestampMs) -> Result<(), UploadError> {
        match self.state(now_ms).await? {
            UploadState::NotStarted | UploadState::Uploading(_) => {}
            other => return Err(refusal(&other)),
        }
        Ok(self.put(UPLOADING_META, meta.encode().into()).await?)
    }

    async fn put(&self, file: &str, content: Bytes) -> Result<(), BucketError> {
        self.bucket.bucket().put(&self.bucket.block(self.id).file(file), content).await
    }

    async fn put_validation(
        &self,
        last_update: TimestampMs,
        error: &str,
    ) -> Result<(), BucketError> {
        let validation = Validation { last_update, error: error.to_owned() };
        let json = serde_json::to_vec(&validation).expect("it has only plain fields");
        self.put(VALIDATION, json.into()).await
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        file: &str,
    ) -> Result<Option<T>, BucketError> {
        let key = self.bucket.block(self.id).file(file);
        match self.bucket.bucket().get(&key).await {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|error| BucketError::Malformed { key, reason: error.to_string() }),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes `meta.json`: from now on the block exists.
    async fn complete(&self, meta: &BlockMeta) -> Result<(), BucketError> {
        self.put(bucket::META_FILE, meta.encode().into()).await?;
        for file in [UPLOADING_META, VALIDATION] {
            // What is left of them does no harm.
            let _ = self.bucket.bucket().delete(&self.bucket.block(self.id).file(file)).await;
        }
        Ok(())
    }
}

fn refusal(state: &UploadState) -> UploadError {
    match state {
        UploadState::Complete => UploadError::refused(StatusCode::CONFLICT, "block already exists"),
        UploadState::Failed(_) => UploadError::bad_request("block validation failed"),
        _ => UploadError::bad_request("block validation in progress"),
    }
}

impl Compactor {
    /// The upload of block `id`, if the tenant may upload blocks.
    pub(crate) fn upload(&self, tenant: &TenantId, id: &str) -> Result<Upload, UploadError> {
        let id = Ulid::from_string(id).map_err(|_| UploadError::bad_request("invalid block ID"))?;
        if !self.overrides.limits(tenant).compactor_block_upload_enabled {
            return Err(UploadError::bad_request("block upload is disabled"));
        }
        Ok(Upload::new(self.tenant_bucket(tenant), id))
    }

    /// Begins an upload with the client's `meta.json`.
    pub(crate) async fn start_upload(
        &self,
        upload: &Upload,
        json: &[u8],
    ) -> Result<(), UploadError> {
        let now_ms = self.clock.now_ms();
        let malformed = |error: serde_json::Error| {
            tracing::warn!(%error, "meta.json of a block upload is malformed");
            UploadError::bad_request("malformed request body")
        };
        let mut meta: BlockMeta = serde_json::from_slice(json).map_err(malformed)?;
        let limits = self.overrides.limits(upload.bucket.tenant());
        meta::sanitize(&mut meta, upload.id, now_ms)?;
        meta::check_size(&meta, limits.compactor_block_upload_max_block_size_bytes)?;
        let retention_ms = limits.compactor_blocks_retention_period.millis();
        let ranges = self.config.block_ranges.0.iter().map(|range| range.millis());
        meta::check_times(&meta, (now_ms, retention_ms), ranges.max().unwrap_or(0))?;
        upload.start(&meta, now_ms).await
    }

    /// Whether a file of this name and size belongs to the block. `None` = the size is not known.
    pub(crate) async fn expected_file(
        &self,
        upload: &Upload,
        path: &str,
        size_bytes: Option<u64>,
    ) -> Result<ThanosFile, UploadError> {
        meta::check_path(path)?;
        if size_bytes == Some(0) {
            return Err(UploadError::bad_request("file cannot be empty"));
        }
        let meta = upload.in_progress(self.clock.now_ms()).await?;
        let file = meta.thanos.unwrap_or_default().files.into_iter().find(|f| f.rel_path == path);
        let file = file.ok_or_else(|| UploadError::bad_request("unexpected file"))?;
        if size_bytes.is_some_and(|size| size != file.size_bytes) {
            return Err(UploadError::bad_request("file size doesn't match meta.json"));
        }
        Ok(file)
    }

    /// Takes a file that lies on the local disk.
    pub(crate) async fn take_file(
        &self,
        upload: &Upload,
        file: &ThanosFile,
        local: &std::path::Path,
    ) -> Result<(), UploadError> {
        let key = upload.bucket.block(upload.id).file(&file.rel_path);
        upload.bucket.bucket().put_file(&key, local).await?;
        Ok(())
    }

    /// The block is complete: it gets into the bucket index, where readers find it.
    async fn finish_upload(&self, upload: &Upload, meta: &BlockMeta) -> Result<(), UploadError> {
        upload.complete(meta).await?;
        self.metrics.uploads.completed(upload.bucket.tenant(), meta);
        let user = upload.bucket.tenant();
        tracing::info!(%user, block = %upload.id, "block upload is complete");
        if let Err(error) = self.clean_blocks(&upload.bucket).await {
            // The next round of the cleaner writes the index.
            tracing::warn!(%user, %error, "could not write the bucket index after an upload");
        }
        Ok(())
    }
}
