//! Who is a member, and what is thought of each: alive, suspected, dead, or left.
//!
//! What is said about a member is ordered by its incarnation, which only the member itself
//! raises. A suspect has time to object; the more members suspect it, the less.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::ip_of;
use super::message::{Alive, NodeState, PushedNode};

/// Members at most.
pub(crate) const MAX_MEMBERS: usize = 20_000;
const MAX_NAME_BYTES: usize = 512;
/// What a member may say about itself, bytes.
const MAX_META_BYTES: usize = 512;
/// A suspect has at least `4 * log10(members)` probe intervals, and 6 times that when nobody
/// else suspects it.
const SUSPICION_FACTOR: u64 = 4;
const SUSPICION_MAX_FACTOR: u64 = 6;

/// A member.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) alive: Alive,
    pub(crate) state: NodeState,
    /// When `state` changed.
    pub(crate) changed_ms: u64,
    pub(crate) suspicion: Option<Suspicion>,
}

impl Member {
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(ip_of(&self.alive.addr)?, self.alive.port))
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state, NodeState::Dead | NodeState::Left)
    }

    pub(crate) fn set_state(&mut self, state: NodeState, now_ms: u64) {
        if self.state != state {
            (self.state, self.changed_ms) = (state, now_ms);
        }
    }
}

/// The members by name, with this one.
#[derive(Debug, Default)]
pub(crate) struct Members(pub(crate) BTreeMap<String, Member>);

impl Members {
    /// Members that are not gone.
    pub(crate) fn present(&self) -> usize {
        self.0.values().filter(|member| !member.is_gone()).count()
    }

    pub(crate) fn pushed(&self) -> Vec<PushedNode> {
        let pushed =
            |member: &Member| PushedNode { alive: member.alive.clone(), state: member.state };
        self.0.values().map(pushed).collect()
    }

    /// Forgets who is gone for longer than `keep_ms`.
    pub(crate) fn forget_gone(&mut self, keep_ms: u64, now_ms: u64) {
        self.0.retain(|_, member| {
            !member.is_gone() || now_ms.saturating_sub(member.changed_ms) <= keep_ms
        });
    }

    /// The suspects whose time is up.
    pub(crate) fn overdue(&self, now_ms: u64) -> Vec<String> {
        let is_due = |member: &Member| {
            member.suspicion.as_ref().is_some_and(|suspicion| suspicion.deadline_ms() <= now_ms)
        };
        self.0.iter().filter(|(_, member)| is_due(member)).map(|(name, _)| name.clone()).collect()
    }

    /// When the next suspect's time is up.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        let suspicions = self.0.values().filter_map(|member| member.suspicion.as_ref());
        suspicions.map(Suspicion::deadline_ms).min()
    }
}

/// Whether a message about a member can be right at all.
pub(crate) fn is_plausible(alive: &Alive) -> bool {
    let versions = &alive.versions;
    let has_versions =
        versions.len() < 3 || (versions[0] > 0 && versions[1] > 0 && versions[0] <= versions[1]);
    !alive.node.is_empty()
        && alive.node.len() <= MAX_NAME_BYTES
        && alive.meta.len() <= MAX_META_BYTES
        && alive.versions.len() <= 16
        && ip_of(&alive.addr).is_some()
        && has_versions
}

/// The doubt about a member.
#[derive(Debug, Clone)]
pub(crate) struct Suspicion {
    started_ms: u64,
    min_ms: u64,
    max_ms: u64,
    /// Others whose doubt shortens the time; 0 in small clusters.
    wanted: usize,
    /// Who doubts, with the first.
    from: BTreeSet<String>,
}

impl Suspicion {
    /// A doubt that begins now in a cluster of so many members.
    pub(crate) fn new(from: &str, members: usize, probe_interval_ms: u64, now_ms: u64) -> Self {
        let scale = (members.max(1) as f64).log10().max(1.0);
        let min_ms = SUSPICION_FACTOR * ((scale * 1000.0) as u64) * probe_interval_ms / 1000;
        let wanted = SUSPICION_FACTOR as usize - 2;
        Self {
            started_ms: now_ms,
            min_ms,
            max_ms: SUSPICION_MAX_FACTOR * min_ms,
            wanted: if members < wanted + 2 { 0 } else { wanted },
            from: BTreeSet::from([from.to_owned()]),
        }
    }

    /// Somebody else doubts as well; `true` when that is worth telling.
    pub(crate) fn confirm(&mut self, from: &str) -> bool {
        self.from.len() <= self.wanted && self.from.insert(from.to_owned())
    }

    fn deadline_ms(&self) -> u64 {
        if self.wanted == 0 {
            return self.started_ms + self.min_ms;
        }
        let confirmed = (self.from.len() as f64).ln() / (self.wanted as f64 + 1.0).ln();
        let (min, max) = (self.min_ms as f64, self.max_ms as f64);
        let timeout = (max - confirmed * (max - min)).floor() as u64;
        self.started_ms + timeout.max(self.min_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_of_others_shorten_the_time() {
        let mut doubt = Suspicion::new("a", 10, 5000, 100);
        assert_eq!(doubt.deadline_ms(), 100 + 6 * 20_000);
        assert!(!doubt.confirm("a"));
        assert!(doubt.confirm("b"));
        let one = doubt.deadline_ms();
        assert!(doubt.confirm("c") && !doubt.confirm("d"));
        assert!(one < 100 + 120_000);
        assert_eq!(doubt.deadline_ms(), 100 + 20_000);
        assert_eq!(Suspicion::new("a", 3, 5000, 0).deadline_ms(), 20_000);
        assert_eq!(Suspicion::new("a", 100, 5000, 0).min_ms, 40_000);
    }
}
