//! What is to be deleted: pure functions of what stands in the bucket and the time.

use bucket::ObjectInfo;
use model::TimestampMs;
use ulid::Ulid;

use crate::catalog::Catalog;

/// A partial block is left alone for at least so long: its upload may still be under way.
pub(crate) const MIN_PARTIAL_DELAY_MS: i64 = 4 * 60 * 60 * 1000;

/// Delays of one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeletionRules {
    /// Blocks that end longer ago are deleted; `None` keeps them for ever.
    pub(crate) retention_ms: Option<i64>,
    /// Partial blocks to which nothing was written for so long are deleted; `None` keeps them.
    pub(crate) partial_delay_ms: Option<i64>,
    /// From the mark to the deletion.
    pub(crate) deletion_delay_ms: i64,
}

impl DeletionRules {
    /// From options in which 0 means never. So does a delay for partial blocks that is too short.
    pub(crate) fn new(retention_ms: i64, partial_delay_ms: i64, deletion_delay_ms: i64) -> Self {
        let partial_delay_ms =
            (partial_delay_ms >= MIN_PARTIAL_DELAY_MS).then_some(partial_delay_ms);
        let retention_ms = (retention_ms > 0).then_some(retention_ms);
        Self { retention_ms, partial_delay_ms, deletion_delay_ms }
    }
}

/// The blocks, not marked yet, of which all samples are older than the retention.
pub(crate) fn expired(
    catalog: &Catalog,
    retention_ms: Option<i64>,
    now_ms: TimestampMs,
) -> Vec<Ulid> {
    let Some(retention_ms) = retention_ms else { return Vec::new() };
    let keep_from_ms = now_ms.saturating_sub(retention_ms);
    let blocks = catalog.blocks.iter().filter(|(id, block)| {
        block.meta.max_time_ms < keep_from_ms && !catalog.deletion_marks.contains_key(*id)
    });
    blocks.map(|(&id, _)| id).collect()
}

/// The blocks that can go now: marked long enough ago, or marked and without `meta.json`, which no
/// reader uses.
pub(crate) fn deletable(catalog: &Catalog, delay_ms: i64, now_ms: TimestampMs) -> Vec<Ulid> {
    let is_due = |id: &Ulid, marked_s: i64| {
        let marked_ms = marked_s.saturating_mul(1000);
        let is_partial = !catalog.blocks.contains_key(id) && !catalog.malformed.contains(id);
        is_partial || now_ms.saturating_sub(marked_ms) > delay_ms
    };
    let marks = catalog.deletion_marks.iter();
    let due = marks.filter(|(id, mark)| is_due(id, mark.deletion_time));
    let mut ids: Vec<Ulid> = due.map(|(&id, _)| id).collect();
    ids.sort_unstable();
    ids
}

/// Whether nothing was written to a partial block for so long.
pub(crate) fn is_abandoned(objects: &[ObjectInfo], delay_ms: i64, now_ms: TimestampMs) -> bool {
    let newest = objects.iter().map(|object| object.last_modified_ms).max();
    newest.is_some_and(|newest| now_ms.saturating_sub(newest) > delay_ms)
}
