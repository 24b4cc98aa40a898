//! Plans as tables, and what holds for every plan: no two jobs share a block, and planning comes
//! to an end when the jobs are carried out.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use ulid::Ulid;

use super::order::{JobOrder, WaitRule, sort, waits_for};
use super::split_merge::{Job, SplitMergeOptions, Stage};
use super::{leveled, obsolete::obsolete, split_merge};
use crate::compact::{MetaRules, SHARD_LABEL};
use crate::meta::{BlockMeta, HINT_OUT_OF_ORDER, HINT_STALE_SERIES, ThanosMeta};

fn id(number: u64) -> Ulid {
    Ulid::from_parts(number, 0)
}

fn meta(number: u64, min: i64, max: i64) -> BlockMeta {
    BlockMeta::new(id(number), min, max)
}

/// Blocks numbered from 1 with these ranges.
fn metas(ranges: &[(i64, i64)]) -> Vec<BlockMeta> {
    ranges.iter().zip(1..).map(|(&(min, max), number)| meta(number, min, max)).collect()
}

fn numbers(ids: &[Ulid]) -> Vec<u64> {
    ids.iter().map(|id| id.timestamp_ms()).collect()
}

fn leveled_plan(ranges: &[(i64, i64)]) -> Vec<u64> {
    numbers(&leveled::plan(&metas(ranges), &[20, 60, 180, 540, 1620]))
}

#[test]
fn levels_are_filled_from_the_shortest_on() {
    let check = |blocks: &[(i64, i64)], want: &[u64]| assert_eq!(leveled_plan(blocks), want);
    check(&[], &[]);
    check(&[(0, 20)], &[]);
    // The newest block is left alone, and one before it is no group.
    check(&[(0, 20), (20, 40)], &[]);
    check(&[(0, 20), (20, 40), (40, 60)], &[]);
    // A full range; the newest is behind it.
    check(&[(0, 20), (20, 40), (40, 60), (60, 80)], &[1, 2, 3]);
    // Not full, but in the past.
    check(&[(0, 20), (20, 40), (60, 80), (80, 100)], &[1, 2]);
    check(&[(0, 20), (40, 60), (60, 80), (80, 100)], &[1, 2]);
    // The middle is missing and the range is full from end to end.
    check(&[(0, 20), (40, 60), (60, 80)], &[1, 2]);
    // Shorter ranges come first, also when they are newer.
    check(
        &[(0, 60), (60, 120), (120, 180), (180, 200), (200, 220), (220, 240), (240, 260)],
        &[4, 5, 6],
    );
    check(&[(0, 60), (60, 120), (120, 180), (180, 200)], &[1, 2, 3]);
    // Blocks that do not lie in an aligned range are left out.
    check(&[(10, 30), (50, 70), (100, 130), (120, 140)], &[3, 4]);
    check(&[(-60, -40), (-40, -20), (-20, 0), (0, 20)], &[1, 2, 3]);
}

#[test]
fn overlapping_blocks_come_first_and_may_include_the_newest() {
    let check = |blocks: &[(i64, i64)], want: &[u64]| assert_eq!(leveled_plan(blocks), want);
    check(&[(0, 20), (19, 40)], &[1, 2]);
    check(&[(0, 20), (20, 40), (10, 30), (60, 80)], &[1, 3, 2]);
    check(&[(0, 100), (20, 40), (60, 80), (90, 120), (120, 140)], &[1, 2, 3, 4]);
    check(&[(0, 20), (0, 20), (20, 40), (60, 80), (60, 80)], &[1, 2]);
}

#[test]
fn a_failed_block_holds_back_its_range() {
    let mut blocks =
        metas(&[(0, 20), (20, 40), (40, 60), (60, 80), (80, 100), (120, 140), (140, 160)]);
    blocks[1].compaction.failed = true;
    assert_eq!(numbers(&leveled::plan(&blocks, &[20, 60])), [4, 5]);
}

