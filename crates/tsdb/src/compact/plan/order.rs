//! In which order the jobs of a tenant are run, and which of them wait.

use std::cmp::Reverse;

use ulid::Ulid;

use super::split_merge::{Job, Stage};
use crate::meta::BlockMeta;

/// The order of jobs; Mimir's names are `smallest-range-oldest-blocks-first` and
/// `newest-blocks-first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobOrder {
    /// Splits first, oldest ones first; then merges of the shortest span, oldest ones first.
    #[default]
    SmallestRangeOldestBlocksFirst,
    /// What ends last first, of those the shortest span.
    NewestBlocksFirst,
}

/// Sorts jobs.
pub fn sort(jobs: &mut [Job<'_>], order: JobOrder) {
    let span = |job: &Job<'_>| job.max_time_ms().saturating_sub(job.min_time_ms());
    match order {
        JobOrder::SmallestRangeOldestBlocksFirst => jobs.sort_by_cached_key(|job| {
            // The span of a split does not matter.
            let is_merge = job.stage == Stage::Merge;
            let span = if is_merge { span(job) } else { 0 };
            (is_merge, span, job.min_time_ms(), job.key())
        }),
        JobOrder::NewestBlocksFirst => {
            jobs.sort_by_cached_key(|job| (Reverse(job.max_time_ms()), span(job), job.key()));
        }
    }
}

/// How long blocks of the first level wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitRule {
    /// So long after its upload a block can be compacted, ms; 0 = at once.
    pub wait_ms: i64,
    /// Whether blocks that end later than that long ago wait too.
    pub skip_future_max_time: bool,
}

/// The first block that a job has to wait for, so that replicas which come late are compacted
/// with the others. Only jobs with a block of the first level wait, and never for blocks of
/// out-of-order data. `uploaded_at_ms` tells when a block came; one that is not known does not
/// wait.
pub fn waits_for<'a>(
    job: &Job<'a>,
    rule: WaitRule,
    now_ms: i64,
    uploaded_at_ms: &dyn Fn(Ulid) -> Option<i64>,
) -> Option<&'a BlockMeta> {
    let has_first_level = job.blocks.iter().any(|meta| meta.compaction.level <= 1);
    if rule.wait_ms <= 0 || !has_first_level {
        return None;
    }
    let threshold = now_ms.saturating_sub(rule.wait_ms);
    let waits = |meta: &&&BlockMeta| {
        let is_future = rule.skip_future_max_time && meta.max_time_ms > threshold;
        let is_fresh = || uploaded_at_ms(meta.ulid).is_some_and(|t| t > threshold);
        !meta.is_out_of_order() && (is_future || is_fresh())
    };
    job.blocks.iter().find(waits).copied()
}
