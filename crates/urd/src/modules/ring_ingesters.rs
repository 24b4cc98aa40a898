//! The ingesters that this process writes to and reads from: its own, or those of the ring.

use std::sync::Arc;

use distributor::replication::{ReplicatedPush, ReplicationParts};
use query::ingesters::{RingIngesters, RingIngestersParts};
use rt::{CancellationToken, TaskGroup};

use crate::cluster::{self, Alone, Ingesters};
use crate::env::{Env, Parts};

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let ring = parts.need_rings()?.ingester;
    let config = &env.config;
    let alone = Alone::new(config, config.ingester.ring.kvstore.store, &ring);
    let pool = cluster::ingester_pool(env)?;
    let pushes = ReplicatedPush::new(ReplicationParts {
        ring: cluster::view(&ring),
        ingesters: Arc::clone(&pool) as _,
        overrides: Arc::clone(&env.overrides),
        clock: Arc::clone(&env.clock),
        remote_timeout: config.distributor.remote_timeout.std(),
        blocking: env.blocking.clone(),
        tasks: Arc::new(TaskGroup::new(&CancellationToken::new())),
    });
    let querier = &config.querier;
    let delay = querier.minimize_ingester_requests_hedging_delay;
    let reads = RingIngesters::new(RingIngestersParts {
        ring: cluster::view(&ring),
        ingesters: pool,
        overrides: Arc::clone(&env.overrides),
        clock: Arc::clone(&env.clock),
        random: Arc::clone(&env.random),
        blocking: env.blocking.clone(),
        uses_shards: querier.shuffle_sharding_ingesters_enabled,
        hedging_delay: querier.minimize_ingester_requests.then(|| delay.std()),
    });
    let own = parts.ingester_push.take();
    parts.ingester_push = Some(Arc::new(Ingesters::new(alone.clone(), own, pushes)));
    let own = parts.ingester_query.take();
    parts.ingester_query = Some(Arc::new(Ingesters::new(alone, own, reads)));
    Ok(())
}