#[test]
fn long_blocks_with_many_tombstones_are_written_anew() {
    let with = |range: (i64, i64), tombstones, series| {
        let mut block = meta(1, range.0, range.1);
        block.stats.num_tombstones = tombstones;
        block.stats.num_series = series;
        let newest = meta(2, 540, 560);
        numbers(&leveled::plan(&[block, newest], &[20, 60, 180]))
    };
    assert_eq!(with((0, 60), 3, 50), [1]);
    assert!(with((0, 60), 2, 50).is_empty());
    // A short one only when nothing of it is left.
    assert!(with((0, 20), 30, 50).is_empty());
    assert_eq!(with((0, 20), 50, 50), [1]);
}

#[test]
fn blocks_of_stale_series_are_planned_among_themselves() {
    let mut blocks = metas(&[(0, 20), (10, 30), (15, 35), (60, 80)]);
    blocks[1].compaction.hints = vec![HINT_STALE_SERIES.to_owned()];
    assert_eq!(numbers(&leveled::plan(&blocks, &[20, 60])), [1, 3]);
    let stale: Vec<BlockMeta> = [&blocks[0], &blocks[1]].into_iter().cloned().collect();
    assert!(leveled::plan(&stale, &[20, 60]).is_empty());
}

#[test]
fn ranges_grow_threefold() {
    assert_eq!(leveled::ranges(2, 60), [2, 6, 18, 54]);
    assert_eq!(leveled::ranges(2, 1), [2]);
    assert_eq!(leveled::ranges(i64::MAX / 2, i64::MAX), [i64::MAX / 2]);
}

fn sharded(mut meta: BlockMeta, shard: &str) -> BlockMeta {
    let thanos = meta.thanos.get_or_insert_with(ThanosMeta::default);
    if !shard.is_empty() {
        thanos.labels.insert(SHARD_LABEL.to_owned(), shard.to_owned());
    }
    meta
}

fn options(shards: u32, split_groups: u32) -> SplitMergeOptions {
    SplitMergeOptions { ranges_ms: vec![20, 120, 240], shards, split_groups }
}

/// Blocks as (number, start, end, level, shard); jobs as texts.
fn check_split_merge(
    blocks: &[(u64, i64, i64, u32, &str)],
    (options, now_ms): (SplitMergeOptions, i64),
    want: &[&str],
) {
    let block = |&(number, min, max, level, shard): &(u64, i64, i64, u32, &str)| {
        let mut meta = sharded(meta(number, min, max), shard);
        meta.compaction.level = level;
        meta
    };
    let metas: Vec<BlockMeta> = blocks.iter().map(block).collect();
    let jobs = split_merge::plan("t", &metas, &options, now_ms);
    let text = |job: &Job<'_>| {
        let ids: Vec<Ulid> = job.blocks.iter().map(|meta| meta.ulid).collect();
        format!("{} {:?}", job.sharding_key(), numbers(&ids))
    };
    assert_eq!(jobs.iter().map(text).collect::<Vec<_>>(), want);
}

const FAR: i64 = 1_000_000;

#[test]
fn without_shards_blocks_of_a_range_are_merged() {
    let options = || (options(0, 1), FAR);
    check_split_merge(&[(1, 0, 20, 1, "")], options(), &[]);
    check_split_merge(
        &[(1, 0, 20, 1, ""), (2, 0, 20, 1, ""), (3, 20, 40, 1, "")],
        options(),
        &["t-merge-0-20- [1, 2]"],
    );
    // The longer range waits for the shorter one, others do not.
    check_split_merge(
        &[
            (1, 0, 20, 1, ""),
            (2, 0, 20, 1, ""),
            (3, 20, 40, 2, ""),
            (4, 120, 140, 2, ""),
            (5, 140, 160, 2, ""),
        ],
        options(),
        &["t-merge-0-20- [1, 2]", "t-merge-120-240- [4, 5]"],
    );
    check_split_merge(
        &[(3, 0, 20, 2, ""), (4, 20, 40, 2, "")],
        options(),
        &["t-merge-0-120- [3, 4]"],
    );
}

#[test]
fn blocks_without_shard_are_split_even_when_alone() {
    check_split_merge(&[(1, 0, 20, 1, "")], (options(4, 1), FAR), &["t-split-0-20-1_of_1 [1]"]);
    check_split_merge(
        &[(1, 0, 20, 1, ""), (2, 20, 40, 1, ""), (3, 20, 40, 2, "1_of_4")],
        (options(4, 1), FAR),
        &["t-split-0-20-1_of_1 [1]", "t-split-20-40-1_of_1 [2]"],
    );
}

