//! The service `gatewaypb.StoreGateway`: a store-gateway of this process for queriers of others, and
//! one of another process for the querier of this one.

mod client;
mod pool;
mod refusal;
mod server;

pub use client::RemoteStoreGateway;
pub use pool::GatewayPool;
pub use server::{LimitsOf, StoreGatewayServer, StoreGatewayServerParts};

/// Names the blocks of a request in its hints.
const BLOCK_ID_LABEL: &str = "__block_id";
