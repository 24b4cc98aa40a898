//! A push from the compressed body to the acknowledgement, on one compute thread.

use std::sync::Arc;

use config::{DistributorConfig, Limits, Overrides};
use hashbrown::HashMap;
use model::batch::SeriesHasher;
use model::{Clock, TenantId, WriteBatch};
use parking_lot::{Mutex, RwLock};
use ring::RingView;
use rt::Metrics;
use wire::client::{IngesterPush, PushError, PushErrorCause};
use wire::remote_write;

use crate::errors;
use crate::ha_tracker::{self, Dedup, HaTracker, Origin};
use crate::inflight::{Inflight, InflightRequest};
use crate::metrics::DistributorMetrics;
use crate::tenant::{Prepared, TenantState};
use crate::validation::{self, Findings};

/// Buffers of finished requests are kept for the next ones, at most this many.
const MAX_SPARE_BUFFERS: usize = 16;
/// A body buffer that has grown beyond this is not kept.
const MAX_SPARE_BODY_BYTES: usize = 4 << 20;

/// What a distributor is made of.
pub struct Dependencies {
    /// Options.
    pub config: DistributorConfig,
    /// Limits of the tenants.
    pub overrides: Arc<Overrides>,
    /// Where valid samples go.
    pub ingester: Arc<dyn IngesterPush>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Hashes series; must have the seed of the ingester's TSDBs to be of use to them.
    pub hasher: SeriesHasher,
    /// Where metrics are registered.
    pub metrics: Metrics,
}

/// Checks writes and hands them on.
pub struct Distributor {
    config: DistributorConfig,
    overrides: Arc<Overrides>,
    ingester: Arc<dyn IngesterPush>,
    clock: Arc<dyn Clock>,
    hasher: SeriesHasher,
    inflight: Arc<Inflight>,
    metrics: DistributorMetrics,
    ha_tracker: Option<Arc<HaTracker>>,
    distributors: Option<RingView>,
    tenants: RwLock<HashMap<TenantId, Arc<TenantState>>>,
    spare: Mutex<Vec<Buffers>>,
}

/// Memory that is used again by the next request.
#[derive(Default)]
struct Buffers {
    body: Vec<u8>,
    batch: WriteBatch<'static>,
}

impl Distributor {
    /// A distributor that is ready at once.
    pub fn new(deps: Dependencies) -> Self {
        let inflight = Arc::new(Inflight::default());
        let (overrides, own) = (Arc::clone(&deps.overrides), deps.config.instance_limits.clone());
        let limits = move || overrides.distributor_limits().unwrap_or_else(|| own.clone());
        let metrics = DistributorMetrics::new(&deps.metrics, &inflight, limits);
        Self {
            config: deps.config,
            overrides: deps.overrides,
            ingester: deps.ingester,
            clock: deps.clock,
            hasher: deps.hasher,
            inflight,
            metrics,
            ha_tracker: None,
            distributors: None,
            tenants: RwLock::default(),
            spare: Mutex::default(),
        }
    }

    /// Chooses one of the senders that send the same.
    #[must_use]
    pub fn with_ha_tracker(mut self, tracker: Arc<HaTracker>) -> Self {
        self.ha_tracker = Some(tracker);
        self
    }

    /// Divides the rates of tenants among the distributors of a ring.
    #[must_use]
    pub fn with_ring(mut self, distributors: RingView) -> Self {
        self.distributors = Some(distributors);
        self
    }

    /// How many distributors there are: those that show in the ring that they are there.
    fn distributor_count(&self) -> usize {
        let Some(ring) = self.distributors.as_ref().map(|view| view()) else { return 1 };
        let (timeout_s, now_s) = (ring.rules().heartbeat_timeout_s, self.clock.now_ms() / 1000);
        let healthy = ring.instances().iter().filter(|i| i.is_heartbeat_healthy(timeout_s, now_s));
        healthy.count().max(1)
    }

    pub(crate) fn config(&self) -> &DistributorConfig {
        &self.config
    }

    /// Counts a request of `bytes` as under way, unless the process or the tenant has too many.
    pub(crate) fn admit(
        &self,
        tenant: &TenantId,
        bytes: u64,
    ) -> Result<InflightRequest, PushError> {
        let of_runtime = self.overrides.distributor_limits();
        let limits = of_runtime.as_ref().unwrap_or(&self.config.instance_limits);
        let request = self
            .inflight
            .enter((bytes, self.clock.monotonic()), limits)
            .inspect_err(|_| self.metrics.rejected_by_instance_limit())?;
        let state = self.tenant(tenant);
        let prepared = state.prepared(&self.overrides.limits(tenant));
        let now = self.clock.monotonic();
        if let Some(rate) = prepared.request_rate
            && !state.requests.try_take(now, rate.shared_by(self.distributor_count()), 1)
        {
            self.metrics.discarded_request(tenant, "request_rate_limited");
            return Err(errors::request_rate(&prepared));
        }
        Ok(request)
    }

