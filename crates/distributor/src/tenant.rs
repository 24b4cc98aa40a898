//! What the distributor remembers of each tenant: its token buckets and its limits in the form
//! that the checks read.

use std::sync::Arc;

use config::Limits;
use parking_lot::RwLock;

use crate::rate::{Rate, TokenBucket};
use crate::validation::ValidationLimits;

/// State of one tenant.
#[derive(Debug, Default)]
pub(crate) struct TenantState {
    pub(crate) requests: TokenBucket,
    pub(crate) items: TokenBucket,
    /// The limits that `Prepared` was made of, by identity.
    prepared: RwLock<Option<(Arc<Limits>, Arc<Prepared>)>>,
}

/// A tenant's limits, ready for use.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) validation: ValidationLimits,
    /// `None` = no limit.
    pub(crate) request_rate: Option<Rate>,
    pub(crate) item_rate: Rate,
}

impl TenantState {
    /// The limits in usable form; made anew only when they have changed.
    pub(crate) fn prepared(&self, limits: &Arc<Limits>) -> Arc<Prepared> {
        if let Some((known, prepared)) = &*self.prepared.read()
            && Arc::ptr_eq(known, limits)
        {
            return Arc::clone(prepared);
        }
        let prepared = Arc::new(Prepared::new(limits));
        *self.prepared.write() = Some((Arc::clone(limits), Arc::clone(&prepared)));
        prepared
    }
}

impl Prepared {
    fn new(limits: &Limits) -> Self {
        let burst = if limits.ingestion_burst_factor > 0.0 {
            limits.ingestion_rate * limits.ingestion_burst_factor
        } else {
            limits.ingestion_burst_size as f64
        };
        let request_rate = (limits.request_rate > 0.0).then_some(Rate {
            per_second: limits.request_rate,
            burst: limits.request_burst_size as f64,
        });
        Self {
            validation: ValidationLimits::new(limits),
            request_rate,
            item_rate: Rate { per_second: limits.ingestion_rate, burst },
        }
    }
}
