//! The entry and the engine of queries.

use std::sync::Arc;

use axum::Router;
use query::{Dependencies, QueryService};
use web::Routes;

use crate::env::{Env, Parts};

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let service = QueryService::new(Dependencies {
        querier: env.config.querier.clone(),
        frontend: env.config.frontend.clone(),
        overrides: Arc::clone(&env.overrides),
        ingester: parts.need_ingester_query()?,
        blocks: parts.need_block_store()?,
        clock: Arc::clone(&env.clock),
        pool: env.pools.queries.clone(),
        executor: Arc::clone(&env.executor),
        metrics: env.metrics.clone(),
    });
    let routes = query::http::routes(Arc::new(service));
    let prefix = env.config.api.prometheus_http_prefix.trim_end_matches('/');
    let routes = if prefix.is_empty() { routes } else { Router::new().nest(prefix, routes) };
    parts.routes(Routes::for_tenants(routes));
    Ok(())
}
