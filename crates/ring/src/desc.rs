//! What stands in a ring: instances with their tokens, states and heartbeats, as the protobuf
//! messages that Mimir keeps in its key-value stores.
//!
//! Read and written by lifecyclers, readers and the gossip. Fields and their numbers are Mimir's
//! and persisted: never change them. Times are whole seconds since the Unix epoch; 0 is "unset".

mod merge;

use std::collections::BTreeMap;
use std::fmt;

use prost::Message;

use crate::kv::{Codec, DecodeError, Value};
use crate::operation::Operation;

/// The state of an instance. The numbers are persisted, keep them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum InstanceState {
    /// Reads and writes.
    Active = 0,
    /// On its way out; still reads.
    Leaving = 1,
    /// In the ring without tokens yet.
    Pending = 2,
    /// Has tokens, does not serve yet.
    Joining = 3,
    /// Gone: a mark for the gossip, never shown to a reader.
    Left = 4,
}

impl InstanceState {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Active, Self::Leaving, Self::Pending, Self::Joining, Self::Left];

    /// The word on pages and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Leaving => "LEAVING",
            Self::Pending => "PENDING",
            Self::Joining => "JOINING",
            Self::Left => "LEFT",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One instance of a ring.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InstanceDesc {
    /// Host and port for its clients.
    #[prost(string, tag = "1")]
    pub addr: String,
    /// The last heartbeat, seconds.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
    /// Its [`InstanceState`] as a number, which may be one that is not known here.
    #[prost(int32, tag = "3")]
    pub state: i32,
    /// Its tokens, sorted.
    #[prost(uint32, repeated, tag = "6")]
    pub tokens: Vec<u32>,
    /// Its availability zone; empty for none.
    #[prost(string, tag = "7")]
    pub zone: String,
    /// When it first came into the ring, seconds.
    #[prost(int64, tag = "8")]
    pub registered_timestamp: i64,
    /// Its name. Some writers leave it out: the key of the map holds.
    #[prost(string, tag = "9")]
    pub id: String,
    /// When [`Self::read_only`] last changed, seconds.
    #[prost(int64, tag = "10")]
    pub read_only_updated_timestamp: i64,
    /// Takes no new data.
    #[prost(bool, tag = "11")]
    pub read_only: bool,
    /// Versions of parts of it, by a number for each part.
    #[prost(btree_map = "uint64, uint64", tag = "12")]
    pub versions: BTreeMap<u64, u64>,
}

impl InstanceDesc {
    /// Its state; `None` for a number that is not known here.
    pub fn instance_state(&self) -> Option<InstanceState> {
        InstanceState::try_from(self.state).ok()
    }

    /// Whether it is in this state.
    pub fn is_in(&self, state: InstanceState) -> bool {
        self.state == state as i32
    }

    /// Whether its last heartbeat is at most `timeout_s` old.
    pub fn is_heartbeat_healthy(&self, timeout_s: i64, now_s: i64) -> bool {
        now_s.saturating_sub(self.timestamp) <= timeout_s
    }

    /// Whether nothing but the last heartbeat is another one.
    pub(crate) fn differs_in_time_alone(&self, other: &InstanceDesc) -> bool {
        let Self { timestamp: _, addr, state, tokens, zone, id, versions, .. } = self;
        let Self { registered_timestamp, read_only_updated_timestamp, read_only, .. } = self;
        *state == other.state
            && *read_only == other.read_only
            && *read_only_updated_timestamp == other.read_only_updated_timestamp
            && *registered_timestamp == other.registered_timestamp
            && *addr == other.addr
            && *zone == other.zone
            && *id == other.id
            && *versions == other.versions
            && *tokens == other.tokens
    }

    /// Whether an operation may use it.
    pub fn is_healthy(&self, op: Operation, timeout_s: i64, now_s: i64) -> bool {
        op.accepts(self.state) && self.is_heartbeat_healthy(timeout_s, now_s)
    }

    /// Why it is not ready to be relied on.
    pub fn not_ready(&self, timeout_s: i64, now_s: i64) -> Option<String> {
        if !self.is_heartbeat_healthy(timeout_s, now_s) {
            return Some(format!("instance {} past heartbeat timeout", self.addr));
        }
        let state = self.instance_state().map_or("UNKNOWN", InstanceState::word);
        (!self.is_in(InstanceState::Active))
            .then(|| format!("instance {} in state {state}", self.addr))
    }
}

/// A ring: its instances by name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Desc {
    /// The instances. The name is that of the protobuf field.
    #[prost(btree_map = "string, message", tag = "1")]
    pub ingesters: BTreeMap<String, InstanceDesc>,
}

impl Desc {
    /// All tokens, sorted.
    pub fn tokens(&self) -> Vec<u32> {
        let mut tokens: Vec<u32> =
            self.ingesters.values().flat_map(|instance| &instance.tokens).copied().collect();
        tokens.sort_unstable();
        tokens
    }

    /// The tokens of an instance, sorted; none for one that is not there.
    pub fn tokens_of(&self, id: &str) -> Vec<u32> {
        let mut tokens =
            self.ingesters.get(id).map_or_else(Vec::new, |instance| instance.tokens.clone());
        tokens.sort_unstable();
        tokens
    }

    /// Takes out instances without a heartbeat for longer than `period_s`; says which.
    pub fn forget_silent(&mut self, period_s: i64, now_s: i64) -> Vec<String> {
        let silent = |instance: &InstanceDesc| !instance.is_heartbeat_healthy(period_s, now_s);
        let gone: Vec<String> = self
            .ingesters
            .iter()
            .filter(|(_, instance)| silent(instance))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &gone {
            self.ingesters.remove(id);
        }
        gone
    }

    /// What Mimir's codec writes: protobuf in a snappy block.
    pub fn encode_compressed(&self) -> Vec<u8> {
        crate::kv::compress(&self.encode_to_vec())
    }
}

/// The codec of rings.
#[derive(Debug, Clone, Copy, Default)]
pub struct RingCodec;

impl Codec for RingCodec {
    fn id(&self) -> &'static str {
        "ringDesc"
    }

    fn decode(&self, bytes: &[u8]) -> Result<Box<dyn Value>, DecodeError> {
        let plain = crate::kv::decompress(bytes)?;
        let mut desc =
            Desc::decode(plain.as_slice()).map_err(|error| DecodeError(error.to_string()))?;
        desc.normalize();
        Ok(Box::new(desc))
    }
}

#[cfg(test)]
mod tests;
