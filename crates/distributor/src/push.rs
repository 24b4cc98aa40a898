//! A push from the compressed body to what the ingesters are sent, on one compute thread. Where
//! these are other processes they are waited for without a thread, and so is the election of a
//! replica.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::{DistributorConfig, DistributorInstanceLimits, Limits, Overrides};
use model::batch::SeriesHasher;
use model::{Clock, TenantId, WriteBatch};
use parking_lot::Mutex;
use ring::{InstanceDesc, InstanceState, RingView};
use rt::service::TimerService;
use rt::{Metrics, Service};
use wire::client::{BegunPush, IngesterPush, PushError, PushErrorCause, PushHeld};
use wire::remote_write;

use crate::errors;
use crate::ha_tracker::{self, Dedup, Election, HaTracker, Origin};
use crate::inflight::{Inflight, InflightRequest, InstanceLimit};
use crate::metrics::DistributorMetrics;
use crate::tenant::{Prepared, TenantState, Tenants};
use crate::validation::{self, Findings};

/// Buffers of finished requests are kept for the next ones, at most this many.
const MAX_SPARE_BUFFERS: usize = 16;
/// A body buffer that has grown beyond this is not kept.
const MAX_SPARE_BODY_BYTES: usize = 4 << 20;

/// After this time without a request a tenant is forgotten, as in Mimir ...
const IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// ... and it is looked for such tenants so often.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(3 * 60);

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
    tenants: Tenants,
    spare: Mutex<Vec<Buffers>>,
}

/// Memory that is used again by the next request.
#[derive(Default)]
struct Buffers {
    body: Vec<u8>,
    batch: WriteBatch<'static>,
}

/// A remote-write 1.0 request as it came.
#[derive(Clone)]
pub(crate) struct PushRequest {
    pub(crate) tenant: TenantId,
    /// A snappy block.
    pub(crate) body: Bytes,
    pub(crate) inflight: Arc<InflightRequest>,
}

/// Which time a request is on a compute thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    First,
    /// After the [`Election`] that the first round asked for.
    AfterElection,
}

/// What is left of a request when its compute thread is free again.
pub(crate) enum Begun {
    /// Its valid part is on the way.
    Sent(SentPush),
    /// A replica must be elected before it can be judged.
    Elects(Election),
}

/// The valid part of a request on its way to the ingesters.
pub(crate) struct SentPush {
    push: BegunPush,
    findings: Findings,
}

impl SentPush {
    /// What the client is told.
    pub(crate) async fn ended(self) -> Result<(), PushError> {
        match self.push.ended().await {
            Err(error) if !error.is_soft || self.findings.first_error.is_none() => Err(error),
            _ => first_error(self.findings),
        }
    }
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
            tenants: Tenants::default(),
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

    /// How many distributors there are: those that are ACTIVE in the ring and show that they are
    /// there.
    fn distributor_count(&self) -> usize {
        let Some(ring) = self.distributors.as_ref().map(|view| view()) else { return 1 };
        let (timeout_s, now_s) = (ring.rules().heartbeat_timeout_s, self.clock.now_ms() / 1000);
        let is_there = |instance: &&Arc<InstanceDesc>| {
            instance.is_in(InstanceState::Active) && instance.is_heartbeat_healthy(timeout_s, now_s)
        };
        ring.instances().iter().filter(is_there).count().max(1)
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
        let limits = self.instance_limits();
        let request = self
            .inflight
            .enter((bytes, self.clock.monotonic()), &limits)
            .map_err(|limit| self.over_limit(limit))?;
        let state = self.tenant(tenant);
        let prepared = state.prepared(&self.overrides.limits(tenant));
        let now = self.clock.monotonic();
        if let Some(rate) = prepared.request_rate
            && !state.requests.try_take(now, rate.shared_by(self.distributor_count()), 1)
        {
            self.metrics.discarded_request(tenant, "rate_limited");
            return Err(errors::request_rate(&prepared));
        }
        Ok(request)
    }

    /// Counts bytes of a request that were not known when it came.
    pub(crate) fn grow(&self, request: &InflightRequest, bytes: u64) -> Result<(), PushError> {
        let grown = request.grow(bytes, &self.instance_limits());
        grown.map_err(|limit| self.over_limit(limit))
    }

    fn over_limit(&self, limit: InstanceLimit) -> PushError {
        self.metrics.rejected_by_instance_limit(limit);
        limit.error()
    }

    fn instance_limits(&self) -> DistributorInstanceLimits {
        let of_runtime = self.overrides.distributor_limits();
        of_runtime.unwrap_or_else(|| self.config.instance_limits.clone())
    }