#[test]
fn shards_are_merged_each_for_itself_once_all_is_split() {
    let blocks = [
        (1, 0, 20, 2, "1_of_2"),
        (2, 0, 20, 2, "1_of_2"),
        (3, 0, 20, 2, "2_of_2"),
        (4, 20, 40, 2, "1_of_2"),
        (5, 20, 40, 2, "2_of_2"),
    ];
    // The second shard need not wait for the first one.
    check_split_merge(
        &blocks,
        (options(2, 1), FAR),
        &["t-merge-0-120-2_of_2 [3, 5]", "t-merge-0-20-1_of_2 [1, 2]"],
    );
    // A split in the range holds back all merges that overlap it.
    let mut with_late = blocks.to_vec();
    with_late.push((6, 20, 40, 1, ""));
    check_split_merge(
        &with_late,
        (options(2, 1), FAR),
        &["t-merge-0-20-1_of_2 [1, 2]", "t-split-20-40-1_of_1 [6]"],
    );
}

#[test]
fn the_newest_blocks_are_not_merged_too_early() {
    let full = [(1, 0, 60, 2, ""), (2, 60, 120, 2, "")];
    check_split_merge(&full, (options(0, 1), 130), &["t-merge-0-120- [1, 2]"]);
    let half = [(1, 0, 20, 2, ""), (2, 20, 40, 2, "")];
    check_split_merge(&half, (options(0, 1), 130), &[]);
    // Of the first level; in the past by the length of the range; before a newer block.
    let first_level = [(1, 0, 20, 1, ""), (2, 20, 40, 1, "")];
    check_split_merge(&first_level, (options(0, 1), 130), &["t-merge-0-120- [1, 2]"]);
    check_split_merge(&half, (options(0, 1), 240), &["t-merge-0-120- [1, 2]"]);
    let mut with_newer = half.to_vec();
    with_newer.push((3, 120, 140, 1, ""));
    check_split_merge(&with_newer, (options(0, 1), 130), &["t-merge-0-120- [1, 2]"]);
}

#[test]
fn blocks_of_other_labels_or_resolution_do_not_mix() {
    let mut blocks = metas(&[(0, 20), (0, 20), (0, 20), (0, 20)]);
    for (block, (name, resolution)) in
        blocks.iter_mut().zip([("a", 0), ("b", 0), ("a", 0), ("a", 300)])
    {
        let mut thanos = ThanosMeta::default();
        thanos.labels.insert("cluster".to_owned(), name.to_owned());
        thanos.downsample.resolution = resolution;
        block.thanos = Some(thanos);
    }
    let jobs = split_merge::plan("t", &blocks, &options(0, 1), FAR);
    let ids: Vec<Vec<u64>> = jobs
        .iter()
        .map(|job| job.blocks.iter().map(|meta| meta.ulid.timestamp_ms()).collect())
        .collect();
    assert_eq!(ids, [[1, 3]]);
}

#[test]
fn split_groups_divide_blocks_by_the_hash_of_their_ids() {
    let blocks: Vec<BlockMeta> = (1..40).map(|number| meta(number, 0, 20)).collect();
    let jobs = split_merge::plan("t", &blocks, &options(2, 3), FAR);
    assert_eq!(jobs.len(), 3);
    for (job, group) in jobs.iter().zip(0..) {
        assert_eq!((job.shard.clone(), job.output_shards), (format!("{}_of_3", group + 1), 2));
        let hash = |meta: &BlockMeta| model::fnv::Fnv1::default().write(&meta.ulid.to_bytes());
        assert!(job.blocks.iter().all(|meta| hash(meta).finish() % 3 == group));
    }
}

