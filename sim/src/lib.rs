//! A whole cluster in one process and on one thread: the real components over simulated threads,
//! time, disks, object storage and network. The same seed gives the same run, to the last line of
//! its log.
//!
//! Called by its binary and by tests. Nothing of the product depends on it.
//!
//! ```text
//! workload, queries, faults, checks     what happens, and what must be true (truth, queries::model)
//!        cluster - node - node::build   processes that are started, stopped, killed
//! links, kv, gossip, objects, disk      what stands in the place of gRPC, etcd, sockets, S3, disks
//!    network, fibers, world            messages, threads, time, randomness, the log
//! ```

mod bugs;
mod checks;
mod cluster;
mod disk;
mod faults;
mod fibers;
mod gossip;
mod histograms;
mod kv;
mod links;
mod network;
mod node;
mod objects;
mod queries;
mod run;
mod scale;
mod setup;
mod truth;
mod workload;
mod world;

pub use bugs::Bug;
pub use run::{Options, Outcome, Size, run};
