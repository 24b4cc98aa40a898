//! Finding the series of a request in a locked shard.
//!
//! In rounds over all series of the shard's part of the request instead of series by series: in
//! each round the loads do not depend on one another, so that the processor has many cache
//! misses on their way at the same time.

use model::WriteBatch;

use super::series::NONE;
use super::shards::{Shard, table_hash};
use super::symbols::Symbols;

/// Fills `slots` with the slots of the series with the indices `part`, [`NONE`] for those that
/// do not exist. Returns whether there are such.
pub(super) fn locate(
    shard: &Shard,
    symbols: &Symbols,
    batch: &WriteBatch<'_>,
    (part, hash_of): (&[u32], &dyn Fn(u32) -> u64),
    (slots, ahead): &mut (&mut Vec<u32>, &mut Vec<u32>),
) -> bool {
    find_candidates(shard, (part, hash_of), slots);
    read_ahead(shard, slots, ahead);
    let mut missing = false;
    for (slot, &i) in slots.iter_mut().zip(part) {
        let labels = batch.labels_of(&batch.series[i as usize]);
        if *slot != NONE && !shard.has_labels(*slot, labels, symbols) {
            // Two label sets with one table hash: walk the table.
            *slot = shard.find(hash_of(i), labels, symbols).unwrap_or(NONE);
        }
        missing |= *slot == NONE;
    }
    missing
}

/// The first series with the right hash.
fn find_candidates(
    shard: &Shard,
    (part, hash_of): (&[u32], &dyn Fn(u32) -> u64),
    slots: &mut Vec<u32>,
) {
    slots.clear();
    slots.extend(part.iter().map(|&i| {
        let hash = table_hash(hash_of(i));
        let mut probe = shard.index.start(hash);
        shard.index.next(hash, &mut probe).unwrap_or(NONE)
    }));
}

/// Touches what comparing and appending will need: hot parts, then labels and ends of chunks.
fn read_ahead(shard: &Shard, slots: &[u32], ahead: &mut Vec<u32>) {
    ahead.clear();
    ahead.extend(
        slots.iter().map(|&slot| shard.series.get(slot as usize).map_or(0, |series| series.labels)),
    );
    for (start, &slot) in ahead.iter_mut().zip(slots) {
        if let Some(series) = shard.series.get(slot as usize) {
            *start = shard.labels.shape(*start) ^ u32::from(shard.chunk_end_byte(series));
        }
    }
}
