//! The state of one member of the gossip. Pure: given the time and what came in, it says what to
//! send. Driven by `service`, or by a simulation.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use model::Random;
use prost::Message as _;

use super::members::{MAX_MEMBERS, Member, Members, Suspicion, is_plausible};
use super::message::{
    Accusation, Alive, Envelope, Message, MessageError, NodeState, PushPull, compound,
};
use super::probe::Probes;
use super::queue::{Queue, Subject, retransmit_limit};
use super::store::{Change, Incoming, Merged, PairError, Values, split_pairs};
use super::{Now, ip_of};
use crate::kv::{Codec, KvError, MergeOrigin, Value};

/// Bytes of a packet that messages may fill.
const PACKET_BYTES: usize = 10 << 20;
/// What a message costs in a packet beside its own bytes.
const MESSAGE_OVERHEAD: usize = 2;
/// From this many members on, push/pulls become rarer.
const PUSH_PULL_SCALE: usize = 32;
/// The protocol that is spoken: lowest, highest, current, and the same of what is carried.
const VERSIONS: [u8; 6] = [1, 5, 2, 0, 0, 0];

/// How a member behaves.
#[derive(Debug, Clone)]
pub struct GossipOptions {
    /// Its name, which nobody else has.
    pub name: String,
    /// Where others reach it.
    pub address: SocketAddr,
    /// How packets are wrapped.
    pub envelope: Envelope,
    /// A message is sent `factor * log10(members + 1)` times.
    pub retransmit_factor: usize,
    /// How often there is gossip.
    pub gossip_interval_ms: u64,
    /// To how many members.
    pub gossip_nodes: usize,
    /// How long dead members still get gossip, so that they can object.
    pub gossip_to_dead_ms: u64,
    /// When a dead member's name may be used with another address; 0 for never.
    pub dead_node_reclaim_ms: u64,
    /// How often everything is compared with another member; 0 for never.
    pub push_pull_interval_ms: u64,
    /// How often a member is asked whether it is there.
    pub probe_interval_ms: u64,
    /// How long an answer may take before others are asked.
    pub probe_timeout_ms: u64,
    /// How long marks of those who left a ring are kept; 0 for ever.
    pub left_timeout_ms: i64,
    /// How long deleted keys are kept.
    pub obsolete_timeout_ms: i64,
}

impl GossipOptions {
    /// Mimir's defaults.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            address,
            envelope: Envelope { compression: true, ..Envelope::default() },
            retransmit_factor: 4,
            gossip_interval_ms: 200,
            gossip_nodes: 3,
            gossip_to_dead_ms: 30_000,
            dead_node_reclaim_ms: 0,
            push_pull_interval_ms: 30_000,
            probe_interval_ms: 5000,
            probe_timeout_ms: 2000,
            left_timeout_ms: 300_000,
            obsolete_timeout_ms: 30_000,
        }
    }
}

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

/// Counters since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GossipStats {
    /// Messages with keys and values.
    pub received_messages: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Those that could not be used.
    pub invalid_messages: u64,
    /// Whole states that came in.
    pub pushes: u64,
    /// Their bytes.
    pub push_bytes: u64,
    /// Whole states that went out.
    pub pulls: u64,
    /// Their bytes.
    pub pull_bytes: u64,
}

/// A member as the status page shows it.
#[derive(Debug, Clone)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// Its address, where it makes sense.
    pub address: Option<SocketAddr>,
    /// What is thought of it.
    pub state: NodeState,
}

