//! A cache in memcached servers.
//!
//! Every key belongs to one server, picked by jump hash over the sorted list of servers, as in
//! Mimir. Reads wait for their answer, at most for the time-outs; writes wait in a queue that is
//! bounded in number and in bytes, and are dropped where it is full. A server that does not answer
//! is left alone for a time, see `server`. Everything that goes wrong is counted and is a miss.

mod addresses;
mod protocol;
mod select;
mod server;
mod transport;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use model::Clock;
use rt::{CancellationToken, TaskGroup};
use tokio::sync::{Semaphore, mpsc};

use addresses::Resolver;
use protocol::Failure;
use select::Servers;
use server::{Server, ServerOptions};

use super::{Cache, CacheKey, CacheMetrics};
use rt::tls::ClientTls;

/// How often names of servers are looked up again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);
/// Values that wait to be written take no more than this, bytes.
const MAX_QUEUED_BYTES: usize = 64 << 20;
/// Longer times to live are moments since the epoch in memcached's protocol.
const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

const GET: &str = "getmulti";
const SET: &str = "set";
const DELETE: &str = "delete";

/// Which servers, and the bounds of talking to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemcachedOptions {
    /// `host:port`, or with a prefix: `dns+host:port` (every address of the name is a server),
    /// `dnssrv+name` (every address of every target of the SRV records),
    /// `dnssrvnoa+name` (every target).
    pub addresses: Vec<String>,
    /// For one request and its answer.
    pub timeout: Duration,
    /// For making a connection.
    pub connect_timeout: Duration,
    /// The most connections that are kept open to one server while nothing is asked of it.
    pub max_idle_connections: usize,
    /// The most writes under way.
    pub max_async_concurrency: usize,
    /// The most writes that wait.
    pub max_async_buffer_size: usize,
    /// The most reads under way; 0 is any number.
    pub max_get_multi_concurrency: usize,
    /// The most keys in one read; 0 is any number.
    pub max_get_multi_batch_size: usize,
    /// Larger values are not written, bytes; 0 is any size up to 1 GiB.
    pub max_item_size: usize,
    /// TLS, where it is spoken with the servers.
    pub tls: Option<ClientTls>,
}

/// The cache. When it is dropped, writes that wait are lost.
pub struct MemcachedCache {
    name: &'static str,
    shared: Arc<Shared>,
    writes: mpsc::Sender<Write>,
    reads: Option<Semaphore>,
    _tasks: TaskGroup,
}

struct Shared {
    options: MemcachedOptions,
    clock: Arc<dyn Clock>,
    metrics: CacheMetrics,
    servers: ArcSwap<Servers>,
    resolver: Resolver,
    queued_bytes: AtomicUsize,
}

struct Write {
    key: CacheKey,
    value: Bytes,
    ttl_seconds: u64,
}

impl MemcachedCache {
    /// Starts the cache in the background of the current runtime: nothing is connected to yet.
    pub fn start(
        name: &'static str,
        options: MemcachedOptions,
        clock: Arc<dyn Clock>,
        metrics: CacheMetrics,
    ) -> Self {
        let reads = options.max_get_multi_concurrency;
        let (writes, queue) = mpsc::channel(options.max_async_buffer_size.max(1));
        let shared = Arc::new(Shared {
            resolver: Resolver::new(&options.addresses),
            options,
            clock,
            metrics,
            servers: ArcSwap::default(),
            queued_bytes: AtomicUsize::new(0),
        });
        shared.use_servers(shared.resolver.plain());
        let tasks = TaskGroup::new(&CancellationToken::new());
        tasks.spawn_until_cancelled("cache writes", write_all(Arc::clone(&shared), queue));
        if !shared.resolver.is_plain() {
            tasks.spawn_until_cancelled("cache addresses", keep_resolving(Arc::clone(&shared)));
        }
        let reads = (reads > 0).then(|| Semaphore::new(reads.min(Semaphore::MAX_PERMITS)));
        Self { name, shared, writes, reads, _tasks: tasks }
    }

    /// The servers that are known now, in the order of the hash.
    pub fn servers(&self) -> Vec<String> {
        self.shared.servers.load().names()
    }

    async fn get_batch(&self, server: &Server, keys: &[&CacheKey]) -> Vec<Option<Bytes>> {
        let shared = &self.shared;
        shared.metrics.started(GET);
        let start = shared.clock.monotonic();
        let result = match self.wait_for_turn().await {
            Ok(_turn) => server.get_multi(keys, &*shared.clock).await,
            Err(failure) => Err(failure),
        };
        shared.metrics.took(GET, shared.clock.monotonic().saturating_sub(start));
        match result {
            Ok(values) => {
                let bytes = values.iter().flatten().map(Bytes::len).sum();
                shared.metrics.moved(GET, bytes);
                values
            }
            Err(failure) => {
                shared.failed(GET, &failure);
                vec![None; keys.len()]
            }
        }
    }

