//! The late samples of a series for a query, and looking at them shard by shard.

use model::{SampleReader, TimeRange, TimestampMs};
use smallvec::SmallVec;

use super::super::Head;
use super::super::read::ReadLease;
use super::super::samples::HeadSamples;
use super::super::series::{ChunkPlace, FullChunk};
use super::super::shards::Shard;
use super::LateSeries;
use super::sample::{NO_FLOAT_LIMIT, encode_late};
use crate::chunk::{ChunkEncoding, NewEncodings};
use crate::head_chunks::HeadChunks;
use crate::merge::MergeSamples;
use std::sync::Arc;

/// Copies what a query of `range` needs, in the order in which it was stored; `None` when there is
/// nothing.
pub(in crate::head) fn late_snapshot(
    (shard, slot): (&Shard, u32),
    range: TimeRange,
    view: LateView,
) -> Option<SmallVec<[FullChunk; 2]>> {
    let late = shard.late(slot)?;
    let overlaps = |c: &&FullChunk| range.overlaps(c.min_time_ms, c.max_time_ms);
    let chunks = late.visible_chunks(view).filter(overlaps);
    let mut chunks: SmallVec<[FullChunk; 2]> = chunks.cloned().collect();
    chunks.extend(late.list_as_chunks(range, view.encodings));
    (!chunks.is_empty()).then_some(chunks)
}

impl LateSeries {
    /// The list as chunks in memory, if it has samples in `range`.
    fn list_as_chunks(&self, range: TimeRange, encodings: NewEncodings) -> Vec<FullChunk> {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return Vec::new();
        };
        if !range.overlaps(first.t, last.t) {
            return Vec::new();
        }
        // Everything in the list was checked when it was accepted.
        let chunks = encode_late(&self.samples, NO_FLOAT_LIMIT, encodings).unwrap_or_default();
        let full = chunks.into_iter().filter_map(|chunk| {
            let encoding = ChunkEncoding::from_number(chunk.encoding).ok()?;
            Some(FullChunk {
                min_time_ms: chunk.min_time_ms,
                max_time_ms: chunk.max_time_ms,
                place: ChunkPlace::memory(encoding, chunk.data.to_vec()),
            })
        });
        full.collect()
    }

    /// The chunks that a query looks at.
    fn visible_chunks(&self, view: LateView) -> impl Iterator<Item = &FullChunk> {
        let compacting = if view.without_compacted { &[][..] } else { &self.compacting };
        compacting.iter().chain(&self.full)
    }
}

/// What a query looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::head) struct LateView {
    /// The query sees the blocks that a compaction has written, and not what they were made from.
    without_compacted: bool,
    /// In which encodings it sees what is in no chunk.
    encodings: NewEncodings,
}

/// Whether a series may have late samples in `range`.
pub(in crate::head) fn has_late(
    (shard, slot): (&Shard, u32),
    range: TimeRange,
    view: LateView,
) -> bool {
    let Some(late) = shard.late(slot) else { return false };
    late.list_bounds().is_some_and(|(min, max)| range.overlaps(min, max))
        || late.visible_chunks(view).any(|c| range.overlaps(c.min_time_ms, c.max_time_ms))
}

/// Reads chunks that may overlap, in the order in which they were written: of samples with the
/// same time the one that was stored first counts.
pub(in crate::head) fn late_reader(
    chunks: SmallVec<[FullChunk; 2]>,
    files: Option<Arc<HeadChunks>>,
    lease: ReadLease,
) -> Box<dyn SampleReader> {
    let reader = |chain| {
        let reader: Box<dyn SampleReader> =
            Box::new(HeadSamples::new(chain, files.clone(), lease.clone()));
        reader
    };
    let mut readers: Vec<_> = into_chains(chunks).into_iter().map(reader).collect();
    match readers.len() {
        1 => readers.remove(0),
        _ => Box::new(MergeSamples::new(readers)),
    }
}

type Chain = SmallVec<[FullChunk; 2]>;

/// Divides chunks into chains without overlaps, each ascending in time. Of two that overlap the
/// one that was written first is in an earlier chain.
fn into_chains(chunks: SmallVec<[FullChunk; 2]>) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for chunk in chunks {
        let place = |chain: &Chain| chain.partition_point(|c| c.max_time_ms < chunk.min_time_ms);
        let overlaps = |chain: &Chain| {
            chain.get(place(chain)).is_some_and(|next| next.min_time_ms <= chunk.max_time_ms)
        };
        let level = chains.iter().rposition(overlaps).map_or(0, |last| last + 1);
        if level == chains.len() {
            chains.push(Chain::new());
        }
        let position = place(&chains[level]);
        chains[level].insert(position, chunk);
    }
    chains
}

impl Head {
    /// What a query that begins now looks at. To be called while the list of blocks that it sees
    /// cannot change.
    pub(in crate::head) fn late_view(&self) -> LateView {
        LateView { without_compacted: self.has_compacted_late(), encodings: self.options.encodings }
    }

    /// Times of the oldest and the newest sample that came out of order; `None` when there is
    /// none.
    pub fn out_of_order_bounds(&self) -> Option<(TimestampMs, TimestampMs)> {
        self.late.time_bounds()
    }

    /// How many floats and how many histograms that came out of order were stored since the
    /// start.
    pub fn out_of_order_appended(&self) -> (u64, u64) {
        self.late.appended()
    }

    /// The write-behind log; `None` while there is none.
    pub fn wbl(&self) -> Option<&crate::wal::Wal> {
        self.late.log.wbl()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_have_no_overlaps_and_keep_the_order_of_those_that_do() {
        let chunk = |(min_time_ms, max_time_ms)| FullChunk {
            min_time_ms,
            max_time_ms,
            place: ChunkPlace::memory(ChunkEncoding::Xor, Vec::new()),
        };
        let ranges = [(0, 10), (5, 50), (20, 30), (11, 19), (60, 70), (51, 55), (0, 100)];
        let chains = into_chains(ranges.into_iter().map(chunk).collect());
        let times = |chain: &Chain| {
            chain.iter().map(|c| (c.min_time_ms, c.max_time_ms)).collect::<Vec<_>>()
        };
        let times: Vec<_> = chains.iter().map(times).collect();
        let want = [
            vec![(0, 10), (51, 55), (60, 70)],
            vec![(5, 50)],
            vec![(11, 19), (20, 30)],
            vec![(0, 100)],
        ];
        assert_eq!(times, want);
    }
}
