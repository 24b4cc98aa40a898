//! Prometheus' leveled compaction: blocks that overlap first, then blocks that fill a range of
//! the next level, then blocks with many tombstones.

use ulid::Ulid;

use super::{max_time, range_start};
use crate::meta::{BlockMeta, HINT_SELECTED_SERIES, HINT_STALE_SERIES};

/// How many times longer the range of each level is.
const STEP: i64 = 3;
/// Most levels that [`ranges`] returns.
const MAX_LEVELS: usize = 10;
/// With more tombstones per series than this a block is written anew.
const MAX_TOMBSTONE_RATIO: f64 = 0.05;

/// The ranges of the levels, ascending, ms: `min_ms` and three times that and so on, none longer
/// than `max_ms`. At least `min_ms`.
pub fn ranges(min_ms: i64, max_ms: i64) -> Vec<i64> {
    let longer = std::iter::successors(Some(min_ms), |range| range.checked_mul(STEP));
    let levels = longer.take(MAX_LEVELS).enumerate();
    levels.take_while(|(i, range)| *i == 0 || *range <= max_ms).map(|(_, range)| range).collect()
}

/// Which blocks to compact next into one, in order of their times; none where nothing is due.
/// `ranges` are those of the levels, ascending.
///
/// Blocks of stale or selected series are planned among themselves, and only when there is
/// nothing to do for all others.
pub fn plan(blocks: &[BlockMeta], ranges: &[i64]) -> Vec<Ulid> {
    let has = |meta: &BlockMeta, hint: &str| meta.compaction.hints.iter().any(|h| h == hint);
    let family = |meta: &BlockMeta| {
        u8::from(has(meta, HINT_STALE_SERIES)) + 2 * u8::from(has(meta, HINT_SELECTED_SERIES))
    };
    let mut sorted: Vec<&BlockMeta> = blocks.iter().collect();
    sorted.sort_by_key(|meta| (meta.min_time_ms, meta.ulid));
    let families = (0..4).map(|number| {
        let members: Vec<_> = sorted.iter().copied().filter(|m| family(m) == number).collect();
        plan_family(&members, ranges)
    });
    let chosen = families.into_iter().find(|chosen| !chosen.is_empty()).unwrap_or_default();
    chosen.iter().map(|meta| meta.ulid).collect()
}

fn plan_family<'a>(sorted: &[&'a BlockMeta], ranges: &[i64]) -> Vec<&'a BlockMeta> {
    let overlapping = first_overlap(sorted);
    if !overlapping.is_empty() {
        return overlapping.to_vec();
    }
    // The newest block is left alone, so that there is time to copy it.
    let Some((_, older)) = sorted.split_last() else { return Vec::new() };
    let group = fill_range(older, ranges);
    if !group.is_empty() {
        return group;
    }
    with_many_tombstones(older, ranges).into_iter().collect()
}

/// The first run of blocks that overlap each other.
fn first_overlap<'b, 'a>(sorted: &'b [&'a BlockMeta]) -> &'b [&'a BlockMeta] {
    let mut start = 0;
    let mut end_ms = i64::MIN;
    for (i, meta) in sorted.iter().enumerate() {
        if i > 0 && meta.min_time_ms >= end_ms {
            if i - start > 1 {
                return &sorted[start..i];
            }
            start = i;
        }
        end_ms = end_ms.max(meta.max_time_ms);
    }
    if sorted.len() - start > 1 { &sorted[start..] } else { &[] }
}

/// The blocks of the first aligned range, shortest ranges first, that is full or in the past.
fn fill_range<'a>(sorted: &[&'a BlockMeta], ranges: &[i64]) -> Vec<&'a BlockMeta> {
    let Some(newest) = sorted.last() else { return Vec::new() };
    for &range_ms in ranges.iter().skip(1) {
        for group in groups(sorted, range_ms) {
            let (min, max) = (group[0].min_time_ms, max_time(&group[group.len() - 1..]));
            let is_due = max.saturating_sub(min) == range_ms || max <= newest.min_time_ms;
            let has_failed = group.iter().any(|meta| meta.compaction.failed);
            if is_due && group.len() > 1 && !has_failed {
                return group.to_vec();
            }
        }
    }
    Vec::new()
}

/// Blocks by the aligned range that they lie in; those that reach over the end of theirs are
/// left out and end a group.
fn groups<'b, 'a>(
    sorted: &'b [&'a BlockMeta],
    range_ms: i64,
) -> impl Iterator<Item = &'b [&'a BlockMeta]> {
    let mut rest = sorted;
    std::iter::from_fn(move || {
        loop {
            let first = rest.first()?;
            let end = range_start(first.min_time_ms, range_ms).saturating_add(range_ms);
            let count = rest.iter().take_while(|meta| meta.max_time_ms <= end).count();
            let (group, others) = rest.split_at(count.max(1));
            rest = others;
            if count > 0 {
                return Some(group);
            }
        }
    })
}

/// The newest block of a long range with many tombstones, or one that is deleted as a whole.
fn with_many_tombstones<'a>(sorted: &[&'a BlockMeta], ranges: &[i64]) -> Option<&'a BlockMeta> {
    let long_ms = *ranges.get(ranges.len() / 2)?;
    for meta in sorted.iter().rev() {
        let (tombstones, series) = (meta.stats.num_tombstones, meta.stats.num_series);
        if meta.max_time_ms.saturating_sub(meta.min_time_ms) < long_ms {
            return (tombstones > 0 && tombstones >= series).then_some(meta);
        }
        if tombstones as f64 / (series + 1) as f64 > MAX_TOMBSTONE_RATIO {
            return Some(meta);
        }
    }
    None
}
