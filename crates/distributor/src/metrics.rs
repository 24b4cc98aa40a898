//! The metrics of the write path's entry, under Mimir's names.

mod tagged;

use std::sync::Arc;

use config::DistributorInstanceLimits;
use model::{TenantId, WriteBatch};
use rt::Metrics;
use rt::metrics::{CounterVec, GaugeF64Vec};
use wire::client::PushErrorCause;

use crate::inflight::{Inflight, InstanceLimit};
use crate::push::{valid_exemplars, valid_samples};
use crate::validation::{Findings, Reason};
use tagged::{Order, TaggedCounter};

/// Counters of one distributor.
pub(crate) struct DistributorMetrics {
    incoming_requests: CounterVec,
    received_requests: CounterVec,
    incoming: Items,
    received: Items,
    non_ha_samples: CounterVec,
    deduped_samples: TaggedCounter,
    discarded_requests: TaggedCounter,
    discarded_samples: TaggedCounter,
    discarded_metadata: TaggedCounter,
    discarded_exemplars: TaggedCounter,
    latest_seen: GaugeF64Vec,
    instance_rejected: CounterVec,
}

/// Counters of what requests hold, by tenant.
struct Items {
    samples: CounterVec,
    exemplars: CounterVec,
    metadata: CounterVec,
}

const USER: &[&str] = &["user"];
/// The version of remote write that is taken.
const VERSION: &str = "1.0";

impl Items {
    /// `prefix` and `suffix` stand around the name of the item.
    fn new(metrics: &Metrics, (prefix, suffix): (&str, &str), when: &str) -> Self {
        let counter = |item: &str, what: &str| {
            let name = format!("cortex_distributor_{prefix}{item}{suffix}_total");
            metrics.counter_vec(&name, &format!("{what} {when}."), USER)
        };
        Self {
            samples: counter("samples", "Samples"),
            exemplars: counter("exemplars", "Exemplars"),
            metadata: counter("metadata", "Metadata"),
        }
    }

    fn forget(&self, user: &[&str]) {
        for counter in [&self.samples, &self.exemplars, &self.metadata] {
            counter.remove(user);
        }
    }

    fn count(&self, user: &[&str], samples: usize, batch: &WriteBatch<'_>) {
        self.samples.with(user).inc_by(samples as u64);
        self.exemplars.with(user).inc_by(valid_exemplars(batch) as u64);
        self.metadata.with(user).inc_by(batch.metadata.len() as u64);
    }
}

impl DistributorMetrics {
    pub(crate) fn new(
        metrics: &Metrics,
        inflight: &Arc<Inflight>,
        limits: impl Fn() -> DistributorInstanceLimits + Send + Sync + 'static,
    ) -> Self {
        register_inflight(metrics, inflight);
        register_limits(metrics, limits);
        let instance_rejected = metrics.counter_vec(
            "cortex_distributor_instance_rejected_requests_total",
            "Requests refused because a limit of this process was reached.",
            &["reason"],
        );
        for limit in InstanceLimit::ALL {
            instance_rejected.with(&[limit.reason()]);
        }
        let tagged =
            |name: &str, help: &str, order| TaggedCounter::new(metrics, (name, help), order);
        Self {
            incoming_requests: metrics.counter_vec(
                "cortex_distributor_requests_in_total",
                "Requests that came in, before any check.",
                &["user", "version"],
            ),
            received_requests: metrics.counter_vec(
                "cortex_distributor_received_requests_total",
                "Requests that were checked.",
                USER,
            ),
            incoming: Items::new(metrics, ("", "_in"), "that came in, before any check"),
            received: Items::new(metrics, ("received_", ""), "after the checks"),
            non_ha_samples: metrics.counter_vec(
                "cortex_distributor_non_ha_samples_received_total",
                "Samples of senders without a replica label.",
                USER,
            ),
            deduped_samples: tagged(
                "cortex_distributor_deduped_samples_total",
                "Samples of replicas that were not the elected one.",
                Order::UserTag,
            ),
            discarded_requests: tagged(
                "cortex_discarded_requests_total",
                "Requests that were discarded.",
                Order::TagUser,
            ),
            discarded_samples: tagged(
                "cortex_discarded_samples_total",
                "Samples that were discarded.",
                Order::TagUserGroup,
            ),
            discarded_metadata: tagged(
                "cortex_discarded_metadata_total",
                "Metadata that were discarded.",
                Order::TagUser,
            ),
            discarded_exemplars: tagged(
                "cortex_discarded_exemplars_total",
                "Exemplars that were discarded.",
                Order::TagUser,
            ),
            latest_seen: metrics.gauge_f64_vec(
                "cortex_distributor_latest_seen_sample_timestamp_seconds",
                "Time of the latest sample of a tenant.",
                USER,
            ),
            instance_rejected,
        }
    }

