//! The entry of writes.

use std::sync::Arc;

use distributor::{Dependencies, Distributor};
use web::Routes;

use crate::env::{Env, Parts};

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let distributor = Distributor::new(Dependencies {
        config: env.config.distributor.clone(),
        overrides: Arc::clone(&env.overrides),
        ingester: parts.need_ingester_push()?,
        clock: Arc::clone(&env.clock),
        hasher: parts.hasher,
        metrics: env.metrics.clone(),
    });
    let (pool, random) = (env.pools.writes.clone(), Arc::clone(&env.random));
    let router = distributor::http::routes(Arc::new(distributor), pool, random);
    parts.routes(Routes::for_tenants(router));
    Ok(())
}