    /// Takes a request. Runs on a compute thread.
    pub(crate) fn begin(&self, request: &PushRequest, round: Round) -> Result<Begun, PushError> {
        let mut buffers = self.spare.lock().pop().unwrap_or_default();
        let max_bytes = self.config.max_recv_msg_size;
        if round == Round::First {
            let size = remote_write::decompressed_len(&request.body, max_bytes)
                .map_err(|error| errors::snappy(&error, max_bytes))?;
            self.grow(&request.inflight, size as u64)?;
        }
        remote_write::decompress(&request.body, max_bytes, &mut buffers.body)
            .map_err(|error| errors::snappy(&error, max_bytes))?;
        let mut batch: WriteBatch<'_> = buffers.batch.recycle();
        batch.hasher = self.hasher;
        let begun = remote_write::decode(&buffers.body, &mut batch)
            .map_err(|error| errors::decode(&error))
            .and_then(|()| {
                let held = Arc::clone(&request.inflight) as PushHeld;
                self.begin_batch(&request.tenant, &mut batch, (round, held))
            });
        buffers.batch = batch.recycle();
        self.keep(buffers);
        begun
    }

    /// Elects a replica for the second round of a request.
    pub(crate) async fn elect(&self, election: &Election) -> Result<(), PushError> {
        match &self.ha_tracker {
            Some(tracker) => tracker.elect(election).await,
            None => Ok(()),
        }
    }

    fn keep(&self, buffers: Buffers) {
        let mut spare = self.spare.lock();
        if spare.len() < MAX_SPARE_BUFFERS && buffers.body.capacity() <= MAX_SPARE_BODY_BYTES {
            spare.push(buffers);
        }
    }

    /// Checks a decoded batch and hands its valid part to the ingesters. What is not valid is
    /// taken out of `batch`. Runs on a compute thread.
    fn begin_batch(
        &self,
        tenant: &TenantId,
        batch: &mut WriteBatch<'_>,
        (round, held): (Round, PushHeld),
    ) -> Result<Begun, PushError> {
        let state = self.tenant(tenant);
        let limits = self.overrides.limits(tenant);
        let prepared = state.prepared(&limits);
        if round == Round::First {
            self.metrics.request_in(tenant, batch);
        }
        if limits.accept_ha_samples
            && !batch.series.is_empty()
            && let Some(election) = self.dedup(tenant, &limits, batch)?
        {
            return match round {
                Round::First => Ok(Begun::Elects(election)),
                // It was deleted at this moment.
                Round::AfterElection => Err(PushError::hard(
                    PushErrorCause::Unknown,
                    "the elected replica is not known",
                )),
            };
        }
        self.metrics.received_request(tenant, batch);
        let findings = validation::validate(batch, &prepared.validation, self.clock.now_ms());
        self.metrics.discarded(tenant, &findings);
        self.take_rate(tenant, (&state, &prepared), batch)?;
        self.metrics.received(tenant, batch);
        self.inflight.ingested(valid_samples(batch) as u64, self.clock.monotonic());
        let push = if batch.series.is_empty() && batch.metadata.is_empty() {
            BegunPush::Ended(Ok(()))
        } else {
            self.ingester.begin(tenant, batch, held)
        };
        Ok(Begun::Sent(SentPush { push, findings }))
    }

    /// Refuses the samples of a replica that is not the elected one. `Some` where nobody is
    /// elected yet.
    fn dedup(
        &self,
        tenant: &TenantId,
        limits: &Limits,
        batch: &mut WriteBatch<'_>,
    ) -> Result<Option<Election>, PushError> {
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
        match judged? {
            Dedup::Unknown(election) => Ok(Some(election)),
            Dedup::Stripped | Dedup::NotHa => Ok(None),
        }
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
        let burst = rate.burst_tokens();
        if items as f64 > burst {
            return Err(errors::ingestion_burst(burst, items));
        }
        Err(errors::ingestion_rate(prepared))
    }

    fn tenant(&self, tenant: &TenantId) -> Arc<TenantState> {
        self.tenants.get(tenant, self.clock.monotonic())
    }

    /// Forgets tenants that have sent nothing for a while, with their metrics, so that memory does
    /// not grow with every name that was ever sent.
    pub fn forget_idle_tenants(&self) {
        for tenant in self.tenants.take_idle(self.clock.monotonic(), IDLE_TIMEOUT) {
            self.metrics.forget(&tenant);
        }
    }

    /// Forgets idle tenants from time to time.
    pub fn service(self: &Arc<Self>) -> Arc<dyn Service> {
        let distributor = Arc::clone(self);
        Arc::new(TimerService::new("distributor-idle-tenants", IDLE_CHECK_INTERVAL, move || {
            distributor.forget_idle_tenants();
            std::future::ready(Ok(()))
        }))
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
