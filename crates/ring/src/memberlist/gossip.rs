//! The state of one member of the gossip. Pure: given the time and what came in, it says what to
//! send. Driven by `service`, or by a simulation. Here is what is due when, and what goes out;
//! `membership` believes or doubts who is there, `values` holds what the members share.

mod membership;
mod options;
mod status;
mod values;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use model::Random;

pub use self::options::GossipOptions;
pub use self::status::{GossipStats, MemberView, ValueView};
pub use self::values::SetOutcome;
use super::members::{Member, Members};
use super::message::{Accusation, Alive, Message, MessageError, NodeState, PushPull, compound};
use super::probe::Probes;
use super::queue::{Queue, Subject, retransmit_limit};
use super::store::{Values, split_pairs};
use super::{Now, ip_of};
use crate::kv::Codec;

/// Bytes of a packet that messages may fill.
const PACKET_BYTES: usize = 10 << 20;
/// What a message costs in a packet beside its own bytes.
const MESSAGE_OVERHEAD: usize = 2;
/// From this many members on, push/pulls become rarer.
const PUSH_PULL_SCALE: usize = 32;
/// The protocol that is spoken: lowest, highest, current, and the same of what is carried.
const VERSIONS: [u8; 6] = [1, 5, 2, 0, 0, 0];

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Send a packet.
    Send {
        /// To whom.
        to: SocketAddr,
        /// With its label and checksum.
        packet: Vec<u8>,
    },
    /// Exchange everything with a member, over a stream.
    PushPull {
        /// With whom.
        to: SocketAddr,
    },
    /// The value of a key is another one: tell those who watch it.
    Changed {
        /// The key.
        key: String,
    },
}

/// One member of the gossip.
pub struct Gossip {
    pub(super) options: GossipOptions,
    pub(super) random: Arc<dyn Random>,
    pub(super) members: Members,
    pub(super) probes: Probes,
    incarnation: u32,
    has_left: bool,
    membership: Queue,
    local: Queue,
    forwarded: Queue,
    values: Values,
    stats: GossipStats,
    next_gossip_ms: u64,
    next_push_pull_ms: u64,
    next_cleanup_ms: u64,
    pub(super) commands: Vec<Command>,
}

impl Gossip {
    /// A member that knows itself alone. `codecs` are those of the values that it understands.
    pub fn new(
        options: GossipOptions,
        codecs: Vec<Arc<dyn Codec>>,
        random: Arc<dyn Random>,
        now: Now,
    ) -> Self {
        let start = |interval: u64| now.monotonic_ms + 1 + random.below(interval.max(1));
        let next_gossip_ms = start(options.gossip_interval_ms);
        let next_push_pull_ms = start(options.push_pull_interval_ms);
        let probes = Probes::new(start(options.probe_interval_ms));
        let mut gossip = Self {
            values: Values::new(codecs, options.left_timeout_ms),
            options,
            random,
            members: Members::default(),
            probes,
            incarnation: 1,
            has_left: false,
            membership: Queue::default(),
            local: Queue::default(),
            forwarded: Queue::default(),
            stats: GossipStats::default(),
            next_gossip_ms,
            next_push_pull_ms,
            next_cleanup_ms: now.monotonic_ms + 1000,
            commands: Vec::new(),
        };
        gossip.add_self(now);
        gossip
    }

    fn add_self(&mut self, now: Now) {
        let alive = self.own_alive();
        self.tell_member(&alive.node, &Message::Alive(alive.clone()));
        let changed_ms = now.monotonic_ms;
        let member = Member { alive, state: NodeState::Alive, changed_ms, suspicion: None };
        self.members.0.insert(self.options.name.clone(), member);
    }

    fn own_alive(&self) -> Alive {
        Alive {
            incarnation: self.incarnation,
            node: self.options.name.clone(),
            addr: ip_bytes(self.options.address.ip()),
            port: self.options.address.port(),
            meta: Vec::new(),
            versions: VERSIONS.to_vec(),
        }
    }

    /// How it behaves.
    pub fn options(&self) -> &GossipOptions {
        &self.options
    }

    /// What the shell has to do since it last asked.
    pub fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_tick_ms(&self) -> u64 {
        let mut next = self.next_gossip_ms.min(self.next_cleanup_ms).min(self.probes.next_ms());
        if self.options.push_pull_interval_ms > 0 {
            next = next.min(self.next_push_pull_ms);
        }
        self.members.next_deadline_ms().map_or(next, |deadline| next.min(deadline))
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now) {
        let now_ms = now.monotonic_ms;
        if self.next_gossip_ms <= now_ms {
            self.next_gossip_ms = now_ms + self.options.gossip_interval_ms.max(1);
            self.gossip(now);
        }
        self.probe(now);
        for name in self.members.overdue(now_ms) {
            self.declare_dead(&name, now);
        }
        if 0 < self.options.push_pull_interval_ms && self.next_push_pull_ms <= now_ms {
            self.next_push_pull_ms = now_ms + self.push_pull_interval_ms();
            self.choose_push_pull();
        }
        if self.next_cleanup_ms <= now_ms {
            self.next_cleanup_ms = now_ms + 1000;
            self.members.forget_gone(self.options.gossip_to_dead_ms, now_ms);
            self.values.forget_deleted(self.options.obsolete_timeout_ms, now);
        }
    }

    fn push_pull_interval_ms(&self) -> u64 {
        let members = self.members.0.len();
        let more = (members as f64 / PUSH_PULL_SCALE as f64).log2().ceil().max(0.0) as u64;
        let factor = if members <= PUSH_PULL_SCALE { 1 } else { 1 + more };
        factor * self.options.push_pull_interval_ms
    }

