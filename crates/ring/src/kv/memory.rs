//! The store in the memory of one process: `inmemory`, for single nodes and tests.

use std::collections::BTreeMap;

use futures::FutureExt;
use parking_lot::Mutex;
use rt::BoxFuture;
use tokio::sync::watch;

use super::{Codec, KvError, OnChange, SharedValue, Store, Update};

/// A key's bytes and the number of the change that made them.
type Entry = (u64, Vec<u8>);

/// How often a change is tried over again.
const CAS_ATTEMPTS: usize = 10;

/// Values in memory. Bytes are kept, as in any other store.
pub struct MemoryStore {
    entries: Mutex<BTreeMap<String, Entry>>,
    /// The number of the last change.
    changes: watch::Sender<u64>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { entries: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl MemoryStore {
    fn entry(&self, key: &str) -> Option<Entry> {
        self.entries.lock().get(key).cloned()
    }

    /// Sets (or removes) the bytes if they are still those of change `expected`.
    fn swap(&self, key: &str, expected: Option<u64>, bytes: Option<Vec<u8>>) -> bool {
        let mut entries = self.entries.lock();
        if entries.get(key).map(|(change, _)| *change) != expected {
            return false;
        }
        let change = *self.changes.borrow() + 1;
        match bytes {
            Some(bytes) => drop(entries.insert(key.to_owned(), (change, bytes))),
            None => drop(entries.remove(key)),
        }
        drop(entries);
        self.changes.send_modify(|last| *last += 1);
        true
    }

    fn change(&self, key: &str, codec: &dyn Codec, update: &mut Update<'_>) -> Result<(), KvError> {
        for _ in 0..CAS_ATTEMPTS {
            let entry = self.entry(key);
            let value = decoded(entry.as_ref(), codec)?;
            let Some(new) = update(value).map_err(KvError::Refused)? else { return Ok(()) };
            if self.swap(key, entry.map(|(change, _)| change), Some(new.encode())) {
                return Ok(());
            }
        }
        Err(KvError::TooManyConflicts { key: key.to_owned() })
    }

    /// Reports what is new since the changes in `seen`; `false` when the watcher has had enough.
    fn report(
        &self,
        prefix: &str,
        codec: &dyn Codec,
        seen: &mut BTreeMap<String, u64>,
        on_change: &mut OnChange<'_>,
    ) -> bool {
        let entries: Vec<(String, Entry)> = {
            let entries = self.entries.lock();
            let below = entries.range(prefix.to_owned()..);
            let below = below.take_while(|(key, _)| key.starts_with(prefix));
            below.map(|(key, entry)| (key.clone(), entry.clone())).collect()
        };
        let gone = |key: &&String| !entries.iter().any(|(there, _)| there == *key);
        for key in seen.keys().filter(gone).cloned().collect::<Vec<_>>() {
            seen.remove(&key);
            if !on_change(&key, None) {
                return false;
            }
        }
        for (key, entry) in &entries {
            if seen.insert(key.clone(), entry.0) == Some(entry.0) {
                continue;
            }
            match decoded(Some(entry), codec) {
                Ok(value) => {
                    if !on_change(key, value) {
                        return false;
                    }
                }
                Err(error) => tracing::warn!(key, %error, "value in memory cannot be read"),
            }
        }
        true
    }
}

fn decoded(entry: Option<&Entry>, codec: &dyn Codec) -> Result<Option<SharedValue>, KvError> {
    let Some((_, bytes)) = entry else { return Ok(None) };
    Ok(Some(codec.decode(bytes)?.into()))
}

impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "inmemory"
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
    ) -> BoxFuture<'a, Result<Option<SharedValue>, KvError>> {
        async move { decoded(self.entry(key).as_ref(), codec) }.boxed()
    }

    fn cas<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
        update: &'a mut Update<'_>,
    ) -> BoxFuture<'a, Result<(), KvError>> {
        async move { self.change(key, codec, update) }.boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), KvError>> {
        async move {
            while let Some((change, _)) = self.entry(key) {
                if self.swap(key, Some(change), None) {
                    break;
                }
            }
            Ok(())
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, KvError>> {
        async move {
            let entries = self.entries.lock();
            let below = entries.range(prefix.to_owned()..);
            let below = below.take_while(|(key, _)| key.starts_with(prefix));
            Ok(below.map(|(key, _)| key.clone()).collect())
        }
        .boxed()
    }

    fn watch_prefix<'a>(
        &'a self,
        prefix: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        async move {
            let (mut changes, mut seen) = (self.changes.subscribe(), BTreeMap::new());
            loop {
                changes.borrow_and_update();
                if !self.report(prefix, codec, &mut seen, on_change) {
                    return;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        }
        .boxed()
    }
}
