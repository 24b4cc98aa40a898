//! Key-value stores: where the processes of a cluster keep what they share.
//!
//! One trait over four stores: the process' memory, etcd, the gossip of `memberlist`, and `multi`
//! (one store, mirrored to another). A value is a whole ring; changes go through
//! compare-and-swap. Called by lifecyclers, readers, the HA tracker and the status pages.

mod client;
mod etcd;
mod memory;
mod multi;
mod observed;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;
use rt::{BoxError, BoxFuture};

pub use client::Client;
pub use etcd::{EtcdOptions, EtcdStore};
pub use memory::MemoryStore;
pub use multi::{MultiOptions, MultiStore};
pub use observed::{StoreRole, StoreTimes};

/// The most that a compressed value may say its plain size is, bytes: a ring of many thousands of
/// instances.
pub const MAX_VALUE_BYTES: usize = 256 << 20;

/// Where a change that is merged came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeOrigin {
    /// A change of this process: what is missing in it has been deleted.
    Local,
    /// Another member: it may know a part only.
    Remote,
}

/// What stands behind a key.
pub trait Value: Any + Send + Sync + fmt::Debug {
    /// The name of its codec.
    fn codec_id(&self) -> &'static str;
    /// The bytes that are stored.
    fn encode(&self) -> Vec<u8>;
    /// Takes over what is newer in `other` and returns what changed; `None` when nothing did.
    fn merge(
        &mut self,
        other: Box<dyn Value>,
        origin: MergeOrigin,
        now_s: i64,
    ) -> Option<Box<dyn Value>>;
    /// Whether `other` says nothing of its parts but that they are as they were, at a later time:
    /// heartbeats. Not everybody has to hear of each of them.
    fn is_renewed_by(&self, _other: &dyn Value) -> bool {
        false
    }
    /// What the value consists of: a message that is about the same parts replaces another one.
    fn content(&self) -> Vec<String>;
    /// Removes marks of deletion from before a time, or all of them. Returns how many are left
    /// and how many were removed.
    fn remove_tombstones(&mut self, before_s: Option<i64>) -> (usize, usize);
    /// A copy.
    fn clone_boxed(&self) -> Box<dyn Value>;
    /// For a look at its type.
    fn as_any(&self) -> &dyn Any;
    /// For a look at its type.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    /// For the status page.
    fn describe(&self) -> String;
}

/// Bytes that are no value of a codec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("decode value: {0}")]
pub struct DecodeError(pub String);

/// Turns stored bytes into values.
pub trait Codec: Send + Sync {
    /// Its name in messages of the gossip.
    fn id(&self) -> &'static str;
    /// Decodes what [`Value::encode`] made.
    fn decode(&self, bytes: &[u8]) -> Result<Box<dyn Value>, DecodeError>;
}

/// A snappy block, as the codecs of Mimir's values write it.
pub fn compress(plain: &[u8]) -> Vec<u8> {
    // Fails for more than 4 GiB alone.
    snap::raw::Encoder::new().compress_vec(plain).unwrap_or_default()
}

/// The plain bytes of a snappy block, at most [`MAX_VALUE_BYTES`].
pub fn decompress(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let error = |error: snap::Error| DecodeError(error.to_string());
    let length = snap::raw::decompress_len(bytes).map_err(error)?;
    // A block cannot hold more than about 21 bytes for each of its own.
    if MAX_VALUE_BYTES < length || bytes.len().saturating_mul(32) < length {
        return Err(DecodeError(format!("a value of {length} bytes is too large")));
    }
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(error)
}

/// Why a store did not do something.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The store cannot be reached, or answered with an error.
    #[error("{store}: {message}")]
    Unavailable {
        /// The name of the store.
        store: &'static str,
        /// What went wrong.
        message: String,
    },
    /// The bytes behind a key are no value.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Others changed the value again and again.
    #[error("failed to CAS {key}: too many conflicts")]
    TooManyConflicts {
        /// The key.
        key: String,
    },
    /// The function that was to change the value refused.
    #[error("{0}")]
    Refused(BoxError),
    /// The store does not do this.
    #[error("{store} does not support {operation}")]
    Unsupported {
        /// The name of the store.
        store: &'static str,
        /// What was asked for.
        operation: &'static str,
    },
}

/// A value that nobody changes any more.
pub type SharedValue = Arc<dyn Value>;

/// What a change makes of a value: `None` leaves it as it is. It may be called several times.
pub type Update<'a> =
    dyn FnMut(Option<SharedValue>) -> Result<Option<Box<dyn Value>>, BoxError> + Send + 'a;

/// Takes a new value of a key; `false` ends the watch.
pub type OnChange<'a> = dyn FnMut(&str, Option<SharedValue>) -> bool + Send + 'a;

/// A store. Keys are plain texts; all of them are used with the codec that a caller gives.
///
/// A watch first reports the value that is there, then each later one; of values that follow
/// each other fast only the last may be reported. It ends when the future is dropped or the
/// callback returns `false`, and survives failures of the store.
pub trait Store: Send + Sync {
    /// Its name in configuration, logs and metrics.
    fn name(&self) -> &'static str;

    /// The value behind a key.
    fn get<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
    ) -> BoxFuture<'a, Result<Option<SharedValue>, KvError>>;

    /// Changes the value behind a key, over again when somebody else was faster.
    fn cas<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
        update: &'a mut Update<'_>,
    ) -> BoxFuture<'a, Result<(), KvError>>;

    /// Removes a key.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), KvError>>;

    /// The keys that begin with `prefix`, sorted.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, KvError>>;

    /// Reports every value of a key. A store that can watch one alone does so.
    fn watch_key<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        async move {
            let mut only = |changed: &str, value: Option<SharedValue>| {
                changed != key || on_change(changed, value)
            };
            self.watch_prefix(key, codec, &mut only).await;
        }
        .boxed()
    }

    /// Reports every value of every key that begins with `prefix`.
    fn watch_prefix<'a>(
        &'a self,
        prefix: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()>;
}
