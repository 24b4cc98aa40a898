//! gRPC between processes: components that meet in the traits of [`wire::client`] meet here too
//! when a network lies between them. One half serves a component of this process, the other is a
//! component of another process as the caller sees it.
//!
//! Contract with Mimir: services `cortex.Ingester` and `gatewaypb.StoreGateway` with their message
//! and field numbers, the tenant in the metadata `x-scope-orgid`, and `cortexpb.ErrorDetails` in
//! statuses, so that either side may be a Mimir.
//!
//! Nothing here decides who is asked: that is the ring's and its users' business.

mod client;
mod compression;
mod convert;
pub mod ingester;
mod messages;
mod pool;
mod received;
mod service;
mod status;
pub mod store_gateway;
mod stream;

pub use client::{CallTimes, ClientOptions, code_name};
pub use compression::Compression;
pub use compression::server::UnpackLayer;
pub use pool::HealthCheck;
pub use service::ServerLimits;

/// The paths of all methods that are served.
pub const METHODS: &[&str] = &[
    "/cortex.Ingester/ActiveSeries",
    "/cortex.Ingester/AllUserStats",
    "/cortex.Ingester/LabelNames",
    "/cortex.Ingester/LabelNamesAndValues",
    "/cortex.Ingester/LabelValues",
    "/cortex.Ingester/LabelValuesCardinality",
    "/cortex.Ingester/MetricsForLabelMatchers",
    "/cortex.Ingester/MetricsMetadata",
    "/cortex.Ingester/Push",
    "/cortex.Ingester/QueryExemplars",
    "/cortex.Ingester/QueryStream",
    "/cortex.Ingester/UserStats",
    "/gatewaypb.StoreGateway/LabelNames",
    "/gatewaypb.StoreGateway/LabelValues",
    "/gatewaypb.StoreGateway/Series",
];
