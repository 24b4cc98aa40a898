//! Closing the TSDBs of tenants that have fallen silent, and deleting their directories: all that
//! was in them is in the bucket. A push that comes meanwhile is refused with a retryable error and
//! opens a new TSDB the next time.

use std::sync::Arc;

use crate::Ingester;
use crate::ingester::{IngesterError, Phase};
use crate::plan::{self, CloseCheck};
use crate::tenant::Tenant;

impl Ingester {
    /// Closes and deletes every TSDB that is idle, empty and shipped. Without uploads none ever
    /// is: its blocks count as not shipped.
    pub(crate) async fn close_idle_tenants(self: &Arc<Self>) {
        for tenant in self.tenants.all() {
            if self.phase() != Phase::Running {
                return;
            }
            if self.check(&tenant) != CloseCheck::Idle {
                continue;
            }
            let closing = Arc::clone(&tenant);
            match self.blocking(move |i| i.close_if_idle(&closing)).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => tracing::info!(user = %tenant.id(), "closed an idle TSDB"),
                Ok(Err(error)) => tracing::error!(%error, "could not close an idle TSDB"),
                Err(error) => tracing::error!(%error, "could not close an idle TSDB"),
            }
        }
    }

    fn check(&self, tenant: &Tenant) -> CloseCheck {
        let timeout = self.tsdb_config.close_idle_tsdb_timeout;
        plan::close_check(tenant.activity(), timeout, self.clock.now_ms())
    }

    fn close_if_idle(&self, tenant: &Tenant) -> Result<bool, IngesterError> {
        let Ok(_shipping) = tenant.shipping.try_lock() else { return Ok(false) };
        // Once more with the gate closed: a push may have passed it in between.
        if !tenant.try_close_gate(|| self.check(tenant) == CloseCheck::Idle) {
            return Ok(false);
        }
        let result = self.tenants.remove_with(tenant.id(), || self.close_and_delete(tenant));
        self.retired.lock().add(tenant);
        self.metrics.forget_tenant(tenant.id());
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
