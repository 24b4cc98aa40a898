//! The entry of writes.

use std::sync::Arc;

use distributor::ha_tracker::{HaTracker, HaTrackerParts};
use distributor::stats::{self, StatsParts};
use distributor::{Dependencies, Distributor};
use rt::Service;
use web::Routes;

use crate::cluster;
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
    let factor = i64::try_from(env.config.ingester.ring.replication_factor).unwrap_or(i64::MAX);
    let help = "The replication factor.";
    env.metrics.gauge("cortex_distributor_replication_factor", help).set(factor);
    let ring = parts.need_rings()?.of("distributor")?;
    let distributor = distributor.with_ring(cluster::view(&ring));
    let distributor = match ha_tracker(env, parts)? {
        Some(tracker) => distributor.with_ha_tracker(tracker),
        None => distributor,
    };
    let (pool, random) = (env.pools.writes.clone(), Arc::clone(&env.random));
    let distributor = Arc::new(distributor);
    parts.service(distributor.service(), &["server"])?;
    let router = distributor::http::routes(distributor, pool, random);
    parts.routes(Routes::for_tenants(router));
    parts.routes(Routes::open(stats::routes(StatsParts {
        ingesters: parts.need_ingester_query()?,
        blocking: env.blocking.clone(),
        replication_factor: env.config.ingester.ring.replication_factor,
    })));
    parts.link("Distributor", "/distributor/all_user_stats", "Tenants of the ingesters");
    Ok(())
}

/// The tracker of replicas, where it is switched on.
fn ha_tracker(env: &Env, parts: &mut Parts) -> anyhow::Result<Option<Arc<HaTracker>>> {
    let rings = parts.need_rings()?;
    let Some(client) = rings.ha_tracker else { return Ok(None) };
    let tracker = Arc::new(HaTracker::new(HaTrackerParts {
        client,
        overrides: Arc::clone(&env.overrides),
        clock: Arc::clone(&env.clock),
        random: Arc::clone(&env.random),
        metrics: env.metrics.clone(),
        shows_elected: env.config.distributor.ha_tracker.enable_elected_replica_metric,
    }));
    parts.routes(Routes::open(tracker.routes()));
    parts.link("Distributor", "/distributor/ha_tracker", "Elected replicas of HA pairs");
    let after: &[_] = match &rings.memberlist {
        Some(memberlist) => &["server", memberlist.name()],
        None => &["server"],
    };
    parts.service(Arc::clone(&tracker) as Arc<dyn Service>, after)?;
    Ok(Some(tracker))
}
