//! The hash ring as Mimir has it: who owns a key, who takes part in an operation, and how the
//! processes of a cluster agree on that.
//!
//! ```text
//! lifecycler ── registers, heartbeats ──> kv store (memberlist, etcd, memory) ──> reader ── Ring
//! ```
//!
//! [`Ring`] and everything below it is pure: tokens, replication sets, shuffle shards. The stores
//! carry [`desc::Desc`] in Mimir's own encoding, so that a ring can be shared with Mimir.
//!
//! Called by the components' wiring. Knows no component.

mod blocks;
pub mod desc;
mod go_rand;
pub mod hash;
pub mod kv;
pub mod lifecycler;
pub mod memberlist;
pub mod net;
mod operation;
pub mod options;
pub mod reader;
mod ring;
pub mod spread;
pub mod status;
pub mod tokens;

pub use blocks::{BlockReplication, store_gateway_shard_size};
pub use desc::{Desc, InstanceDesc, InstanceState, RingCodec};
pub use operation::Operation;
pub use ring::{
    Replicas, ReplicatedKey, ReplicationSet, Ring, RingError, RingRules, RingView, Strategy,
};
