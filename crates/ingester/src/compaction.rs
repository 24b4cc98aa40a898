//! Cutting heads into blocks, and what follows from it: the periodic check, the flush on request,
//! the local retention. Which head is due is decided in `plan.rs` and by the TSDB.

use std::sync::Arc;

use futures::StreamExt as _;
use model::TenantId;
use rt::metrics::Gauge;
use tsdb::db::CompactionMode;

use crate::Ingester;
use crate::ingester::{IngesterError, Phase};
use crate::plan::{self, Retention};
use crate::tenant::Tenant;

impl Ingester {
    /// The periodic check: cuts the heads that are due and deletes local blocks that are past the
    /// retention. What fails is logged and tried again by the next check.
    pub(crate) async fn cut_heads(self: &Arc<Self>) {
        if self.phase() != Phase::Running {
            return;
        }
        let now_ms = self.clock.now_ms();
        self.for_each_tenant(self.tenants.all(), move |ingester, tenant| {
            let mode = plan::compaction_mode(tenant.last_push_ms(), ingester.idle_timeout, now_ms);
            let is_ok = ingester.cut_head(tenant, mode);
            ingester.delete_old_blocks(tenant);
            is_ok
        })
        .await;
        self.cut_for_the_process().await;
        self.cut_for_tenants().await;
    }

    /// Cuts all of the heads of these tenants (`None` = of all) and uploads the blocks, where
    /// blocks are uploaded at all.
    pub async fn flush(
        self: &Arc<Self>,
        tenants: Option<&[TenantId]>,
    ) -> Result<(), IngesterError> {
        if self.phase() != Phase::Running {
            return Err(IngesterError::Unavailable(self.phase().as_str()));
        }
        let all = self.tenants.all();
        let is_wanted =
            |tenant: &Arc<Tenant>| tenants.is_none_or(|wanted| wanted.contains(tenant.id()));
        self.flush_tenants(all.into_iter().filter(is_wanted).collect()).await
    }

    pub(crate) async fn flush_tenants(
        self: &Arc<Self>,
        tenants: Vec<Arc<Tenant>>,
    ) -> Result<(), IngesterError> {
        let cut =
            |ingester: &Self, tenant: &Tenant| ingester.cut_head(tenant, CompactionMode::Forced);
        let not_cut = self.for_each_tenant(tenants.clone(), cut).await;
        let not_shipped = if self.is_shipping() { self.ship_tenants(tenants).await } else { 0 };
        match not_cut.max(not_shipped) {
            0 => Ok(()),
            failed_tenants => Err(IngesterError::Flush { failed_tenants }),
        }
    }

    /// Runs `job` for every tenant on the background pool, a few at a time. Returns how many
    /// failed.
    pub(crate) async fn for_each_tenant(
        self: &Arc<Self>,
        tenants: Vec<Arc<Tenant>>,
        job: impl Fn(&Self, &Tenant) -> bool + Copy + Send + 'static,
    ) -> usize {
        let concurrency = self.tsdb_config.head_compaction_concurrency.max(1);
        let jobs = tenants.into_iter().map(|tenant| self.blocking(move |i| job(i, &tenant)));
        let mut results = futures::stream::iter(jobs).buffer_unordered(concurrency);
        let mut failed = 0;
        while let Some(result) = results.next().await {
            if let Err(error) = &result {
                tracing::error!(%error, "could not cut a head");
            }
            failed += usize::from(!result.unwrap_or(false));
        }
        failed
    }

    /// Cuts one head, unless it is empty; failures are logged and counted.
    pub(crate) fn cut_head(&self, tenant: &Tenant, mode: CompactionMode) -> bool {
        if tenant.db().head().series_count() == 0 {
            return true;
        }
        self.metrics.compaction.triggered();
        let forced = (mode != CompactionMode::Regular)
            .then(|| InProgress::of(&self.metrics.compaction.forced_in_progress));
        let start = self.clock.monotonic();
        let result = tenant.compact(mode);
        let took = self.clock.monotonic().saturating_sub(start);
        drop(forced);
        self.metrics.compaction.ended(took, result.as_ref().ok().map(Vec::len));
        match result {
            Ok(blocks) if blocks.is_empty() => true,
            Ok(blocks) => {
                let (user, took_seconds) = (tenant.id(), took.as_secs_f64());
                tracing::info!(%user, blocks = blocks.len(), ?mode, took_seconds, "cut a head");
                true
            }
            Err(error) => {
                tracing::error!(user = %tenant.id(), %error, ?mode, "could not cut a head");
                false
            }
        }
    }

    /// Deletes the local blocks of a tenant that are past the retention.
    pub(crate) fn delete_old_blocks(&self, tenant: &Tenant) {
        let period = self.tsdb_config.retention_period;
        let retention = Retention { period, is_shipping: self.is_shipping() };
        match tenant.delete_old_blocks(retention, self.clock.now_ms()) {
            Ok(deleted) if deleted.is_empty() => {}
            Ok(deleted) => {
                let blocks = deleted.len();
                tracing::info!(user = %tenant.id(), blocks, "deleted local blocks");
            }
            Err(error) => {
                tracing::error!(user = %tenant.id(), %error, "could not delete local blocks");
            }
        }
    }
}

/// Counts what is in progress, also when it is broken off.
struct InProgress<'a>(&'a Gauge);

impl<'a> InProgress<'a> {
    fn of(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
