//! Options of the distributor.

use super::DistributorRingConfig;
use crate::table::config;
use crate::value::GoDuration;

config! {
    /// The write entry.
    pub struct DistributorConfig {
        /// Largest body of a remote-write request after decompression, in bytes.
        max_recv_msg_size: usize = "104857600", "max-recv-msg-size", Advanced;
        /// Time within which the ingesters must have taken a write.
        remote_timeout: GoDuration = "2s", "remote-timeout", Advanced;
    } sections {
        /// Asking clients to wait before they try again.
        retry_after_header: RetryAfterConfig => "retry_after_header", "distributor.retry-after-header.";
        /// The ring by which distributors share global limits.
        ring: DistributorRingConfig => "ring", "distributor.ring.";
        /// Bounds of this process, over all tenants.
        instance_limits: DistributorInstanceLimits => "instance_limits", "distributor.instance-limits.";
    }
}

config! {
    /// The `Retry-After` header of refused writes.
    pub struct RetryAfterConfig {
        /// Send the header with 429 and 5xx answers.
        enabled: bool = "true", "enabled", Advanced;
        /// Wait after the first attempt.
        min_backoff: GoDuration = "6s", "min-backoff", Advanced;
        /// Longest wait, reached by doubling.
        max_backoff: GoDuration = "96s", "max-backoff", Advanced;
    }
}

config! {
    /// Bounds of one distributor process; 0 is no bound.
    pub struct DistributorInstanceLimits {
        /// Samples a second over all tenants, as a moving average.
        max_ingestion_rate: f64 = "0", "max-ingestion-rate", Advanced;
        /// Push requests at once.
        max_inflight_push_requests: u64 = "2000", "max-inflight-push-requests", Advanced;
        /// Bytes of push requests at once.
        max_inflight_push_requests_bytes: u64 = "0", "max-inflight-push-requests-bytes", Advanced;
    }
}
