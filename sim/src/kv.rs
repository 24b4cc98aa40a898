//! The key-value store of the rings, at the other end of the network.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use futures::FutureExt as _;
use parking_lot::Mutex;
use ring::kv::{Codec, KvError, OnChange, SharedValue, Store, Update};
use rt::BoxFuture;
use tokio::sync::Notify;

use crate::network::{Lost, Network};

/// The store's name in the network.
const KV: &str = "kv";
/// How often a watch that broke is begun again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// The store, and who waits for changes, in the order in which they began.
#[derive(Default)]
pub(crate) struct Kv {
    /// Values as they come out of their bytes, each with the number of its change.
    values: Mutex<BTreeMap<String, (u64, SharedValue)>>,
    /// How many changes there were.
    changes: AtomicU64,
    watchers: Mutex<Vec<Watcher>>,
}

struct Watcher {
    /// A key, or what keys begin with.
    prefix: String,
    changed: Weak<Notify>,
}

impl Kv {
    fn get(&self, key: &str) -> Option<SharedValue> {
        self.values.lock().get(key).map(|(_, value)| Arc::clone(value))
    }

    fn cas(&self, key: &str, codec: &dyn Codec, update: &mut Update<'_>) -> Result<(), KvError> {
        let Some(new) = update(self.get(key)).map_err(KvError::Refused)? else { return Ok(()) };
        let value = codec.decode(&new.encode())?.into();
        let change = self.changes.fetch_add(1, Ordering::Relaxed);
        self.values.lock().insert(key.to_owned(), (change, value));
        self.has_changed(key);
        Ok(())
    }

    fn has_changed(&self, key: &str) {
        self.watchers.lock().retain(|watcher| match watcher.changed.upgrade() {
            Some(changed) => {
                if key.starts_with(&watcher.prefix) {
                    changed.notify_one();
                }
                true
            }
            None => false,
        });
    }

    fn watch(&self, prefix: &str) -> Arc<Notify> {
        let changed = Arc::new(Notify::new());
        let (prefix, weak) = (prefix.to_owned(), Arc::downgrade(&changed));
        self.watchers.lock().push(Watcher { prefix, changed: weak });
        changed
    }

    /// The keys that begin with `prefix`, with the numbers of their changes.
    fn changes(&self, prefix: &str) -> BTreeMap<String, u64> {
        let values = self.values.lock();
        let below =
            values.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        below.map(|(key, (change, _))| (key.clone(), *change)).collect()
    }
}

/// The store as a node sees it.
pub(crate) struct NodeKv {
    pub(crate) kv: Arc<Kv>,
    pub(crate) network: Arc<Network>,
    pub(crate) node: String,
}

impl NodeKv {
    async fn ask(&self) -> Result<(), KvError> {
        self.network.carry(&self.node, KV).await.map_err(lost)
    }

    async fn answer(&self) -> Result<(), KvError> {
        self.network.carry(KV, &self.node).await.map_err(lost)
    }
}

fn lost(_: Lost) -> KvError {
    KvError::Unavailable { store: "simulated", message: "no answer".to_owned() }
}

impl Store for NodeKv {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        _: &'a dyn Codec,
    ) -> BoxFuture<'a, Result<Option<SharedValue>, KvError>> {
        async move {
            self.ask().await?;
            let value = self.kv.get(key);
            self.answer().await.map(|()| value)
        }
        .boxed()
    }

    fn cas<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
        update: &'a mut Update<'_>,
    ) -> BoxFuture<'a, Result<(), KvError>> {
        async move {
            self.ask().await?;
            self.kv.cas(key, codec, update)?;
            self.answer().await
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), KvError>> {
        async move {
            self.ask().await?;
            self.kv.values.lock().remove(key);
            self.kv.has_changed(key);
            self.answer().await
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, KvError>> {
        async move {
            self.ask().await?;
            let keys = self.kv.changes(prefix).into_keys().collect();
            self.answer().await.map(|()| keys)
        }
        .boxed()
    }

    /// Of values that follow each other fast only the last is reported, late.
    fn watch_prefix<'a>(
        &'a self,
        prefix: &'a str,
        _: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        async move {
            let changed = self.kv.watch(prefix);
            let mut seen = BTreeMap::new();
            loop {
                while self.answer().await.is_err() {
                    rt::time::sleep(RETRY).await;
                }
                let now = self.kv.changes(prefix);
                let is_new = |key: &String| now.get(key) != seen.get(key);
                let gone = seen.keys().filter(|key| !now.contains_key(*key));
                let changes: Vec<String> =
                    gone.chain(now.keys().filter(|key| is_new(key))).cloned().collect();
                for key in changes {
                    if !on_change(&key, self.kv.get(&key)) {
                        return;
                    }
                }
                seen = now;
                changed.notified().await;
            }
        }
        .boxed()
    }
}