    async fn wait_for_turn(&self) -> Result<Option<tokio::sync::SemaphorePermit<'_>>, Failure> {
        let Some(reads) = &self.reads else { return Ok(None) };
        match rt::time::timeout(self.shared.options.timeout, reads.acquire()).await {
            Ok(permit) => Ok(permit.ok()),
            Err(_) => Err(Failure::Timeout),
        }
    }
}

#[async_trait]
impl Cache for MemcachedCache {
    fn name(&self) -> &str {
        self.name
    }

    async fn get_multi(&self, keys: &[CacheKey]) -> Vec<Option<Bytes>> {
        let metrics = &self.shared.metrics;
        metrics.requests.inc_by(keys.len() as u64);
        let servers = self.shared.servers.load_full();
        let mut values = vec![None; keys.len()];
        let batches = servers.batches(keys, self.shared.options.max_get_multi_batch_size);
        let mut reads: FuturesUnordered<_> = batches
            .into_iter()
            .map(|(server, positions)| async move {
                let batch: Vec<&CacheKey> = positions.iter().map(|&i| &keys[i]).collect();
                (self.get_batch(server, &batch).await, positions)
            })
            .collect();
        while let Some((found, positions)) = reads.next().await {
            for (position, value) in positions.into_iter().zip(found) {
                values[position] = value;
            }
        }
        metrics.hits.inc_by(values.iter().flatten().count() as u64);
        values
    }

    fn set(&self, key: &CacheKey, value: Bytes, ttl: Duration) {
        let (shared, max_bytes) = (&self.shared, self.shared.options.max_item_size);
        let ttl_seconds = ttl.min(MAX_TTL).as_secs();
        if ttl_seconds == 0 {
            return;
        }
        let max_bytes = if max_bytes == 0 { protocol::MAX_VALUE_BYTES } else { max_bytes };
        if value.len() > max_bytes {
            return shared.metrics.skipped(SET, "max-item-size");
        }
        let bytes = value.len();
        let queued = shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        // A copy: a slice of a larger buffer would hold all of it while it waits.
        let fits = queued.saturating_add(bytes) <= MAX_QUEUED_BYTES;
        let is_queued = fits && {
            let write =
                Write { key: key.clone(), value: Bytes::copy_from_slice(&value), ttl_seconds };
            self.writes.try_send(write).is_ok()
        };
        if !is_queued {
            shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            shared.metrics.skipped(SET, "async-buffer-full");
        }
    }

    async fn delete(&self, key: &CacheKey) {
        let shared = &self.shared;
        let servers = shared.servers.load_full();
        let Some(server) = servers.of(key) else { return };
        shared.metrics.started(DELETE);
        let start = shared.clock.monotonic();
        match server.delete(key, &*shared.clock).await {
            Ok(()) => shared.metrics.took(DELETE, shared.clock.monotonic().saturating_sub(start)),
            Err(failure) => shared.failed(DELETE, &failure),
        }
    }
}

impl Shared {
    fn failed(&self, operation: &str, failure: &Failure) {
        if matches!(failure, Failure::CircuitOpen) {
            return self.metrics.skipped(operation, "circuit-open");
        }
        self.metrics.failed(operation, failure.reason());
        tracing::debug!(operation, %failure, "operation on memcached failed");
    }

    fn use_servers(&self, names: Vec<String>) {
        let before = self.servers.load();
        let options = ServerOptions {
            timeout: self.options.timeout,
            connect_timeout: self.options.connect_timeout,
            max_idle_connections: self.options.max_idle_connections,
            tls: self.options.tls.clone(),
        };
        let opened = self.metrics.circuits_opened.clone();
        let servers =
            before.replaced_by(names, |name| Server::new(name, options.clone(), opened.clone()));
        self.servers.store(Arc::new(servers));
    }

    async fn write(&self, write: Write) {
        let servers = self.servers.load_full();
        if let Some(server) = servers.of(&write.key) {
            self.metrics.started(SET);
            let start = self.clock.monotonic();
            let Write { key, value, ttl_seconds } = &write;
            if let Err(failure) = server.set(key, value, *ttl_seconds, &*self.clock).await {
                self.failed(SET, &failure);
            }
            self.metrics.moved(SET, value.len());
            self.metrics.took(SET, self.clock.monotonic().saturating_sub(start));
        }
        self.queued_bytes.fetch_sub(write.value.len(), Ordering::Relaxed);
    }
}

async fn write_all(shared: Arc<Shared>, mut queue: mpsc::Receiver<Write>) {
    let most = shared.options.max_async_concurrency.max(1);
    futures::stream::poll_fn(move |cx| queue.poll_recv(cx))
        .for_each_concurrent(most, |write| shared.write(write))
        .await;
}

async fn keep_resolving(shared: Arc<Shared>) {
    loop {
        match shared.resolver.resolve().await {
            Ok(names) => shared.use_servers(names),
            // What was known before stays in use.
            Err(error) => tracing::warn!(%error, "cannot look up the servers of a cache"),
        }
        rt::time::sleep(RESOLVE_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests;
