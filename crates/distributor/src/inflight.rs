//! What this process is bounded by over all tenants: push requests under way, their bytes, and the
//! samples a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use config::DistributorInstanceLimits;
use parking_lot::Mutex;
use wire::client::PushError;

use crate::errors;

/// Counts what is under way.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    requests: AtomicU64,
    bytes: AtomicU64,
    rate: MovingRate,
}

/// A request that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct InflightRequest {
    inflight: Arc<Inflight>,
    bytes: AtomicU64,
}

impl InflightRequest {
    /// Counts more bytes of the request, unless those of all would go over the limit.
    pub(crate) fn grow(
        &self,
        bytes: u64,
        limits: &DistributorInstanceLimits,
    ) -> Result<(), InstanceLimit> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let total_bytes = self.inflight.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if is_over(total_bytes, limits.max_inflight_push_requests_bytes) {
            return Err(InstanceLimit::Bytes);
        }
        Ok(())
    }
}

/// What this process has too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceLimit {
    Requests,
    Rate,
    Bytes,
}

impl InstanceLimit {
    pub(crate) const ALL: [Self; 3] = [Self::Requests, Self::Rate, Self::Bytes];

    /// The label `reason` of `cortex_distributor_instance_rejected_requests_total`.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Requests => "distributor_max_inflight_push_requests",
            Self::Rate => "distributor_max_ingestion_rate",
            Self::Bytes => "distributor_max_inflight_push_requests_bytes",
        }
    }

    pub(crate) fn error(self) -> PushError {
        match self {
            Self::Requests => errors::too_many_inflight(),
            Self::Rate => errors::instance_ingestion_rate(),
            Self::Bytes => errors::too_many_inflight_bytes(),
        }
    }
}

impl Inflight {
    /// Counts a request of `bytes`, unless that would go over a limit (0 = none).
    pub(crate) fn enter(
        self: &Arc<Self>,
        (bytes, now): (u64, Duration),
        limits: &DistributorInstanceLimits,
    ) -> Result<InflightRequest, InstanceLimit> {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let total_bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let bytes = AtomicU64::new(bytes);
        let request = InflightRequest { inflight: Arc::clone(self), bytes };
        if is_over(requests, limits.max_inflight_push_requests) {
            return Err(InstanceLimit::Requests);
        }
        if limits.max_ingestion_rate > 0.0 && self.rate.per_second(now) >= limits.max_ingestion_rate
        {
            return Err(InstanceLimit::Rate);
        }
        if is_over(total_bytes, limits.max_inflight_push_requests_bytes) {
            return Err(InstanceLimit::Bytes);
        }
        Ok(request)
    }

    /// Counts samples that were taken at the monotonic time `now`.
    pub(crate) fn ingested(&self, samples: u64, now: Duration) {
        self.rate.add(samples, now);
    }

    /// Requests under way.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// An exponentially decaying average of events a second.
#[derive(Debug, Default)]
struct MovingRate {
    /// Events a second, and the monotonic time at which that was so.
    state: Mutex<(f64, Duration)>,
}

/// After this time a burst counts for about a third.
const RATE_SECONDS: f64 = 5.0;

impl MovingRate {
    fn add(&self, count: u64, now: Duration) {
        let mut state = self.state.lock();
        *state = (decayed(*state, now) + count as f64 / RATE_SECONDS, now.max(state.1));
    }

    fn per_second(&self, now: Duration) -> f64 {
        decayed(*self.state.lock(), now)
    }
}

fn decayed((rate, at): (f64, Duration), now: Duration) -> f64 {
    rate * (-now.saturating_sub(at).as_secs_f64() / RATE_SECONDS).exp()
}

fn is_over(value: u64, limit: u64) -> bool {
    limit > 0 && value > limit
}

impl Drop for InflightRequest {
    fn drop(&mut self) {
        self.inflight.requests.fetch_sub(1, Ordering::Relaxed);
        self.inflight.bytes.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_over_a_limit_is_refused_and_not_counted() {
        let inflight = Arc::new(Inflight::default());
        let mut limits = DistributorInstanceLimits {
            max_ingestion_rate: 0.0,
            max_inflight_push_requests: 2,
            max_inflight_push_requests_bytes: 0,
        };
        let first = inflight.enter((10, Duration::ZERO), &limits).unwrap();
        let second = inflight.enter((10, Duration::ZERO), &limits).unwrap();
        let error = inflight.enter((10, Duration::ZERO), &limits).unwrap_err();
        assert_eq!(error, InstanceLimit::Requests);
        let message = error.error().message;
        assert!(message.contains("err-mimir-distributor-max-inflight-push-requests)"));
        drop(first);
        limits.max_inflight_push_requests_bytes = 25;
        let error = inflight.enter((16, Duration::ZERO), &limits).unwrap_err();
        assert!(error.error().message.contains("max-inflight-push-requests-bytes)"));
        assert_eq!((inflight.requests(), inflight.bytes()), (1, 10));
        second.grow(15, &limits).unwrap();
        assert_eq!(second.grow(1, &limits).unwrap_err(), InstanceLimit::Bytes);
        drop(second);
        assert_eq!((inflight.requests(), inflight.bytes()), (0, 0));
    }

    #[test]
    fn a_process_over_its_rate_refuses_until_the_rate_has_fallen() {
        let inflight = Arc::new(Inflight::default());
        let limits = DistributorInstanceLimits {
            max_ingestion_rate: 100.0,
            max_inflight_push_requests: 0,
            max_inflight_push_requests_bytes: 0,
        };
        let at = Duration::from_secs;
        // 100 a second for a long time is an average of about 100.
        (0..60).for_each(|second| inflight.ingested(120, at(second)));
        let error = inflight.enter((1, at(60)), &limits).unwrap_err();
        assert!(error.error().message.contains("(err-mimir-distributor-max-ingestion-rate)"));
        assert!(inflight.enter((1, at(65)), &limits).is_ok());
    }
}
