//! The pages for operators: what runs, with which configuration and limits, and whether it is
//! ready. All of them are answered from memory.

mod config;
mod index;
mod ready;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::config::{Config, Overrides};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use http::header::ACCEPT;
use rt::metrics::TextFormat;
use rt::service::ServiceStatus;
use rt::{ComputePool, Metrics};

use crate::api::{Access, IndexLink, Routes};
use crate::{debug, reply};

/// Which program this is.
#[derive(Debug, Clone, Copy)]
pub struct BuildInfo {
    /// The version, like `1.2.3`.
    pub version: &'static str,
    /// The commit; may be empty.
    pub revision: &'static str,
    /// The compiler's version.
    pub compiler: &'static str,
}

/// Set when the process begins to stop: from then on it is not ready. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stopping(Arc<AtomicBool>);

impl Stopping {
    /// The process begins to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it does.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What the pages show.
pub struct Admin {
    /// The configuration that applies.
    pub config: Arc<Config>,
    /// The limits of the tenants.
    pub overrides: Arc<Overrides>,
    /// The services and their states.
    pub services: ServiceStatus,
    /// Whether the process has begun to stop.
    pub stopping: Stopping,
    /// The registry that `/metrics` shows.
    pub metrics: Metrics,
    /// Which program this is.
    pub build: BuildInfo,
    /// Threads for profiles: making them readable is work.
    pub compute: ComputePool,
    /// Lines of the index page besides those of this crate.
    pub links: Vec<IndexLink>,
}

type Shared = State<Arc<Admin>>;

impl Admin {
    /// The routes of all pages.
    pub fn routes(self) -> Vec<Routes> {
        let prefix = self.config.api.prometheus_http_prefix.trim_end_matches('/').to_owned();
        let shows_metrics = self.config.server.register_instrumentation;
        let compute = self.compute.clone();
        let admin = Arc::new(self);
        let mut open = Router::new()
            .route("/", get(index::index))
            .route("/ready", get(ready::ready))
            .route("/services", get(ready::services))
            .route("/config", get(config::config))
            .route("/runtime_config", get(config::runtime_config))
            .merge(status::routes(""));
        if !prefix.is_empty() {
            open = open.merge(status::routes(&prefix));
        }
        if shows_metrics {
            open = open.route("/metrics", get(metrics));
        }
        let limits = Router::new().route("/api/v1/user_limits", get(config::user_limits));
        let mut routes = vec![
            Routes::open(open.with_state(Arc::clone(&admin))),
            Routes::for_tenants(limits.with_state(admin)),
        ];
        if shows_metrics {
            // Profiles are compressed already.
            let router = debug::routes(compute);
            routes.push(Routes { router, access: Access::Open, gzip: false });
        }
        routes
    }
}

async fn metrics(State(admin): Shared, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = TextFormat::from_accept(accept);
    reply::typed(format.content_type(), admin.metrics.encode(format))
}

#[cfg(test)]
mod tests;
