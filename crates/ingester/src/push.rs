//! A push, of this process or served: limits of the process, the tenant's TSDB, and what the sender is told. Runs on the
//! caller's compute thread; when it returns `Ok` the write-ahead log has everything.

use std::sync::Arc;

use config::{IngesterInstanceLimits, Limits};
use model::{TenantId, WriteBatch};
use tsdb::head::{
    AppendLimits, AppendOutcome, ExemplarRejectionKind, RejectionKind, ReplayProgress,
};
use wire::client::{AdmittedPush, IngesterPush, PushError, ServedPush};

use crate::Ingester;
use crate::error_samples::ErrorKind;
use crate::errors::{self, InstanceLimit, LimitValues};
use crate::inflight::InflightPush;
use crate::ingester::Phase;
use crate::metadata::{MetadataBounds, MetadataStore};
use crate::tenant::Tenant;
use crate::tenants::NotCreated;

impl IngesterPush for Ingester {
    fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
        let _inflight = self.admitted(|limits| self.inflight.enter(batch, limits))?;
        self.push_admitted(tenant, batch)
    }
}

impl ServedPush for Ingester {
    fn admit(self: Arc<Self>) -> Result<Arc<dyn AdmittedPush>, PushError> {
        let inflight = self.admitted(|limits| self.inflight.enter_unread(limits))?;
        Ok(Arc::new(Admitted { ingester: self, inflight }))
    }
}

/// A served push.
struct Admitted {
    ingester: Arc<Ingester>,
    inflight: InflightPush,
}

impl AdmittedPush for Admitted {
    fn has_read(&self, bytes: u64) -> Result<(), PushError> {
        let grown = self.inflight.grow(bytes, &self.ingester.instance_limits());
        grown.map_err(|limit| self.ingester.refused(limit))
    }

    fn push(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
        // It may have waited for a long time.
        self.ingester.check_running()?;
        self.ingester.push_admitted(tenant, batch)
    }
}

/// The most series that a tenant may have, and which limit says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SeriesBound {
    /// 0 = none.
    max_series: u64,
    is_of_instance: bool,
}

impl Ingester {
    /// The bounds of the process that hold now.
    pub(crate) fn instance_limits(&self) -> IngesterInstanceLimits {
        let of_runtime = self.overrides.ingester_limits();
        of_runtime.unwrap_or_else(|| self.config.instance_limits.clone())
    }

    /// A place that `enter` finds for a push, unless nothing is taken at the moment.
    fn admitted(
        &self,
        enter: impl FnOnce(&IngesterInstanceLimits) -> Result<InflightPush, InstanceLimit>,
    ) -> Result<InflightPush, PushError> {
        self.check_running()?;
        let limits = self.instance_limits();
        let inflight = enter(&limits).map_err(|limit| self.refused(limit))?;
        if limits.max_ingestion_rate > 0.0
            && limits.max_ingestion_rate <= self.ingestion.per_second()
        {
            return Err(self.refused(InstanceLimit::IngestionRate));
        }
        Ok(inflight)
    }

    fn refused(&self, limit: InstanceLimit) -> PushError {
        self.metrics.rejected(limit);
        limit.error()
    }

    fn push_admitted(&self, tenant: &TenantId, batch: &WriteBatch<'_>) -> Result<(), PushError> {
        let tenant_limits = self.overrides.limits(tenant);
        self.push_metadata(tenant, batch, &tenant_limits);
        if !batch.series.is_empty() {
            self.push_samples(&*self.tenant_for_push(tenant)?, batch, &tenant_limits)?;
        }
        match batch.undecodable.is_empty() {
            true => Ok(()),
            // A distributor takes them out.
            false => Err(errors::undecodable()),
        }
    }

    fn check_running(&self) -> Result<(), PushError> {
        match self.phase() {
            Phase::Running => Ok(()),
            other => Err(errors::unavailable(other.as_str())),
        }
    }

    /// The tenant's TSDB, opened where there is none.
    fn tenant_for_push(&self, id: &TenantId) -> Result<Arc<Tenant>, PushError> {
        let max_tenants = self.instance_limits().max_tenants;
        let open = |tenants: usize| {
            if max_tenants > 0 && max_tenants <= tenants as u64 {
                self.metrics.rejected(InstanceLimit::Tenants);
                return Err(InstanceLimit::Tenants.error());
            }
            let opened = self.opener.open(id, &ReplayProgress::default());
            opened.map_err(|error| errors::storage(id, "open the TSDB", &error))
        };
        self.tenants.get_or_create(id, open).map_err(|error| match error {
            NotCreated::Closed => errors::unavailable(Phase::Stopping.as_str()),
            NotCreated::Failed(error) => error,
        })
    }

