//! The entry and the engine of queries.

use std::sync::Arc;

use query::{ActivityTracker, Blocks, BlocksDependencies, Dependencies, QueryService};
use web::Routes;

use crate::env::{Env, Parts};

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let blocks = Blocks::new(BlocksDependencies {
        config: env.config.blocks_storage.bucket_store.clone(),
        indexes: parts.need_bucket_indexes(env)?,
        gateways: parts.need_store_gateways()?,
        clock: Arc::clone(&env.clock),
        executor: Arc::clone(&env.executor),
        blocking: env.blocking.clone(),
        metrics: env.metrics.clone(),
    });
    parts.block_store = Some(Arc::new(blocks));
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
        activity: activity(env),
    });
    let service = Arc::new(service);
    let (routes, root) =
        (query::http::routes(Arc::clone(&service)), query::http::root_routes(service));
    let prefix = env.config.api.prometheus_http_prefix.trim_end_matches('/');
    let routes = if prefix.is_empty() { routes } else { root.nest(prefix, routes) };
    parts.routes(Routes::for_tenants(routes));
    Ok(())
}

/// Opens the file of activities, and tells what was under way when the process before ended.
/// Without it everything works: it is no reason not to start.
fn activity(env: &Env) -> ActivityTracker {
    let config = &env.config.activity_tracker;
    if config.filepath.is_empty() {
        return ActivityTracker::disabled();
    }
    let path = std::path::Path::new(&config.filepath);
    match ActivityTracker::open(path, config.max_entries.min(u32::from(u16::MAX))) {
        Ok((tracker, unfinished)) => {
            for activity in unfinished {
                tracing::warn!(activity, "a former process ended during this query");
            }
            tracker
        }
        Err(error) => {
            let path = &config.filepath;
            tracing::warn!(%error, path, "cannot note queries under way");
            ActivityTracker::disabled()
        }
    }
}
