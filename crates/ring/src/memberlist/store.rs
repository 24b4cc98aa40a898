//! The keys and values of the gossip: merging what comes in, and what has to be told to others.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;

use super::Now;
use crate::kv::{Codec, MergeOrigin, Value, compress};

/// Keys at most: rings, and the clusters of the HA tracker.
const MAX_KEYS: usize = 200_000;
const MAX_KEY_BYTES: usize = 4096;

/// A key with its value, as dskit's gossip carries it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValuePair {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value, encoded by its codec.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    /// The name of the codec.
    #[prost(string, tag = "3")]
    pub codec: String,
    /// Whether the key was deleted.
    #[prost(bool, tag = "4")]
    pub deleted: bool,
    /// When it was deleted, milliseconds.
    #[prost(int64, tag = "5")]
    pub update_time_millis: i64,
}

/// Why a pair is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// Not a pair.
    #[error("invalid key-value pair: {0}")]
    Invalid(String),
    /// Somebody else's kind of value.
    #[error("unknown codec \"{0}\"")]
    UnknownCodec(String),
    /// More keys than there may be.
    #[error("too many keys")]
    TooManyKeys,
}

/// What is behind a key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) value: Box<dyn Value>,
    pub(crate) version: u64,
    pub(crate) deleted: bool,
    pub(crate) updated_ms: i64,
    /// Marks of those who left.
    pub(crate) tombstones: usize,
}

/// What a merge changed: to be told to others.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) pair: KeyValuePair,
    pub(crate) content: Vec<String>,
    pub(crate) version: u64,
    /// Another member's message that tells of heartbeats alone.
    pub(crate) is_renewal: bool,
}

/// What came of a merge.
#[derive(Debug)]
pub(crate) enum Merged {
    Unchanged,
    /// The value is another one than the change was made from.
    Conflict,
    Changed(Change),
}

/// What is to be merged into a key.
pub(crate) struct Incoming {
    pub(crate) value: Box<dyn Value>,
    pub(crate) origin: MergeOrigin,
    /// The version that the change was made from, if any.
    pub(crate) based_on: Option<u64>,
    pub(crate) deleted: bool,
    pub(crate) updated_ms: i64,
}

/// All keys and values.
pub(crate) struct Values {
    codecs: Vec<Arc<dyn Codec>>,
    entries: BTreeMap<String, Entry>,
    left_timeout_ms: i64,
    /// Marks of deletion that were removed so far.
    pub(crate) removed_tombstones: u64,
}

impl Values {
    pub(crate) fn new(codecs: Vec<Arc<dyn Codec>>, left_timeout_ms: i64) -> Self {
        Self { codecs, entries: BTreeMap::new(), left_timeout_ms, removed_tombstones: 0 }
    }

    pub(crate) fn codec(&self, id: &str) -> Option<&Arc<dyn Codec>> {
        self.codecs.iter().find(|codec| codec.id() == id)
    }

    pub(crate) fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// A copy of a value without marks of deletion, and its version (0 when there is none).
    pub(crate) fn get(&self, key: &str) -> (Option<Box<dyn Value>>, u64) {
        let Some(entry) = self.entries.get(key) else { return (None, 0) };
        let mut value = entry.value.clone_boxed();
        value.remove_tombstones(None);
        (Some(value), entry.version)
    }

    /// Merges a pair that came from another member.
    pub(crate) fn merge_pair(&mut self, bytes: &[u8], now: Now) -> Result<Merged, PairError> {
        let invalid = |error: &dyn std::fmt::Display| PairError::Invalid(error.to_string());
        let pair = KeyValuePair::decode(bytes).map_err(|error| invalid(&error))?;
        if pair.key.is_empty() || MAX_KEY_BYTES < pair.key.len() {
            return Err(invalid(&"length of the key"));
        }
        let codec = self.codec(&pair.codec);
        let codec = codec.ok_or_else(|| PairError::UnknownCodec(pair.codec.clone()))?;
        let encoded = if pair.value.is_empty() { compress(&[]) } else { pair.value };
        let value = codec.decode(&encoded).map_err(|error| invalid(&error))?;
        if MAX_KEYS <= self.entries.len() && !self.entries.contains_key(&pair.key) {
            return Err(PairError::TooManyKeys);
        }
        let incoming = Incoming {
            value,
            origin: MergeOrigin::Remote,
            based_on: None,
            deleted: pair.deleted,
            updated_ms: pair.update_time_millis,
        };
        Ok(self.merge(&pair.key, incoming, now))
    }

