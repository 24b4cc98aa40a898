//! Finding out who is gone: one member after the other is asked, and when it does not answer,
//! others are asked to ask it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Now;
use super::gossip::Gossip;
use super::message::{Accusation, IndirectPing, Message, NodeState, Ping, Source};

/// How many others are asked to ask a member that does not answer.
const INDIRECT_PROBES: usize = 3;
/// Pings for others under way, at most.
const MAX_RELAYED: usize = 4096;
/// The worst that this member thinks of itself.
const MAX_HEALTH: u64 = 7;

/// What is being found out.
#[derive(Debug)]
pub(super) struct Probes {
    last_seq: u32,
    next_ms: u64,
    /// Names that are still to be asked in this round.
    round: Vec<String>,
    current: Option<Probe>,
    relayed: BTreeMap<u32, Relayed>,
    health: u64,
}

/// A member that was asked.
#[derive(Debug)]
struct Probe {
    seq: u32,
    node: String,
    /// When others are asked; unset when they were.
    indirect_ms: Option<u64>,
    /// When it is given up.
    deadline_ms: u64,
    expected_nacks: u64,
    nacks: u64,
}

/// A ping for somebody else.
#[derive(Debug)]
struct Relayed {
    seq: u32,
    to: SocketAddr,
    nack: bool,
    deadline_ms: u64,
}

impl Probes {
    pub(super) fn new(next_ms: u64) -> Self {
        Self {
            last_seq: 0,
            next_ms,
            round: Vec::new(),
            current: None,
            relayed: BTreeMap::new(),
            health: 0,
        }
    }

    pub(super) fn health(&self) -> u64 {
        self.health
    }

    pub(super) fn worsen(&mut self, by: u64) {
        self.health = (self.health + by).min(MAX_HEALTH);
    }

    pub(super) fn nack(&mut self, seq: u32) {
        if let Some(probe) = self.current.as_mut().filter(|probe| probe.seq == seq) {
            probe.nacks += 1;
        }
    }

    /// When there is something to do next.
    pub(super) fn next_ms(&self) -> u64 {
        let current = self.current.as_ref();
        let current = current.map(|probe| probe.indirect_ms.unwrap_or(probe.deadline_ms));
        let relayed = self.relayed.values().map(|relayed| relayed.deadline_ms).min();
        self.next_ms.min(current.unwrap_or(u64::MAX)).min(relayed.unwrap_or(u64::MAX))
    }

    fn next_seq(&mut self) -> u32 {
        self.last_seq = self.last_seq.wrapping_add(1);
        self.last_seq
    }
}

impl Gossip {
    /// Does what is due of asking.
    pub(super) fn probe(&mut self, now: Now) {
        self.end_relayed(now.monotonic_ms);
        self.ask_others(now.monotonic_ms);
        let is_over = |probe: &Probe| probe.deadline_ms <= now.monotonic_ms;
        if self.probes.current.as_ref().is_some_and(is_over)
            && let Some(probe) = self.probes.current.take()
        {
            self.fail(&probe, now);
        }
        if self.probes.next_ms <= now.monotonic_ms {
            self.probes.next_ms = now.monotonic_ms + self.options.probe_interval_ms.max(1);
            if self.probes.current.is_none() {
                self.probe_next(now.monotonic_ms);
            }
        }
    }

    fn probe_next(&mut self, now_ms: u64) {
        let Some(node) = self.next_in_round() else { return };
        let Some(member) = self.members.0.get(&node) else { return };
        let Some(to) = member.address() else { return };
        let suspect = (member.state == NodeState::Suspect).then(|| Accusation {
            incarnation: member.alive.incarnation,
            node: node.clone(),
            from: self.options.name.clone(),
        });
        let seq = self.probes.next_seq();
        let interval_ms = self.options.probe_interval_ms * (self.probes.health + 1);
        self.probes.current = Some(Probe {
            seq,
            node: node.clone(),
            indirect_ms: Some(now_ms + self.options.probe_timeout_ms.min(interval_ms)),
            deadline_ms: now_ms + interval_ms,
            expected_nacks: 0,
            nacks: 0,
        });
        self.send(to, &Message::Ping(Ping { seq, node, source: self.source() }));
        if let Some(accusation) = suspect {
            // So that it can object.
            self.send(to, &Message::Suspect(accusation));
        }
    }

