//! The metrics of the write path's entry, under Mimir's names.

use std::sync::Arc;

use config::DistributorInstanceLimits;
use model::{TenantId, WriteBatch};
use rt::Metrics;
use rt::metrics::{Counter, CounterVec, GaugeF64Vec};
use wire::client::PushErrorCause;

use crate::inflight::Inflight;
use crate::push::{valid_exemplars, valid_samples};
use crate::validation::{Findings, Reason};

/// Counters of one distributor.
pub(crate) struct DistributorMetrics {
    incoming: Items,
    received: Items,
    non_ha_samples: CounterVec,
    deduped_samples: CounterVec,
    discarded_requests: CounterVec,
    discarded_samples: CounterVec,
    discarded_metadata: CounterVec,
    discarded_exemplars: CounterVec,
    latest_seen: GaugeF64Vec,
    instance_rejected: Counter,
}

/// Counters of requests and of what they hold, by tenant.
struct Items {
    requests: CounterVec,
    samples: CounterVec,
    exemplars: CounterVec,
    metadata: CounterVec,
}

const USER: &[&str] = &["user"];
const REASON: &[&str] = &["reason", "user", "group"];

impl Items {
    /// `prefix` and `suffix` stand around the name of the item.
    fn new(metrics: &Metrics, (prefix, suffix): (&str, &str), when: &str) -> Self {
        let counter = |item: &str, what: &str| {
            let name = format!("cortex_distributor_{prefix}{item}{suffix}_total");
            metrics.counter_vec(&name, &format!("{what} {when}."), USER)
        };
        Self {
            requests: counter("requests", "Requests"),
            samples: counter("samples", "Samples"),
            exemplars: counter("exemplars", "Exemplars"),
            metadata: counter("metadata", "Metadata"),
        }
    }

    fn count(&self, user: &[&str], samples: usize, batch: &WriteBatch<'_>) {
        self.requests.with(user).inc();
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
        Self {
            incoming: Items::new(metrics, ("", "_in"), "that came in, before any check"),
            received: Items::new(metrics, ("received_", ""), "after the checks"),
            non_ha_samples: metrics.counter_vec(
                "cortex_distributor_non_ha_samples_received_total",
                "Samples of senders without a replica label.",
                USER,
            ),
            deduped_samples: metrics.counter_vec(
                "cortex_distributor_deduped_samples_total",
                "Samples of replicas that were not the elected one.",
                &["user", "cluster"],
            ),
            discarded_requests: metrics.counter_vec(
                "cortex_discarded_requests_total",
                "Requests that were discarded.",
                &["reason", "user"],
            ),
            discarded_samples: metrics.counter_vec(
                "cortex_discarded_samples_total",
                "Samples that were discarded.",
                REASON,
            ),
            discarded_metadata: metrics.counter_vec(
                "cortex_discarded_metadata_total",
                "Metadata that were discarded.",
                &["reason", "user"],
            ),
            discarded_exemplars: metrics.counter_vec(
                "cortex_discarded_exemplars_total",
                "Exemplars that were discarded.",
                &["reason", "user"],
            ),
            latest_seen: metrics.gauge_f64_vec(
                "cortex_distributor_latest_seen_sample_timestamp_seconds",
                "Time of the latest sample of a tenant.",
                USER,
            ),
            instance_rejected: metrics.counter(
                "cortex_distributor_instance_rejected_requests_total",
                "Requests refused because a limit of this process was reached.",
            ),
        }
    }

    /// Counts what a request brought.
    pub(crate) fn request_in(&self, tenant: &TenantId, batch: &WriteBatch<'_>) {
        self.incoming.count(&[tenant.as_str()], batch.sample_count(), batch);
    }

    /// Counts what is handed to the ingesters.
    pub(crate) fn received(&self, tenant: &TenantId, batch: &WriteBatch<'_>) {
        let user = &[tenant.as_str()];
        let samples = valid_samples(batch);
        self.received.count(user, samples, batch);
        if let Some(latest) = batch.samples.iter().map(|s| s.timestamp_ms).max() {
            let gauge = self.latest_seen.with(user);
            gauge.set(gauge.get().max(latest as f64 / 1000.0));
        }
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
                self.deduped_samples.with(&[tenant.as_str(), cluster]).inc_by(samples);
            }
            PushErrorCause::TooManyClusters => {
                let labels = &["too_many_ha_clusters", tenant.as_str(), ""];
                self.discarded_samples.with(labels).inc_by(samples);
            }
            _ => {}
        }
    }

    /// Counts what the checks took out.
    pub(crate) fn discarded(&self, tenant: &TenantId, findings: &Findings) {
        for (Reason(reason), count) in &findings.discarded_samples {
            self.discarded_samples.with(&[reason, tenant.as_str(), ""]).inc_by(*count);
        }
        for (Reason(reason), count) in &findings.discarded_metadata {
            self.discarded_metadata.with(&[reason, tenant.as_str()]).inc_by(*count);
        }
        for (Reason(reason), count) in &findings.discarded_exemplars {
            self.discarded_exemplars.with(&[reason, tenant.as_str()]).inc_by(*count);
        }
    }

    /// Counts what the ingestion rate kept out.
    pub(crate) fn rate_limited(&self, tenant: &TenantId, batch: &WriteBatch<'_>) {
        let labels = &["rate_limited", tenant.as_str(), ""];
        self.discarded_samples.with(labels).inc_by(valid_samples(batch) as u64);
        let exemplars = valid_exemplars(batch) as u64;
        self.discarded_exemplars.with(&["rate_limited", tenant.as_str()]).inc_by(exemplars);
        let metadata = batch.metadata.len() as u64;
        self.discarded_metadata.with(&["rate_limited", tenant.as_str()]).inc_by(metadata);
    }

    pub(crate) fn discarded_request(&self, tenant: &TenantId, reason: &str) {
        self.discarded_requests.with(&[reason, tenant.as_str()]).inc();
    }

    pub(crate) fn rejected_by_instance_limit(&self) {
        self.instance_rejected.inc();
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
