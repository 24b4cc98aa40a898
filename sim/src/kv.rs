//! The key-value store of the rings, at the other end of the network.

use std::sync::{Arc, Weak};

use futures::FutureExt as _;
use parking_lot::Mutex;
use ring::kv::{Codec, KvError, MemoryStore, OnChange, SharedValue, Store, Update};
use rt::BoxFuture;
use tokio::sync::Notify;

use crate::network::{Lost, Network};

/// The store's name in the network.
const KV: &str = "kv";
/// How often a watch that broke is begun again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// The store, and who waits for changes. Its own watches wake waiters in an order of chance.
#[derive(Default)]
pub(crate) struct Kv {
    values: MemoryStore,
    watchers: Mutex<Vec<Weak<Notify>>>,
}

impl Kv {
    fn has_changed(&self) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| match watcher.upgrade() {
            Some(watcher) => {
                watcher.notify_one();
                true
            }
            None => false,
        });
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
        codec: &'a dyn Codec,
    ) -> BoxFuture<'a, Result<Option<SharedValue>, KvError>> {
        async move {
            self.ask().await?;
            let value = self.kv.values.get(key, codec).await?;
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
            self.kv.values.cas(key, codec, update).await?;
            self.kv.has_changed();
            self.answer().await
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), KvError>> {
        async move {
            self.ask().await?;
            self.kv.values.delete(key).await?;
            self.kv.has_changed();
            self.answer().await
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, KvError>> {
        async move {
            self.ask().await?;
            let keys = self.kv.values.list(prefix).await?;
            self.answer().await.map(|()| keys)
        }
        .boxed()
    }

    /// Of values that follow each other fast only the last is reported, late.
    fn watch_key<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        async move {
            let changed = Arc::new(Notify::new());
            self.kv.watchers.lock().push(Arc::downgrade(&changed));
            loop {
                while self.answer().await.is_err() {
                    rt::time::sleep(RETRY).await;
                }
                if let Ok(value) = self.kv.values.get(key, codec).await
                    && !on_change(key, value)
                {
                    return;
                }
                changed.notified().await;
            }
        }
        .boxed()
    }

    fn watch_prefix<'a>(
        &'a self,
        prefix: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        self.kv.values.watch_prefix(prefix, codec, on_change)
    }
}
