//! The cleaner: applies retention, deletes what was marked long enough ago, and writes the bucket
//! index. Called by the service and by tests.

mod delete;
pub(crate) mod due;
mod tenant;

use std::sync::Arc;

use bucket::{BucketError, DeletionMark, TenantBucket};
use futures::StreamExt as _;
use model::{TenantId, TimestampMs};
use ulid::Ulid;

use crate::Compactor;
use crate::catalog::{Catalog, Reading};
use due::DeletionRules;

/// So many blocks of one tenant are deleted at the same time.
const CONCURRENT_DELETES: usize = 16;
/// So often a bucket index is made anew because others write it too.
const MAX_INDEX_WRITES: usize = 8;

impl Compactor {
    /// One round over all tenants, some of them at a time. What fails is logged and counted, and
    /// tried again by the next round.
    pub(crate) async fn clean_all(&self) {
        self.metrics.cleaner.started.inc();
        let mut tenants = match self.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::error!(%error, "could not list the tenants of the bucket");
                self.metrics.cleaner.failed.inc();
                return;
            }
        };
        tenants.retain(|tenant| self.sharding.cleans(tenant) || self.sharding.compacts(tenant));
        self.forget_tenants(&tenants);
        tenants.retain(|tenant| self.sharding.cleans(tenant));
        let concurrency = self.config.cleanup_concurrency.max(1);
        let rounds: Vec<_> = tenants.iter().map(|tenant| self.clean_tenant(tenant)).collect();
        let rounds = futures::stream::iter(rounds).buffer_unordered(concurrency);
        let failed = rounds.filter(|is_ok| std::future::ready(!is_ok)).count().await;
        if failed == 0 {
            self.metrics.cleaner.completed.inc();
            self.metrics.cleaner.last_success.set(self.clock.now_ms() as f64 / 1000.0);
        } else {
            self.metrics.cleaner.failed.inc();
        }
    }

    /// Cleans one tenant; false when that failed.
    async fn clean_tenant(&self, tenant: &TenantId) -> bool {
        let bucket = self.tenant_bucket(tenant);
        let cleaned = async {
            self.remove_staged(&bucket).await;
            match bucket.tenant_deletion_mark().await? {
                Some(mark) => self.delete_tenant(&bucket, mark).await,
                None => self.clean_blocks(&bucket).await,
            }
        };
        let result = cleaned.await;
        if let Err(error) = &result {
            tracing::error!(user = %tenant, %error, "could not clean the blocks of a tenant");
        }
        result.is_ok()
    }

    /// Removes what writers that were killed have left where no list shows it.
    async fn remove_staged(&self, bucket: &TenantBucket) {
        let before_ms = self.clock.now_ms().saturating_sub(due::MIN_PARTIAL_DELAY_MS);
        let user = bucket.tenant();
        match bucket.bucket().remove_staged(user.as_str(), before_ms).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(%user, removed, "removed uploads that were cut off"),
            // They only take room, and listing them needs a permission of its own.
            Err(error) => tracing::warn!(%user, %error, "could not remove uploads cut off"),
        }
    }

    /// Brings the marks, the blocks and the bucket index of one tenant up to date. Where somebody
    /// else, in this process or in another, writes the index meanwhile, it is done again: what
    /// they have seen must not get lost.
    pub(crate) async fn clean_blocks(&self, bucket: &TenantBucket) -> Result<(), BucketError> {
        let turn = Arc::clone(self.turns.lock().entry_ref(bucket.tenant()).or_default());
        let _one_at_a_time = turn.lock().await;
        for _ in 1..MAX_INDEX_WRITES {
            match self.try_clean_blocks(bucket).await {
                Err(error) if error.is_conflict() => {
                    tracing::info!(user = %bucket.tenant(), "bucket index was written meanwhile");
                }
                other => return other,
            }
        }
        self.try_clean_blocks(bucket).await
    }

    async fn try_clean_blocks(&self, bucket: &TenantBucket) -> Result<(), BucketError> {
        // Before anything is listed: an index that is written from now on may know more.
        let seen = bucket.bucket_index_version().await?;
        let mut catalog = self.sync_catalog(bucket).await?;
        let now_ms = self.clock.now_ms();
        let rules = self.deletion_rules(bucket.tenant());
        for id in due::expired(&catalog, rules.retention_ms, now_ms) {
            let details = "block exceeding retention";
            self.mark(bucket, &mut catalog, id, (details, "retention")).await?;
        }
        self.delete_due(bucket, &mut catalog, &rules, now_ms).await;
        self.mark_abandoned(bucket, &mut catalog, &rules, now_ms).await?;
        let is_empty = catalog.blocks.is_empty() && catalog.partial.is_empty();
        if is_empty && catalog.malformed.is_empty() {
            self.remove_leftovers(bucket).await?;
            if !bucket.block_ids().await?.is_empty() {
                // A block came while the index was removed that may have listed it.
                let key = bucket.tenant().to_string();
                return Err(BucketError::Conflict { operation: "clean", key });
            }
        } else {
            bucket.put_bucket_index_if(&catalog.bucket_index(now_ms), seen.as_ref()).await?;
        }
        self.metrics.tenant_cleaned(bucket.tenant(), &catalog, now_ms);
        let backlog = self.backlog(bucket.tenant(), &catalog);
        self.metrics.progressed(bucket.tenant(), &backlog);
        self.remember(bucket.tenant(), catalog);
        Ok(())
    }

    fn deletion_rules(&self, tenant: &TenantId) -> DeletionRules {
        let limits = self.overrides.limits(tenant);
        DeletionRules::new(
            limits.compactor_blocks_retention_period.millis(),
            limits.compactor_partial_block_deletion_delay.millis(),
            self.config.deletion_delay.millis(),
        )
    }

    /// Marks a block for deletion. `details` are for people, `reason` is for metrics.
    pub(crate) async fn mark(
        &self,
        bucket: &TenantBucket,
        catalog: &mut Catalog,
        id: Ulid,
        (details, reason): (&str, &str),
    ) -> Result<(), BucketError> {
        if catalog.deletion_marks.contains_key(&id) {
            return Ok(());
        }
        let mark = DeletionMark::new(id, self.clock.now_ms(), details);
        bucket.put_mark(id, &mark).await?;
        self.metrics.marked_for_deletion(reason);
        tracing::info!(user = %bucket.tenant(), block = %id, details, "marked a block for deletion");
        catalog.deletion_marks.insert(id, mark);
        Ok(())
    }

    /// Deletes the blocks whose marks are old enough, and what is left of marked partial ones. A
    /// block that cannot be deleted stays in the index.
    async fn delete_due(
        &self,
        bucket: &TenantBucket,
        catalog: &mut Catalog,
        rules: &DeletionRules,
        now_ms: TimestampMs,
    ) {
        let due = due::deletable(catalog, rules.deletion_delay_ms, now_ms);
        let delete = |id| async move { (id, delete::block(bucket, id).await) };
        let deletes: Vec<_> = due.into_iter().map(delete).collect();
        let mut deletes = futures::stream::iter(deletes).buffer_unordered(CONCURRENT_DELETES);
        while let Some((id, result)) = deletes.next().await {
            let user = bucket.tenant();
            match result {
                Ok(()) => {
                    self.metrics.cleaner.blocks_deleted.inc();
                    tracing::info!(%user, block = %id, "deleted a block");
                    catalog.blocks.remove(&id);
                    catalog.partial.retain(|partial| *partial != id);
                    catalog.malformed.retain(|malformed| *malformed != id);
                    catalog.deletion_marks.remove(&id);
                }
                Err(error) => {
                    self.metrics.cleaner.block_failures.inc();
                    tracing::error!(%user, block = %id, %error, "could not delete a block");
                }
            }
        }
    }

    /// Marks blocks whose upload was given up.
    async fn mark_abandoned(
        &self,
        bucket: &TenantBucket,
        catalog: &mut Catalog,
        rules: &DeletionRules,
        now_ms: TimestampMs,
    ) -> Result<(), BucketError> {
        let Some(delay_ms) = rules.partial_delay_ms else { return Ok(()) };
        for id in catalog.partial.clone() {
            let objects = bucket.bucket().list(&bucket.block(id).file("")).await?;
            if due::is_abandoned(&objects, delay_ms, now_ms) {
                let details = "partial block, no file was written for a long time";
                self.mark(bucket, catalog, id, (details, "partial")).await?;
            }
        }
        Ok(())
    }

    /// The tenant's blocks as they stand in the bucket now.
    pub(crate) async fn sync_catalog(&self, bucket: &TenantBucket) -> Result<Catalog, BucketError> {
        let previous = self.known(bucket.tenant()).unwrap_or_default();
        let start = self.clock.monotonic();
        let result = Catalog::sync(bucket, &previous, self.reading()).await;
        let took = self.clock.monotonic().saturating_sub(start);
        self.metrics.synced(took.as_secs_f64(), result.is_ok());
        result
    }

    /// How the bucket is read: of a block that nobody deletes yet `meta.json` is read once.
    pub(crate) fn reading(&self) -> Reading {
        let deleted_before_ms =
            self.clock.now_ms().saturating_sub(self.config.deletion_delay.millis());
        Reading {
            concurrency: self.config.meta_sync_concurrency,
            deleted_before_s: deleted_before_ms.div_euclid(1000),
        }
    }

    /// What was last seen of a tenant.
    pub(crate) fn known(&self, tenant: &TenantId) -> Option<Arc<Catalog>> {
        self.catalogs.lock().get(tenant).cloned()
    }

    pub(crate) fn remember(&self, tenant: &TenantId, catalog: Catalog) {
        self.catalogs.lock().insert(tenant.clone(), Arc::new(catalog));
    }

    fn forget_tenants(&self, present: &[TenantId]) {
        let gone =
            self.catalogs.lock().extract_if(|id, _| !present.contains(id)).collect::<Vec<_>>();
        gone.iter().for_each(|(id, _)| self.metrics.tenant_gone(id));
        self.turns.lock().retain(|id, turn| present.contains(id) || Arc::strong_count(turn) > 1);
    }
}