/// A key as the status page shows it.
#[derive(Debug, Clone)]
pub struct ValueView {
    /// The key.
    pub key: String,
    /// The name of its codec.
    pub codec: &'static str,
    /// How often it changed here.
    pub version: u64,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Marks of those who left.
    pub tombstones: usize,
    /// Bytes of the encoded value.
    pub size: usize,
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
            Message::User(pair) => self.handle_user(&pair, now),
        }
    }

    fn handle_user(&mut self, pair: &[u8], now: Now) {
        self.stats.received_messages += 1;
        self.stats.received_bytes += pair.len() as u64;
        self.merge_pair(pair, now);
    }

    fn merge_pair(&mut self, pair: &[u8], now: Now) {
        match self.values.merge_pair(pair, now) {
            Ok(Merged::Changed(change)) => self.spread(change, MergeOrigin::Remote),
            Ok(Merged::Unchanged | Merged::Conflict) => {}
            Err(error) => self.count_invalid(&error),
        }
    }

    fn count_invalid(&mut self, error: &PairError) {
        self.stats.invalid_messages += 1;
        match error {
            PairError::UnknownCodec(_) => tracing::debug!(%error, "gossip of an unknown kind"),
            _ => tracing::warn!(%error, "gossip could not be used"),
        }
    }

    /// Tells others of a change, and those who watch here.
    fn spread(&mut self, change: Change, origin: MergeOrigin) {
        let key = change.pair.key.clone();
        let message = Message::User(change.pair.encode_to_vec()).encode();
        let subject =
            Subject::Value { key: key.clone(), content: change.content, version: change.version };
        let queue = match origin {
            MergeOrigin::Local => &mut self.local,
            MergeOrigin::Remote => &mut self.forwarded,
        };
        queue.push(subject, message, change.is_renewal);
        self.commands.push(Command::Changed { key });
    }

    fn tell_member(&mut self, name: &str, message: &Message) {
        self.membership.push(Subject::Member(name.to_owned()), message.encode(), false);
    }

    /// Objects to what is said about this member.
    fn refute(&mut self, accused: u32) {
        self.incarnation = self.incarnation.max(accused).saturating_add(1);
        self.probes.worsen(1);
        let alive = self.own_alive();
        if let Some(member) = self.members.0.get_mut(&alive.node) {
            member.alive.incarnation = alive.incarnation;
        }
        self.tell_member(&alive.node.clone(), &Message::Alive(alive));
    }

    fn handle_alive(&mut self, alive: Alive, now: Now) {
        if !is_plausible(&alive) {
            return;
        }
        if alive.node == self.options.name {
            return self.hear_of_self(&alive);
        }
        let is_reclaim = match self.members.0.get(&alive.node) {
            None if MAX_MEMBERS <= self.members.0.len() => return,
            None => true,
            Some(member) => {
                let has_moved = member.alive.addr != alive.addr || member.alive.port != alive.port;
                if has_moved && !self.may_move(member, now) {
                    return;
                }
                has_moved
            }
        };
        let name = alive.node.clone();
        if let Some(member) = self.members.0.get(&name)
            && alive.incarnation <= member.alive.incarnation
            && !is_reclaim
        {
            return;
        }
        self.tell_member(&name, &Message::Alive(alive.clone()));
        let changed_ms = now.monotonic_ms;
        let new = || Member {
            alive: alive.clone(),
            state: NodeState::Alive,
            changed_ms,
            suspicion: None,
        };
        let member = self.members.0.entry(name).or_insert_with(new);
        member.alive = alive;
        member.suspicion = None;
        member.set_state(NodeState::Alive, changed_ms);
    }

    /// Whether a name may come back with another address.
    fn may_move(&self, member: &Member, now: Now) -> bool {
        let gone_ms = now.monotonic_ms.saturating_sub(member.changed_ms);
        let reclaim_ms = self.options.dead_node_reclaim_ms;
        member.state == NodeState::Left
            || (member.state == NodeState::Dead && 0 < reclaim_ms && reclaim_ms < gone_ms)
    }

    fn hear_of_self(&mut self, alive: &Alive) {
        if self.has_left || alive.incarnation < self.incarnation || *alive == self.own_alive() {
            return;
        }
        // Somebody else has this name, or remembers an earlier life.
        self.refute(alive.incarnation);
    }

    pub(super) fn handle_suspect(&mut self, accusation: &Accusation, now: Now) {
        let (members, interval_ms) = (self.members.0.len(), self.options.probe_interval_ms);
        let Some(member) = self.members.0.get_mut(&accusation.node) else { return };
        if accusation.incarnation < member.alive.incarnation {
            return;
        }
        if let Some(suspicion) = &mut member.suspicion {
            if suspicion.confirm(&accusation.from) {
                self.tell_member(&accusation.node, &Message::Suspect(accusation.clone()));
            }
            return;
        }
        if member.state != NodeState::Alive {
            return;
        }
        if accusation.node == self.options.name {
            return self.refute(accusation.incarnation);
        }
        member.alive.incarnation = accusation.incarnation;
        member.set_state(NodeState::Suspect, now.monotonic_ms);
        let from = &accusation.from;
        member.suspicion = Some(Suspicion::new(from, members, interval_ms, now.monotonic_ms));
        self.tell_member(&accusation.node, &Message::Suspect(accusation.clone()));
    }

    /// A suspect did not object in time.
    fn declare_dead(&mut self, name: &str, now: Now) {
        let Some(member) = self.members.0.get(name) else { return };
        let accusation = Accusation {
            incarnation: member.alive.incarnation,
            node: name.to_owned(),
            from: self.options.name.clone(),
        };
        tracing::info!(member = name, "member of the gossip does not answer: taken for dead");
        self.handle_dead(&accusation, now);
    }

    fn handle_dead(&mut self, accusation: &Accusation, now: Now) {
        let is_self = accusation.node == self.options.name;
        let Some(member) = self.members.0.get_mut(&accusation.node) else { return };
        if accusation.incarnation < member.alive.incarnation {
            return;
        }
        member.suspicion = None;
        if member.is_gone() {
            return;
        }
        if is_self && !self.has_left {
            return self.refute(accusation.incarnation);
        }
        let has_left = accusation.node == accusation.from;
        let state = if has_left { NodeState::Left } else { NodeState::Dead };
        member.alive.incarnation = accusation.incarnation;
        member.set_state(state, now.monotonic_ms);
        self.tell_member(&accusation.node, &Message::Dead(accusation.clone()));
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

    /// A message that came alone over a stream.
    pub fn handle_user_message(&mut self, now: Now, pair: &[u8]) {
        self.handle_user(pair, now);
    }

    /// A copy of a value, and the version that a change of it has to name.
    pub fn get(&self, key: &str) -> (Option<Box<dyn Value>>, u64) {
        self.values.get(key)
    }

    /// Puts a changed value in the place of that of `version`. `Ok(false)`: it changed meanwhile,
    /// or nothing is new in `value`.
    pub fn set(&mut self, now: Now, key: &str, value: Box<dyn Value>, version: u64) -> SetOutcome {
        let (origin, based_on) = match version {
            0 => (MergeOrigin::Remote, None),
            version => (MergeOrigin::Local, Some(version)),
        };
        let incoming = Incoming { value, origin, based_on, deleted: false, updated_ms: 0 };
        match self.values.merge(key, incoming, now) {
            Merged::Changed(change) => {
                self.spread(change, MergeOrigin::Local);
                SetOutcome::Done
            }
            Merged::Conflict => SetOutcome::Conflict,
            Merged::Unchanged => SetOutcome::Unchanged,
        }
    }

    /// Marks a key as deleted.
    pub fn delete(&mut self, now: Now, key: &str) -> Result<(), KvError> {
        if let Merged::Changed(change) = self.values.delete(key, now) {
            self.spread(change, MergeOrigin::Local);
        }
        Ok(())
    }

    /// How often a value changed here; `None` where there is none.
    pub fn version(&self, key: &str) -> Option<u64> {
        self.values.entries().get(key).map(|entry| entry.version)
    }

    /// The keys that begin with `prefix`, and how often each value changed here.
    pub fn versions(&self, prefix: &str) -> Vec<(String, u64)> {
        let below = self.values.entries().range(prefix.to_owned()..);
        let below = below.take_while(|(key, _)| key.starts_with(prefix));
        below.map(|(key, entry)| (key.clone(), entry.version)).collect()
    }

    /// The keys that begin with `prefix`.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let below = self.values.entries().range(prefix.to_owned()..);
        let below = below.take_while(|(key, _)| key.starts_with(prefix));
        below.map(|(key, _)| key.clone()).collect()
    }

    /// Says that it goes. It is over when [`Self::has_told_leaving`].
    pub fn leave(&mut self, now: Now) {
        self.has_left = true;
        let name = self.options.name.clone();
        let accusation =
            Accusation { incarnation: self.incarnation, node: name.clone(), from: name };
        self.handle_dead(&accusation, now);
    }

    /// Whether there is nobody left to be told that it goes.
    pub fn has_told_leaving(&self) -> bool {
        let is_alone = self.members.present() == 0;
        is_alone || !self.membership.has(&Subject::Member(self.options.name.clone()))
    }

    /// Changes made here that were not told often enough yet.
    pub fn local_queue_len(&self) -> usize {
        self.local.len()
    }

    /// Changes from others that wait to be told on.
    pub fn forwarded_queue_len(&self) -> usize {
        self.forwarded.len()
    }

    /// Bytes of all messages that wait.
    pub fn queued_bytes(&self) -> usize {
        self.local.bytes() + self.forwarded.bytes()
    }

    /// Members that are not gone, with this one.
    pub fn member_count(&self) -> usize {
        self.members.present()
    }

    /// How badly this member itself is doing; 0 is best.
    pub fn health_score(&self) -> u64 {
        self.probes.health()
    }

    /// Counters.
    pub fn stats(&self) -> GossipStats {
        self.stats
    }

    /// All members.
    pub fn members(&self) -> Vec<MemberView> {
        let view = |(name, member): (&String, &Member)| MemberView {
            name: name.clone(),
            address: member.address(),
            state: member.state,
        };
        self.members.0.iter().map(view).collect()
    }

    /// All keys.
    pub fn values(&self) -> Vec<ValueView> {
        let view = |(key, entry): (&String, &super::store::Entry)| ValueView {
            key: key.clone(),
            codec: entry.value.codec_id(),
            version: entry.version,
            deleted: entry.deleted,
            tombstones: entry.tombstones,
            size: entry.value.encode().len(),
        };
        self.values.entries().iter().map(view).collect()
    }

    /// Where a member's bytes of an address and its port point to.
    pub(super) fn socket(addr: &[u8], port: u16) -> Option<SocketAddr> {
        (port > 0).then_some(SocketAddr::new(ip_of(addr)?, port))
    }
}

/// What came of [`Gossip::set`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOutcome {
    /// The value is set, and others will hear of it.
    Done,
    /// The value was changed by somebody else.
    Conflict,
    /// There is nothing new in the value.
    Unchanged,
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
