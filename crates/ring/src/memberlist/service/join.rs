//! Joining: at the start, again until it works, and now and then so that parts of a cluster that
//! lost each other meet again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rt::BoxError;
use rt::time::sleep;

use super::Shared;
use crate::memberlist::queue::retransmit_limit;

/// The port of members that are given without one.
const DEFAULT_PORT: u16 = 7946;

/// Whom to join, and how insistently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinOptions {
    /// Addresses and names of members.
    pub members: Vec<String>,
    /// The first wait after a failure.
    pub min_backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
    /// How often it is tried.
    pub max_retries: u64,
    /// Whether the process ends when nobody could be joined.
    pub abort_if_join_fails: bool,
    /// The same for the first quick attempt, before anything else starts.
    pub abort_if_fast_join_fails: bool,
    /// How many members the quick attempt must reach.
    pub fast_join_min_nodes: usize,
    /// How often members are joined again; 0 for never.
    pub rejoin_interval: Duration,
    /// Whom to join again; empty: [`Self::members`].
    pub rejoin_members: Vec<String>,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            min_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_mins(1),
            max_retries: 10,
            abort_if_join_fails: false,
            abort_if_fast_join_fails: false,
            fast_join_min_nodes: 1,
            rejoin_interval: Duration::ZERO,
            rejoin_members: Vec::new(),
        }
    }
}

impl Shared {
    /// Joins a few members, once, so that what starts next knows the cluster already.
    pub(super) async fn fast_join(self: &Arc<Self>) -> Result<(), BoxError> {
        let join = &self.options.join;
        if join.members.is_empty() {
            return Ok(());
        }
        let mut found = self.discover(&join.members).await;
        for i in (1..found.len()).rev() {
            found.swap(i, self.random.below(i as u64 + 1) as usize);
        }
        let wanted = retransmit_limit(self.options.gossip.retransmit_factor, found.len());
        let joined = self.join_some(&found, wanted).await;
        tracing::info!(found = found.len(), joined, "joined the gossip's members");
        if joined < join.fast_join_min_nodes && join.abort_if_fast_join_fails {
            let wanted = join.fast_join_min_nodes;
            return Err(format!("joined {joined} members of the gossip, not {wanted}").into());
        }
        Ok(())
    }

    /// The addresses of the members; those that cannot be looked up are left out.
    async fn discover(&self, members: &[String]) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        for member in members {
            match crate::net::resolve(member, DEFAULT_PORT).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => tracing::warn!(%error, "could not look up a member to join"),
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// How many of these members know of this one now. Among them may be this one itself: the first
    /// of a cluster finds nobody else.
    async fn join_some(&self, members: &[SocketAddr], wanted: usize) -> usize {
        let own = self.look(|gossip| gossip.options().address);
        let mut joined = 0;
        for member in members {
            if wanted <= joined {
                break;
            }
            if Some(*member) == own {
                joined += 1;
                continue;
            }
            match self.push_pull(*member, true).await {
                Ok(()) => joined += 1,
                Err(error) => tracing::debug!(%member, %error, "could not join a member"),
            }
        }
        joined
    }

    /// Joins everybody until somebody was reached, then again and again if that is wanted.
    pub(super) async fn join_and_rejoin(self: &Arc<Self>) -> Result<(), BoxError> {
        let join = &self.options.join;
        if !join.members.is_empty() && !self.join_with_retries().await && join.abort_if_join_fails {
            return Err("failed to join memberlist cluster on startup".into());
        }
        let members =
            if join.rejoin_members.is_empty() { &join.members } else { &join.rejoin_members };
        if join.rejoin_interval.is_zero() || members.is_empty() {
            return std::future::pending().await;
        }
        let interval_ms = u64::try_from(join.rejoin_interval.as_millis()).unwrap_or(u64::MAX);
        sleep(Duration::from_millis(self.random.below(interval_ms) + 1)).await;
        loop {
            let found = self.discover(members).await;
            let joined = self.join_some(&found, usize::MAX).await;
            if joined == 0 && !found.is_empty() {
                tracing::warn!("could not join the gossip's members again");
            }
            sleep(join.rejoin_interval).await;
        }
    }

    async fn join_with_retries(&self) -> bool {
        let join = &self.options.join;
        let mut wait = join.min_backoff;
        for attempt in 1..=join.max_retries.max(1) {
            let found = self.discover(&join.members).await;
            if self.join_some(&found, usize::MAX).await > 0 {
                return true;
            }
            tracing::warn!(attempt, "nobody of the gossip's members could be joined");
            sleep(wait).await;
            wait = (wait * 2).min(join.max_backoff);
        }
        false
    }
}
