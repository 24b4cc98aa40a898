//! The entry and the engine of queries.

use std::sync::Arc;
use std::time::Duration;

use distributor::stats::{self, StatsParts};
use query::{
    ActivityTracker, Blocks, BlocksDependencies, Dependencies, QueryService, RingGateways,
};
use ring::BlockReplication;
use rpc::store_gateway::GatewayPool;
use rpc::{CallTimes, ClientOptions, HealthCheck};
use rt::Service;
use web::Routes;
use wire::client::StoreGateways;

use crate::cluster::{self, Alone, Gateways};
use crate::env::{Env, Parts};
use crate::rings::JoinedRing;
use crate::tls;

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let indexes = parts.need_bucket_indexes(env)?;
    if !env.runs("store-gateway") {
        // Otherwise the store-gateway keeps them up to date.
        parts.service(indexes.service(), &["server"])?;
    }
    let blocks = Blocks::new(BlocksDependencies {
        config: env.config.blocks_storage.bucket_store.clone(),
        indexes,
        gateways: gateways(env, parts)?,
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
    parts.routes(Routes::for_tenants(stats::tenant_routes(StatsParts {
        ingesters: parts.need_ingester_query()?,
        blocking: env.blocking.clone(),
        replication_factor: env.config.ingester.ring.replication_factor,
    })));
    Ok(())
}

/// The store-gateways of the ring; the own one while this process is alone.
fn gateways(env: &Env, parts: &mut Parts) -> anyhow::Result<Arc<dyn StoreGateways>> {
    let ring = parts.need_rings()?.of("store-gateway")?;
    let gateways = &env.config.store_gateway;
    let store = gateways.sharding_ring.kvstore.store;
    let options = tls::of_client("store-gateways", &env.config.querier.store_gateway_client.grpc)?;
    let times = CallTimes::of_gateways(&env.metrics, Arc::clone(&env.clock));
    let options = ClientOptions { times: Some(times), ..options };
    let pool = Arc::new(GatewayPool::new(options, env.blocking.clone()));
    parts.service(keep_connections(env, &ring, &pool), &["server"])?;
    Ok(Arc::new(Gateways {
        alone: Alone::new(&env.config, store, &ring),
        own: parts.own_gateway.clone(),
        ring: RingGateways {
            ring: cluster::view(&ring),
            clients: pool,
            overrides: Arc::clone(&env.overrides),
            clock: Arc::clone(&env.clock),
            random: Arc::clone(&env.random),
            replication: BlockReplication::of_queries(
                &gateways.dynamic_replication,
                gateways.sharding_ring.replication_factor,
            ),
            preferred_zones: env.config.querier.prefer_availability_zones.0.clone(),
        },
    }))
}

/// Drops connections to store-gateways that have gone.
fn keep_connections(env: &Env, ring: &JoinedRing, pool: &Arc<GatewayPool>) -> Arc<dyn Service> {
    /// As in Mimir, where it cannot be configured.
    const PERIOD: Duration = Duration::from_secs(10);
    let client = &env.config.querier.store_gateway_client;
    let check =
        HealthCheck { timeout: PERIOD, grace_period: client.health_check_grace_period.std() };
    let help = "Connections to store-gateways.";
    let count = env.metrics.gauge_vec("cortex_storegateway_clients", help, &["client"]);
    let (count, pool) = (count.with(&["querier"]), Arc::clone(pool));
    let name = ("store-gateway-clients", PERIOD);
    cluster::tend_connections(name, (env, ring), move |known, now| {
        let (pool, count) = (Arc::clone(&pool), count.clone());
        async move {
            pool.tend(&known, now, Some(check)).await;
            count.set(i64::try_from(pool.len()).unwrap_or(i64::MAX));
        }
    })
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