    fn push_samples(
        &self,
        tenant: &Tenant,
        batch: &WriteBatch<'_>,
        limits: &Limits,
    ) -> Result<(), PushError> {
        let shares = self.shares(limits);
        let bound = self.series_bound(tenant, shares.local(limits.max_global_series_per_user));
        let window = limits.out_of_order_time_window;
        let append_limits = AppendLimits {
            max_series: bound.max_series,
            max_series_per_metric: shares.local(limits.max_global_series_per_metric),
            out_of_order_window_ms: window.millis().max(0),
            max_exemplars: self.local_exemplars(limits),
        };
        match tenant.append(batch, &append_limits, self.clock.now_ms()) {
            Ok(outcome) => {
                self.count(tenant, &outcome);
                let values = LimitValues {
                    max_series_per_user: limits.max_global_series_per_user,
                    max_series_per_metric: limits.max_global_series_per_metric,
                    out_of_order_window: window,
                    ignore_out_of_order_exemplars: limits.ignore_ooo_exemplars,
                };
                self.verdict(tenant.id(), &outcome, &values, bound)
            }
            Err(error) => {
                tenant.counters().pushed(0, batch.sample_count() as u64);
                Err(error)
            }
        }
    }

    fn count(&self, tenant: &Tenant, outcome: &AppendOutcome) {
        let stored = outcome.accepted_floats + outcome.accepted_histograms;
        let refused = outcome.rejected_total();
        self.metrics.exemplars(&outcome.exemplars);
        tenant.counters().pushed(stored, refused);
        tenant.ingestion().add(stored);
        self.ingestion.add(stored);
        if refused > 0 {
            self.metrics.discarded(tenant.id(), outcome);
        }
    }

    /// What the sender is told: the limit of the process first, because the same request may
    /// succeed later; then the first sample that was refused.
    fn verdict(
        &self,
        tenant: &TenantId,
        outcome: &AppendOutcome,
        limits: &LimitValues,
        bound: SeriesBound,
    ) -> Result<(), PushError> {
        if bound.is_of_instance && outcome.rejected(RejectionKind::SeriesLimit) > 0 {
            self.metrics.rejected(InstanceLimit::Series);
            return Err(InstanceLimit::Series.error());
        }
        let of_sample = outcome.first_rejection();
        let is_ignored = |kind| {
            limits.ignore_out_of_order_exemplars && kind == ExemplarRejectionKind::OutOfOrder
        };
        let of_exemplar = outcome.exemplars.first.as_ref().filter(|first| !is_ignored(first.kind));
        match (of_sample, of_exemplar) {
            (Some(sample), exemplar)
                if exemplar.is_none_or(|exemplar| sample.series_index <= exemplar.series_index) =>
            {
                let error = errors::rejection(sample, limits);
                Err(self.logged(tenant, ErrorKind::Sample(sample.kind), error))
            }
            (_, Some(exemplar)) => {
                let error = errors::exemplar_rejection(exemplar);
                Err(self.logged(tenant, ErrorKind::Exemplar, error))
            }
            (_, None) => Ok(()),
        }
    }

    /// The same error; logged, if it is the turn of one of its kind.
    fn logged(&self, tenant: &TenantId, kind: ErrorKind, error: PushError) -> PushError {
        self.errors.log(kind, |sampled| {
            tracing::warn!(user = %tenant, %error, sampled, "a part of a push was refused");
        });
        error
    }

    /// What the tenant may have here or what the process has left, whichever is less.
    fn series_bound(&self, tenant: &Tenant, of_tenant: u64) -> SeriesBound {
        let of_instance = self.instance_limits().max_series;
        if of_instance == 0 {
            return SeriesBound { max_series: of_tenant, is_of_instance: false };
        }
        let left = of_instance.saturating_sub(self.tenants.series());
        // A bound of 0 would be none: without anything left a head of 0 series may grow by none.
        let bound = tenant.db().head().series_count().saturating_add(left).max(1);
        if of_tenant > 0 && of_tenant <= bound {
            SeriesBound { max_series: of_tenant, is_of_instance: false }
        } else {
            SeriesBound { max_series: bound, is_of_instance: true }
        }
    }

    /// Takes in metadata. They are best effort, as in Mimir: what does not fit is counted and
    /// logged, the sender is not told.
    fn push_metadata(&self, tenant: &TenantId, batch: &WriteBatch<'_>, limits: &Limits) {
        if batch.metadata.is_empty() {
            return;
        }
        let store = self.metadata_for_push(tenant);
        let bounds = MetadataBounds::new(limits, self.shares(limits));
        let outcome = store.add(&batch.metadata, &bounds, self.clock.now_ms());
        self.metrics.metadata(tenant, &outcome);
        if let Some(error) = outcome.first_error {
            self.errors.log(ErrorKind::Metadata, |sampled| {
                tracing::warn!(user = %tenant, error, sampled, "some metadata were refused");
            });
        }
    }

    fn metadata_for_push(&self, tenant: &TenantId) -> Arc<MetadataStore> {
        if let Some(store) = self.metadata.read().get(tenant) {
            return Arc::clone(store);
        }
        Arc::clone(self.metadata.write().entry(tenant.clone()).or_default())
    }
}
