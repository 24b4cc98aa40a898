//! The HTTP server: connections and their limits, tenants, compression, request metrics, the
//! admin pages and profiling.
//!
//! The binary binds an [`HttpServer`], collects the routes of the components in an [`Api`] and
//! hands the one to the other. Knows no component: they bring their own axum routers and find the
//! tenant as `Extension<model::TenantId>`.

mod admin;
mod api;
mod clean_path;
mod debug;
mod gzip;
mod instrument;
mod panics;
mod reply;
mod server;
mod tenant;

pub use admin::{Admin, BuildInfo, Stopping};
pub use api::{Access, Api, ApiOptions, IndexLink, Routes};
pub use debug::register_memory_metrics;
pub use gzip::compress;
pub use instrument::{CallMetrics, RequestMetrics};
pub use reply::{page, text_error, typed, wants_json};
pub use server::{BindError, HttpDrain, HttpServer, ServerOptions, bind_listener};
pub use tenant::{TENANT_HEADER, TenantPolicy};
