//! The metrics of the tracker, under Mimir's names.

use rt::Metrics;
use rt::metrics::{Counter, CounterVec, GaugeF64Vec, GaugeVec, Histogram};

use super::clusters::Learned;
use super::desc::ReplicaDesc;

/// Prometheus' default buckets, seconds.
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const CLUSTER: &[&str] = &["user", "cluster"];

/// Metrics of one tracker.
pub(super) struct HaMetrics {
    /// `None` where it is not wanted: it has a metric for each pair.
    status: Option<GaugeVec>,
    changes: CounterVec,
    received: GaugeF64Vec,
    last_election: GaugeF64Vec,
    reelections: GaugeVec,
    pub(super) propagation: Histogram,
    pub(super) cas_calls: CounterVec,
    pub(super) cleanups: Counter,
    pub(super) marked: Counter,
    pub(super) deleted: Counter,
    pub(super) cleanup_failed: Counter,
}

impl HaMetrics {
    pub(super) fn new(metrics: &Metrics, shows_status: bool) -> Self {
        let counter = |name: &str, help: &str| {
            metrics.counter(&format!("cortex_ha_tracker_replicas_cleanup_{name}_total"), help)
        };
        Self {
            status: shows_status.then(|| {
                metrics.gauge_vec(
                    "cortex_ha_tracker_elected_replica_status",
                    "The replica that is elected in a cluster of a tenant.",
                    &["user", "cluster", "replica"],
                )
            }),
            changes: metrics.counter_vec(
                "cortex_ha_tracker_elected_replica_changes_total",
                "How often another replica was seen to be elected.",
                CLUSTER,
            ),
            received: metrics.gauge_f64_vec(
                "cortex_ha_tracker_elected_replica_timestamp_seconds",
                "The time of the elected replica in the store.",
                CLUSTER,
            ),
            last_election: metrics.gauge_f64_vec(
                "cortex_ha_tracker_last_election_timestamp_seconds",
                "The time of the last election in the store.",
                CLUSTER,
            ),
            reelections: metrics.gauge_vec(
                "cortex_ha_tracker_reelections_total",
                "The number of elections in the store, but for the first one.",
                CLUSTER,
            ),
            propagation: metrics.histogram(
                "cortex_ha_tracker_elected_replica_change_propagation_time_seconds",
                "How old a change in the store was when it was seen.",
                SECONDS,
            ),
            cas_calls: metrics.counter_vec(
                "cortex_ha_tracker_kv_store_cas_total",
                "Attempts to change the store.",
                CLUSTER,
            ),
            cleanups: counter("started", "How often old replicas were looked for."),
            marked: counter("marked_for_deletion", "Replicas that were marked for deletion."),
            deleted: counter("deleted", "Replicas that were deleted from the store."),
            cleanup_failed: counter(
                "delete_failed",
                "Replicas that could not be marked for deletion or deleted.",
            ),
        }
    }

    /// Shows what stands in the store.
    pub(super) fn learned(
        &self,
        (tenant, cluster): (&str, &str),
        desc: &ReplicaDesc,
        learned: &Learned,
    ) {
        let labels = &[tenant, cluster];
        self.received.with(labels).set((desc.received_at / 1000) as f64);
        let Learned::Elected { former } = learned else { return };
        if let Some(status) = &self.status {
            status.remove(&[tenant, cluster, former]);
            status.with(&[tenant, cluster, &desc.replica]).set(1);
        }
        self.changes.with(labels).inc();
        self.last_election.with(labels).set((desc.elected_at / 1000) as f64);
        self.reelections.with(labels).set(desc.elected_changes);
    }

    /// A cluster is gone.
    pub(super) fn forgotten(&self, (tenant, cluster): (&str, &str), replica: &str) {
        let labels = &[tenant, cluster];
        if let Some(status) = &self.status {
            status.remove(&[tenant, cluster, replica]);
        }
        self.changes.remove(labels);
        self.received.remove(labels);
        self.last_election.remove(labels);
        self.reelections.remove(labels);
        self.cas_calls.remove(labels);
    }
}