    fn choose_push_pull(&mut self) {
        let chosen = self.random_members(1, |member| member.state == NodeState::Alive);
        self.commands.extend(chosen.into_iter().map(|to| Command::PushPull { to }));
    }

    /// Up to `count` other members that `is_wanted`.
    pub(super) fn random_members(
        &self,
        count: usize,
        is_wanted: impl Fn(&Member) -> bool,
    ) -> Vec<SocketAddr> {
        let others = self.members.0.iter().filter(|(name, _)| **name != self.options.name);
        let wanted = others.filter(|(_, member)| is_wanted(member));
        let mut addresses: Vec<SocketAddr> =
            wanted.filter_map(|(_, member)| member.address()).collect();
        for i in 0..count.min(addresses.len()) {
            let rest = (addresses.len() - i) as u64;
            addresses.swap(i, i + self.random.below(rest) as usize);
        }
        addresses.truncate(count);
        addresses
    }

    fn gossip(&mut self, now: Now) {
        let keep_ms = self.options.gossip_to_dead_ms;
        let targets = self.random_members(self.options.gossip_nodes, |member| match member.state {
            NodeState::Alive | NodeState::Suspect => true,
            NodeState::Dead => now.monotonic_ms.saturating_sub(member.changed_ms) <= keep_ms,
            NodeState::Left => false,
        });
        for to in targets {
            let mut room = PACKET_BYTES;
            let messages = self.broadcasts(&mut room);
            if messages.is_empty() {
                return;
            }
            self.send_all(to, messages);
        }
    }

    /// Messages that wait, those about members first.
    fn broadcasts(&mut self, room: &mut usize) -> Vec<Vec<u8>> {
        let limit = retransmit_limit(self.options.retransmit_factor, self.members.0.len());
        let mut messages = self.membership.take(room, MESSAGE_OVERHEAD, limit);
        let present = retransmit_limit(self.options.retransmit_factor, self.members.present());
        messages.extend(self.local.take(room, MESSAGE_OVERHEAD, present));
        messages.extend(self.forwarded.take(room, MESSAGE_OVERHEAD, present));
        messages
    }

    fn send_all(&mut self, to: SocketAddr, messages: Vec<Vec<u8>>) {
        for message in compound(messages) {
            let packet = self.options.envelope.packet(message);
            self.commands.push(Command::Send { to, packet });
        }
    }

    /// Sends a message, and whatever waits along with it.
    pub(super) fn send(&mut self, to: SocketAddr, message: &Message) {
        let first = message.encode();
        let mut room = PACKET_BYTES.saturating_sub(first.len());
        let mut messages = vec![first];
        messages.extend(self.broadcasts(&mut room));
        self.send_all(to, messages);
    }

    /// Takes a packet. An error concerns the packet as a whole.
    pub fn handle_packet(
        &mut self,
        now: Now,
        packet: &[u8],
        from: SocketAddr,
    ) -> Result<(), MessageError> {
        for message in self.options.envelope.open_packet(packet)? {
            self.handle(now, message, from);
        }
        Ok(())
    }

    fn handle(&mut self, now: Now, message: Message, from: SocketAddr) {
        match message {
            Message::Ping(ping) => self.handle_ping(&ping, from),
            Message::IndirectPing(ping) => self.handle_indirect_ping(now, ping, from),
            Message::Ack(seq) => self.handle_ack(seq),
            Message::Nack(seq) => self.probes.nack(seq),
            Message::Suspect(accusation) => self.handle_suspect(&accusation, now),
            Message::Alive(alive) => self.handle_alive(alive, now),
            Message::Dead(accusation) => self.handle_dead(&accusation, now),
            Message::User(pair) => self.handle_user_message(now, &pair),
        }
    }

    fn tell_member(&mut self, name: &str, message: &Message) {
        self.membership.push(Subject::Member(name.to_owned()), message.encode(), false);
    }

    /// Everything that is known here, for a push/pull.
    pub fn local_state(&mut self, join: bool) -> Vec<u8> {
        let user = self.values.encode_all();
        self.stats.pulls += 1;
        self.stats.pull_bytes += user.len() as u64;
        self.options.envelope.push_pull(&PushPull { join, nodes: self.members.pushed(), user })
    }

    /// Takes over what another member knows.
    pub fn merge_remote_state(&mut self, now: Now, state: PushPull) {
        self.stats.pushes += 1;
        self.stats.push_bytes += state.user.len() as u64;
        for node in state.nodes {
            let (incarnation, name) = (node.alive.incarnation, node.alive.node.clone());
            let accusation =
                |from: &str| Accusation { incarnation, node: name.clone(), from: from.to_owned() };
            match node.state {
                NodeState::Alive => self.handle_alive(node.alive, now),
                NodeState::Left => self.handle_dead(&accusation(&name), now),
                // It may object, as long as it is there.
                NodeState::Dead | NodeState::Suspect => {
                    let own = self.options.name.clone();
                    self.handle_suspect(&accusation(&own), now);
                }
            }
        }
        for pair in split_pairs(&state.user) {
            match pair {
                Ok(pair) => self.merge_pair(pair, now),
                Err(error) => self.count_invalid(&error),
            }
        }
    }

    /// Where a member's bytes of an address and its port point to.
    pub(super) fn socket(addr: &[u8], port: u16) -> Option<SocketAddr> {
        (port > 0).then_some(SocketAddr::new(ip_of(addr)?, port))
    }
}

/// An address as Go's members write it: 16 bytes.
fn ip_bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests;
