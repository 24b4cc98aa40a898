//! Whether the compactor keeps up: how much could be compacted now, and since when. A pure function
//! of what stands in the bucket and the time; shown by metrics and pages.

use model::{TenantId, TimestampMs};
use tsdb::compact::plan::split_merge::Stage;

use crate::Compactor;
use crate::catalog::Catalog;
use crate::jobs::PlannedJob;

/// What could run now and does not yet. Longer ranges are planned when the shorter ones within
/// them are done, so that this is the least that is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Backlog {
    pub(crate) split_jobs: usize,
    pub(crate) merge_jobs: usize,
    /// Their blocks.
    pub(crate) blocks: usize,
    /// How long the oldest of these jobs has had all of its blocks, ms.
    pub(crate) oldest_wait_ms: Option<i64>,
}

impl Backlog {
    pub(crate) fn of(jobs: &[PlannedJob], catalog: &Catalog, now_ms: TimestampMs) -> Self {
        let splits = jobs.iter().filter(|job| job.stage == Stage::Split).count();
        let uploaded_at = |job: &PlannedJob| {
            let uploads = job.blocks.iter().filter_map(|meta| catalog.blocks.get(&meta.ulid));
            uploads.map(|block| block.uploaded_at_ms).max()
        };
        let oldest = jobs.iter().filter_map(uploaded_at).min();
        Self {
            split_jobs: splits,
            merge_jobs: jobs.len() - splits,
            blocks: jobs.iter().map(|job| job.blocks.len()).sum(),
            oldest_wait_ms: oldest.map(|ready_ms| now_ms.saturating_sub(ready_ms).max(0)),
        }
    }
}

impl Compactor {
    /// What is left to do for a tenant.
    pub(crate) fn backlog(&self, tenant: &TenantId, catalog: &Catalog) -> Backlog {
        Backlog::of(&self.due_jobs(tenant, catalog), catalog, self.clock.now_ms())
    }
}
