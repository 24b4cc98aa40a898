//! The blocks of the bucket.

use std::sync::Arc;

use anyhow::Context as _;
use config::AllowedTenants;
use model::QueryLimits;
use rpc::store_gateway::{LimitsOf, StoreGatewayServer, StoreGatewayServerParts};
use store_gateway::prepare::{PrepareParts, PreparedShutdown};
use store_gateway::{Dependencies, StoreGateway, StoreOptions, http};
use web::Routes;
use wire::client::StoreGatewayClient;

use crate::cluster;
use crate::env::{Env, Parts};

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let gateway = StoreGateway::new(Dependencies {
        config: env.config.blocks_storage.bucket_store.clone(),
        options: StoreOptions::default(),
        index_cache: env.index_cache("store-gateway")?,
        allowed: AllowedTenants::new(
            &env.config.store_gateway.enabled_tenants,
            &env.config.store_gateway.disabled_tenants,
        ),
        sharding: cluster::block_sharding(env, &parts.need_rings()?.of("store-gateway")?)?,
        indexes: parts.need_bucket_indexes(env)?,
        fs: tsdb::fs::OsFs::shared(),
        clock: Arc::clone(&env.clock),
        blocking: env.blocking.clone(),
        pool: env.pools.background.clone(),
        metrics: env.metrics.clone(),
    });
    parts.routes(Routes::open(http::pages(gateway.clone())));
    parts.link("Store-gateway", "/store-gateway/tenants", "Tenants of the bucket");
    for service in gateway.services() {
        parts.service(service, &["server"])?;
    }
    let prepared = prepared_shutdown(env, parts)?;
    parts.routes(Routes::open(prepared.routes()));
    parts.service(prepared.service(), &["server"])?;
    let gateway: Arc<dyn StoreGatewayClient> = Arc::new(gateway);
    let served = StoreGatewayServer::new(StoreGatewayServerParts {
        gateway: Arc::clone(&gateway),
        limits_of: limits_of(env),
        queries: env.pools.served_queries.clone(),
        limits: env.grpc_limits(),
    });
    parts.grpc = std::mem::take(&mut parts.grpc).add_service(served);
    parts.own_gateway = Some(gateway);
    Ok(())
}

/// What one request of a querier may fetch, as in Mimir's store-gateways.
fn limits_of(env: &Env) -> LimitsOf {
    let overrides = Arc::clone(&env.overrides);
    Arc::new(move |tenant| {
        let limits = overrides.limits(tenant);
        QueryLimits {
            max_series: limits.max_fetched_series_per_query,
            max_chunks: limits.max_fetched_chunks_per_query,
            ..QueryLimits::default()
        }
    })
}

/// Whether the next end takes the process out of the ring.
fn prepared_shutdown(env: &Env, parts: &mut Parts) -> anyhow::Result<PreparedShutdown> {
    let dir = std::path::Path::new(&env.config.blocks_storage.bucket_store.sync_dir);
    let prepared = PreparedShutdown::new(
        dir,
        PrepareParts {
            lifecycler: parts.need_rings()?.of("store-gateway")?.instance()?,
            fs: tsdb::fs::OsFs::shared(),
            clock: Arc::clone(&env.clock),
            pool: env.pools.background.clone(),
            metrics: env.metrics.clone(),
        },
    );
    prepared.with_context(|| format!("read the mark of a prepared shutdown in {}", dir.display()))
}
