//! Finding the series of a request in a locked shard.
//!
//! In rounds over all series of the shard's part of the request instead of series by series: in
//! each round the loads do not depend on one another, so that the processor has many cache
//! misses on their way at the same time.

use model::WriteBatch;

use super::series::NONE;
use super::shards::{Shard, table_hash};
use super::symbols::Symbols;

/// A series of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    /// The hash of its labels.
    pub(super) hash: u64,
    /// Its index in the batch.
    pub(super) index: u32,
}

/// Fills `slots` with the slots of the wanted series, [`NONE`] for those that do not exist.
/// Returns whether there are such. `ahead` is scratch.
pub(super) fn locate(
    shard: &Shard,
    symbols: &Symbols,
    (batch, wanted): (&WriteBatch<'_>, &[Wanted]),
    (slots, ahead): (&mut Vec<u32>, &mut Vec<u32>),
) -> bool {
    find_candidates(shard, wanted, slots);
    read_ahead(shard, slots, ahead);
    let mut missing = false;
    for (slot, wanted) in slots.iter_mut().zip(wanted) {
        let labels = batch.labels_of(&batch.series[wanted.index as usize]);
        if *slot != NONE && !shard.has_labels(*slot, labels, symbols) {
            // Two label sets with one table hash: walk the table.
            *slot = shard.find(wanted.hash, labels, symbols).unwrap_or(NONE);
        }
        missing |= *slot == NONE;
    }
    missing
}

/// The first series with the right hash.
fn find_candidates(shard: &Shard, wanted: &[Wanted], slots: &mut Vec<u32>) {
    slots.clear();
    // A round of loads without branches first: how far a probe goes cannot be predicted, and a
    // wrong guess would wait for each load in turn.
    slots.extend(wanted.iter().map(|wanted| shard.index.touch(table_hash(wanted.hash))));
    for (slot, wanted) in slots.iter_mut().zip(wanted) {
        let hash = table_hash(wanted.hash);
        let mut probe = shard.index.start(hash);
        *slot = shard.index.next(hash, &mut probe).unwrap_or(NONE);
    }
}

/// Touches what comparing and appending will need: hot parts, then labels and pages of chunks,
/// then ends of chunks.
fn read_ahead(shard: &Shard, slots: &[u32], ahead: &mut Vec<u32>) {
    ahead.clear();
    let labels = |&slot: &u32| shard.series.get(slot as usize).map_or(0, |series| series.labels);
    ahead.extend(slots.iter().map(labels));
    for (touched, &slot) in ahead.iter_mut().zip(slots) {
        if let Some(series) = shard.series.get(slot as usize) {
            *touched = shard.labels.shape(*touched) ^ shard.slab.touch_page(series.chunk_slot());
        }
    }
    for (touched, &slot) in ahead.iter_mut().zip(slots) {
        if let Some(series) = shard.series.get(slot as usize) {
            *touched ^= u32::from(shard.chunk_end_byte(series));
        }
    }
}
