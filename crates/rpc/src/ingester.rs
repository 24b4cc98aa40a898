//! The service `cortex.Ingester`: an ingester of this process for others, and one of another
//! process for the distributor and the querier of this one.

mod cardinality;
mod client;
mod pool;
mod queries;
mod server;

pub use client::IngesterClient;
pub use pool::IngesterPool;
pub use server::{IngesterServer, IngesterServerParts};
