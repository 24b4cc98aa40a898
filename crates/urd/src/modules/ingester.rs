//! Recent samples.

use std::sync::Arc;

use ingester::{Dependencies, Ingester, IngesterService, RingMembership};
use rpc::ingester::{IngesterServer, IngesterServerParts};
use web::Routes;

use crate::cluster;
use crate::env::{Env, Parts};

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let ingester = Ingester::new(Dependencies {
        config: env.config.ingester.clone(),
        tsdb_config: env.config.blocks_storage.tsdb.clone(),
        overrides: Arc::clone(&env.overrides),
        bucket: env.bucket("ingester")?,
        clock: Arc::clone(&env.clock),
        random: Arc::clone(&env.random),
        executor: Arc::clone(&env.executor),
        pool: env.pools.background.clone(),
        fs: tsdb::fs::OsFs::shared(),
        metrics: env.metrics.clone(),
    });
    let ring = parts.need_rings()?.of("ingester")?;
    let lifecycler = ring.instance()?;
    ingester.join_ring(RingMembership { ring: cluster::view(&ring), lifecycler });
    parts.hasher = ingester.hasher();
    parts.ingester_push = Some(Arc::clone(&ingester) as _);
    parts.ingester_query = Some(Arc::clone(&ingester) as _);
    parts.routes(Routes::open(ingester::http::routes(Arc::clone(&ingester))));
    parts.routes(Routes::for_tenants(ingester::http::tenant_routes(Arc::clone(&ingester))));
    let served = IngesterServer::new(IngesterServerParts {
        push: Arc::clone(&ingester) as _,
        query: Arc::clone(&ingester) as _,
        hasher: parts.hasher,
        writes: env.pools.served_writes.clone(),
        queries: env.pools.served_queries.clone(),
        limits: env.grpc_limits(),
    });
    parts.grpc = std::mem::take(&mut parts.grpc).add_service(served);
    parts.link("Ingester", "/ingester/tenants", "Tenants in memory");
    parts.link("Ingester", "/ingester/flush", "Cut and upload all recent samples now");
    parts.service(Arc::new(IngesterService::new(ingester)), &["server"])
}
