//! How many push requests, and how many of their bytes, the ingester works on at this moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use config::IngesterInstanceLimits;
use model::WriteBatch;

use crate::errors::InstanceLimit;

/// Counts what is under way.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// A request that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct InflightPush {
    inflight: Arc<Inflight>,
    bytes: AtomicU64,
}

impl Inflight {
    /// Counts a request, unless that would go over a limit (0 = none).
    pub(crate) fn enter(
        self: &Arc<Self>,
        batch: &WriteBatch<'_>,
        limits: &IngesterInstanceLimits,
    ) -> Result<InflightPush, InstanceLimit> {
        let push = self.count(limits)?;
        // The bytes cost a pass over all labels: they are counted only for the limit's sake.
        if limits.max_inflight_push_requests_bytes > 0 {
            push.grow(batch_bytes(batch), limits)?;
        }
        Ok(push)
    }

    /// The same before anything of it was read: there must be room for a byte at least.
    pub(crate) fn enter_unread(
        self: &Arc<Self>,
        limits: &IngesterInstanceLimits,
    ) -> Result<InflightPush, InstanceLimit> {
        let push = self.count(limits)?;
        let max_bytes = limits.max_inflight_push_requests_bytes;
        if max_bytes > 0 && self.bytes() >= max_bytes {
            return Err(InstanceLimit::InflightBytes);
        }
        Ok(push)
    }

    fn count(
        self: &Arc<Self>,
        limits: &IngesterInstanceLimits,
    ) -> Result<InflightPush, InstanceLimit> {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let push = InflightPush { inflight: Arc::clone(self), bytes: AtomicU64::new(0) };
        let max_requests = limits.max_inflight_push_requests;
        if max_requests > 0 && requests > max_requests {
            return Err(InstanceLimit::InflightRequests);
        }
        Ok(push)
    }

    /// Requests under way.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Their bytes; of pushes within the process only while there is a limit of bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl InflightPush {
    /// Counts bytes of it, unless those of all would go over the limit.
    pub(crate) fn grow(
        &self,
        bytes: u64,
        limits: &IngesterInstanceLimits,
    ) -> Result<(), InstanceLimit> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let total_bytes = self.inflight.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let max_bytes = limits.max_inflight_push_requests_bytes;
        if max_bytes > 0 && total_bytes > max_bytes {
            return Err(InstanceLimit::InflightBytes);
        }
        Ok(())
    }
}

impl Drop for InflightPush {
    fn drop(&mut self) {
        self.inflight.requests.fetch_sub(1, Ordering::Relaxed);
        self.inflight.bytes.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// About the bytes that a batch had on the wire.
fn batch_bytes(batch: &WriteBatch<'_>) -> u64 {
    let labels: usize = batch.labels.iter().map(|l| l.name.len() + l.value.len() + 6).sum();
    let metadata: usize =
        batch.metadata.iter().map(|m| m.family.len() + m.help.len() + m.unit.len() + 8).sum();
    let samples = size_of_val(batch.samples.as_slice()) + size_of_val(batch.histograms.as_slice());
    (labels + metadata + samples) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Label;
    use model::batch::BatchSample;

    #[test]
    fn a_request_over_a_limit_is_refused_and_not_counted() {
        let mut batch = WriteBatch::default();
        let sample = BatchSample { timestamp_ms: 1, value: 1.0 };
        batch.push_float(&[Label { name: "__name__", value: "up" }], sample);
        let inflight = Arc::new(Inflight::default());
        let mut limits = IngesterInstanceLimits {
            max_inflight_push_requests: 1,
            ..IngesterInstanceLimits::default()
        };
        let first = inflight.enter(&batch, &limits).unwrap();
        let refused = inflight.enter(&batch, &limits).unwrap_err();
        assert_eq!(refused, InstanceLimit::InflightRequests);
        drop(first);
        limits.max_inflight_push_requests_bytes = 40;
        let first = inflight.enter(&batch, &limits).unwrap();
        assert_eq!((inflight.requests(), inflight.bytes()), (1, 32));
        drop(first);
        limits.max_inflight_push_requests_bytes = 31;
        let refused = inflight.enter(&batch, &limits).unwrap_err();
        assert_eq!(refused, InstanceLimit::InflightBytes);
        assert_eq!((inflight.requests(), inflight.bytes()), (0, 0));
    }
}
