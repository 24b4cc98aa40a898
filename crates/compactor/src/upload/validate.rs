//! The validation of an uploaded block, beside the request that asked for it: the block is
//! fetched, its files are compared with the meta, and everything in it is looked at. As long as
//! that takes, `validation.json` tells that somebody is at it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::StatusCode;
use tsdb::block::Block;
use tsdb::meta::BlockMeta;

use super::{Upload, UploadError};
use crate::Compactor;

const HEARTBEAT: Duration = Duration::from_secs(60);

impl Compactor {
    /// Ends the client's part: validates and completes the block in the background, or completes
    /// it at once where the tenant's blocks are not validated.
    pub(crate) async fn end_upload(self: &Arc<Self>, upload: Upload) -> Result<(), UploadError> {
        let meta = upload.in_progress(self.clock.now_ms()).await?;
        let limits = self.overrides.limits(upload.bucket.tenant());
        if !limits.compactor_block_upload_validation_enabled {
            return self.finish_upload(&upload, &meta).await;
        }
        let turn = self.validation_turn()?;
        upload.put_validation(self.clock.now_ms(), "").await?;
        let compactor = Arc::clone(self);
        self.tasks.spawn("block-upload-validation", async move {
            let _turn = turn;
            compactor.validate_and_complete(&upload, &meta).await;
        });
        Ok(())
    }

    fn validation_turn(self: &Arc<Self>) -> Result<ValidationTurn, UploadError> {
        let limit = self.config.max_block_upload_validation_concurrency;
        let running = self.validations.fetch_add(1, Ordering::AcqRel) + 1;
        let turn = ValidationTurn(Arc::clone(self));
        if limit > 0 && running > limit {
            let message =
                format!("too many block upload validations in progress, limit is {limit}");
            return Err(UploadError::refused(StatusCode::TOO_MANY_REQUESTS, message));
        }
        Ok(turn)
    }

    async fn validate_and_complete(&self, upload: &Upload, meta: &BlockMeta) {
        let validated = self.validate_alive(upload, meta).await;
        let result = match validated {
            Ok(()) => self.finish_upload(upload, meta).await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            let (user, block) = (upload.bucket.tenant(), upload.id);
            tracing::error!(%user, %block, error, "block upload failed");
            if let Err(error) = upload.put_validation(self.clock.now_ms(), &error).await {
                tracing::error!(%user, %block, %error, "could not tell that a block upload failed");
            }
        }
    }

    /// Validates while the heartbeat goes on.
    async fn validate_alive(&self, upload: &Upload, meta: &BlockMeta) -> Result<(), String> {
        let mut validation = std::pin::pin!(self.validate(upload, meta));
        let mut ticks = rt::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                result = &mut validation => return result,
                _ = ticks.tick() => {
                    let alive = upload.put_validation(self.clock.now_ms(), "").await;
                    alive.map_err(|e| format!("periodic update of validation file failed: {e}"))?;
                }
            }
        }
    }

    async fn validate(&self, upload: &Upload, meta: &BlockMeta) -> Result<(), String> {
        let (tenant, id) = (upload.bucket.tenant().as_str(), upload.id.to_string());
        let dir = Path::new(&self.config.data_dir).join("upload").join(tenant).join(id);
        let result = self.validate_in(&dir, upload, meta).await;
        let _ = tokio::fs::remove_dir_all(&dir).await;
        result
    }

    async fn validate_in(
        &self,
        dir: &Path,
        upload: &Upload,
        meta: &BlockMeta,
    ) -> Result<(), String> {
        for file in meta.thanos.iter().flat_map(|thanos| &thanos.files) {
            let path = file.rel_path.as_str();
            if path == bucket::META_FILE {
                continue;
            }
            let key = upload.bucket.block(upload.id).file(path);
            let fetched = upload.bucket.bucket().get_file(&key, &dir.join(path)).await;
            let size = fetched.map_err(|error| format!("failed to stat {path}: {error}"))?;
            if size != file.size_bytes {
                return Err(format!("file size mismatch for {path}"));
            }
        }
        let written = tokio::fs::write(dir.join(bucket::META_FILE), meta.encode()).await;
        written.map_err(|e| format!("failed to prepare block for validation: {e}"))?;
        let (fs, dir) = (self.fs.clone(), dir.to_owned());
        let limits = self.overrides.limits(upload.bucket.tenant());
        let check_chunks = limits.compactor_block_upload_verify_chunks;
        let verify = move || Block::open(&*fs, &dir).and_then(|block| block.verify(check_chunks));
        let verified = self.pool.run(verify).await.map_err(|error| error.to_string())?;
        verified.map_err(|error| format!("error validating block: {error}"))
    }

    /// Where a file that a client sends lies until it is whole.
    pub(crate) fn spool_path(&self) -> PathBuf {
        let name = format!("{:016x}.tmp", self.random.next_u64());
        Path::new(&self.config.data_dir).join("upload").join(name)
    }
}

/// One of the validations that may run at once.
struct ValidationTurn(Arc<Compactor>);

impl Drop for ValidationTurn {
    fn drop(&mut self) {
        self.0.validations.fetch_sub(1, Ordering::AcqRel);
    }
}
