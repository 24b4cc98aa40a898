//! The blocks of the bucket.

use std::sync::Arc;

use config::AllowedTenants;
use rpc::store_gateway::{StoreGatewayServer, StoreGatewayServerParts};
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
        sharding: cluster::block_sharding(env, &parts.need_rings()?.store_gateway),
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
    let gateway: Arc<dyn StoreGatewayClient> = Arc::new(gateway);
    let served = StoreGatewayServer::new(StoreGatewayServerParts {
        gateway: Arc::clone(&gateway),
        queries: env.pools.queries.clone(),
        limits: env.grpc_limits(),
    });
    parts.grpc = std::mem::take(&mut parts.grpc).add_service(served);
    parts.own_gateway = Some(gateway);
    Ok(())
}
