//! The bucket indexes of the tenants that are in use: read at a tenant's first query, kept in
//! memory, refreshed, forgotten when idle. Used by queriers and store-gateways.
//!
//! A refresh is one conditional read. A refresh that fails leaves the last index in use: it is the
//! querier that refuses an index which is too old. A bucket index that has vanished although the
//! tenant is not being deleted is such a failure: never an empty answer because a bucket is gone.
//! Where there is no bucket index yet the loader iterates over the tenant's part of the bucket,
//! which gives the same list.

mod scan;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use model::{Clock, TenantId, TimestampMs};
use parking_lot::{Mutex, RwLock};
use rt::metrics::{Counter, Gauge, Histogram};
use rt::service::TimerService;
use rt::{Metrics, Service};
use scan::Scan;

use crate::{Bucket, BucketError, BucketIndex, TenantBucket};

/// An index that is used is checked so often.
const RECHECK_MS: i64 = 15_000;
/// A tenant that was asked for within this time is kept up to date in the background.
const BUSY_MS: i64 = 5 * 60_000;
/// How often indexes that are in use are checked.
const TICK_INTERVAL: Duration = Duration::from_secs(5);
/// So many tenants are refreshed at the same time.
const CONCURRENT_REFRESHES: usize = 8;
/// From so many tenants on those without blocks are forgotten at once: names of tenants that do
/// not exist must not fill the memory.
const MANY_TENANTS: usize = 10_000;
const LOAD_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How indexes are kept.
#[derive(Debug, Clone, Copy)]
pub struct IndexLoaderOptions {
    /// Without a bucket index the bucket is iterated over this often, ms.
    pub sync_interval_ms: i64,
    /// How long a failure is remembered, ms.
    pub error_interval_ms: i64,
    /// What was not asked for this long is forgotten, ms; 0 = never.
    pub idle_timeout_ms: i64,
    /// So many `meta.json` of one tenant are fetched at the same time.
    pub meta_concurrency: usize,
}

/// The index of a tenant could not be had.
#[derive(Debug, Clone, thiserror::Error)]
#[error("read the bucket index of tenant {tenant}: {reason}")]
pub struct IndexError {
    /// The tenant.
    pub tenant: TenantId,
    /// What the bucket said.
    pub reason: Arc<str>,
}

/// Reads bucket indexes and keeps them.
pub struct IndexLoader {
    bucket: Bucket,
    options: IndexLoaderOptions,
    clock: Arc<dyn Clock>,
    metrics: LoaderMetrics,
    tenants: Mutex<HashMap<TenantId, Arc<Slot>>>,
}

struct LoaderMetrics {
    loads: Counter,
    failures: Counter,
    seconds: Histogram,
    loaded: Gauge,
}

/// One tenant.
struct Slot {
    bucket: TenantBucket,
    state: RwLock<State>,
    /// One load at a time; the others wait for it.
    loading: tokio::sync::Mutex<()>,
    last_used_ms: AtomicI64,
}

#[derive(Default)]
struct State {
    index: Option<Arc<BucketIndex>>,
    source: Source,
    /// When it was last asked whether the index is the newest, ms.
    checked_at_ms: TimestampMs,
    /// When the last check began, by the monotonic clock.
    load_began: Option<Duration>,
    /// What the last check failed with.
    failure: Option<Arc<str>>,
}

/// Where an index is from.
#[derive(Clone, Default)]
enum Source {
    /// Nothing is known yet.
    #[default]
    None,
    /// The object, with its entity tag.
    Object(Option<String>),
    /// An iteration over the bucket at this time, ms.
    Scan(Arc<Scan>, TimestampMs),
}

/// What a load has brought.
enum Loaded {
    Unchanged,
    New(BucketIndex, Source),
}

