//! Two stores, to move from one to the other: all reads and changes go to the primary one, and
//! changes are copied to the other while mirroring is on. Both can be switched while running.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use rt::BoxFuture;
use rt::metrics::{Counter, Gauge, GaugeVec};
use tokio::sync::watch;

use super::{Codec, KvError, OnChange, SharedValue, Store, Update, Value};

/// What can be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Switches {
    /// 0 or 1.
    primary: usize,
    is_mirroring: bool,
}

/// Two stores.
pub struct MultiStore {
    stores: [Arc<dyn Store>; 2],
    switches: watch::Sender<Switches>,
    mirror_timeout: Duration,
    metrics: MultiMetrics,
}

struct MultiMetrics {
    kv_name: String,
    primary: GaugeVec,
    mirroring: Gauge,
    writes: Counter,
    failures: Counter,
}

/// How two stores are used at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiOptions {
    /// Whether changes are copied to the secondary store.
    pub is_mirroring: bool,
    /// How long a copy may take; 0 for as long as it takes.
    pub mirror_timeout: Duration,
}

impl MultiMetrics {
    fn new(metrics: &rt::Metrics, kv_name: &str) -> Self {
        let (by_name, name) = (&["kv_name"], &[kv_name]);
        let counter = |metric, help| metrics.counter_vec(metric, help, by_name).with(name);
        let mirroring = metrics.gauge_vec(
            "cortex_multikv_mirror_enabled",
            "Is mirroring to secondary store enabled",
            by_name,
        );
        Self {
            kv_name: kv_name.to_owned(),
            primary: metrics.gauge_vec(
                "cortex_multikv_primary_store",
                "Selected primary KV store",
                &["kv_name", "store"],
            ),
            mirroring: mirroring.with(name),
            writes: counter(
                "cortex_multikv_mirror_writes_total",
                "Number of mirror-writes to secondary store",
            ),
            failures: counter(
                "cortex_multikv_mirror_write_errors_total",
                "Number of failures to mirror-write to secondary store",
            ),
        }
    }
}

impl MultiStore {
    /// Reads and changes `primary`, and may copy to `secondary`. `kv_name` tells its metrics from
    /// those of others.
    pub fn new(
        primary: Arc<dyn Store>,
        secondary: Arc<dyn Store>,
        options: MultiOptions,
        (metrics, kv_name): (&rt::Metrics, &str),
    ) -> Self {
        let metrics = MultiMetrics::new(metrics, kv_name);
        let switches = Switches { primary: 0, is_mirroring: options.is_mirroring };
        let store = Self {
            stores: [primary, secondary],
            switches: watch::Sender::new(switches),
            mirror_timeout: options.mirror_timeout,
            metrics,
        };
        store.show();
        store
    }

    /// Makes the store of this name the primary one; `false` when there is none. Those who watch
    /// go on with the new one.
    pub fn set_primary(&self, name: &str) -> bool {
        let Some(primary) = self.stores.iter().position(|store| store.name() == name) else {
            return false;
        };
        self.switches.send_if_modified(|switches| {
            std::mem::replace(&mut switches.primary, primary) != primary
        });
        self.show();
        true
    }

    /// Switches mirroring.
    pub fn set_mirroring(&self, is_mirroring: bool) {
        self.switches.send_if_modified(|switches| {
            std::mem::replace(&mut switches.is_mirroring, is_mirroring) != is_mirroring
        });
        self.show();
    }

    fn show(&self) {
        let switches = *self.switches.borrow();
        for (index, store) in self.stores.iter().enumerate() {
            let gauge = self.metrics.primary.with(&[&*self.metrics.kv_name, store.name()]);
            gauge.set(i64::from(index == switches.primary));
        }
        self.metrics.mirroring.set(i64::from(switches.is_mirroring));
    }

    fn primary(&self) -> &dyn Store {
        self.stores[self.switches.borrow().primary].as_ref()
    }

    async fn change(
        &self,
        key: &str,
        codec: &dyn Codec,
        update: &mut Update<'_>,
    ) -> Result<(), KvError> {
        let switches = *self.switches.borrow();
        let mut written: Option<Box<dyn Value>> = None;
        let mut noting = |value: Option<SharedValue>| {
            let new = update(value)?;
            written = new.as_ref().map(|new| new.clone_boxed());
            Ok(new)
        };
        self.stores[switches.primary].cas(key, codec, &mut noting).await?;
        if let Some(value) = written.filter(|_| switches.is_mirroring) {
            self.mirror(1 - switches.primary, key, codec, value.as_ref()).await;
        }
        Ok(())
    }

    /// Copies a value; a failure is not one of the change.
    async fn mirror(&self, to: usize, key: &str, codec: &dyn Codec, value: &dyn Value) {
        self.metrics.writes.inc();
        let mut copy = |_: Option<SharedValue>| Ok(Some(value.clone_boxed()));
        let write = self.stores[to].cas(key, codec, &mut copy);
        let failure = if self.mirror_timeout.is_zero() {
            write.await.err().map(|error| error.to_string())
        } else {
            match rt::time::timeout(self.mirror_timeout, write).await {
                Ok(done) => done.err().map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            }
        };
        if let Some(error) = failure {
            self.metrics.failures.inc();
            tracing::warn!(key, error, "could not copy a value to the secondary store");
        }
    }

    /// Watches the primary store, also after it became another one.
    async fn watch(&self, keys: (&str, bool), codec: &dyn Codec, on_change: &mut OnChange<'_>) {
        let mut switches = self.switches.subscribe();
        loop {
            let primary = switches.borrow_and_update().primary;
            let store = &self.stores[primary];
            let watched = match keys {
                (prefix, true) => store.watch_prefix(prefix, codec, on_change),
                (key, false) => store.watch_key(key, codec, on_change),
            };
            tokio::select! {
                () = watched => return,
                switched = switches.wait_for(|switches| switches.primary != primary) => {
                    if switched.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

impl Store for MultiStore {
    fn name(&self) -> &'static str {
        "multi"
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
    ) -> BoxFuture<'a, Result<Option<SharedValue>, KvError>> {
        self.primary().get(key, codec)
    }

    fn cas<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
        update: &'a mut Update<'_>,
    ) -> BoxFuture<'a, Result<(), KvError>> {
        self.change(key, codec, update).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), KvError>> {
        self.primary().delete(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, KvError>> {
        self.primary().list(prefix)
    }

    fn watch_key<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        self.watch((key, false), codec, on_change).boxed()
    }

    fn watch_prefix<'a>(
        &'a self,
        prefix: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        self.watch((prefix, true), codec, on_change).boxed()
    }
}
