//! The keys and values that every member holds: changes from others merged and told on, changes
//! made here told to the others.

use prost::Message as _;

use super::{Command, Gossip, Now};
use crate::kv::{KvError, MergeOrigin, Value};
use crate::memberlist::message::Message;
use crate::memberlist::queue::Subject;
use crate::memberlist::store::{Change, Incoming, Merged, PairError};

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

impl Gossip {
    /// A key and its value, in a packet or alone over a stream.
    pub fn handle_user_message(&mut self, now: Now, pair: &[u8]) {
        self.stats.received_messages += 1;
        self.stats.received_bytes += pair.len() as u64;
        self.merge_pair(pair, now);
    }

    pub(super) fn merge_pair(&mut self, pair: &[u8], now: Now) {
        match self.values.merge_pair(pair, now) {
            Ok(Merged::Changed(change)) => self.spread(change, MergeOrigin::Remote),
            Ok(Merged::Unchanged | Merged::Conflict) => {}
            Err(error) => self.count_invalid(&error),
        }
    }

    pub(super) fn count_invalid(&mut self, error: &PairError) {
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
}
