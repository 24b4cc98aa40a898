//! How a member of the gossip behaves.

use std::net::SocketAddr;

use crate::memberlist::message::Envelope;

/// How a member behaves.
#[derive(Debug, Clone)]
pub struct GossipOptions {
    /// Its name, which nobody else has.
    pub name: String,
    /// Where others reach it.
    pub address: SocketAddr,
    /// How packets are wrapped.
    pub envelope: Envelope,
    /// A message is sent `factor * log10(members + 1)` times.
    pub retransmit_factor: usize,
    /// How often there is gossip.
    pub gossip_interval_ms: u64,
    /// To how many members.
    pub gossip_nodes: usize,
    /// How long dead members still get gossip, so that they can object.
    pub gossip_to_dead_ms: u64,
    /// When a dead member's name may be used with another address; 0 for never.
    pub dead_node_reclaim_ms: u64,
    /// How often everything is compared with another member; 0 for never.
    pub push_pull_interval_ms: u64,
    /// How often a member is asked whether it is there.
    pub probe_interval_ms: u64,
    /// How long an answer may take before others are asked.
    pub probe_timeout_ms: u64,
    /// How long marks of those who left a ring are kept; 0 for ever.
    pub left_timeout_ms: i64,
    /// How long deleted keys are kept.
    pub obsolete_timeout_ms: i64,
}

impl GossipOptions {
    /// Mimir's defaults.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            address,
            envelope: Envelope { compression: true, ..Envelope::default() },
            retransmit_factor: 4,
            gossip_interval_ms: 200,
            gossip_nodes: 3,
            gossip_to_dead_ms: 30_000,
            dead_node_reclaim_ms: 0,
            push_pull_interval_ms: 30_000,
            probe_interval_ms: 5000,
            probe_timeout_ms: 2000,
            left_timeout_ms: 300_000,
            obsolete_timeout_ms: 30_000,
        }
    }
}