impl IndexLoader {
    /// A loader that knows no tenant yet.
    pub fn new(
        bucket: Bucket,
        options: IndexLoaderOptions,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Self {
        let metrics = LoaderMetrics::new(metrics);
        Self { bucket, options, clock, metrics, tenants: Mutex::default() }
    }

    /// The bucket that the indexes are of.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The tenant's index, at most some seconds old where the bucket can be reached. Its
    /// `updated_at` tells how far it can be trusted.
    pub async fn get(&self, tenant: &TenantId) -> Result<Arc<BucketIndex>, IndexError> {
        let slot = self.slot(tenant);
        slot.last_used_ms.store(self.clock.now_ms(), Ordering::Relaxed);
        if let Some(answer) = self.known(&slot) {
            return answer;
        }
        let _one_at_a_time = slot.loading.lock().await;
        if let Some(answer) = self.known(&slot) {
            return answer;
        }
        self.load(&slot).await;
        self.answer(&slot)
    }

    /// Looks for the tenant's newest index now, whatever is known. Those who ask while another one
    /// is waiting are answered together.
    pub async fn refreshed(&self, tenant: &TenantId) -> Result<Arc<BucketIndex>, IndexError> {
        let slot = self.slot(tenant);
        let asked = self.clock.monotonic();
        let _one_at_a_time = slot.loading.lock().await;
        let load_began = slot.state.read().load_began;
        if load_began.is_none_or(|began| began <= asked) {
            self.load(&slot).await;
        }
        self.answer(&slot)
    }

    /// The service that calls [`Self::tick`]; each loader needs one.
    pub fn service(self: &Arc<Self>) -> Arc<dyn Service> {
        let loader = Arc::clone(self);
        Arc::new(TimerService::new("bucket-indexes", TICK_INTERVAL, move || {
            let loader = Arc::clone(&loader);
            async move {
                loader.tick().await;
                Ok(())
            }
        }))
    }

    /// Brings the indexes up to date that are in use, and forgets those that are not. To be called
    /// every few seconds.
    pub async fn tick(&self) {
        let now_ms = self.clock.now_ms();
        let due = self.due(now_ms);
        let loads = due.iter().map(|slot| async move {
            let _one_at_a_time = slot.loading.lock().await;
            self.load(slot).await;
        });
        let loads: Vec<_> = loads.collect();
        futures::stream::iter(loads).buffer_unordered(CONCURRENT_REFRESHES).collect::<()>().await;
    }

    /// Those that are to be refreshed, in order of their tenants.
    fn due(&self, now_ms: TimestampMs) -> Vec<Arc<Slot>> {
        let idle_ms = self.options.idle_timeout_ms;
        let mut tenants = self.tenants.lock();
        let unused_ms = |slot: &Slot| now_ms - slot.last_used_ms.load(Ordering::Relaxed);
        tenants.retain(|_, slot| idle_ms <= 0 || unused_ms(slot) <= idle_ms);
        self.metrics.loaded.set(tenants.len() as i64);
        let is_due = |slot: &&Arc<Slot>| {
            let age_ms = now_ms - slot.state.read().checked_at_ms;
            let is_busy = unused_ms(slot) <= BUSY_MS;
            age_ms >= self.options.sync_interval_ms || (is_busy && age_ms >= RECHECK_MS)
        };
        let mut due: Vec<Arc<Slot>> = tenants.values().filter(is_due).cloned().collect();
        due.sort_by(|a, b| a.bucket.tenant().cmp(b.bucket.tenant()));
        due
    }

    fn slot(&self, tenant: &TenantId) -> Arc<Slot> {
        let mut tenants = self.tenants.lock();
        if tenants.len() >= MANY_TENANTS && !tenants.contains_key(tenant) {
            tenants.retain(|_, slot| !slot.is_empty());
        }
        let new = || {
            Arc::new(Slot::new(
                TenantBucket::new(self.bucket.clone(), tenant.clone()),
                self.clock.now_ms(),
            ))
        };
        let slot = Arc::clone(tenants.entry(tenant.clone()).or_insert_with(new));
        self.metrics.loaded.set(tenants.len() as i64);
        slot
    }

    /// What may be answered without asking the bucket.
    fn known(&self, slot: &Slot) -> Option<Result<Arc<BucketIndex>, IndexError>> {
        let state = slot.state.read();
        let age_ms = self.clock.now_ms() - state.checked_at_ms;
        let good_for_ms = match (&state.index, &state.failure) {
            (Some(_), _) => RECHECK_MS,
            (None, Some(_)) => self.options.error_interval_ms,
            (None, None) => return None,
        };
        drop(state);
        (age_ms < good_for_ms).then(|| self.answer(slot))
    }

    fn answer(&self, slot: &Slot) -> Result<Arc<BucketIndex>, IndexError> {
        let state = slot.state.read();
        if let Some(index) = &state.index {
            return Ok(Arc::clone(index));
        }
        let reason = state.failure.clone().unwrap_or_else(|| "it was not read".into());
        Err(IndexError { tenant: slot.bucket.tenant().clone(), reason })
    }

    /// Asks the bucket. To be called under the slot's `loading`.
    async fn load(&self, slot: &Slot) {
        let (source, had_index) = {
            let state = slot.state.read();
            (state.source.clone(), state.index.is_some())
        };
        let (start, now_ms) = (self.clock.monotonic(), self.clock.now_ms());
        self.metrics.loads.inc();
        let loaded = self.fetch(&slot.bucket, source, now_ms).await;
        self.metrics.seconds.observe((self.clock.monotonic() - start).as_secs_f64());
        let mut state = slot.state.write();
        state.checked_at_ms = self.clock.now_ms();
        state.load_began = Some(start);
        state.failure = None;
        match loaded {
            Ok(Loaded::Unchanged) => {}
            Ok(Loaded::New(index, source)) => {
                state.index = Some(Arc::new(index));
                state.source = source;
            }
            Err(error) => {
                self.metrics.failures.inc();
                state.failure = Some(error.to_string().into());
                let user = slot.bucket.tenant();
                tracing::warn!(%user, %error, had_index, "could not read the bucket index");
            }
        }
    }

    async fn fetch(
        &self,
        bucket: &TenantBucket,
        source: Source,
        now_ms: TimestampMs,
    ) -> Result<Loaded, BucketError> {
        let tag = match &source {
            Source::Object(tag) => tag.as_deref(),
            Source::None | Source::Scan(..) => None,
        };
        match bucket.bucket_index_if_changed(tag).await? {
            Some((Some(index), tag)) => Ok(Loaded::New(index, Source::Object(tag))),
            Some((None, _)) => Ok(Loaded::Unchanged),
            None => self.without_index(bucket, source, now_ms).await,
        }
    }

    /// There is no bucket index.
    async fn without_index(
        &self,
        bucket: &TenantBucket,
        source: Source,
        now_ms: TimestampMs,
    ) -> Result<Loaded, BucketError> {
        let previous = match source {
            Source::Scan(_, at_ms) if now_ms - at_ms < self.options.sync_interval_ms => {
                return Ok(Loaded::Unchanged);
            }
            Source::Scan(scan, _) => scan,
            Source::None => Arc::default(),
            Source::Object(_) => {
                if bucket.tenant_deletion_mark().await?.is_none() {
                    let reason = "it is gone, although the tenant is not being deleted".to_owned();
                    return Err(BucketError::Malformed { key: bucket.bucket_index_key(), reason });
                }
                Arc::default()
            }
        };
        let scan = Scan::run(bucket, &previous, self.options.meta_concurrency).await?;
        Ok(Loaded::New(scan.index(now_ms), Source::Scan(Arc::new(scan), now_ms)))
    }
}

impl Slot {
    fn new(bucket: TenantBucket, now_ms: TimestampMs) -> Self {
        Self {
            bucket,
            state: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
            last_used_ms: AtomicI64::new(now_ms),
        }
    }

    fn is_empty(&self) -> bool {
        self.state.read().index.as_ref().is_some_and(|index| index.blocks.is_empty())
    }
}

impl LoaderMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            loads: metrics.counter(
                "cortex_bucket_index_loads_total",
                "How often a bucket index was asked for.",
            ),
            failures: metrics.counter(
                "cortex_bucket_index_load_failures_total",
                "How often a bucket index could not be read.",
            ),
            seconds: metrics.histogram(
                "cortex_bucket_index_load_duration_seconds",
                "How long it took to read a bucket index.",
                LOAD_SECONDS,
            ),
            loaded: metrics.gauge("cortex_bucket_index_loaded", "Bucket indexes in memory."),
        }
    }
}
