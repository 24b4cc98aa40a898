//! Whether a block can be compacted: what Mimir's compactor looks for in an index before it takes
//! the block. Reads the series of the index once and no chunk.

use super::Block;
use crate::error::TsdbError;
use crate::index::{ChunkMeta, SeriesRow};
use crate::postings::IndexPostings as _;

/// What is wrong with the chunks of a block, as its index lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockHealth {
    /// All series.
    pub series: u64,
    /// Series with chunks that begin before the one before has ended.
    pub out_of_order_series: u64,
    /// Such chunks. Two chunks over exactly the same time do not count.
    pub out_of_order_chunks: u64,
    /// Chunks that do not lie within the block's range of time.
    pub outside_chunks: u64,
}

impl Block {
    /// Looks at the chunks of all series.
    pub fn health(&self) -> Result<BlockHealth, TsdbError> {
        let mut health = BlockHealth::default();
        let mut row = SeriesRow::default();
        let range = (self.meta().min_time_ms, self.meta().max_time_ms);
        for series in self.index().all_postings()?.into_vec() {
            health.series += 1;
            self.index().series(series, &mut row)?;
            health.add(&row.chunks, range);
        }
        Ok(health)
    }
}

impl BlockHealth {
    fn add(&mut self, chunks: &[ChunkMeta], (min_ms, max_ms): (i64, i64)) {
        let is_outside = |chunk: &&ChunkMeta| {
            // The end itself does no harm: old versions of Prometheus have put a sample there.
            chunk.min_time_ms < min_ms || chunk.max_time_ms > max_ms
        };
        self.outside_chunks += chunks.iter().filter(is_outside).count() as u64;
        let is_late = |pair: &&[ChunkMeta]| {
            let times = |chunk: &ChunkMeta| (chunk.min_time_ms, chunk.max_time_ms);
            pair[1].min_time_ms <= pair[0].max_time_ms && times(&pair[0]) != times(&pair[1])
        };
        let late = chunks.windows(2).filter(is_late).count() as u64;
        self.out_of_order_chunks += late;
        self.out_of_order_series += u64::from(late > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[(i64, i64)], want: (u64, u64, u64)) {
        let chunk = |&(min_time_ms, max_time_ms): &(i64, i64)| ChunkMeta {
            min_time_ms,
            max_time_ms,
            reference: 8,
        };
        let mut health = BlockHealth::default();
        health.add(&chunks.iter().map(chunk).collect::<Vec<_>>(), (100, 200));
        let got = (health.out_of_order_series, health.out_of_order_chunks, health.outside_chunks);
        assert_eq!(got, want, "{chunks:?}");
    }

    #[test]
    fn chunks_in_order_and_within_the_range_are_healthy() {
        check(&[], (0, 0, 0));
        check(&[(100, 120), (121, 199)], (0, 0, 0));
        check(&[(100, 120), (121, 200)], (0, 0, 0));
        check(&[(100, 120), (100, 120)], (0, 0, 0));
        check(&[(100, 120), (120, 130), (125, 140)], (1, 2, 0));
        check(&[(99, 120), (150, 201), (300, 400)], (0, 0, 3));
    }
}
