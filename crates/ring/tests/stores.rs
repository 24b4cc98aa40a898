//! Every store against the same expectations; etcd as a real server, gossip between several
//! members over loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so loudly")]

#[path = "stores/etcd_server.rs"]
mod etcd_server;
#[path = "stores/gossip_cluster.rs"]
mod gossip_cluster;
#[path = "stores/suite.rs"]
mod suite;