    /// Forgets all of a tenant.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        let user = &[tenant.as_str()];
        self.incoming_requests.remove(&[tenant.as_str(), VERSION]);
        self.received_requests.remove(user);
        self.incoming.forget(user);
        self.received.forget(user);
        self.non_ha_samples.remove(user);
        self.latest_seen.remove(user);
        for counter in [
            &self.deduped_samples,
            &self.discarded_requests,
            &self.discarded_samples,
            &self.discarded_metadata,
            &self.discarded_exemplars,
        ] {
            counter.forget(tenant);
        }
    }

    /// Counts what a request brought.
    pub(crate) fn request_in(&self, tenant: &TenantId, batch: &WriteBatch<'_>) {
        self.incoming_requests.with(&[tenant.as_str(), VERSION]).inc();
        self.incoming.count(&[tenant.as_str()], batch.sample_count(), batch);
    }

    /// Counts a request that is going to be checked, and notes the time of its newest sample,
    /// whatever becomes of it.
    pub(crate) fn received_request(&self, tenant: &TenantId, batch: &WriteBatch<'_>) {
        let user = &[tenant.as_str()];
        self.received_requests.with(user).inc();
        let floats = batch.samples.iter().map(|sample| sample.timestamp_ms);
        let histograms = batch.histograms.iter().map(|sample| sample.timestamp_ms);
        let newest_ms = floats.chain(histograms).max().unwrap_or(0);
        if newest_ms > 0 {
            self.latest_seen.with(user).set(newest_ms as f64 / 1000.0);
        }
    }

    /// Counts what is handed to the ingesters.
    pub(crate) fn received(&self, tenant: &TenantId, batch: &WriteBatch<'_>) {
        self.received.count(&[tenant.as_str()], valid_samples(batch), batch);
    }

    /// Counts samples of a request that does not say which replica sent it.
    pub(crate) fn not_ha(&self, tenant: &TenantId, samples: u64) {
        self.non_ha_samples.with(&[tenant.as_str()]).inc_by(samples);
    }

    /// Counts samples of a request that the HA tracker refused.
    pub(crate) fn refused_replica(
        &self,
        tenant: &TenantId,
        cluster: &str,
        (cause, samples): (PushErrorCause, u64),
    ) {
        match cause {
            PushErrorCause::ReplicasDidNotMatch => {
                self.deduped_samples.add(tenant, cluster, samples);
            }
            PushErrorCause::TooManyClusters => {
                self.discarded_samples.add(tenant, "too_many_ha_clusters", samples);
            }
            _ => {}
        }
    }

    /// Counts what the checks took out.
    pub(crate) fn discarded(&self, tenant: &TenantId, findings: &Findings) {
        for (Reason(reason), count) in &findings.discarded_samples {
            self.discarded_samples.add(tenant, reason, *count);
        }
        for (Reason(reason), count) in &findings.discarded_metadata {
            self.discarded_metadata.add(tenant, reason, *count);
        }
        for (Reason(reason), count) in &findings.discarded_exemplars {
            self.discarded_exemplars.add(tenant, reason, *count);
        }
    }

    /// Counts what the ingestion rate kept out.
    pub(crate) fn rate_limited(&self, tenant: &TenantId, batch: &WriteBatch<'_>) {
        const REASON: &str = "rate_limited";
        self.discarded_samples.add(tenant, REASON, valid_samples(batch) as u64);
        self.discarded_exemplars.add(tenant, REASON, valid_exemplars(batch) as u64);
        self.discarded_metadata.add(tenant, REASON, batch.metadata.len() as u64);
    }

    pub(crate) fn discarded_request(&self, tenant: &TenantId, reason: &str) {
        self.discarded_requests.add(tenant, reason, 1);
    }

    pub(crate) fn rejected_by_instance_limit(&self, limit: InstanceLimit) {
        self.instance_rejected.with(&[limit.reason()]).inc();
    }
}

