//! Puts the routes of all components together: each group with its tenants and compression, all
//! of them with metrics and the guard against panics.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use http::StatusCode;

use crate::clean_path::redirect_to_clean_path;
use crate::gzip::compress;
use crate::instrument::{RequestMetrics, observe};
use crate::panics::catch_panics;
use crate::reply::text_error;
use crate::tenant::{TenantPolicy, require_tenant};

/// Who may call a group of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody; there is no tenant.
    Open,
    /// Requests with a tenant.
    Tenant,
}

/// A group of routes of a component, with whole paths.
pub struct Routes {
    /// The routes.
    pub router: Router,
    /// Who may call them.
    pub access: Access,
    /// Whether answers are compressed for clients that take it.
    pub gzip: bool,
}

impl Routes {
    /// Compressed routes for tenants.
    pub fn for_tenants(router: Router) -> Self {
        Self { router, access: Access::Tenant, gzip: true }
    }

    /// Compressed routes for anybody.
    pub fn open(router: Router) -> Self {
        Self { router, access: Access::Open, gzip: true }
    }
}

/// A line of the index page.
#[derive(Debug, Clone)]
pub struct IndexLink {
    /// The heading that it stands below.
    pub section: &'static str,
    /// Where it leads, without the server's path prefix.
    pub path: String,
    /// What is there.
    pub text: &'static str,
}

/// What holds for all routes.
#[derive(Clone)]
pub struct ApiOptions {
    /// How requests find their tenant.
    pub tenants: TenantPolicy,
    /// Below which all routes stand, like `/mimir`; may be empty.
    pub path_prefix: String,
    /// Metrics of requests.
    pub metrics: RequestMetrics,
}

/// The routes that are collected so far.
pub struct Api {
    options: ApiOptions,
    router: Router,
}

impl Api {
    /// No routes yet.
    pub fn new(options: ApiOptions) -> Self {
        Self { options, router: Router::new() }
    }

    /// Adds a group. Two groups must not claim the same path: axum panics, at start.
    #[must_use]
    pub fn with(mut self, routes: Routes) -> Self {
        let mut router = routes.router;
        if routes.gzip {
            router = router.layer(from_fn(compress));
        }
        if routes.access == Access::Tenant {
            let policy = self.options.tenants.clone();
            router = router.layer(from_fn_with_state(policy, require_tenant));
        }
        self.router = self.router.merge(router);
        self
    }

    /// The router of the whole server.
    pub fn finish(self) -> Router {
        let prefix = self.options.path_prefix.trim_end_matches('/');
        let router = match prefix {
            "" => self.router,
            prefix => Router::new().nest(prefix, self.router),
        };
        router
            .fallback(not_found)
            .layer(from_fn(redirect_to_clean_path))
            .layer(from_fn(catch_panics))
            .layer(from_fn_with_state(self.options.metrics, observe))
    }
}

async fn not_found(_: Request<Body>) -> axum::response::Response {
    text_error(StatusCode::NOT_FOUND, "404 page not found")
}

#[cfg(test)]
mod tests;
