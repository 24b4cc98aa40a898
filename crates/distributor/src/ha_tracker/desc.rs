//! What is kept of one pair of senders in a key-value store: the value behind
//! `<tenant>/<cluster>`, in Mimir's own encoding.
//!
//! Fields and their numbers are Mimir's and persisted: never change them.

use std::any::Any;

use prost::Message;
use ring::kv::{Codec, DecodeError, MergeOrigin, Value, compress, decompress};

/// The elected replica of a cluster. Times are milliseconds since the Unix epoch; 0 is "unset".
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReplicaDesc {
    /// The replica whose samples are taken.
    #[prost(string, tag = "1")]
    pub replica: String,
    /// When a distributor last had a request of it, as far as it was stored.
    #[prost(int64, tag = "2")]
    pub received_at: i64,
    /// When the entry was marked for deletion. It is deleted later, so that all who watch see the
    /// mark: not every store tells them about a deletion.
    #[prost(int64, tag = "3")]
    pub deleted_at: i64,
    /// When it was elected.
    #[prost(int64, tag = "4")]
    pub elected_at: i64,
    /// How often another one was elected.
    #[prost(int64, tag = "5")]
    pub elected_changes: i64,
}

impl ReplicaDesc {
    /// Whether the entry is marked for deletion.
    pub fn is_deleted(&self) -> bool {
        self.deleted_at > 0
    }

    /// Whether `other` is the newer view. Of one replica the later request counts (among equals a
    /// mark of deletion), of two replicas the later election, then the later request.
    fn is_older_than(&self, other: &Self) -> bool {
        if self.replica == other.replica {
            let is_marked = !self.is_deleted() && other.is_deleted();
            return self.received_at < other.received_at
                || (self.received_at == other.received_at && is_marked);
        }
        (self.elected_at, self.received_at) < (other.elected_at, other.received_at)
    }
}

impl Value for ReplicaDesc {
    fn codec_id(&self) -> &'static str {
        ReplicaCodec.id()
    }

    fn encode(&self) -> Vec<u8> {
        compress(&self.encode_to_vec())
    }

    fn merge(
        &mut self,
        other: Box<dyn Value>,
        _: MergeOrigin,
        _now_s: i64,
    ) -> Option<Box<dyn Value>> {
        let other = *other.into_any().downcast::<Self>().ok()?;
        if !self.is_older_than(&other) {
            return None;
        }
        *self = other;
        Some(self.clone_boxed())
    }

    /// The whole of it: no message about a pair is taken to replace another one.
    fn content(&self) -> Vec<String> {
        if self.replica.is_empty() { Vec::new() } else { vec![format!("{self:?}")] }
    }

    /// Marks are removed by the tracker, not by the gossip.
    fn remove_tombstones(&mut self, _: Option<i64>) -> (usize, usize) {
        (0, 0)
    }

    fn clone_boxed(&self) -> Box<dyn Value> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn describe(&self) -> String {
        format!("{self:#?}")
    }
}

/// The codec of [`ReplicaDesc`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplicaCodec;

impl Codec for ReplicaCodec {
    fn id(&self) -> &'static str {
        "replicaDesc"
    }

    fn decode(&self, bytes: &[u8]) -> Result<Box<dyn Value>, DecodeError> {
        let plain = decompress(bytes)?;
        let desc = ReplicaDesc::decode(plain.as_slice());
        Ok(Box::new(desc.map_err(|error| DecodeError(error.to_string()))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desc(replica: &str, received_at: i64, elected_at: i64) -> ReplicaDesc {
        ReplicaDesc { replica: replica.to_owned(), received_at, elected_at, ..Default::default() }
    }

    fn merged(mut own: ReplicaDesc, other: &ReplicaDesc) -> ReplicaDesc {
        let change = Value::merge(&mut own, other.clone_boxed(), MergeOrigin::Remote, 0);
        let is_taken = own == *other;
        assert!(change.is_none() || is_taken);
        own
    }

    #[test]
    fn the_encoding_is_protobuf_in_a_snappy_block() {
        let value = ReplicaDesc { deleted_at: 3, elected_changes: 1, ..desc("a", 300, 1) };
        // By the rules of protobuf: tags 1 to 5, 300 is AC 02.
        let plain = [0x0a, 1, b'a', 0x10, 0xac, 2, 0x18, 3, 0x20, 1, 0x28, 1];
        assert_eq!(
            snap::raw::Decoder::new().decompress_vec(&Value::encode(&value)).unwrap(),
            plain
        );
        let decoded = ReplicaCodec.decode(&Value::encode(&value)).unwrap();
        assert_eq!(decoded.as_any().downcast_ref(), Some(&value));
        assert!(ReplicaCodec.decode(b"\x05garbage").is_err());
    }

    #[test]
    fn newer_views_win_in_whatever_order_they_come() {
        let marked = |desc: ReplicaDesc| ReplicaDesc { deleted_at: 9, ..desc };
        // Each view is newer than the one before.
        let views = [
            desc("a", 10, 5),
            desc("a", 20, 5),
            desc("b", 15, 8),
            desc("b", 30, 8),
            marked(desc("b", 30, 8)),
            desc("a", 31, 31),
        ];
        for (i, older) in views.iter().enumerate() {
            for newer in &views[i..] {
                assert_eq!(merged(older.clone(), newer), *newer);
                assert_eq!(merged(newer.clone(), older), *newer);
            }
        }
        // Of two elections at the same moment the one with the later request.
        let (one, two) = (desc("a", 10, 5), desc("b", 11, 5));
        assert_eq!(merged(one.clone(), &two), two);
        assert_eq!(merged(two.clone(), &one), two);
    }
}
