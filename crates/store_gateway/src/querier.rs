//! Queries of one tenant over all its blocks in the bucket, merged.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use model::{
    Matcher, Querier, QueryContext, Queryable, SelectHints, SeriesEntry, SeriesSet, StorageError,
    TimeRange,
};
use tsdb::merge::merge_series_sets;

use crate::block::Block;
use crate::header::IndexHeader;
use crate::index::BlockIndex;
use crate::request::Request;
use crate::series::{BlockSeriesSet, Selection};
use crate::store::Store;
use crate::tenant::Tenant;

/// So many index headers of one query are loaded at the same time.
const CONCURRENT_HEADERS: usize = 8;
/// The least that each block fetches ahead, however many there are, bytes.
const MIN_BATCH_BYTES: u64 = 128 << 10;
/// The most that each block fetches ahead, bytes.
const MAX_BATCH_BYTES: u64 = 4 << 20;

/// One tenant's blocks.
pub(crate) struct TenantQueryable {
    pub(crate) store: Arc<Store>,
    pub(crate) tenant: Arc<Tenant>,
}

impl Queryable for TenantQueryable {
    fn querier(
        &self,
        range: TimeRange,
        context: &Arc<QueryContext>,
    ) -> Result<Box<dyn Querier>, StorageError> {
        let request = Request { store: Arc::clone(&self.store), context: Arc::clone(context) };
        let list = request.wait(self.tenant.list(&self.store))?;
        let blocks = list.blocks_for(range, self.store.clock.now_ms(), &self.store.config);
        Ok(Box::new(StoreQuerier { request, range, blocks }))
    }
}

/// A view of the blocks that can hold samples of one range.
struct StoreQuerier {
    request: Request,
    range: TimeRange,
    /// In the order in which their samples count where several have the same time.
    blocks: Vec<Arc<Block>>,
}

impl StoreQuerier {
    /// The indexes of all blocks; fails when one cannot be had.
    fn indexes(&self) -> Result<Vec<BlockIndex>, StorageError> {
        let headers = self.blocks.iter().map(|block| block.header(&self.request));
        let headers = futures::stream::iter(headers).buffered(CONCURRENT_HEADERS);
        let headers: Vec<Arc<IndexHeader>> = self.request.wait(headers.try_collect())?;
        let with_headers = self.blocks.iter().zip(headers);
        with_headers.map(|(block, header)| BlockIndex::new(&self.request, block, header)).collect()
    }

    fn batch_bytes(&self) -> u64 {
        let share = self.request.store.options.select_chunk_bytes / self.blocks.len().max(1) as u64;
        share.clamp(MIN_BATCH_BYTES, MAX_BATCH_BYTES)
    }

    /// Joins what every block answers.
    fn merge_strings(
        &self,
        limit: usize,
        ask: impl Fn(&BlockIndex) -> Result<Vec<String>, StorageError>,
    ) -> Result<Vec<String>, StorageError> {
        let mut all = Vec::new();
        for index in self.indexes()? {
            self.request.context.check()?;
            all.append(&mut ask(&index)?);
            all.sort_unstable();
            all.dedup();
        }
        all.truncate(if limit == 0 { usize::MAX } else { limit });
        Ok(all)
    }
}

impl Querier for StoreQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        self.request.store.metrics.blocks_queried(&self.blocks);
        let selection = Selection::new(self.range, hints, self.batch_bytes());
        let mut sets: Vec<Box<dyn SeriesSet>> = Vec::with_capacity(self.blocks.len());
        for index in self.indexes()? {
            sets.push(Box::new(BlockSeriesSet::new(index, matchers, selection)?));
        }
        let (set, request) = (merge_series_sets(sets), self.request.clone());
        Ok(Box::new(CountedSeriesSet { set, request, left: selection.limit() }))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        self.merge_strings(limit, |index| index.values(name, matchers, limit))
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        self.merge_strings(limit, |index| index.names(matchers, limit))
    }
}

/// Counts series once, however many blocks have them.
struct CountedSeriesSet {
    set: Box<dyn SeriesSet>,
    request: Request,
    left: usize,
}

impl SeriesSet for CountedSeriesSet {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.request.context.check()?;
        let entry = self.set.next_series()?;
        if let Some(entry) = &entry {
            self.left -= 1;
            self.request.context.add_series(&entry.labels)?;
        }
        Ok(entry)
    }
}
