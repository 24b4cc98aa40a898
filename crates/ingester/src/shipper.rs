//! Uploading finished blocks to the bucket, again and again until they are there. Nothing is lost
//! or done twice by a crash at any point: a block exists in the bucket when its `meta.json` does,
//! and a block that is found there counts as shipped.

mod meta;
pub(crate) mod state;

use std::sync::Arc;

use bucket::{BucketError, META_FILE, TenantBucket, UploadedFile, upload_block};
use futures::StreamExt as _;
use tsdb::db::BlockInfo;

use crate::Ingester;
use crate::ingester::Phase;
use crate::plan;
use crate::tenant::Tenant;

impl Ingester {
    /// Uploads what is due for all tenants. What fails is logged and tried again by the next call.
    pub(crate) async fn ship_blocks(self: &Arc<Self>) {
        if self.phase() == Phase::Running {
            self.ship_tenants(self.tenants.all()).await;
        }
    }

    /// Uploads what is due for these tenants, some of them at a time. Returns for how many of them
    /// not everything is in the bucket.
    pub(crate) async fn ship_tenants(self: &Arc<Self>, tenants: Vec<Arc<Tenant>>) -> usize {
        let concurrency = self.tsdb_config.ship_concurrency.max(1);
        let passes = tenants.into_iter().map(|tenant| self.ship_tenant(tenant));
        let results = futures::stream::iter(passes).buffer_unordered(concurrency);
        results.filter(|is_done| std::future::ready(!is_done)).count().await
    }

    /// Uploads what is due for one tenant, oldest blocks first; a block that fails does not keep
    /// the next ones back. Returns whether everything is in the bucket.
    async fn ship_tenant(self: &Arc<Self>, tenant: Arc<Tenant>) -> bool {
        let bucket = TenantBucket::new(self.bucket.clone(), tenant.id().clone());
        if tenant.deletion_mark().check(&bucket, self.clock.now_ms()).await {
            return true;
        }
        let _shipping = tenant.shipping.lock().await;
        self.metrics.shipper.dir_syncs.inc();
        let mut shipped = tenant.shipped();
        let due = plan::blocks_to_ship(&tenant.db().blocks(), &shipped);
        let mut is_done = true;
        for block in &due {
            match self.ship_block(&bucket, block).await {
                Ok(()) => _ = shipped.insert(block.ulid, self.clock.now_ms()),
                Err(error) => {
                    is_done = false;
                    self.metrics.shipper.upload_failures.inc();
                    let (user, block) = (tenant.id(), block.ulid);
                    tracing::error!(%user, %block, %error, "could not upload a block");
                }
            }
        }
        let keep = Arc::clone(&tenant);
        match self.blocking(move |_| keep.set_shipped(&shipped)).await {
            Ok(Ok(())) => is_done,
            Ok(Err(error)) => self.state_failed(&tenant, &error),
            Err(error) => self.state_failed(&tenant, &error),
        }
    }

    fn state_failed(&self, tenant: &Tenant, error: &dyn std::error::Error) -> bool {
        self.metrics.shipper.dir_sync_failures.inc();
        tracing::error!(user = %tenant.id(), %error, "could not store which blocks are shipped");
        false
    }

    /// Brings one block into the bucket, unless it is there.
    async fn ship_block(
        &self,
        bucket: &TenantBucket,
        block: &BlockInfo,
    ) -> Result<(), BucketError> {
        let (user, id) = (bucket.tenant(), block.ulid);
        if bucket.has_block(id).await? {
            tracing::info!(%user, block = %id, "found a block in the bucket already");
            return Ok(());
        }
        let path = block.dir.join(META_FILE);
        let local = bucket.bucket().files().read(&path).await;
        let local = local.map_err(|source| BucketError::LocalFile { path, source })?;
        let limits = self.overrides.limits(user);
        let labels_late = limits.out_of_order_blocks_external_label_enabled;
        let meta = |files: &[UploadedFile]| meta::for_bucket(id, &local, (files, labels_late));
        upload_block(bucket, (id, &block.dir), 1, meta).await?;
        self.metrics.shipper.uploads.inc();
        self.metrics.shipper.last_successful_upload.set(self.clock.now_ms() as f64 / 1000.0);
        tracing::info!(%user, block = %id, "uploaded a block");
        Ok(())
    }
}
