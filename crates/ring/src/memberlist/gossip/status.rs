//! What a member tells about itself: its counters, queues, members and values, for pages and
//! metrics.

use std::net::SocketAddr;

use super::Gossip;
use crate::memberlist::members::Member;
use crate::memberlist::message::NodeState;
use crate::memberlist::store::Entry;

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

impl Gossip {
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
        let view = |(key, entry): (&String, &Entry)| ValueView {
            key: key.clone(),
            codec: entry.value.codec_id(),
            version: entry.version,
            deleted: entry.deleted,
            tombstones: entry.tombstones,
            size: entry.value.encode().len(),
        };
        self.values.entries().iter().map(view).collect()
    }
}
