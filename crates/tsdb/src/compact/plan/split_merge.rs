//! Mimir's split-and-merge compaction.
//!
//! Blocks of one resolution and one set of external labels belong together. In each aligned range
//! of the shortest length, blocks that are not sharded are compacted first: in as many jobs as
//! there are split groups, each of which writes one block for each shard. When all are sharded,
//! blocks of the same shard are merged, range by range, the shorter ones first. Two jobs that
//! overlap are planned at the same time only if they are of the same stage and of different
//! shards or groups.

use std::collections::BTreeMap;

use model::Labels;

use super::{max_time, min_time, range_start};
use crate::compact::{SHARD_LABEL, shard_label};
use crate::meta::BlockMeta;

/// Options of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitMergeOptions {
    /// Lengths of the ranges, ascending, ms; Mimir's are 2 h, 12 h, 24 h.
    pub ranges_ms: Vec<i64>,
    /// Into how many shards series are split; 0 = they are not.
    pub shards: u32,
    /// Into how many jobs the split of one range is divided; 0 is taken as 1.
    pub split_groups: u32,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Compacts blocks that are not sharded into one block for each shard.
    Split,
    /// Compacts blocks of one shard into one.
    Merge,
}

impl Stage {
    /// Its name in keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Merge => "merge",
        }
    }
}

/// A compaction that can be run now.
#[derive(Debug, Clone, PartialEq)]
pub struct Job<'a> {
    /// Whose blocks they are.
    pub tenant: String,
    /// What is done.
    pub stage: Stage,
    /// The shard of all blocks when merging, "" without shards; the number of the group when
    /// splitting. As [`shard_label`] formats it.
    pub shard: String,
    /// Start of the aligned range, ms, inclusive.
    pub range_start_ms: i64,
    /// End of the aligned range, ms, exclusive.
    pub range_end_ms: i64,
    /// What to compact, in order of times.
    pub blocks: Vec<&'a BlockMeta>,
    /// How many blocks are written at most: one for each shard.
    pub output_shards: u32,
}

impl Job<'_> {
    /// The key that decides which compactor runs the job.
    pub fn sharding_key(&self) -> String {
        let Self { tenant, stage, range_start_ms, range_end_ms, shard, .. } = self;
        format!("{tenant}-{}-{range_start_ms}-{range_end_ms}-{shard}", stage.name())
    }

    /// The key that no other job of the tenant has.
    pub fn key(&self) -> String {
        let Self { stage, range_start_ms, range_end_ms, shard, .. } = self;
        let group = self.blocks.first().map(|meta| GroupKey::of(meta).text()).unwrap_or_default();
        format!("{group}-{}-{shard}-{range_start_ms}-{range_end_ms}", stage.name())
    }

    /// Start of the oldest block, ms.
    pub fn min_time_ms(&self) -> i64 {
        min_time(&self.blocks)
    }

    /// End of the newest block, ms.
    pub fn max_time_ms(&self) -> i64 {
        max_time(&self.blocks)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.range_start_ms < other.range_end_ms && other.range_start_ms < self.range_end_ms
    }

    /// Whether both cannot be planned at the same time; they are of one family of blocks.
    fn conflicts(&self, other: &Self) -> bool {
        self.overlaps(other) && (self.stage != other.stage || self.shard == other.shard)
    }

    /// Whether the job would compact the newest blocks too early.
    fn is_premature(&self, newest_ms: i64, now_ms: i64) -> bool {
        let length = self.range_end_ms.saturating_sub(self.range_start_ms);
        let is_past =
            self.range_end_ms <= newest_ms || self.range_end_ms.saturating_add(length) <= now_ms;
        let is_first_level = self.blocks.iter().all(|meta| meta.compaction.level <= 1);
        let is_full = self.max_time_ms().saturating_sub(self.min_time_ms()) == length;
        !(is_past || is_first_level || is_full)
    }
}

/// What the blocks of a job have in common: resolution, and external labels but for the shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    resolution: i64,
    labels: BTreeMap<String, String>,
}

impl GroupKey {
    fn of(meta: &BlockMeta) -> Self {
        let Some(thanos) = &meta.thanos else {
            return Self { resolution: 0, labels: BTreeMap::new() };
        };
        let mut labels = thanos.labels.clone();
        labels.remove(SHARD_LABEL);
        Self { resolution: thanos.downsample.resolution, labels }
    }

    fn text(&self) -> String {
        let labels = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        format!("{}@{}", self.resolution, Labels::from_pairs(labels).stable_hash())
    }
}