#[test]
fn jobs_are_sorted_by_range_or_by_age() {
    let blocks = metas(&[(0, 20), (0, 20), (20, 40), (40, 60), (240, 260), (240, 260)]);
    let job = |stage, blocks: &[&'static BlockMeta]| Job {
        tenant: "t".to_owned(),
        stage,
        shard: String::new(),
        range_start_ms: 0,
        range_end_ms: 1,
        blocks: blocks.to_vec(),
        output_shards: 1,
    };
    let b: &'static [BlockMeta] = Box::leak(blocks.into_boxed_slice());
    let mut jobs = vec![
        job(Stage::Merge, &[&b[0], &b[3]]),
        job(Stage::Merge, &[&b[4], &b[5]]),
        job(Stage::Merge, &[&b[0], &b[1]]),
        job(Stage::Split, &[&b[2], &b[3]]),
        job(Stage::Split, &[&b[0], &b[3]]),
    ];
    let spans = |jobs: &[Job<'_>]| -> Vec<(i64, i64)> {
        jobs.iter().map(|job| (job.min_time_ms(), job.max_time_ms())).collect()
    };
    sort(&mut jobs, JobOrder::SmallestRangeOldestBlocksFirst);
    assert_eq!(spans(&jobs), [(0, 60), (20, 60), (0, 20), (240, 260), (0, 60)]);
    sort(&mut jobs, JobOrder::NewestBlocksFirst);
    assert_eq!(spans(&jobs), [(240, 260), (20, 60), (0, 60), (0, 60), (0, 20)]);
}

#[test]
fn first_level_jobs_wait_for_replicas_but_not_for_late_data() {
    let mut blocks = metas(&[(0, 20), (0, 20)]);
    let waits = |blocks: &[BlockMeta], rule: WaitRule, now_ms: i64| {
        let jobs = split_merge::plan("t", blocks, &options(0, 1), FAR);
        let uploaded = |ulid: Ulid| Some(ulid.timestamp_ms() as i64 * 100);
        waits_for(&jobs[0], rule, now_ms, &uploaded).map(|meta| meta.ulid.timestamp_ms())
    };
    let rule = |wait_ms| WaitRule { wait_ms, skip_future_max_time: false };
    assert_eq!(waits(&blocks, rule(0), 0), None);
    assert_eq!(waits(&blocks, rule(50), 249), Some(2));
    assert_eq!(waits(&blocks, rule(50), 250), None);
    let future = WaitRule { wait_ms: 5_000, skip_future_max_time: true };
    assert_eq!(waits(&blocks, future, 5_019), Some(1));
    blocks[1].compaction.hints = vec![HINT_OUT_OF_ORDER.to_owned()];
    assert_eq!(waits(&blocks, rule(50), 249), None);
    blocks.iter_mut().for_each(|meta| meta.compaction.level = 2);
    blocks[1].compaction.hints.clear();
    assert_eq!(waits(&blocks, rule(50), 249), None);
}

#[test]
fn blocks_whose_sources_are_in_others_are_obsolete() {
    let check = |blocks: &[(u64, &[u64], &str)], want: &[u64]| {
        let block = |&(number, sources, shard): &(u64, &[u64], &str)| {
            let mut meta = sharded(meta(number, 0, 20), shard);
            meta.compaction.sources = sources.iter().map(|&source| id(source)).collect();
            meta
        };
        let metas: Vec<BlockMeta> = blocks.iter().map(block).collect();
        let ids: Vec<Ulid> = obsolete(&metas).into_iter().collect();
        assert_eq!(numbers(&ids), want);
    };
    check(&[(1, &[1], ""), (2, &[2], "")], &[]);
    check(&[(1, &[1], ""), (2, &[2], ""), (3, &[1, 2], "")], &[1, 2]);
    // Of blocks with the same sources the newest stays.
    check(&[(3, &[1, 2], ""), (4, &[1, 2], "")], &[3]);
    // All shards must be there.
    check(&[(1, &[1], ""), (3, &[1], "1_of_2")], &[]);
    check(&[(1, &[1], ""), (3, &[1], "1_of_2"), (4, &[1], "2_of_2")], &[1]);
    check(&[(1, &[1], ""), (3, &[1], "1_of_2"), (4, &[1], "2_of_3")], &[]);
    // A shard is replaced by its own shard alone.
    check(&[(3, &[1], "1_of_2"), (4, &[1, 2], "2_of_2")], &[]);
    check(&[(3, &[1], "1_of_2"), (4, &[1, 2], "1_of_2")], &[3]);
    check(&[(3, &[1], "1_of_2"), (4, &[1, 2], "")], &[]);
}