    /// Everybody is asked once before anybody is asked again.
    fn next_in_round(&mut self) -> Option<String> {
        for _ in 0..2 {
            while let Some(name) = self.probes.round.pop() {
                let member = self.members.0.get(&name);
                if name != self.options.name && member.is_some_and(|member| !member.is_gone()) {
                    return Some(name);
                }
            }
            let mut names: Vec<String> = self.members.0.keys().cloned().collect();
            for i in (1..names.len()).rev() {
                names.swap(i, self.random.below(i as u64 + 1) as usize);
            }
            self.probes.round = names;
        }
        None
    }

    pub(super) fn source(&self) -> Source {
        let own = self.members.0.get(&self.options.name);
        let addr = own.map(|member| member.alive.addr.clone()).unwrap_or_default();
        Source { addr, port: self.options.address.port(), node: self.options.name.clone() }
    }

    /// The member did not answer in time: perhaps it answers others.
    fn ask_others(&mut self, now_ms: u64) {
        let Some(probe) = &mut self.probes.current else { return };
        if probe.indirect_ms.is_none_or(|indirect_ms| now_ms < indirect_ms) {
            return;
        }
        probe.indirect_ms = None;
        let (seq, node) = (probe.seq, probe.node.clone());
        let Some(member) = self.members.0.get(&node) else { return };
        let (target, port) = (member.alive.addr.clone(), member.alive.port);
        let others = self.random_members(INDIRECT_PROBES, |other| {
            other.state == NodeState::Alive && other.alive.node != node
        });
        if let Some(probe) = &mut self.probes.current {
            probe.expected_nacks = others.len() as u64;
        }
        let source = self.source();
        let message =
            Message::IndirectPing(IndirectPing { seq, target, port, node, nack: true, source });
        for to in others {
            self.send(to, &message);
        }
    }

    fn fail(&mut self, probe: &Probe, now: Now) {
        // Who gets no answer from anybody may itself be the one without a network.
        let missing = probe.expected_nacks.saturating_sub(probe.nacks);
        self.probes.worsen(if probe.expected_nacks > 0 { missing } else { 1 });
        let Some(member) = self.members.0.get(&probe.node) else { return };
        let accusation = Accusation {
            incarnation: member.alive.incarnation,
            node: probe.node.clone(),
            from: self.options.name.clone(),
        };
        tracing::debug!(member = probe.node, "member of the gossip did not answer");
        self.handle_suspect(&accusation, now);
    }

    pub(super) fn handle_ping(&mut self, ping: &Ping, from: SocketAddr) {
        if !ping.node.is_empty() && ping.node != self.options.name {
            tracing::debug!(node = ping.node, "ping for another member");
            return;
        }
        let to = Self::socket(&ping.source.addr, ping.source.port).unwrap_or(from);
        self.send(to, &Message::Ack(ping.seq));
    }

    pub(super) fn handle_indirect_ping(&mut self, now: Now, ask: IndirectPing, from: SocketAddr) {
        let Some(target) = Self::socket(&ask.target, ask.port) else { return };
        if MAX_RELAYED <= self.probes.relayed.len() {
            return;
        }
        let seq = self.probes.next_seq();
        let relayed = Relayed {
            seq: ask.seq,
            to: Self::socket(&ask.source.addr, ask.source.port).unwrap_or(from),
            nack: ask.nack,
            deadline_ms: now.monotonic_ms + self.options.probe_timeout_ms,
        };
        self.probes.relayed.insert(seq, relayed);
        self.send(target, &Message::Ping(Ping { seq, node: ask.node, source: self.source() }));
    }

    pub(super) fn handle_ack(&mut self, seq: u32) {
        if let Some(relayed) = self.probes.relayed.remove(&seq) {
            return self.send(relayed.to, &Message::Ack(relayed.seq));
        }
        if self.probes.current.as_ref().is_some_and(|probe| probe.seq == seq) {
            self.probes.current = None;
            self.probes.health = self.probes.health.saturating_sub(1);
        }
    }

    fn end_relayed(&mut self, now_ms: u64) {
        let due = self.probes.relayed.iter().filter(|(_, relayed)| relayed.deadline_ms <= now_ms);
        for seq in due.map(|(seq, _)| *seq).collect::<Vec<u32>>() {
            if let Some(relayed) = self.probes.relayed.remove(&seq)
                && relayed.nack
            {
                self.send(relayed.to, &Message::Nack(relayed.seq));
            }
        }
    }
}
