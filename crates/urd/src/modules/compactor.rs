//! Merging and deleting the blocks of the bucket.

use std::sync::Arc;

use compactor::{Compactor, Dependencies, http};
use web::Routes;

use crate::cluster;
use crate::env::{Env, Parts};

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let compactor = Compactor::new(Dependencies {
        config: env.config.compactor.clone(),
        overrides: Arc::clone(&env.overrides),
        bucket: env.bucket("compactor")?,
        clock: Arc::clone(&env.clock),
        random: Arc::clone(&env.random),
        pool: env.pools.background.clone(),
        fs: tsdb::fs::OsFs::shared(),
        metrics: env.metrics.clone(),
        sharding: cluster::job_sharding(env, &parts.need_rings()?.of("compactor")?)?,
    });
    parts.routes(Routes::open(http::pages(Arc::clone(&compactor))));
    parts.routes(Routes::for_tenants(http::tenant_routes(Arc::clone(&compactor))));
    parts.link("Compactor", "/compactor/tenants", "Tenants of the bucket");
    for service in compactor.services() {
        parts.service(service, &["server"])?;
    }
    Ok(())
}
