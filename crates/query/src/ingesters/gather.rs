//! Asking the ingesters of a replication set until enough of them have answered.
//!
//! Ingesters form groups that succeed or fail as one: the ingesters of a zone where the ring has
//! zones, else each is a group of its own. So many groups have to succeed that what is left out
//! cannot have been part of every quorum of a write.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use model::{Random, StorageError};
use ring::ReplicationSet;
use wire::client::IngesterQuery;

use super::RingIngestersParts;
use crate::replaced::may_replace;

/// What was answered, and whom one may still ask.
pub(super) struct Asked<T> {
    /// The answers of the groups that succeeded.
    pub(super) answers: Vec<Vec<T>>,
    /// Groups that were not asked or have not answered.
    pub(super) spares: Vec<Vec<String>>,
}

/// The groups of a replication set.
pub(super) struct Groups {
    /// The addresses of each group, in the order in which they are asked.
    groups: VecDeque<Vec<String>>,
    /// How many may fail.
    max_failed: usize,
}

impl Groups {
    /// The groups of `set` in an order of chance.
    pub(super) fn new(set: &ReplicationSet, random: &dyn Random) -> Self {
        let addresses = set.instances.iter().map(|i| (i.zone.clone(), i.addr.clone()));
        let mut groups: VecDeque<Vec<String>> = if set.zone_awareness {
            let mut zones: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (zone, address) in addresses {
                zones.entry(zone).or_default().push(address);
            }
            zones.into_values().collect()
        } else {
            addresses.map(|(_, address)| vec![address]).collect()
        };
        let start = random.below(groups.len() as u64);
        groups.rotate_left(usize::try_from(start).unwrap_or(0));
        let max_failed =
            if set.zone_awareness { set.max_unavailable_zones } else { set.max_errors };
        Self { groups, max_failed }
    }
}

type Job<T> = dyn Fn(&dyn IngesterQuery) -> Result<T, StorageError> + Send + Sync;
type GroupAnswer<T> = (usize, Result<Vec<T>, StorageError>);

/// Asks `job` of groups until enough have answered.
pub(super) async fn gather<T, F>(
    parts: &Arc<RingIngestersParts>,
    groups: Groups,
    job: Arc<F>,
) -> Result<Asked<T>, StorageError>
where
    F: Fn(&dyn IngesterQuery) -> Result<T, StorageError> + Send + Sync + 'static,
    T: Send + 'static,
{
    let needed = groups.groups.len().saturating_sub(groups.max_failed);
    let job: Arc<Job<T>> = job;
    let mut round = Round {
        parts: Arc::clone(parts),
        job,
        waiting: groups.groups,
        asked: Vec::new(),
        running: FuturesUnordered::new(),
        left_to_fail: groups.max_failed,
    };
    let first = if parts.hedging_delay.is_some() { needed } else { round.waiting.len() };
    (0..first).for_each(|_| round.ask_next());
    let mut answers = Vec::with_capacity(needed);
    while answers.len() < needed {
        if let Some((number, answer)) = round.next().await {
            match answer {
                Ok(answer) => {
                    round.asked[number].clear();
                    answers.push(answer);
                }
                Err(error) => round.failed(number, error)?,
            }
        }
    }
    Ok(Asked { answers, spares: round.spares() })
}

/// The state of one gathering.
struct Round<T> {
    parts: Arc<RingIngestersParts>,
    job: Arc<Job<T>>,
    waiting: VecDeque<Vec<String>>,
    /// The groups that were asked; emptied when one has answered.
    asked: Vec<Vec<String>>,
    running: FuturesUnordered<BoxFuture<'static, GroupAnswer<T>>>,
    left_to_fail: usize,
}

impl<T: Send + 'static> Round<T> {
    /// Asks the next group, if there is one.
    fn ask_next(&mut self) {
        let Some(addresses) = self.waiting.pop_front() else { return };
        let (number, parts, job) =
            (self.asked.len(), Arc::clone(&self.parts), Arc::clone(&self.job));
        self.asked.push(addresses.clone());
        let calls = addresses.into_iter().map(move |address| {
            let (ingesters, job) = (Arc::clone(&parts.ingesters), Arc::clone(&job));
            let call = parts.blocking.spawn(move || job(&*ingesters.ingester(&address)?));
            async move { call.await.unwrap_or_else(|e| Err(StorageError::Internal(e.to_string()))) }
        });
        // The first failure of a group fails all of it.
        let group = futures::future::try_join_all(calls);
        self.running.push(Box::pin(async move { (number, group.await) }));
    }

    /// The next group that has ended; `None` when the hedging delay has passed before and another
    /// group was asked.
    async fn next(&mut self) -> Option<GroupAnswer<T>> {
        let is_due = |delay: &Duration| !delay.is_zero() && !self.waiting.is_empty();
        let delay = self.parts.hedging_delay.filter(is_due);
        let Some(delay) = delay else { return self.running.next().await };
        let pause = std::pin::pin!(rt::time::sleep(delay));
        match select(self.running.next(), pause).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => {
                self.ask_next();
                None
            }
        }
    }

    /// A group has failed: another one is asked in its place, or everything fails.
    fn failed(&mut self, number: usize, error: StorageError) -> Result<(), StorageError> {
        self.asked[number].clear();
        if !may_replace(&error) || self.left_to_fail == 0 {
            return Err(error);
        }
        tracing::warn!(%error, "an ingester did not answer a query");
        self.left_to_fail -= 1;
        self.ask_next();
        Ok(())
    }

    /// Groups that may stand in for one that breaks off later.
    fn spares(self) -> Vec<Vec<String>> {
        self.asked.into_iter().filter(|group| !group.is_empty()).chain(self.waiting).collect()
    }
}
