//! The gossip's metrics, under the names of Mimir's dashboards.

use std::sync::Arc;

use rt::Metrics;
use rt::metrics::Counter;

use super::gossip::Gossip;
use super::service::Shared;

/// What the shell counts.
pub(super) struct TransportCounters {
    pub(super) incoming_streams: Counter,
    pub(super) outgoing_streams: Counter,
    pub(super) outgoing_stream_errors: Counter,
    pub(super) received_packets: Counter,
    pub(super) received_packet_bytes: Counter,
    pub(super) receive_errors: Counter,
    pub(super) sent_packets: Counter,
    pub(super) sent_packet_bytes: Counter,
    pub(super) send_errors: Counter,
    pub(super) dropped_packets: Counter,
    pub(super) sent_bytes: Counter,
    pub(super) received_bytes: Counter,
    pub(super) cas_attempts: Counter,
    pub(super) cas_successes: Counter,
    pub(super) cas_failures: Counter,
}

impl TransportCounters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let transport = |name: &str, help: &str| {
            metrics.counter(&format!("memberlist_tcp_transport_{name}"), help)
        };
        let client =
            |name: &str, help: &str| metrics.counter(&format!("memberlist_client_{name}"), help);
        Self {
            incoming_streams: transport("incoming_streams_total", "Streams from other members"),
            outgoing_streams: transport("outgoing_streams_total", "Streams to other members"),
            outgoing_stream_errors: transport(
                "outgoing_stream_errors_total",
                "Streams to other members that failed",
            ),
            received_packets: transport("packets_received_total", "Packets from other members"),
            received_packet_bytes: transport(
                "packets_received_bytes_total",
                "Bytes of packets from other members",
            ),
            receive_errors: transport(
                "packets_received_errors_total",
                "Connections of other members that broke or were refused",
            ),
            sent_packets: transport("packets_sent_total", "Packets to other members"),
            sent_packet_bytes: transport(
                "packets_sent_bytes_total",
                "Bytes of packets to other members",
            ),
            send_errors: transport(
                "packets_sent_errors_total",
                "Packets to other members that could not be sent",
            ),
            dropped_packets: transport(
                "packets_dropped_total",
                "Packets that were dropped because too many waited",
            ),
            sent_bytes: transport("sent_bytes_total", "Bytes sent, of packets and streams"),
            received_bytes: transport(
                "received_bytes_total",
                "Bytes received, of packets and streams",
            ),
            cas_attempts: client("cas_attempt_total", "Attempted changes of values"),
            cas_successes: client("cas_success_total", "Successful changes of values"),
            cas_failures: client("cas_failure_total", "Failed changes of values"),
        }
    }
}

/// The metrics that are asked for at every scrape.
pub(super) fn register(metrics: &Metrics, shared: &Arc<Shared>) {
    let gauge = |name: &str, help: &str, value: fn(&Gossip) -> f64| {
        let shared = Arc::downgrade(shared);
        metrics.gauge_fn(&format!("memberlist_client_{name}"), help, move || {
            shared.upgrade().and_then(|shared| shared.look(value)).unwrap_or(0.0)
        });
    };
    gauge("cluster_members_count", "Members of the cluster", |g| g.member_count() as f64);
    gauge("cluster_node_health_score", "How badly this member does, 0 is best", |g| {
        g.health_score() as f64
    });
    gauge("messages_in_broadcast_queue_bytes", "Bytes of changes that wait to be told", |g| {
        g.queued_bytes() as f64
    });
    gauge("kv_store_count", "Keys", |g| g.keys("").len() as f64);
    let counter = |name: &str, help: &str, value: fn(&Gossip) -> u64| {
        let shared = Arc::downgrade(shared);
        metrics.counter_fn(&format!("memberlist_client_{name}"), help, move || {
            shared.upgrade().and_then(|shared| shared.look(value)).unwrap_or(0) as f64
        });
    };
    counter("received_broadcasts_total", "Changes from others", |g| g.stats().received_messages);
    counter("received_broadcasts_bytes_total", "Bytes of changes from others", |g| {
        g.stats().received_bytes
    });
    counter("received_broadcasts_invalid_total", "Changes from others that were no use", |g| {
        g.stats().invalid_messages
    });
    counter("state_pulls_total", "Whole states that went out", |g| g.stats().pulls);
    counter("state_pulls_bytes_total", "Their bytes", |g| g.stats().pull_bytes);
    counter("state_pushes_total", "Whole states that came in", |g| g.stats().pushes);
    counter("state_pushes_bytes_total", "Their bytes", |g| g.stats().push_bytes);
}