    /// Merges a value into a key.
    pub(crate) fn merge(&mut self, key: &str, incoming: Incoming, now: Now) -> Merged {
        let Some(entry) = self.entries.get_mut(key) else {
            return self.insert(key, incoming, now);
        };
        if incoming.based_on.is_some_and(|version| version != entry.version) {
            return Merged::Conflict;
        }
        let is_renewal = incoming.origin == MergeOrigin::Remote
            && !incoming.deleted
            && entry.value.is_renewed_by(&*incoming.value);
        let mut change = entry.value.merge(incoming.value, incoming.origin, now.wall_ms / 1000);
        let is_deletion = incoming.deleted && entry.updated_ms < incoming.updated_ms;
        let becomes_deleted = is_deletion && !entry.deleted;
        let says_nothing = |change: &Option<Box<dyn Value>>| {
            change.as_ref().is_none_or(|c| c.content().is_empty())
        };
        if says_nothing(&change) && !becomes_deleted {
            return Merged::Unchanged;
        }
        if self.left_timeout_ms > 0 {
            let limit_s = (now.wall_ms - self.left_timeout_ms) / 1000;
            let (kept, removed) = entry.value.remove_tombstones(Some(limit_s));
            entry.tombstones = kept;
            self.removed_tombstones += removed as u64;
            if let Some(change) = &mut change {
                change.remove_tombstones(Some(limit_s));
            }
            if change.is_some() && says_nothing(&change) && !becomes_deleted {
                return Merged::Unchanged;
            }
        }
        if is_deletion {
            (entry.deleted, entry.updated_ms) = (true, incoming.updated_ms);
        }
        entry.version += 1;
        let change = change.unwrap_or_else(|| entry.value.clone_boxed());
        Merged::Changed(Change { is_renewal, ..told(key, change.as_ref(), entry) })
    }

    fn insert(&mut self, key: &str, incoming: Incoming, now: Now) -> Merged {
        let mut value = incoming.value;
        if self.left_timeout_ms > 0 {
            value.remove_tombstones(Some((now.wall_ms - self.left_timeout_ms) / 1000));
        }
        if incoming.deleted || value.content().is_empty() {
            return Merged::Unchanged;
        }
        let entry = Entry { value, version: 1, deleted: false, updated_ms: 0, tombstones: 0 };
        let change = told(key, entry.value.as_ref(), &entry);
        self.entries.insert(key.to_owned(), entry);
        Merged::Changed(change)
    }

    /// Marks a key as deleted.
    pub(crate) fn delete(&mut self, key: &str, now: Now) -> Merged {
        let Some(entry) = self.entries.get(key).filter(|entry| !entry.deleted) else {
            return Merged::Unchanged;
        };
        let incoming = Incoming {
            value: entry.value.clone_boxed(),
            origin: MergeOrigin::Remote,
            based_on: None,
            deleted: true,
            updated_ms: now.wall_ms,
        };
        self.merge(key, incoming, now)
    }

    /// Forgets keys that were deleted longer ago than `timeout_ms`.
    pub(crate) fn forget_deleted(&mut self, timeout_ms: i64, now: Now) {
        self.entries
            .retain(|_, entry| !entry.deleted || now.wall_ms - entry.updated_ms <= timeout_ms);
    }

    /// All pairs, each after its length, as push/pulls carry them.
    pub(crate) fn encode_all(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, entry) in &self.entries {
            let pair = told(key, entry.value.as_ref(), entry).pair.encode_to_vec();
            out.extend_from_slice(&(pair.len() as u32).to_be_bytes());
            out.extend_from_slice(&pair);
        }
        out
    }
}

/// The pairs of [`Values::encode_all`]; ends with an error where the bytes were cut.
pub(crate) fn split_pairs(mut bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], PairError>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let pair = bytes
            .split_first_chunk::<4>()
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_be_bytes(*length) as usize));
        let Some((pair, rest)) = pair else {
            bytes = &[];
            return Some(Err(PairError::Invalid("truncated state".to_owned())));
        };
        bytes = rest;
        Some(Ok(pair))
    })
}

fn told(key: &str, value: &dyn Value, entry: &Entry) -> Change {
    let pair = KeyValuePair {
        key: key.to_owned(),
        value: value.encode(),
        codec: value.codec_id().to_owned(),
        deleted: entry.deleted,
        update_time_millis: entry.updated_ms,
    };
    Change { pair, content: value.content(), version: entry.version, is_renewal: false }
}
