//! From what stands in the bucket to jobs: pure functions around `tsdb::compact::plan`.

use std::collections::BTreeSet;

use config::{CompactionJobsOrder, CompactorConfig, Limits};
use model::{TenantId, TimestampMs};
use tsdb::compact::plan::obsolete::obsolete as replaced_blocks;
use tsdb::compact::plan::order::{JobOrder, WaitRule, sort, waits_for};
use tsdb::compact::plan::split_merge::{Job, SplitMergeOptions, Stage, plan};
use tsdb::meta::BlockMeta;
use ulid::Ulid;

use crate::catalog::Catalog;

/// A compaction that can run now.
#[derive(Debug, Clone)]
pub(crate) struct PlannedJob {
    /// No other job of the tenant has it.
    pub(crate) key: String,
    /// By which it falls to one of several compactors.
    pub(crate) sharding_key: String,
    pub(crate) stage: Stage,
    /// How many blocks are written at most; with [`Stage::Split`] one a shard.
    pub(crate) output_shards: u32,
    /// The blocks, in order of their times.
    pub(crate) blocks: Vec<BlockMeta>,
}

impl PlannedJob {
    fn of(job: &Job<'_>) -> Self {
        Self {
            key: job.key(),
            sharding_key: job.sharding_key(),
            stage: job.stage,
            output_shards: job.output_shards.max(1),
            blocks: job.blocks.iter().map(|&meta| meta.clone()).collect(),
        }
    }

    /// Start of the oldest and end of the newest block, ms.
    pub(crate) fn times(&self) -> (TimestampMs, TimestampMs) {
        let min = self.blocks.iter().map(|meta| meta.min_time_ms).min();
        let max = self.blocks.iter().map(|meta| meta.max_time_ms).max();
        (min.unwrap_or_default(), max.unwrap_or_default())
    }
}

/// The jobs that can run now, the first one first.
pub(crate) fn planned_jobs(
    tenant: &TenantId,
    catalog: &Catalog,
    (config, limits): (&CompactorConfig, &Limits),
    now_ms: TimestampMs,
) -> Vec<PlannedJob> {
    let blocks = compactable(catalog, limits, now_ms);
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let options = SplitMergeOptions {
        ranges_ms: config.block_ranges.0.iter().map(|range| range.millis()).collect(),
        shards: small(limits.compactor_split_and_merge_shards),
        split_groups: small(limits.compactor_split_groups),
    };
    let mut jobs = plan(tenant.as_str(), &blocks, &options, now_ms);
    let rule = WaitRule {
        wait_ms: config.first_level_compaction_wait_period.millis(),
        skip_future_max_time: config.first_level_compaction_skip_future_max_time,
    };
    let uploaded_at = |id: Ulid| catalog.blocks.get(&id).map(|block| block.uploaded_at_ms);
    jobs.retain(|job| waits_for(job, rule, now_ms, &uploaded_at).is_none());
    sort(&mut jobs, order(config.compaction_jobs_order));
    jobs.iter().map(PlannedJob::of).collect()
}

fn order(option: CompactionJobsOrder) -> JobOrder {
    match option {
        CompactionJobsOrder::SmallestRangeOldestBlocksFirst => {
            JobOrder::SmallestRangeOldestBlocksFirst
        }
        CompactionJobsOrder::NewestBlocksFirst => JobOrder::NewestBlocksFirst,
    }
}

/// The blocks that may be compacted: no mark, raw samples, uploaded lately enough as their ids
/// tell. Where blocks can be uploaded by users, how old an id is says nothing.
fn compactable(catalog: &Catalog, limits: &Limits, now_ms: TimestampMs) -> Vec<BlockMeta> {
    let lookback = limits.compactor_max_lookback;
    let has_lookback = lookback.is_positive() && !limits.compactor_block_upload_enabled;
    let oldest_ms = has_lookback.then(|| now_ms.saturating_sub(lookback.millis()));
    let is_recent = |id: Ulid| oldest_ms.is_none_or(|oldest| id.timestamp_ms() as i64 >= oldest);
    let metas = unmarked(catalog).filter(|meta| {
        let resolution = meta.thanos.as_ref().map_or(0, |thanos| thanos.downsample.resolution);
        !catalog.no_compact_marks.contains_key(&meta.ulid)
            && resolution == 0
            && is_recent(meta.ulid)
    });
    metas.cloned().collect()
}

/// The blocks, not marked yet, whose data is in others.
pub(super) fn obsolete(catalog: &Catalog) -> BTreeSet<Ulid> {
    replaced_blocks(&unmarked(catalog).cloned().collect::<Vec<_>>())
}

fn unmarked(catalog: &Catalog) -> impl Iterator<Item = &BlockMeta> {
    let blocks = catalog.blocks.iter();
    let kept = blocks.filter(|(id, _)| !catalog.deletion_marks.contains_key(*id));
    kept.map(|(_, block)| &block.meta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CompleteBlock;

    const HOUR_MS: i64 = 3_600_000;
    /// As little as a `meta.json` can say.
    const EMPTY_META: &[u8] =
        br#"{"ulid": "00000000000000000000000001", "minTime": 0, "maxTime": 20, "version": 1}"#;

    /// Uploads of old samples are as young as their ids, and blocks of old ids stay as they are.
    #[test]
    fn the_lookback_is_by_the_time_of_the_upload() {
        let now_ms = 100 * HOUR_MS;
        let mut catalog = Catalog::default();
        // Uploaded at these hours, with samples that say the opposite.
        for hour in [89, 90, 95] {
            let mut meta = BlockMeta::decode(EMPTY_META).unwrap();
            meta.ulid = Ulid::from_parts(hour as u64 * HOUR_MS as u64, 7);
            meta.max_time_ms = (100 - hour) * HOUR_MS;
            let block = CompleteBlock { uploaded_at_ms: now_ms, meta };
            catalog.blocks.insert(block.meta.ulid, block);
        }
        let compacted = |lookback_h: i64, with_upload| {
            let mut limits = config::Config::default().limits;
            limits.compactor_max_lookback = config::PromDuration::from_secs(lookback_h * 3600);
            limits.compactor_block_upload_enabled = with_upload;
            let metas = compactable(&catalog, &limits, now_ms);
            let hours = metas.iter().map(|meta| meta.ulid.timestamp_ms() as i64 / HOUR_MS);
            hours.collect::<Vec<_>>()
        };
        assert_eq!(compacted(10, false), [90, 95]);
        assert_eq!(compacted(0, false), [89, 90, 95]);
        assert_eq!(compacted(10, true), [89, 90, 95]);
    }
}
