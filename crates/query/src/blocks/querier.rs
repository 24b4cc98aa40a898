//! Asking store-gateways for the blocks of one query, again for those that are missing from the
//! answers.

use std::sync::Arc;

use hashbrown::HashSet;
use model::storage::TextSet;
use model::{
    Matcher, Querier, QueryContext, SelectHints, SeriesSet, Shard, StorageError, TenantId,
    TimeRange,
};
use parking_lot::Mutex;
use tsdb::merge::{merge_series_sets, merge_text_sets};
use wire::client::{BlocksAnswer, BlocksRequest, GatewayShare, StoreGatewayClient};

use super::finder::FoundBlock;
use super::tracker::{Parents, Tracker};
use super::{Shared, parents};

/// A view of the blocks that can hold samples of one range.
pub(super) struct BlocksQuerier {
    pub(super) shared: Arc<Shared>,
    pub(super) tenant: TenantId,
    pub(super) range: TimeRange,
    pub(super) context: Arc<QueryContext>,
    pub(super) blocks: Vec<FoundBlock>,
}

impl BlocksQuerier {
    /// What all needed blocks answer, in parts.
    fn ask_all<T: Send>(
        &self,
        shard: Option<Shard>,
        ask: impl Fn(
            &dyn StoreGatewayClient,
            BlocksRequest<'_>,
        ) -> Result<BlocksAnswer<T>, StorageError>
        + Sync,
    ) -> Result<Vec<T>, StorageError> {
        let metrics = &self.shared.metrics;
        let blocks = self.blocks.iter().filter(|block| block.can_hold(shard));
        let blocks: Vec<FoundBlock> = blocks.cloned().collect();
        if blocks.is_empty() {
            metrics.gateways_hit.observe(0.0);
            return Ok(Vec::new());
        }
        metrics.queried.inc_by(blocks.len() as u64);
        let mut tracker = Tracker::new(blocks, self.shared.gateways.replication_factor());
        let (parts, hit, attempts) = self.ask_until_done(&mut tracker, ask)?;
        metrics.checks.inc();
        let checked = tracker.finish();
        match &checked {
            Ok(()) => {
                metrics.gateways_hit.observe(hit as f64);
                metrics.refetches.observe(attempts.saturating_sub(1) as f64);
            }
            Err(error) => {
                metrics.failed_checks.inc();
                tracing::warn!(user = %self.tenant, %error, "blocks are missing from all answers");
            }
        }
        checked.map(|()| parts)
    }

    /// The parts, how many store-gateways were asked, and how often.
    fn ask_until_done<T: Send>(
        &self,
        tracker: &mut Tracker,
        ask: impl Fn(
            &dyn StoreGatewayClient,
            BlocksRequest<'_>,
        ) -> Result<BlocksAnswer<T>, StorageError>
        + Sync,
    ) -> Result<(Vec<T>, usize, usize), StorageError> {
        let (mut parts, mut hit, mut attempts) = (Vec::new(), HashSet::new(), 0);
        let mut parents = Parents::new();
        while let Some(wanted) = tracker.next() {
            let gateways = &self.shared.gateways;
            let shares = match gateways.share(&self.tenant, &wanted, tracker.tried()) {
                Ok(shares) => shares,
                Err(error) if attempts == 0 => return Err(error),
                // Nobody is left to ask; what is missing is told at the end.
                Err(_) => break,
            };
            attempts += 1;
            self.context.check()?;
            shares.iter().for_each(|share| tracker.asked(&share.address, &share.blocks));
            let answers = self.ask_shares(&shares, &ask);
            for (share, answer) in shares.into_iter().zip(answers) {
                match answer {
                    Ok(answer) => {
                        tracker.answered(&answer.queried, &answer.failed);
                        parts.push(answer.value);
                    }
                    Err(StorageError::Unavailable(error)) => {
                        let (user, address) = (&self.tenant, &share.address);
                        tracing::warn!(%user, address, error, "a store-gateway did not answer");
                        tracker.did_not_answer(&share.blocks);
                    }
                    Err(error) => return Err(error),
                }
                hit.insert(share.address);
            }
            self.excuse(tracker, &mut parents)?;
        }
        Ok((parts, hit.len(), attempts))
    }

    /// Excuses missing blocks that compactors have just made, where what they were made of is
    /// there.
    fn excuse(&self, tracker: &mut Tracker, known: &mut Parents) -> Result<(), StorageError> {
        let mut missing = tracker.young_compactions();
        missing.retain(|id| !known.contains_key(id));
        if !missing.is_empty() {
            let bucket = self.shared.finder.bucket(&self.tenant);
            let read = async {
                parents::read(&bucket, &missing, known).await;
                Ok(())
            };
            self.shared.wait(&self.context, read)?;
        }
        tracker.excuse(known, self.range);
        Ok(())
    }

    /// Asks the store-gateways of all shares at the same time. The answers come in their order.
    fn ask_shares<T, F>(
        &self,
        shares: &[GatewayShare],
        ask: &F,
    ) -> Vec<Result<BlocksAnswer<T>, StorageError>>
    where
        T: Send,
        F: Fn(&dyn StoreGatewayClient, BlocksRequest<'_>) -> Result<BlocksAnswer<T>, StorageError>
            + Sync,
    {
        let answers: Vec<_> = shares.iter().map(|_| Mutex::new(None)).collect();
        self.shared.executor.for_each(shares.len(), &|i| {
            let share = &shares[i];
            let request = BlocksRequest {
                tenant: &self.tenant,
                blocks: &share.blocks,
                range: self.range,
                context: &self.context,
            };
            *answers[i].lock() = Some(ask(&*share.client, request));
        });
        let not_asked = || StorageError::Internal("a store-gateway was not asked".to_owned());
        answers
            .into_iter()
            .map(|answer| answer.into_inner().unwrap_or_else(|| Err(not_asked())))
            .collect()
    }
}

impl Querier for BlocksQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        // The answers are merged by their labels.
        let hints = &SelectHints { without_labels: false, ..hints.clone() };
        let ask = |client: &dyn StoreGatewayClient, request: BlocksRequest<'_>| {
            client.select(request, matchers, hints)
        };
        Ok(merge_series_sets(self.ask_all(hints.shard, ask)?))
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
        let sets = self
            .ask_all(None, |client, request| client.label_values(request, name, matchers, limit))?;
        Ok(merge_text_sets(sets, limit))
    }

    fn label_name_set(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Box<dyn TextSet>, StorageError> {
        let sets =
            self.ask_all(None, |client, request| client.label_names(request, matchers, limit))?;
        Ok(merge_text_sets(sets, limit))
    }
}

fn collect(mut set: Box<dyn TextSet>) -> Result<Vec<String>, StorageError> {
    let mut texts = Vec::new();
    while let Some(text) = set.next_text()? {
        texts.push(text.to_owned());
    }
    Ok(texts)
}
