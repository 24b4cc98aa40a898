//! Which blocks must not be compacted, told by how a job has failed; and marking them, so that they
//! do not hold up the others. They stay in the bucket and are queried as before.

use bucket::{BucketError, NoCompactMark, NoCompactReason, TenantBucket};
use tsdb::block::Block;
use tsdb::error::TsdbError;
use ulid::Ulid;

use super::{JobError, PlannedJob};
use crate::Compactor;

/// Why a block is not to be compacted, with an explanation for people.
pub(crate) type Unhealthy = (NoCompactReason, String);

/// Fails for a block that a compaction would spoil or choke on.
pub(super) fn check(block: &Block) -> Result<(), JobError> {
    let health = block.health()?;
    let unhealthy = |reason, details| {
        Err(JobError::Unhealthy { block: block.ulid(), unhealthy: (reason, details) })
    };
    if health.outside_chunks > 0 {
        let details = format!("{} chunks outside the block's time range", health.outside_chunks);
        return unhealthy(NoCompactReason::Critical, details);
    }
    if health.out_of_order_chunks > 0 {
        let details = format!(
            "{} of {} series have out-of-order chunks, {} in all",
            health.out_of_order_series, health.series, health.out_of_order_chunks
        );
        return unhealthy(NoCompactReason::BlockIndexOutOfOrderChunk, details);
    }
    Ok(())
}

/// The blocks that a failed job tells to leave alone, and why. Of blocks that together become too
/// large it is all of them.
pub(crate) fn told_by(error: &JobError, job: &PlannedJob) -> Vec<(Ulid, Unhealthy)> {
    let all = |reason| {
        let details = error.to_string();
        job.blocks.iter().map(|meta| (meta.ulid, (reason, details.clone()))).collect()
    };
    match error {
        JobError::Unhealthy { block, unhealthy } => vec![(*block, unhealthy.clone())],
        JobError::Tsdb(TsdbError::PostingsOffsetsTooLarge) => {
            all(NoCompactReason::PostingsOffsetTableTooLarge)
        }
        JobError::Tsdb(TsdbError::TooLarge(_)) => all(NoCompactReason::IndexSizeExceeding),
        _ => Vec::new(),
    }
}

impl Compactor {
    /// Marks the blocks that a failed job tells to leave alone. Returns whether there are any:
    /// then the next plan is without them, and the failure is dealt with.
    pub(super) async fn mark_unhealthy(
        &self,
        bucket: &TenantBucket,
        job: &PlannedJob,
        error: &JobError,
    ) -> Result<bool, BucketError> {
        let marks = told_by(error, job);
        for (id, (reason, details)) in &marks {
            let mark = NoCompactMark::new(*id, self.clock.now_ms(), (*reason, details.as_str()));
            bucket.put_mark(*id, &mark).await?;
            self.metrics.marked_for_no_compaction(*reason);
            let (user, reason) = (bucket.tenant(), reason.as_str());
            tracing::warn!(%user, block = %id, reason, details, "a block will not be compacted");
        }
        Ok(!marks.is_empty())
    }
}
