//! Deleting all of a tenant's data, in steps that survive a crash: the bucket index, so that no
//! reader finds the blocks; the blocks; a note in the tenant's mark that this is done; and
//! `-compactor.tenant-cleanup-delay` later whatever else is left.

use bucket::{BucketError, TenantBucket, TenantDeletionMark};

use super::delete;
use crate::Compactor;

/// What may stand below a tenant besides blocks.
const OTHER_DIRS: [&str; 2] = ["markers", "debug"];

impl Compactor {
    /// The next step in deleting a marked tenant.
    pub(super) async fn delete_tenant(
        &self,
        bucket: &TenantBucket,
        mark: TenantDeletionMark,
    ) -> Result<(), BucketError> {
        let user = bucket.tenant();
        bucket.delete_bucket_index().await?;
        let ids = bucket.block_ids().await?;
        for &id in &ids {
            delete::block(bucket, id).await?;
            self.metrics.cleaner.blocks_deleted.inc();
        }
        self.metrics.tenant_gone(user);
        self.catalogs.lock().remove(user);
        let now_s = self.clock.now_ms().div_euclid(1000);
        if !ids.is_empty() {
            tracing::info!(%user, blocks = ids.len(), "deleted the blocks of a tenant");
        }
        // Blocks that came later, from an ingester that had not heard of the mark, begin the wait
        // anew.
        if mark.finished_time == 0 || !ids.is_empty() {
            let mark = TenantDeletionMark { finished_time: now_s, ..mark };
            return bucket.put_tenant_deletion_mark(mark).await;
        }
        let delay_s = self.config.tenant_cleanup_delay.millis() / 1000;
        if now_s.saturating_sub(mark.finished_time) > delay_s {
            self.remove_leftovers(bucket).await?;
            tracing::info!(%user, "removed what was left of a deleted tenant");
        }
        Ok(())
    }

    /// Removes what stands beside the blocks of a tenant that has none.
    pub(super) async fn remove_leftovers(&self, bucket: &TenantBucket) -> Result<(), BucketError> {
        bucket.delete_bucket_index().await?;
        for dir in OTHER_DIRS {
            let dir = format!("{}/{dir}", bucket.tenant());
            for object in bucket.bucket().list(&dir).await? {
                bucket.bucket().delete(&format!("{dir}/{}", object.key)).await?;
            }
        }
        Ok(())
    }
}