/// The shard of a block, "" where it has none.
fn shard_of(meta: &BlockMeta) -> &str {
    let labels = meta.thanos.as_ref().map(|thanos| &thanos.labels);
    labels.and_then(|labels| labels.get(SHARD_LABEL)).map_or("", String::as_str)
}

/// All jobs that can be run now, at the same time and in any order; sorted by their keys.
/// `blocks` are those of the tenant that are neither marked for deletion nor against compaction
/// nor part of others ([`super::obsolete`]).
pub fn plan<'a>(
    tenant: &str,
    blocks: &'a [BlockMeta],
    options: &SplitMergeOptions,
    now_ms: i64,
) -> Vec<Job<'a>> {
    let mut families: BTreeMap<GroupKey, Vec<&BlockMeta>> = BTreeMap::new();
    for meta in blocks {
        families.entry(GroupKey::of(meta)).or_default().push(meta);
    }
    let mut jobs: Vec<Job<'a>> = Vec::new();
    for family in families.values_mut() {
        family.sort_by_key(|meta| (meta.min_time_ms, shard_of(meta), meta.ulid));
        jobs.append(&mut plan_family(tenant, family, options));
    }
    let newest_ms = blocks.iter().map(|meta| meta.max_time_ms).max().unwrap_or(i64::MIN);
    jobs.retain(|job| !job.is_premature(newest_ms, now_ms));
    jobs.sort_by_cached_key(|job| (job.sharding_key(), job.key()));
    jobs
}

fn plan_family<'a>(
    tenant: &str,
    sorted: &[&'a BlockMeta],
    options: &SplitMergeOptions,
) -> Vec<Job<'a>> {
    let mut jobs: Vec<Job<'a>> = Vec::new();
    for (level, &range_ms) in options.ranges_ms.iter().enumerate() {
        for (start, group) in groups(sorted, range_ms) {
            let range = (start, start.saturating_add(range_ms));
            let mut planned = Vec::new();
            if options.shards > 0 && level == 0 {
                planned = split_jobs(tenant, range, &group, options);
            }
            if planned.is_empty() {
                planned = merge_jobs(tenant, range, &group);
            }
            // A job of a shorter range must be done before.
            planned.retain(|job| !jobs.iter().any(|other| job.conflicts(other)));
            jobs.append(&mut planned);
        }
    }
    jobs
}

/// Blocks by the aligned range that they lie in, with its start; those that reach over the end
/// of theirs are left out.
fn groups<'a>(sorted: &[&'a BlockMeta], range_ms: i64) -> Vec<(i64, Vec<&'a BlockMeta>)> {
    let mut groups: BTreeMap<i64, Vec<&'a BlockMeta>> = BTreeMap::new();
    for meta in sorted {
        let start = range_start(meta.min_time_ms, range_ms);
        if meta.max_time_ms <= start.saturating_add(range_ms) {
            groups.entry(start).or_default().push(meta);
        }
    }
    groups.into_iter().collect()
}

fn split_jobs<'a>(
    tenant: &str,
    (range_start_ms, range_end_ms): (i64, i64),
    group: &[&'a BlockMeta],
    options: &SplitMergeOptions,
) -> Vec<Job<'a>> {
    let split_groups = options.split_groups.max(1);
    let mut jobs: BTreeMap<u32, Vec<&'a BlockMeta>> = BTreeMap::new();
    for meta in group.iter().filter(|meta| shard_of(meta).is_empty()) {
        let hash = model::fnv::Fnv1::default().write(&meta.ulid.to_bytes()).finish();
        jobs.entry(hash % split_groups).or_default().push(meta);
    }
    let job = |(number, blocks): (u32, Vec<&'a BlockMeta>)| Job {
        tenant: tenant.to_owned(),
        stage: Stage::Split,
        shard: shard_label(number as usize, split_groups as usize),
        range_start_ms,
        range_end_ms,
        blocks,
        output_shards: options.shards,
    };
    jobs.into_iter().map(job).collect()
}

fn merge_jobs<'a>(
    tenant: &str,
    (range_start_ms, range_end_ms): (i64, i64),
    group: &[&'a BlockMeta],
) -> Vec<Job<'a>> {
    let mut shards: BTreeMap<&str, Vec<&'a BlockMeta>> = BTreeMap::new();
    for meta in group {
        shards.entry(shard_of(meta)).or_default().push(meta);
    }
    let job = |(shard, blocks): (&str, Vec<&'a BlockMeta>)| Job {
        tenant: tenant.to_owned(),
        stage: Stage::Merge,
        shard: shard.to_owned(),
        range_start_ms,
        range_end_ms,
        blocks,
        output_shards: 1,
    };
    shards.into_iter().filter(|(_, blocks)| blocks.len() > 1).map(job).collect()
}
