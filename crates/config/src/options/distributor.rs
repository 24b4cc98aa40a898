//! Options of the distributor.

use super::{DistributorRingConfig, EtcdConfig, KvBackend, KvStoreConfig, MultiKvConfig};
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
        /// The connections to ingesters.
        pool: IngesterPoolConfig => "pool", "distributor.";
        /// Asking clients to wait before they try again.
        retry_after_header: RetryAfterConfig => "retry_after_header", "distributor.retry-after-header.";
        /// Choosing one Prometheus of each pair.
        ha_tracker: HaTrackerConfig => "ha_tracker", "distributor.ha-tracker.";
        /// The ring by which distributors share global limits.
        ring: DistributorRingConfig => "ring", "distributor.ring.";
        /// Bounds of this process, over all tenants.
        instance_limits: DistributorInstanceLimits => "instance_limits", "distributor.instance-limits.";
    }
}

config! {
    /// The connections to ingesters, of distributors and queriers.
    pub struct IngesterPoolConfig {
        /// How often connections to ingesters that have gone are looked for.
        client_cleanup_period: GoDuration = "15s", "client-cleanup-period", Advanced;
        /// Ask ingesters for their health then, and drop connections to those that do not serve.
        health_check_ingesters: bool = "true", "health-check-ingesters", Advanced;
        /// How long an ingester may fail to serve before its connection is dropped; 0 is at once.
        ingester_health_check_grace_period: GoDuration = "0", "ingester-health-check-grace-period", Experimental;
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

config! {
    /// Choosing one of the Prometheus servers that send the same.
    pub struct HaTrackerConfig {
        /// Choose one Prometheus of each pair, for tenants with -distributor.ha-tracker.enable-for-all-users.
        enable_ha_tracker: bool = "false", "enable", Basic;
        /// Expose which Prometheus is elected, one metric a pair.
        enable_elected_replica_metric: bool = "false", "enable-elected-replica-metric", Basic;
    } sections {
        /// Where the choice is kept.
        kvstore: HaTrackerKvConfig => "kvstore", "distributor.ha-tracker.";
    }
}

config! {
    /// Where the choice of each pair is kept; as for rings, with another prefix.
    pub struct HaTrackerKvConfig {
        /// The store: memberlist, etcd, inmemory or multi.
        store: KvBackend = "memberlist", "store", Basic;
        /// What stands before every key in the store.
        prefix: String = "ha-tracker/", "prefix", Advanced;
    } sections {
        /// The servers of the store etcd.
        etcd: EtcdConfig => "etcd", ".etcd.";
        /// The two stores of the store multi.
        multi: MultiKvConfig => "multi", ".multi.";
    }
}

impl HaTrackerKvConfig {
    /// The same as the options of a ring's store.
    pub fn kvstore(&self) -> KvStoreConfig {
        KvStoreConfig {
            store: self.store,
            prefix: self.prefix.clone(),
            etcd: self.etcd.clone(),
            multi: self.multi.clone(),
        }
    }
}
