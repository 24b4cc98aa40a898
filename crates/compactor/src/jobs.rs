//! Compaction of the tenants' blocks: plan, run a job, look again, until nothing is due. Called
//! by the service and by tests.

mod download;
mod no_compact;
mod plan;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use bucket::{BucketError, TenantBucket};
use futures::StreamExt as _;
use model::TenantId;
use rt::{CancellationToken, ComputeError};
use tsdb::error::TsdbError;
use ulid::Ulid;

use crate::Compactor;
use crate::catalog::Catalog;
use crate::progress::Backlog;
#[cfg(test)]
pub(crate) use no_compact::told_by;
pub(crate) use plan::{PlannedJob, planned_jobs};

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Tsdb(#[from] TsdbError),
    #[error("{operation} {}: {source}", path.display())]
    Disk { operation: &'static str, path: PathBuf, source: std::io::Error },
    #[error("not enough space on the disk: {needed} bytes are needed, {free} are free")]
    DiskFull { needed: u64, free: u64 },
    #[error(transparent)]
    Pool(#[from] ComputeError),
    #[error("block {block} cannot be compacted: {}", unhealthy.1)]
    Unhealthy { block: Ulid, unhealthy: no_compact::Unhealthy },
    #[error("the process is stopping")]
    Stopping,
}

/// How a tenant's round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Done,
    Failed,
    Stopped,
}

impl Compactor {
    /// One round over all tenants. What fails is logged and counted, and tried again by the next
    /// round.
    pub(crate) async fn compact_all(&self, stop: &CancellationToken) {
        let metrics = &self.metrics.runs;
        metrics.started.inc();
        let tenants = match self.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::error!(%error, "could not list the tenants of the bucket");
                return metrics.failed("error");
            }
        };
        metrics.discovered(tenants.len());
        let is_own = |tenant: &&TenantId| self.sharding.compacts(tenant);
        let tenants: Vec<_> = tenants.iter().filter(is_own).collect();
        let mut failed = 0;
        for (done, tenant) in tenants.iter().enumerate() {
            match self.compact_tenant(tenant, stop).await {
                Round::Done => {}
                Round::Failed => failed += 1,
                Round::Stopped => return metrics.failed("shutdown"),
            }
            metrics.processed(done + 1 - failed, failed);
        }
        if failed > 0 {
            return metrics.failed("error");
        }
        metrics.completed.inc();
        metrics.last_success.set(self.clock.now_ms() as f64 / 1000.0);
    }

    /// Runs a tenant's jobs until none is due or its time is up.
    async fn compact_tenant(&self, tenant: &TenantId, stop: &CancellationToken) -> Round {
        let bucket = self.tenant_bucket(tenant);
        for attempt in 1..=self.config.compaction_retries.max(1) {
            match self.run_due_jobs(&bucket, stop).await {
                Ok(()) => return Round::Done,
                Err(JobError::Stopping) => return Round::Stopped,
                Err(error) => {
                    tracing::error!(user = %tenant, attempt, %error, "compaction failed");
                }
            }
            let backoff = rt::time::sleep(Duration::from_secs(10 * u64::from(attempt)));
            if attempt < self.config.compaction_retries
                && stop.run_until_cancelled(backoff).await.is_none()
            {
                return Round::Stopped;
            }
        }
        Round::Failed
    }

    async fn run_due_jobs(
        &self,
        bucket: &TenantBucket,
        stop: &CancellationToken,
    ) -> Result<(), JobError> {
        if bucket.tenant_deletion_mark().await?.is_some() {
            return Ok(());
        }
        let start = self.clock.monotonic();
        let max = self.config.max_compaction_time.std();
        loop {
            let catalog = self.collect_garbage(bucket).await?;
            let mut jobs = self.due_jobs(bucket.tenant(), &catalog);
            jobs.retain(|job| self.sharding.runs(bucket.tenant(), &job.sharding_key));
            let backlog = Backlog::of(&jobs, &catalog, self.clock.now_ms());
            self.metrics.progressed(bucket.tenant(), &backlog);
            self.remember(bucket.tenant(), catalog);
            if jobs.is_empty() {
                return Ok(());
            }
            self.run_some(bucket, jobs, stop).await?;
            let is_over = !max.is_zero() && self.clock.monotonic().saturating_sub(start) > max;
            if is_over {
                tracing::info!(user = %bucket.tenant(), "compaction goes on in the next round");
                return Ok(());
            }
        }
    }

    /// Runs the first jobs, as many as may run at once; afterwards the plan is made anew. The
    /// first error is returned when all have ended.
    async fn run_some(
        &self,
        bucket: &TenantBucket,
        jobs: Vec<PlannedJob>,
        stop: &CancellationToken,
    ) -> Result<(), JobError> {
        let concurrency = self.config.compaction_concurrency.max(1);
        let jobs = jobs.into_iter().take(concurrency);
        let runs: Vec<_> = jobs.map(|job| self.run_job(bucket, job, stop)).collect();
        let results: Vec<_> =
            futures::stream::iter(runs).buffer_unordered(concurrency).collect().await;
        results.into_iter().collect()
    }

    /// Reads what stands in the bucket and marks the blocks whose data is in others already, as
    /// it is after a crash between an upload and the marks of its sources.
    async fn collect_garbage(&self, bucket: &TenantBucket) -> Result<Catalog, JobError> {
        let mut catalog = self.sync_catalog(bucket).await?;
        for id in plan::obsolete(&catalog) {
            self.mark(bucket, &mut catalog, id, ("source of compacted block", "compaction"))
                .await?;
        }
        Ok(catalog)
    }

    /// The jobs of a tenant that can run now, the first one first.
    pub(crate) fn due_jobs(&self, tenant: &TenantId, catalog: &Catalog) -> Vec<PlannedJob> {
        let limits = self.overrides.limits(tenant);
        planned_jobs(tenant, catalog, (&self.config, &limits), self.clock.now_ms())
    }
}
