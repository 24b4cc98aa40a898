//! Asking store-gateways for the blocks of one query, again for those that are missing from the
//! answers.

use std::sync::Arc;

use hashbrown::HashSet;
use model::{QueryContext, StorageError, TenantId, TimeRange};
use parking_lot::Mutex;
use ulid::Ulid;
use wire::client::{BlocksAnswer, BlocksRequest, GatewayShare, StoreGatewayClient};

use super::tracker::{Parents, Tracker};
use super::{Shared, parents};
use crate::replaced::may_replace;

/// Whose blocks are asked for, and which of their samples.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) shared: Arc<Shared>,
    pub(super) tenant: TenantId,
    pub(super) range: TimeRange,
    pub(super) context: Arc<QueryContext>,
}

/// What one store-gateway has answered.
pub(super) struct Part<T> {
    pub(super) value: T,
    /// The blocks that it has answered from.
    pub(super) blocks: Vec<Ulid>,
}

/// All answers.
pub(super) struct Asked<T> {
    pub(super) parts: Vec<Part<T>>,
    /// How many store-gateways were asked.
    pub(super) hit: usize,
    /// How often blocks were asked for.
    pub(super) attempts: usize,
}

impl Asking {
    /// What store-gateways answer for the blocks of `tracker`, which tells afterwards whether that
    /// is everything.
    pub(super) fn ask<T: Send>(
        &self,
        tracker: &mut Tracker,
        ask: impl Fn(
            &dyn StoreGatewayClient,
            BlocksRequest<'_>,
        ) -> Result<BlocksAnswer<T>, StorageError>
        + Sync,
    ) -> Result<Asked<T>, StorageError> {
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
                    Ok(BlocksAnswer { value, queried, failed }) => {
                        tracker.answered(&queried, &failed);
                        parts.push(Part { value, blocks: queried });
                    }
                    Err(error) if may_replace(&error) => {
                        let (user, address) = (&self.tenant, &share.address);
                        tracing::warn!(%user, address, %error, "a store-gateway did not answer");
                        tracker.did_not_answer(&share.blocks);
                    }
                    Err(error) => return Err(error),
                }
                hit.insert(share.address);
            }
            self.excuse(tracker, &mut parents)?;
        }
        Ok(Asked { parts, hit: hit.len(), attempts })
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
