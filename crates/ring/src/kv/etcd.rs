//! The store in etcd. Values stand under their whole key; a change is a transaction on the
//! revision that it was made from.

mod messages;
mod rpc;

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use rt::BoxFuture;
use rt::time::sleep;
use rt::tls::TlsOptions;
use tonic::{Code, Status};

use super::{Codec, KvError, OnChange, SharedValue, Store, Update};
use messages::{
    COMPARE_MOD_REVISION, Compare, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest,
    RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse, WatchCreateRequest,
};
use rpc::Connections;

const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";
const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
/// Between two tries of a change, and between the first two while etcd does not answer: then twice
/// as long each time.
const RETRY_WAIT: Duration = Duration::from_millis(100);
const MAX_RETRY_WAIT: Duration = Duration::from_secs(1);
const MIN_WATCH_WAIT: Duration = Duration::from_secs(1);
const MAX_WATCH_WAIT: Duration = Duration::from_mins(1);

/// How etcd is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdOptions {
    /// `host:port` of each server.
    pub endpoints: Vec<String>,
    /// For connecting.
    pub dial_timeout: Duration,
    /// How often something is tried: a change that others get ahead of, or anything while etcd does
    /// not answer.
    pub max_retries: usize,
    /// TLS.
    pub tls: Option<TlsOptions>,
    /// The user; empty for none.
    pub username: String,
    /// Its password.
    pub password: String,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            dial_timeout: Duration::from_secs(10),
            max_retries: 10,
            tls: None,
            username: String::new(),
            password: String::new(),
        }
    }
}

/// Values in etcd.
pub struct EtcdStore {
    connections: Connections,
    max_retries: usize,
    dial_timeout: Duration,
}

/// One key, or all that begin with it.
#[derive(Clone, Copy)]
struct Keys<'a> {
    first: &'a str,
    is_prefix: bool,
}

impl Keys<'_> {
    fn first(self) -> Vec<u8> {
        // etcd has no empty key: all keys are asked for with a zero byte.
        if self.first.is_empty() { vec![0] } else { self.first.as_bytes().to_vec() }
    }

    fn end(self) -> Vec<u8> {
        if !self.is_prefix {
            return Vec::new();
        }
        let mut end = self.first.as_bytes().to_vec();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return end;
            }
        }
        vec![0]
    }
}

impl EtcdStore {
    /// Reads the files of TLS; connects when it is used. Blocks. Must be called within a runtime.
    pub fn new(options: &EtcdOptions) -> Result<Self, String> {
        let connections = Connections::new(options)?;
        let (max_retries, dial_timeout) = (options.max_retries.max(1), options.dial_timeout);
        Ok(Self { connections, max_retries, dial_timeout })
    }

    /// The values of keys, and the revision of the store at which they stood.
    async fn range(&self, keys: Keys<'_>, keys_only: bool) -> Result<RangeResponse, KvError> {
        self.range_once(keys, keys_only).await.map_err(|status| unavailable(&status))
    }

    async fn range_once(&self, keys: Keys<'_>, keys_only: bool) -> Result<RangeResponse, Status> {
        let request = RangeRequest { key: keys.first(), range_end: keys.end(), keys_only };
        self.connections.call(RANGE, request).await
    }

    /// As [`Self::range`], again while nobody answers, for as long as connecting may take.
    async fn read(&self, keys: Keys<'_>, keys_only: bool) -> Result<RangeResponse, KvError> {
        let mut end = pin!(sleep(self.dial_timeout));
        let mut wait = RETRY_WAIT;
        for _ in 1..self.max_retries {
            match self.range_once(keys, keys_only).await {
                Err(status) if status.code() == Code::Unavailable => {
                    if end.as_mut().now_or_never().is_some() {
                        return Err(unavailable(&status));
                    }
                    tracing::warn!(key = keys.first, %status, "could not read from etcd");
                }
                read => return read.map_err(|status| unavailable(&status)),
            }
            sleep(wait).await;
            wait = (wait * 2).min(MAX_RETRY_WAIT);
        }
        self.range(keys, keys_only).await
    }

    async fn change(
        &self,
        key: &str,
        codec: &dyn Codec,
        update: &mut Update<'_>,
    ) -> Result<(), KvError> {
        let (mut last, mut wait) = (None, RETRY_WAIT);
        for attempt in 1..=self.max_retries {
            let pause = match self.change_once(key, codec, update).await {
                Ok(true) => return Ok(()),
                Ok(false) => RETRY_WAIT,
                Err(error @ KvError::Unavailable { .. }) => {
                    tracing::warn!(key, %error, "could not change a value in etcd");
                    last = Some(error);
                    let pause = wait;
                    wait = (wait * 2).min(MAX_RETRY_WAIT);
                    pause
                }
                Err(error) => return Err(error),
            };
            if attempt < self.max_retries {
                sleep(pause).await;
            }
        }
        Err(last.unwrap_or_else(|| KvError::TooManyConflicts { key: key.to_owned() }))
    }

    /// `false` when somebody else was faster.
    async fn change_once(
        &self,
        key: &str,
        codec: &dyn Codec,
        update: &mut Update<'_>,
    ) -> Result<bool, KvError> {
        let found = self.range(Keys { first: key, is_prefix: false }, false).await?;
        let found = found.kvs.into_iter().next();
        let value = found.as_ref().map(|kv| decode(kv, codec)).transpose()?;
        let Some(new) = update(value).map_err(KvError::Refused)? else { return Ok(true) };
        let put = PutRequest { key: key.as_bytes().to_vec(), value: new.encode() };
        let unchanged = Compare {
            result: 0,
            target: COMPARE_MOD_REVISION,
            key: key.as_bytes().to_vec(),
            mod_revision: Some(found.map_or(0, |kv| kv.mod_revision)),
        };
        let request =
            TxnRequest { compare: vec![unchanged], success: vec![RequestOp { put: Some(put) }] };
        let answer: Result<TxnResponse, Status> = self.connections.call(TXN, request).await;
        Ok(answer.map_err(|status| unavailable(&status))?.succeeded)
    }

