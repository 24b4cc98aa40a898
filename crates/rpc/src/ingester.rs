//! The service `cortex.Ingester`: an ingester of this process for others, and one of another
//! process for the distributor and the querier of this one.

mod cardinality;
mod client;
mod queries;
mod server;

pub use client::IngesterClient;
pub use server::{IngesterServer, IngesterServerParts};
