//! The read path: PromQL over HTTP, merging recent samples (ingesters) and long-term storage
//! (blocks in the bucket).
//!
//! Contract with Mimir: the query endpoints below `/prometheus/api/v1` with Prometheus' JSON, error
//! types and status codes; options `-querier.*` and `-query-frontend.*`; the read limits with their
//! `err-mimir-*` ids; `cortex_query*` metrics.
//!
//! A query is parsed and checked, then evaluated on a compute thread, and its result is written
//! piece by piece. When the client goes away the handler's future is dropped, and that cancels the
//! query. Nothing here knows an ingester or a store-gateway: they are handed in as
//! [`wire::client::IngesterQuery`] and [`wire::client::StoreGateways`].

mod activity;
mod blocks;
mod error;
mod features;
mod gateways;
pub mod http;
pub mod ingesters;
mod json;
mod limits;
mod log;
mod metrics;
mod replaced;
mod run;
mod size;
mod source;
mod stats;

pub use activity::ActivityTracker;
pub use blocks::{Blocks, BlocksDependencies};
pub use gateways::RingGateways;
pub use run::{Dependencies, QueryService};
