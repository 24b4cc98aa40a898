//! What the distributor remembers of each tenant: its token buckets and its limits in the form
//! that the checks read. Tenants that send nothing any more are forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use config::Limits;
use hashbrown::HashMap;
use model::TenantId;
use parking_lot::RwLock;

use crate::rate::{Burst, Rate, TokenBucket};
use crate::validation::ValidationLimits;

/// All tenants that have sent something lately.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    by_id: RwLock<HashMap<TenantId, Arc<TenantState>>>,
}

impl Tenants {
    /// The state of a tenant that sends something at the monotonic time `now`.
    pub(crate) fn get(&self, id: &TenantId, now: Duration) -> Arc<TenantState> {
        if let Some(state) = self.by_id.read().get(id) {
            return state.seen(now);
        }
        self.by_id.write().entry(id.clone()).or_default().seen(now)
    }

    /// Forgets the tenants that have sent nothing for `timeout`, and tells which they are.
    pub(crate) fn take_idle(&self, now: Duration, timeout: Duration) -> Vec<TenantId> {
        let oldest_ms = millis(now.saturating_sub(timeout));
        let idle = |state: &TenantState| state.last_seen_ms.load(Ordering::Relaxed) < oldest_ms;
        let mut by_id = self.by_id.write();
        by_id.extract_if(|_, state| idle(state)).map(|(id, _)| id).collect()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// State of one tenant.
#[derive(Debug, Default)]
pub(crate) struct TenantState {
    pub(crate) requests: TokenBucket,
    pub(crate) items: TokenBucket,
    /// The monotonic time of its last request.
    last_seen_ms: AtomicU64,
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
    /// Notes a request, while the map of tenants is locked: so it is not forgotten at this moment.
    fn seen(self: &Arc<Self>, now: Duration) -> Arc<Self> {
        self.last_seen_ms.fetch_max(millis(now), Ordering::Relaxed);
        Arc::clone(self)
    }

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
        // Without a burst size any number of requests may come at once, and a rate alone refuses
        // nothing.
        let is_limited = limits.request_rate > 0.0 && limits.request_burst_size > 0;
        let request_rate = is_limited.then_some(Rate {
            per_second: limits.request_rate,
            burst: Burst::Tokens(limits.request_burst_size as f64),
        });
        let burst = if limits.ingestion_burst_factor > 0.0 {
            Burst::Seconds(limits.ingestion_burst_factor)
        } else {
            Burst::Tokens(limits.ingestion_burst_size as f64)
        };
        Self {
            validation: ValidationLimits::new(limits),
            request_rate,
            item_rate: Rate { per_second: limits.ingestion_rate, burst },
        }
    }
}
