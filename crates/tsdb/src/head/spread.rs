//! When an open chunk of floats should end: so that the chunks of a range are about equally full,
//! and, where the options ask for it, not all series at the same moment.
//!
//! Pure but for a look at the labels of the series. Called by `floats.rs` and `xor2.rs` when a
//! chunk is a quarter full. The spread comes from the labels, so that replicas that take the same
//! samples have the same chunks.

use model::{Labels, TimestampMs};
use parking_lot::RwLock;

use super::chunks::ChunkSink;
use super::labels::LabelArena;
use super::rules::{chunk_end, range_end};
use super::symbols::Symbols;

/// How far the ends of chunks are spread.
#[derive(Clone, Copy)]
pub(super) struct ChunkSpread<'a> {
    /// The part of a chunk's duration over which ends are spread, between 0 and 1.
    pub(super) variance: f64,
    pub(super) symbols: &'a RwLock<Symbols>,
}

/// When a chunk from `start` to `newest`, a quarter full, should end. `labels` are those of its
/// series.
#[cold]
pub(super) fn predicted_end(
    (start, newest): (TimestampMs, TimestampMs),
    labels: (&LabelArena, u32),
    sink: &ChunkSink<'_>,
) -> TimestampMs {
    let range_end = range_end(start, sink.block_range_ms);
    let end = chunk_end(start, newest, range_end, 4.0);
    match &sink.spread {
        // The last chunk of a range ends with it.
        Some(spread) if end < range_end => {
            let moved = spread_end((start, end), spread.stable_hash(labels), spread.variance);
            moved.min(range_end)
        }
        Some(_) | None => end,
    }
}

impl ChunkSpread<'_> {
    fn stable_hash(&self, (labels, at): (&LabelArena, u32)) -> u64 {
        let symbols = self.symbols.read();
        let pairs = labels.pairs(at, &symbols);
        let pairs = pairs.map(|(name, value)| (symbols.get(name), symbols.get(value)));
        Labels::from_sorted(pairs).stable_hash()
    }
}

/// Moves the end of a chunk by up to half of `variance` times its duration, back or forth.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "Mimir computes in 64-bit floats and cuts off"
)]
fn spread_end((start, end): (TimestampMs, TimestampMs), hash: u64, variance: f64) -> TimestampMs {
    let width = (end.wrapping_sub(start) as f64 * variance) as i64;
    if width <= 0 {
        return end;
    }
    let part = (hash % width.cast_unsigned()).cast_signed();
    end.saturating_add(part - width / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by hand: 10 % of 30 minutes are 3 minutes, 1.5 to each side.
    #[test]
    fn ends_are_spread_over_a_part_of_the_duration() {
        const MINUTE: i64 = 60_000;
        let chunk = (0, 30 * MINUTE);
        assert_eq!(spread_end(chunk, 0, 0.1), 30 * MINUTE - 90_000);
        assert_eq!(spread_end(chunk, 179_999, 0.1), 30 * MINUTE + 89_999);
        assert_eq!(spread_end(chunk, 180_000, 0.1), 30 * MINUTE - 90_000);
        assert_eq!(spread_end(chunk, 17, 0.0), 30 * MINUTE);
        assert_eq!(spread_end((0, 5), u64::MAX, 0.1), 5, "nothing to spread over");
    }
}
