//! How many push requests, and how many of their bytes, are under way in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use config::DistributorInstanceLimits;
use wire::client::PushError;

use crate::errors;

/// Counts what is under way.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// A request that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct InflightRequest {
    inflight: Arc<Inflight>,
    bytes: u64,
}

impl Inflight {
    /// Counts a request of `bytes`, unless that would go over a limit (0 = none).
    pub(crate) fn enter(
        self: &Arc<Self>,
        bytes: u64,
        limits: &DistributorInstanceLimits,
    ) -> Result<InflightRequest, PushError> {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let total_bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let request = InflightRequest { inflight: Arc::clone(self), bytes };
        if is_over(requests, limits.max_inflight_push_requests) {
            return Err(errors::too_many_inflight());
        }
        if is_over(total_bytes, limits.max_inflight_push_requests_bytes) {
            return Err(errors::too_many_inflight_bytes());
        }
        Ok(request)
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

fn is_over(value: u64, limit: u64) -> bool {
    limit > 0 && value > limit
}

impl Drop for InflightRequest {
    fn drop(&mut self) {
        self.inflight.requests.fetch_sub(1, Ordering::Relaxed);
        self.inflight.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
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
        let first = inflight.enter(10, &limits).unwrap();
        let _second = inflight.enter(10, &limits).unwrap();
        let error = inflight.enter(10, &limits).unwrap_err();
        assert!(error.message.contains("err-mimir-distributor-max-inflight-push-requests)"));
        drop(first);
        limits.max_inflight_push_requests_bytes = 25;
        let error = inflight.enter(16, &limits).unwrap_err();
        assert!(error.message.contains("max-inflight-push-requests-bytes)"));
        assert_eq!((inflight.requests(), inflight.bytes()), (1, 10));
    }
}
