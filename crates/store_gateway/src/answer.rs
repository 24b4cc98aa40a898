//! Answers over named blocks: what a querier asks for.

use std::sync::Arc;

use futures::StreamExt as _;
use model::storage::TextSet;
use model::{Matcher, SelectHints, SeriesEntry, SeriesSet, StorageError};
use tsdb::merge::{merge_series_sets, merge_text_sets};
use ulid::Ulid;
use wire::client::{BlocksAnswer, BlocksRequest, StoreGatewayClient};

use crate::StoreGateway;
use crate::block::Block;
use crate::gate::Turn;
use crate::index::BlockIndex;
use crate::labels::{name_set, value_set};
use crate::precount::refuse_too_many_chunks;
use crate::request::Request;
use crate::series::{BlockSeriesSet, Selection};
use crate::store::Store;

/// So many index-headers of one query are loaded at the same time.
const CONCURRENT_HEADERS: usize = 8;

/// The blocks of a request, ready to be read.
struct Opened {
    turn: Turn,
    request: Request,
    indexes: Vec<BlockIndex>,
    failed: Vec<Ulid>,
}

impl StoreGateway {
    fn open(&self, asked: &BlocksRequest<'_>) -> Result<Opened, StorageError> {
        let store = &self.store;
        let request = Request::new(store, asked.context);
        let turn = request.wait(store.requests.enter())?;
        let blocks = match self.allowed.allows(asked.tenant.as_str()) {
            true => request.wait(self.tenant(asked.tenant).blocks(store, asked.blocks))?,
            // Whoever asks is not told that they were queried, and asks others.
            false => Vec::new(),
        };
        let headers: Vec<_> = blocks.iter().map(|block| block.header(store)).collect();
        let headers = futures::stream::iter(headers).buffered(CONCURRENT_HEADERS);
        let headers = request.wait(async { Ok(headers.collect::<Vec<_>>().await) })?;
        let (mut indexes, mut failed) = (Vec::with_capacity(blocks.len()), Vec::new());
        for (block, header) in blocks.iter().zip(headers) {
            match header {
                Ok(header) => indexes.push(BlockIndex::new(&request, block, header)),
                Err(error) => fail(block, &error, &mut failed)?,
            }
        }
        Ok(Opened { turn, request, indexes, failed })
    }
}

impl Opened {
    /// Asks every block. Those that cannot be read are left out, and named in the answer.
    fn ask<T>(
        self,
        ask: impl Fn(BlockIndex) -> Result<T, StorageError>,
    ) -> Result<(Turn, Request, BlocksAnswer<Vec<T>>), StorageError> {
        let Self { turn, request, indexes, mut failed } = self;
        let (mut value, mut queried) = (Vec::with_capacity(indexes.len()), Vec::new());
        for index in indexes {
            request.context.check()?;
            let block = Arc::clone(index.block());
            match ask(index) {
                Ok(part) => {
                    value.push(part);
                    queried.push(block.id());
                }
                Err(error) => fail(&block, &error, &mut failed)?,
            }
        }
        Ok((turn, request, BlocksAnswer { value, queried, failed }))
    }
}

/// Notes a block that cannot be read here; any other error fails the request.
fn fail(block: &Block, error: &StorageError, failed: &mut Vec<Ulid>) -> Result<(), StorageError> {
    if !Store::is_elsewhere(error) {
        return Err(error.clone());
    }
    tracing::warn!(block = %block.id(), %error, "could not read a block");
    failed.push(block.id());
    Ok(())
}

impl StoreGatewayClient for StoreGateway {
    fn select(
        &self,
        request: BlocksRequest<'_>,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<BlocksAnswer<Box<dyn SeriesSet>>, StorageError> {
        let opened = self.open(&request)?;
        self.store.metrics.blocks_queried(opened.indexes.iter().map(|index| index.block()));
        let selection = Selection::new(request.range, hints, (&self.store, opened.indexes.len()));
        let (turn, request, answer) =
            opened.ask(|index| BlockSeriesSet::new(index, matchers, selection))?;
        let BlocksAnswer { value, queried, failed } = answer;
        refuse_too_many_chunks(&value)?;
        let boxed = |set| Box::new(set) as Box<dyn SeriesSet>;
        let value = value.into_iter().map(boxed).collect();
        let (set, left) = (merge_series_sets(value), selection.limit());
        let value = Box::new(CountedSeriesSet { set, request, left, _turn: turn });
        Ok(BlocksAnswer { value, queried, failed })
    }

    fn label_names(
        &self,
        request: BlocksRequest<'_>,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        let (turn, _, answer) = self
            .open(&request)?
            .ask(|index| Ok(Box::new(name_set(&index, matchers)?) as Box<dyn TextSet>))?;
        Ok(merged(answer, limit, turn))
    }

    fn label_values(
        &self,
        request: BlocksRequest<'_>,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<BlocksAnswer<Box<dyn TextSet>>, StorageError> {
        let opened = self.open(&request)?;
        let (turn, _, answer) = opened.ask(|index| value_set(index, name, matchers))?;
        Ok(merged(answer, limit, turn))
    }
}

fn merged(
    answer: BlocksAnswer<Vec<Box<dyn TextSet>>>,
    limit: usize,
    turn: Turn,
) -> BlocksAnswer<Box<dyn TextSet>> {
    let BlocksAnswer { value, queried, failed } = answer;
    let value = Box::new(TurnTextSet { set: merge_text_sets(value, limit), _turn: turn });
    BlocksAnswer { value, queried, failed }
}

/// Texts whose request is among those that run.
struct TurnTextSet {
    set: Box<dyn TextSet>,
    _turn: Turn,
}

impl TextSet for TurnTextSet {
    fn next_text(&mut self) -> Result<Option<&str>, StorageError> {
        self.set.next_text()
    }
}

/// Counts series once, however many blocks have them.
struct CountedSeriesSet {
    set: Box<dyn SeriesSet>,
    request: Request,
    left: usize,
    _turn: Turn,
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
