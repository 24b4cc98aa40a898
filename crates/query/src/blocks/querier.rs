//! The blocks of one query as a source of samples.

use std::sync::Arc;

use model::storage::TextSet;
use model::{Matcher, Querier, SelectHints, SeriesSet, Shard, StorageError};
use tsdb::merge::{merge_series_sets, merge_text_sets};
use ulid::Ulid;
use wire::client::{BlocksAnswer, BlocksRequest, StoreGatewayClient};

use super::asking::{Asking, Part};
use super::finder::FoundBlock;
use super::tracker::Tracker;
use crate::replaced::{ReplacedSet, Substitutes, may_replace};

/// A view of the blocks that can hold samples of one range.
pub(super) struct BlocksQuerier {
    pub(super) asking: Asking,
    pub(super) blocks: Vec<FoundBlock>,
}

impl BlocksQuerier {
    /// What all needed blocks answer, in parts, and what there is to know if one of them turns out
    /// to be broken.
    fn ask_all<T: Send>(
        &self,
        shard: Option<Shard>,
        ask: impl Fn(
            &dyn StoreGatewayClient,
            BlocksRequest<'_>,
        ) -> Result<BlocksAnswer<T>, StorageError>
        + Sync,
    ) -> Result<(Vec<Part<T>>, Tracker), StorageError> {
        let shared = &self.asking.shared;
        let metrics = &shared.metrics;
        let blocks = self.blocks.iter().filter(|block| block.can_hold(shard));
        let blocks: Vec<FoundBlock> = blocks.cloned().collect();
        let count = blocks.len();
        let mut tracker = Tracker::new(blocks, shared.gateways.replication_factor());
        if count == 0 {
            metrics.gateways_hit.observe(0.0);
            return Ok((Vec::new(), tracker));
        }
        metrics.queried.inc_by(count as u64);
        let asked = self.asking.ask(&mut tracker, ask)?;
        metrics.checks.inc();
        let checked = tracker.finish();
        match &checked {
            Ok(()) => {
                metrics.gateways_hit.observe(asked.hit as f64);
                metrics.refetches.observe(asked.attempts.saturating_sub(1) as f64);
            }
            Err(error) => {
                metrics.failed_checks.inc();
                let user = &self.asking.tenant;
                tracing::warn!(%user, %error, "blocks are missing from all answers");
            }
        }
        checked.map(|()| (asked.parts, tracker))
    }
}

/// What is asked of store-gateways, as long as their answers are read.
#[derive(Clone)]
struct Selection {
    asking: Asking,
    matchers: Arc<[Matcher]>,
    hints: Arc<SelectHints>,
}

impl Selection {
    fn ask(
        &self,
        client: &dyn StoreGatewayClient,
        request: BlocksRequest<'_>,
    ) -> Result<BlocksAnswer<Box<dyn SeriesSet>>, StorageError> {
        client.select(request, &self.matchers, &self.hints)
    }

    /// The merged series of all parts. One that breaks off is replaced by what others who own its
    /// blocks have.
    fn merged(self, parts: Vec<Part<Box<dyn SeriesSet>>>, tracker: Tracker) -> Box<dyn SeriesSet> {
        let tracker = Arc::new(tracker);
        let replaced = parts.into_iter().map(|Part { value, blocks }| {
            if tracker.is_for_one() {
                return value;
            }
            let substitutes = self.clone().others(Arc::clone(&tracker), blocks);
            let set: Box<dyn SeriesSet> = Box::new(ReplacedSet::new(value, substitutes));
            set
        });
        merge_series_sets(replaced.collect())
    }

    /// Asks once more for these blocks, once.
    fn others(self, tracker: Arc<Tracker>, blocks: Vec<Ulid>) -> Substitutes {
        let mut left = Some((self, tracker, blocks));
        Box::new(move || {
            let Some((this, tracker, blocks)) = left.take() else { return Ok(None) };
            let mut tracker = tracker.without_answer(&blocks);
            let asked = this.asking.ask(&mut tracker, |client, request| this.ask(client, request));
            let asked = asked.and_then(|asked| tracker.finish().map(|()| asked));
            match asked {
                Ok(asked) => Ok(Some(this.merged(asked.parts, tracker))),
                Err(error) if may_replace(&error) => {
                    let user = &this.asking.tenant;
                    tracing::warn!(%user, %error, "no store-gateway can stand in for another one");
                    Ok(None)
                }
                Err(other) => Err(other),
            }
        })
    }
}

impl Querier for BlocksQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let selection = Selection {
            asking: self.asking.clone(),
            matchers: matchers.into(),
            // The answers are merged by their labels.
            hints: Arc::new(SelectHints { without_labels: false, ..hints.clone() }),
        };
        let ask = |client: &dyn StoreGatewayClient, request: BlocksRequest<'_>| {
            selection.ask(client, request)
        };
        let (parts, tracker) = self.ask_all(hints.shard, ask)?;
        Ok(selection.merged(parts, tracker))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        collect(self.label_value_set(name, matchers, limit)?)
    }

    fn label_names(&self, matchers: &[Matcher], limit: usize) -> Result<Vec<String>, StorageError> {
        collect(self.label_name_set(matchers, limit)?)
    }

    fn label_value_set(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Box<dyn TextSet>, StorageError> {
        let (parts, _) = self
            .ask_all(None, |client, request| client.label_values(request, name, matchers, limit))?;
        Ok(merge_text_sets(parts.into_iter().map(|part| part.value).collect(), limit))
    }

    fn label_name_set(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Box<dyn TextSet>, StorageError> {
        let (parts, _) =
            self.ask_all(None, |client, request| client.label_names(request, matchers, limit))?;
        Ok(merge_text_sets(parts.into_iter().map(|part| part.value).collect(), limit))
    }
}

fn collect(mut set: Box<dyn TextSet>) -> Result<Vec<String>, StorageError> {
    let mut texts = Vec::new();
    while let Some(text) = set.next_text()? {
        texts.push(text.to_owned());
    }
    Ok(texts)
}
