//! The gossip as a key-value store.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use rt::BoxFuture;
use rt::time::sleep;

use super::{MemberlistKv, Phase, Shared, stopped};
use crate::kv::{Codec, KvError, OnChange, SharedValue, Store, Update};
use crate::memberlist::gossip::{Gossip, SetOutcome};

/// How often a change is tried.
const CAS_ATTEMPTS: usize = 10;

impl Shared {
    async fn read_value(&self, key: &str) -> Result<(Option<SharedValue>, u64), KvError> {
        self.started().await?;
        let found = self.look(|gossip| gossip.get(key)).ok_or_else(stopped)?;
        Ok((found.0.map(SharedValue::from), found.1))
    }

    async fn change_value(&self, key: &str, update: &mut Update<'_>) -> Result<(), KvError> {
        for _ in 0..CAS_ATTEMPTS {
            self.counters.cas_attempts.inc();
            let (value, version) = self.read_value(key).await?;
            let Some(new) = update(value).map_err(KvError::Refused)? else { return Ok(()) };
            let now = self.now();
            let outcome = self.with(|gossip| gossip.set(now, key, new, version));
            match outcome.ok_or_else(stopped)?.0 {
                SetOutcome::Done => {
                    self.counters.cas_successes.inc();
                    return Ok(());
                }
                SetOutcome::Conflict => {}
                // Heartbeats count in seconds: within one there may be nothing new to tell.
                SetOutcome::Unchanged => {
                    let past_ms = now.wall_ms.rem_euclid(1000).unsigned_abs();
                    sleep(Duration::from_millis(1005 - past_ms)).await;
                }
            }
        }
        self.counters.cas_failures.inc();
        Err(KvError::TooManyConflicts { key: key.to_owned() })
    }

    /// Reports every key that is new or another one than in `seen`.
    fn report(
        &self,
        select: &dyn Fn(&Gossip) -> Vec<(String, u64)>,
        seen: &mut BTreeMap<String, u64>,
        on_change: &mut OnChange<'_>,
    ) -> bool {
        let Some(versions) = self.look(select) else { return true };
        for (key, version) in versions {
            if seen.insert(key.clone(), version) == Some(version) {
                continue;
            }
            let value = self.look(|gossip| gossip.get(&key).0).flatten();
            if value.is_some() && !on_change(&key, value.map(SharedValue::from)) {
                return false;
            }
        }
        true
    }

    async fn watch(
        &self,
        select: &(dyn Fn(&Gossip) -> Vec<(String, u64)> + Send + Sync),
        on_change: &mut OnChange<'_>,
    ) {
        if self.started().await.is_err() {
            return;
        }
        let (mut changes, mut seen) = (self.changes.subscribe(), BTreeMap::new());
        loop {
            changes.borrow_and_update();
            let is_over = *self.phase.borrow() == Phase::Ended;
            if is_over || !self.report(select, &mut seen, on_change) {
                return;
            }
            if !self.options.notify_interval.is_zero() {
                sleep(self.options.notify_interval).await;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Store for MemberlistKv {
    fn name(&self) -> &'static str {
        "memberlist"
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        _codec: &'a dyn Codec,
    ) -> BoxFuture<'a, Result<Option<SharedValue>, KvError>> {
        async move { Ok(self.shared.read_value(key).await?.0) }.boxed()
    }

    fn cas<'a>(
        &'a self,
        key: &'a str,
        _codec: &'a dyn Codec,
        update: &'a mut Update<'_>,
    ) -> BoxFuture<'a, Result<(), KvError>> {
        self.shared.change_value(key, update).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), KvError>> {
        async move {
            self.shared.started().await?;
            let now = self.shared.now();
            self.shared.with(|gossip| gossip.delete(now, key)).ok_or_else(stopped)?.0
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, KvError>> {
        async move {
            self.shared.started().await?;
            self.shared.look(|gossip| gossip.keys(prefix)).ok_or_else(stopped)
        }
        .boxed()
    }

    fn watch_key<'a>(
        &'a self,
        key: &'a str,
        _codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        async move {
            let select = |gossip: &Gossip| {
                gossip.version(key).map(|version| (key.to_owned(), version)).into_iter().collect()
            };
            self.shared.watch(&select, on_change).await;
        }
        .boxed()
    }

    fn watch_prefix<'a>(
        &'a self,
        prefix: &'a str,
        _codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        async move {
            let select = |gossip: &Gossip| gossip.versions(prefix);
            self.shared.watch(&select, on_change).await;
        }
        .boxed()
    }
}