fn register_inflight(metrics: &Metrics, inflight: &Arc<Inflight>) {
    let (requests, bytes) = (Arc::clone(inflight), Arc::clone(inflight));
    metrics.gauge_fn(
        "cortex_distributor_inflight_push_requests",
        "Push requests under way.",
        move || requests.requests() as f64,
    );
    metrics.gauge_fn(
        "cortex_distributor_inflight_push_requests_bytes",
        "Bytes of push requests under way.",
        move || bytes.bytes() as f64,
    );
}

fn register_limits(
    metrics: &Metrics,
    limits: impl Fn() -> DistributorInstanceLimits + Send + Sync + 'static,
) {
    metrics.gauges_fn(
        "cortex_distributor_instance_limits",
        "Limits of this process; 0 is none.",
        "limit",
        move || {
            let limits = limits();
            vec![
                ("max_inflight_push_requests", limits.max_inflight_push_requests as f64),
                (
                    "max_inflight_push_requests_bytes",
                    limits.max_inflight_push_requests_bytes as f64,
                ),
                ("max_ingestion_rate", limits.max_ingestion_rate),
            ]
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/mixin-metrics.tsv");

    /// Names that recording rules make, and those of the ring's and the connections' users.
    const NOT_OURS: &[&str] = &[
        "cortex_distributor_replication_factor",
        "cortex_distributor_exemplars_in",
        "cortex_distributor_received_exemplars",
        "cortex_distributor_received_samples",
    ];

    #[test]
    fn the_dashboards_find_what_they_ask_for() {
        let Ok(table) = std::fs::read_to_string(TABLE) else {
            eprintln!("SKIPPED: {TABLE} is missing");
            return;
        };
        let metrics = Metrics::new();
        let own = DistributorMetrics::new(&metrics, &Arc::default(), Default::default);
        let tenant = TenantId::new("team").unwrap();
        let mut batch = WriteBatch::default();
        let label = model::Label { name: "__name__", value: "up" };
        let sample = model::batch::BatchSample { timestamp_ms: 1, value: 1.0 };
        batch.push_float(&[label], sample);
        own.request_in(&tenant, &batch);
        own.received_request(&tenant, &batch);
        own.received(&tenant, &batch);
        own.not_ha(&tenant, 1);
        own.refused_replica(&tenant, "c", (PushErrorCause::ReplicasDidNotMatch, 1));
        own.rate_limited(&tenant, &batch);
        own.discarded_request(&tenant, "rate_limited");
        let gathered = metrics.gather().unwrap();
        for row in table.lines() {
            let (name, labels) = row.split_once('\t').unwrap();
            let is_own = name.starts_with("cortex_distributor_") || name.starts_with("cortex_disc");
            if !is_own || NOT_OURS.contains(&name) {
                continue;
            }
            let sample = gathered.samples.iter().find(|sample| sample.name == name);
            let sample = sample.unwrap_or_else(|| panic!("{name} is missing"));
            for label in labels.split('\t').next().unwrap().split(',').filter(|l| !l.is_empty()) {
                assert!(sample.labels.iter().any(|(own, _)| own == label), "{name}: {label}");
            }
        }
    }
}
