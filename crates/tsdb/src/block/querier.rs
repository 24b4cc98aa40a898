//! Queries over one block.

use std::convert::Infallible;
use std::sync::Arc;

use model::{
    Labels, Matcher, Querier, QueryContext, SampleReader, SelectHints, SeriesEntry, SeriesSet,
    Shard, StorageError, TimeRange,
};

use super::Block;
use super::samples::BlockSamples;
use crate::index::{ChunkMeta, LabelMemo, SeriesRow};
use crate::merge::{are_in_order, read_in_order};
use crate::postings::{
    Found, find_series, label_names_for_matchers, label_values_for_matchers, query_shard,
};
use crate::tombstones::Interval;

/// A view of a block over a range of time.
pub(super) struct BlockQuerier {
    block: Block,
    range: TimeRange,
    context: Arc<QueryContext>,
}

impl BlockQuerier {
    pub(super) fn new(block: Block, range: TimeRange, context: Arc<QueryContext>) -> Self {
        Self { block, range, context }
    }
}

impl Querier for BlockQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        self.context.check()?;
        let (matchers, shard) = query_shard(matchers, hints)?;
        let Found { series, untested } = find_series(self.block.index(), &matchers)?;
        let untested = untested.into_iter().cloned().collect();
        Ok(Box::new(BlockSeriesSet {
            block: self.block.clone(),
            range: self.range,
            context: self.context.clone(),
            series: series.into_iter(),
            untested,
            shard,
            hints: hints.clone(),
            returned: 0,
            row: SeriesRow::default(),
            memo: LabelMemo::default(),
        }))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        self.context.check()?;
        Ok(label_values_for_matchers(self.block.index(), name, matchers, limit)?)
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        self.context.check()?;
        Ok(label_names_for_matchers(self.block.index(), matchers, limit)?)
    }
}

/// The numbers of series ascend in label order.
struct BlockSeriesSet {
    block: Block,
    range: TimeRange,
    context: Arc<QueryContext>,
    series: std::vec::IntoIter<u32>,
    /// What the series have to be tested for when their labels are read.
    untested: Vec<Matcher>,
    shard: Option<Shard>,
    hints: SelectHints,
    returned: usize,
    row: SeriesRow,
    memo: LabelMemo,
}

impl SeriesSet for BlockSeriesSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        if self.hints.limit != 0 && self.returned == self.hints.limit {
            return Ok(None);
        }
        while let Some(series) = self.series.next() {
            self.context.check()?;
            self.block.index().series(series, &mut self.row)?;
            let chunks = self.chunks_in_range(series);
            if chunks.is_empty() {
                continue;
            }
            let labels = self.block.index().labels(&self.row, &mut self.memo)?;
            let accepts = |matcher: &Matcher| matcher.matches(labels.value(matcher.name()));
            if !self.untested.iter().all(accepts) || !self.is_in_shard(&labels) {
                continue;
            }
            self.returned += 1;
            return self.entry(series, labels, chunks).map(Some);
        }
        Ok(None)
    }
}

impl BlockSeriesSet {
    /// The chunks that may have samples in the range, without those that are deleted as a whole.
    fn chunks_in_range(&self, series: u32) -> Vec<ChunkMeta> {
        let deleted = self.block.tombstones().get(u64::from(series));
        let is_deleted = |chunk: &ChunkMeta| {
            deleted.iter().any(|i| i.contains(chunk.min_time_ms) && i.contains(chunk.max_time_ms))
        };
        let chunks = self.row.chunks.iter().copied();
        let chunks = chunks.filter(|c| self.range.overlaps(c.min_time_ms, c.max_time_ms));
        chunks.filter(|chunk| !is_deleted(chunk)).collect()
    }

    fn is_in_shard(&self, labels: &Labels) -> bool {
        self.shard.is_none_or(|shard| labels.stable_hash() % shard.count == shard.index)
    }

    /// The newest sample inside the range is in the last chunk that reaches into it.
    fn needed(&self, mut chunks: Vec<ChunkMeta>, is_untouched: bool) -> Vec<ChunkMeta> {
        if self.hints.labels_only {
            return Vec::new();
        }
        if self.hints.newest_only && is_untouched && are_in_order(&chunks, ChunkMeta::times) {
            chunks.drain(..chunks.len().saturating_sub(1));
        }
        chunks
    }

    fn entry(
        &self,
        series: u32,
        labels: Labels,
        chunks: Vec<ChunkMeta>,
    ) -> Result<SeriesEntry, StorageError> {
        self.context.add_series(&labels)?;
        let deleted = self.block.tombstones().get(u64::from(series)).to_vec();
        let chunks = self.needed(chunks, deleted.is_empty());
        self.context.add_chunks(chunks.len() as u64, 0)?;
        let samples = samples(&self.block, &self.context, chunks, &deleted);
        Ok(SeriesEntry { labels, samples })
    }
}

/// The samples of chunks of one series, in order of time whatever the order of the chunks is.
pub(super) fn samples(
    block: &Block,
    context: &Arc<QueryContext>,
    chunks: Vec<ChunkMeta>,
    deleted: &[Interval],
) -> Box<dyn SampleReader> {
    let reader = |chunks| {
        let deleted = deleted.to_vec();
        let samples = BlockSamples::new(block.clone(), Arc::clone(context), chunks, deleted);
        Ok::<_, Infallible>(Box::new(samples) as Box<dyn SampleReader>)
    };
    match read_in_order(chunks, ChunkMeta::times, reader) {
        Ok(samples) => samples,
        Err(never) => match never {},
    }
}