/// Blocks of random ranges: aligned ones of one to six units, some of them shifted.
fn any_metas() -> impl Strategy<Value = Vec<BlockMeta>> {
    let range = (-20i64..40, 1i64..7, 0i64..8);
    vec(range, 0..25).prop_map(|ranges| {
        let range = |(start, units, shift): (i64, i64, i64)| {
            let shift = if shift == 7 { 5 } else { 0 };
            (start * 20 + shift, (start + units) * 20 + shift)
        };
        metas(&ranges.into_iter().map(range).collect::<Vec<_>>())
    })
}

/// Carries a compaction out.
fn merge(sources: &[&BlockMeta], split_into: Option<u32>, next: &mut u64) -> Vec<BlockMeta> {
    let shards = split_into.map_or(1, u64::from);
    let ulids: Vec<Ulid> = (0..shards).map(|shard| id(*next + shard)).collect();
    *next += shards;
    let rules = MetaRules::Mimir { source: String::new(), is_split: split_into.is_some() };
    (0..ulids.len()).map(|shard| rules.merge(sources, (shard, &ulids)).unwrap()).collect()
}

proptest! {
    #[test]
    fn leveled_planning_comes_to_an_end(mut blocks in any_metas()) {
        let ranges = leveled::ranges(20, 540);
        let (mut next, mut steps) = (1_000, 0);
        loop {
            let chosen = leveled::plan(&blocks, &ranges);
            if chosen.is_empty() {
                break;
            }
            prop_assert!(chosen.len() > 1);
            let (sources, others): (Vec<_>, Vec<_>) =
                blocks.iter().cloned().partition(|meta| chosen.contains(&meta.ulid));
            prop_assert_eq!(sources.len(), chosen.len());
            blocks = others;
            blocks.append(&mut merge(&sources.iter().collect::<Vec<_>>(), None, &mut next));
            steps += 1;
            prop_assert!(steps < 100);
        }
        // What is left does not overlap.
        blocks.sort_by_key(|meta| meta.min_time_ms);
        prop_assert!(blocks.windows(2).all(|w| w[0].max_time_ms <= w[1].min_time_ms));
    }

    #[test]
    fn split_and_merge_planning_comes_to_an_end(
        mut blocks in any_metas(),
        shards in 0u32..4,
        split_groups in 0u32..4,
        now_ms in prop_oneof![Just(FAR), 0i64..1_000],
    ) {
        let options = options(shards, split_groups);
        let (mut next, mut steps) = (1_000, 0);
        loop {
            let jobs = split_merge::plan("t", &blocks, &options, now_ms);
            if jobs.is_empty() {
                break;
            }
            check_jobs(&jobs)?;
            let mut made = Vec::new();
            let mut gone = BTreeSet::new();
            for job in &jobs {
                prop_assert!(job.stage == Stage::Split || job.blocks.len() > 1);
                gone.extend(job.blocks.iter().map(|meta| meta.ulid));
                let split_into = (job.stage == Stage::Split).then_some(job.output_shards);
                let mut metas = merge(&job.blocks, split_into, &mut next);
                made.append(&mut metas);
            }
            blocks.retain(|meta| !gone.contains(&meta.ulid));
            blocks.append(&mut made);
            // The sources are replaced as a whole.
            prop_assert!(obsolete(&blocks).is_disjoint(&gone));
            steps += 1;
            prop_assert!(steps < 100);
        }
    }
}

/// No block twice, and jobs that overlap are of one stage and of different shards.
fn check_jobs(jobs: &[Job<'_>]) -> Result<(), TestCaseError> {
    let mut seen: BTreeMap<Ulid, String> = BTreeMap::new();
    for (i, job) in jobs.iter().enumerate() {
        for meta in &job.blocks {
            prop_assert!(seen.insert(meta.ulid, job.key()).is_none());
            prop_assert!(job.range_start_ms <= meta.min_time_ms);
            prop_assert!(meta.max_time_ms <= job.range_end_ms);
        }
        for other in &jobs[..i] {
            prop_assert_ne!(job.key(), other.key());
            let overlap =
                job.range_start_ms < other.range_end_ms && other.range_start_ms < job.range_end_ms;
            prop_assert!(!overlap || (job.stage == other.stage && job.shard != other.shard));
        }
    }
    Ok(())
}
