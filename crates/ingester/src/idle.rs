//! Closing the TSDBs of tenants that have fallen silent, and deleting their directories: all that
//! was in them is in the bucket. A push that comes meanwhile is refused with a retryable error and
//! opens a new TSDB the next time.

use std::sync::Arc;

use crate::Ingester;
use crate::ingester::{IngesterError, Phase};
use crate::plan::{self, CloseCheck, ClosePolicy};
use crate::tenant::Tenant;

impl Ingester {
    /// Closes and deletes every TSDB that is idle, empty and shipped, or marked for deletion.
    /// Without uploads none ever is, unless that was asked for.
    pub(crate) async fn close_idle_tenants(self: &Arc<Self>) {
        if !self.tsdb_config.close_idle_tsdb_timeout.is_positive() {
            return;
        }
        for tenant in self.tenants.all() {
            if self.phase() != Phase::Running {
                return;
            }
            let result = self.close_tenant_if_due(&tenant).await;
            self.metrics.idle_check(result);
        }
    }

    /// Returns what is counted.
    async fn close_tenant_if_due(self: &Arc<Self>, tenant: &Arc<Tenant>) -> &'static str {
        let check = self.check(tenant);
        if !check.closes() {
            return check.result();
        }
        let closing = Arc::clone(tenant);
        match self.blocking(move |i| i.close_if_idle(&closing)).await {
            Ok(Ok(false)) => "not_active",
            Ok(Ok(true)) => {
                tracing::info!(user = %tenant.id(), reason = check.result(), "closed a TSDB");
                check.result()
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "could not close an idle TSDB");
                match error {
                    IngesterError::Directory { .. } => "data_removal_failed",
                    _ => "close_failed",
                }
            }
            Err(error) => {
                tracing::error!(%error, "could not close an idle TSDB");
                "close_failed"
            }
        }
    }

    fn check(&self, tenant: &Tenant) -> CloseCheck {
        let policy = ClosePolicy {
            idle_timeout: self.tsdb_config.close_idle_tsdb_timeout,
            is_shipping: self.is_shipping(),
            closes_without_shipping: self.tsdb_config.close_idle_tsdb_when_shipping_disabled,
        };
        plan::close_check(tenant.activity(), policy, self.clock.now_ms())
    }

    fn close_if_idle(&self, tenant: &Tenant) -> Result<bool, IngesterError> {
        let Ok(_shipping) = tenant.shipping.try_lock() else { return Ok(false) };
        // Once more with the gate closed: a push may have passed it in between.
        if !tenant.try_close_gate(|| self.check(tenant).closes()) {
            return Ok(false);
        }
        let result = self.tenants.remove_with(tenant.id(), || self.close_and_delete(tenant));
        self.retired.lock().add(tenant);
        self.metrics.forget_tenant(tenant.id());
        self.forget_metadata(tenant.id());
        result.map(|()| true)
    }

    /// Whatever fails, the tenant can be opened again from what is left of its directory.
    fn close_and_delete(&self, tenant: &Tenant) -> Result<(), IngesterError> {
        let closed = tenant.close();
        closed.map_err(|source| IngesterError::Tsdb {
            operation: "close the TSDB",
            tenant: tenant.id().clone(),
            source,
        })?;
        self.opener.delete(tenant.id()).map_err(|source| IngesterError::Directory {
            operation: "delete a TSDB in",
            dir: self.opener.dir.clone(),
            source,
        })
    }
}