    /// Takes a remote-write 1.0 request: `body` is a snappy block. Runs on a compute thread.
    pub(crate) fn push_body(&self, tenant: &TenantId, body: &[u8]) -> Result<(), PushError> {
        let mut buffers = self.spare.lock().pop().unwrap_or_default();
        let max_bytes = self.config.max_recv_msg_size;
        remote_write::decompress(body, max_bytes, &mut buffers.body)
            .map_err(|error| errors::snappy(&error, max_bytes))?;
        let (result, batch) = self.push_message(tenant, &buffers.body, buffers.batch.recycle());
        buffers.batch = batch;
        self.keep(buffers);
        result
    }

    /// Decodes a message into the memory of `batch`, which comes back empty.
    fn push_message<'a>(
        &self,
        tenant: &TenantId,
        message: &'a [u8],
        mut batch: WriteBatch<'a>,
    ) -> (Result<(), PushError>, WriteBatch<'static>) {
        batch.hasher = self.hasher;
        let result = remote_write::decode(message, &mut batch)
            .map_err(|error| errors::decode(&error))
            .and_then(|()| self.push(tenant, &mut batch));
        (result, batch.recycle())
    }

    fn keep(&self, buffers: Buffers) {
        let mut spare = self.spare.lock();
        if spare.len() < MAX_SPARE_BUFFERS && buffers.body.capacity() <= MAX_SPARE_BODY_BYTES {
            spare.push(buffers);
        }
    }

    /// Checks a decoded batch and hands its valid part to the ingesters. What is not valid is
    /// taken out of `batch`. Runs on a compute thread.
    pub fn push(&self, tenant: &TenantId, batch: &mut WriteBatch<'_>) -> Result<(), PushError> {
        let state = self.tenant(tenant);
        let limits = self.overrides.limits(tenant);
        let prepared = state.prepared(&limits);
        self.metrics.request_in(tenant, batch);
        if limits.accept_ha_samples && !batch.series.is_empty() {
            self.dedup(tenant, &limits, batch)?;
        }
        let findings = validation::validate(batch, &prepared.validation, self.clock.now_ms());
        self.metrics.discarded(tenant, &findings);
        self.take_rate(tenant, (&state, &prepared), batch)?;
        self.metrics.received(tenant, batch);
        self.inflight.ingested(valid_samples(batch) as u64, self.clock.monotonic());
        if !batch.series.is_empty() || !batch.metadata.is_empty() {
            match self.ingester.push(tenant, batch) {
                Err(error) if !error.is_soft || findings.first_error.is_none() => {
                    return Err(error);
                }
                _ => {}
            }
        }
        first_error(findings)
    }

    /// Refuses the samples of a replica that is not the elected one.
    fn dedup(
        &self,
        tenant: &TenantId,
        limits: &Limits,
        batch: &mut WriteBatch<'_>,
    ) -> Result<(), PushError> {
        let origin = Origin::of(batch, limits);
        let at = (tenant, limits, self.clock.now_ms());
        let judged = ha_tracker::dedup(self.ha_tracker.as_deref(), at, batch, origin.as_ref());
        let samples = valid_samples(batch) as u64;
        match (&judged, &origin) {
            (Ok(Dedup::NotHa), _) => self.metrics.not_ha(tenant, samples),
            (Err(error), Some(origin)) => {
                self.metrics.refused_replica(tenant, &origin.cluster, (error.cause, samples));
            }
            _ => {}
        }
        judged.map(drop)
    }

    fn take_rate(
        &self,
        tenant: &TenantId,
        (state, prepared): (&TenantState, &Prepared),
        batch: &WriteBatch<'_>,
    ) -> Result<(), PushError> {
        let items = valid_samples(batch) + valid_exemplars(batch) + batch.metadata.len();
        let now = self.clock.monotonic();
        let rate = prepared.item_rate.shared_by(self.distributor_count());
        if state.items.try_take(now, rate, items as u64) {
            return Ok(());
        }
        self.metrics.rate_limited(tenant, batch);
        Err(errors::ingestion_rate(prepared))
    }

    fn tenant(&self, tenant: &TenantId) -> Arc<TenantState> {
        if let Some(state) = self.tenants.read().get(tenant) {
            return Arc::clone(state);
        }
        Arc::clone(self.tenants.write().entry(tenant.clone()).or_default())
    }
}

/// The float and histogram samples of the series that are left.
pub(crate) fn valid_samples(batch: &WriteBatch<'_>) -> usize {
    batch.series.iter().map(|s| s.samples.len() + s.histograms.len()).sum()
}

/// The exemplars of the series that are left.
pub(crate) fn valid_exemplars(batch: &WriteBatch<'_>) -> usize {
    batch.series.iter().map(|s| s.exemplars.len()).sum()
}

fn first_error(findings: Findings) -> Result<(), PushError> {
    match findings.first_error {
        Some(message) => Err(PushError::soft(PushErrorCause::BadData, message)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
