//! The node's own metrics in its own store; only where `-urd.self-scrape-interval` asks for it.

use std::sync::Arc;

use anyhow::Context;
use model::TenantId;

use crate::env::{Env, Parts};
use crate::self_scrape::{SelfScrape, SelfScrapeService};

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let interval = env.config.urd.self_scrape_interval;
    if !interval.is_positive() {
        return Ok(());
    }
    let scrape = SelfScrape {
        interval: interval.std(),
        metrics: env.metrics.clone(),
        ingester: parts.need_ingester_push()?,
        tenant: TenantId::new(&env.config.no_auth_tenant).context("-auth.no-auth-tenant")?,
        instance: env.http_address.to_string(),
        hasher: parts.hasher,
        clock: Arc::clone(&env.clock),
        pool: env.pools.writes.clone(),
    };
    parts.service(Arc::new(SelfScrapeService::new(scrape)), &["ingester"])
}
