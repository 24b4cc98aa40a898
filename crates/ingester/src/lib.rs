//! Recent samples: one TSDB per tenant, block cutting, shipping.
//!
//! Contract with Mimir: the push errors with their `err-mimir-*` ids, the directory
//! `-blocks-storage.tsdb.dir` (with `mimir.shipper.json`), level-1 blocks in the bucket with their
//! `thanos` section, `/ingester/*` pages, `cortex_ingester_*` metrics. Differs:
//! `/ingester/flush?wait=true` answers 500 when something could not be flushed.
//!
//! ```text
//! push.rs, query.rs     the traits of `wire`             tenants.rs, tenant.rs   the open TSDBs
//! lifecycle.rs          start, loops, end                open.rs, prepare.rs     their directory
//! plan.rs               what is due (pure)               metadata.rs             metric metadata
//! compaction.rs, early.rs, shipper.rs, idle.rs   what carries it out
//! deletion_mark.rs      tenants that are being deleted
//! ring.rs               shares of limits, leaving
//! active.rs             active series, counted       cardinality.rs          how many series
//! error_samples.rs      which errors are logged
//! ```
//!
//! Pushes and queries come on their callers' compute threads; everything else runs on the
//! background pool or waits. Nothing here knows the distributor or the query engine.

mod active;
mod cardinality;
mod compaction;
mod deletion_mark;
mod early;
mod error_samples;
mod errors;
pub mod http;
mod idle;
mod inflight;
mod ingester;
mod lifecycle;
mod metadata;
mod metrics;
mod open;
mod opening;
mod plan;
mod prepare;
mod push;
mod query;
mod rate;
mod ring;
mod shipper;
mod tenant;
mod tenants;

pub use ingester::{Dependencies, Ingester, IngesterError};
pub use lifecycle::IngesterService;
pub use ring::RingMembership;

#[cfg(test)]
mod tests;