    /// Watches until the callback has had enough; begins anew after each failure.
    async fn watch(&self, keys: Keys<'_>, codec: &dyn Codec, on_change: &mut OnChange<'_>) {
        let (mut seen, mut wait) = (BTreeMap::new(), MIN_WATCH_WAIT);
        loop {
            let mut watched = Watched { codec, seen: &mut seen, on_change };
            match self.watch_once(keys, &mut watched).await {
                Ok(Progress::Enough) => return,
                Ok(Progress::Interrupted) => wait = MIN_WATCH_WAIT,
                Err(error) => {
                    tracing::warn!(key = keys.first, %error, "could not watch etcd");
                    wait = (wait * 2).min(MAX_WATCH_WAIT);
                }
            }
            sleep(wait).await;
        }
    }

    async fn watch_once(
        &self,
        keys: Keys<'_>,
        watched: &mut Watched<'_, '_, '_>,
    ) -> Result<Progress, KvError> {
        let found = self.range(keys, false).await?;
        let start_revision = found.header.map_or(0, |header| header.revision) + 1;
        if !watched.replace(found.kvs) {
            return Ok(Progress::Enough);
        }
        let create =
            WatchCreateRequest { key: keys.first(), range_end: keys.end(), start_revision };
        let stream = self.connections.watch(create).await;
        let mut stream = stream.map_err(|status| unavailable(&status))?;
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(Progress::Interrupted),
                Err(status) => {
                    tracing::warn!(key = keys.first, %status, "a watch of etcd broke");
                    return Ok(Progress::Interrupted);
                }
            };
            if message.canceled {
                tracing::warn!(reason = message.cancel_reason, "etcd ended a watch");
                return Ok(Progress::Interrupted);
            }
            for event in message.events {
                let Some(kv) = event.kv else { continue };
                let goes_on = if event.kind == 0 { watched.put(&kv) } else { watched.remove(&kv) };
                if !goes_on {
                    return Ok(Progress::Enough);
                }
            }
        }
    }
}

enum Progress {
    /// The callback wants no more.
    Enough,
    /// It worked until the connection ended.
    Interrupted,
}

/// What a watch has reported so far.
struct Watched<'a, 'b, 'c> {
    codec: &'a dyn Codec,
    /// The revision of each key that was reported.
    seen: &'a mut BTreeMap<String, i64>,
    on_change: &'b mut OnChange<'c>,
}

impl Watched<'_, '_, '_> {
    /// Reports what differs from all that was reported.
    fn replace(&mut self, kvs: Vec<KeyValue>) -> bool {
        let is_there = |key: &String| kvs.iter().any(|kv| kv.key == key.as_bytes());
        let gone: Vec<String> = self.seen.keys().filter(|key| !is_there(key)).cloned().collect();
        let is_wanted = gone.into_iter().all(|key| {
            self.seen.remove(&key);
            (self.on_change)(&key, None)
        });
        is_wanted && kvs.iter().all(|kv| self.put(kv))
    }

    fn put(&mut self, kv: &KeyValue) -> bool {
        let key = String::from_utf8_lossy(&kv.key).into_owned();
        if self.seen.insert(key.clone(), kv.mod_revision) == Some(kv.mod_revision) {
            return true;
        }
        match decode(kv, self.codec) {
            Ok(value) => (self.on_change)(&key, Some(value)),
            Err(error) => {
                tracing::warn!(key, %error, "value in etcd cannot be read");
                true
            }
        }
    }

    fn remove(&mut self, kv: &KeyValue) -> bool {
        let key = String::from_utf8_lossy(&kv.key).into_owned();
        self.seen.remove(&key);
        (self.on_change)(&key, None)
    }
}

fn decode(kv: &KeyValue, codec: &dyn Codec) -> Result<SharedValue, KvError> {
    Ok(codec.decode(&kv.value)?.into())
}

fn unavailable(status: &Status) -> KvError {
    KvError::Unavailable {
        store: "etcd",
        message: format!("{:?}: {}", status.code(), status.message()),
    }
}

impl Store for EtcdStore {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
    ) -> BoxFuture<'a, Result<Option<SharedValue>, KvError>> {
        async move {
            let found = self.read(Keys { first: key, is_prefix: false }, false).await?;
            found.kvs.first().map(|kv| decode(kv, codec)).transpose()
        }
        .boxed()
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
        async move {
            let request = DeleteRangeRequest { key: key.as_bytes().to_vec() };
            let done: Result<DeleteRangeResponse, Status> =
                self.connections.call(DELETE, request).await;
            done.map(drop).map_err(|status| unavailable(&status))
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, KvError>> {
        async move {
            let found = self.read(Keys { first: prefix, is_prefix: true }, true).await?;
            let key = |kv: KeyValue| String::from_utf8_lossy(&kv.key).into_owned();
            let mut keys: Vec<String> = found.kvs.into_iter().map(key).collect();
            keys.sort_unstable();
            Ok(keys)
        }
        .boxed()
    }

    fn watch_key<'a>(
        &'a self,
        key: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        self.watch(Keys { first: key, is_prefix: false }, codec, on_change).boxed()
    }

    fn watch_prefix<'a>(
        &'a self,
        prefix: &'a str,
        codec: &'a dyn Codec,
        on_change: &'a mut OnChange<'_>,
    ) -> BoxFuture<'a, ()> {
        self.watch(Keys { first: prefix, is_prefix: true }, codec, on_change).boxed()
    }
}
