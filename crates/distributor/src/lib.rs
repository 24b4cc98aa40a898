//! The write path's entry: takes remote writes, checks them against the tenant's limits, and hands
//! the valid part to the ingesters.
//!
//! Contract with Mimir: `POST /api/v1/push` with its status codes, `err-mimir-*` ids and
//! `cortex_distributor_*` metrics; options `-distributor.*` and the ingestion limits. Differs
//! where the remote-write specification asks for it: content types and encodings that are not
//! served are answered with 415 (see docs/adr).
//!
//! A push runs on a compute thread from the compressed body to what the ingesters are sent; other
//! processes are waited for without one. Nothing here knows the ingester: it is handed in as [`wire::client::IngesterPush`].

mod errors;
pub mod ha_tracker;
pub mod http;
mod inflight;
mod metrics;
mod push;
mod rate;
pub mod replication;
pub mod stats;
mod tenant;
mod validation;

pub use push::{Dependencies, Distributor};
