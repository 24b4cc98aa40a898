//! The ingesters that this process writes to and reads from: its own, or those of the ring.

use std::sync::Arc;
use std::time::Duration;

use distributor::replication::{ReplicatedPush, ReplicationParts};
use query::ingesters::{RingIngesters, RingIngestersParts};
use rpc::HealthCheck;
use rpc::ingester::IngesterPool;
use rt::{BoxError, BoxFuture, CancellationToken, Service, TaskGroup};

use crate::cluster::{self, Alone, Ingesters};
use crate::env::{Env, Parts};
use crate::rings::JoinedRing;

/// How much longer than `-distributor.remote-timeout` pushes that were answered already may take at
/// the end of the process.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn build(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let ring = parts.need_rings()?.of("ingester")?;
    let config = &env.config;
    let alone = Alone::of_ingesters(config, &ring);
    let pool = cluster::ingester_pool(env)?;
    let tasks = Arc::new(TaskGroup::new(&CancellationToken::new()));
    let pushes = ReplicatedPush::new(ReplicationParts {
        ring: cluster::view(&ring),
        ingesters: Arc::clone(&pool) as _,
        overrides: Arc::clone(&env.overrides),
        clock: Arc::clone(&env.clock),
        remote_timeout: config.distributor.remote_timeout.std(),
        blocking: env.blocking.clone(),
        tasks: Arc::clone(&tasks),
    });
    parts.service(keep_connections(env, &ring, &pool), &["server"])?;
    let patience = config.distributor.remote_timeout.std() + PATIENCE;
    parts.service(Arc::new(PushTasks { tasks, patience }), &["server"])?;
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

/// Drops connections to ingesters that have gone.
fn keep_connections(env: &Env, ring: &JoinedRing, pool: &Arc<IngesterPool>) -> Arc<dyn Service> {
    let config = &env.config.distributor;
    let check = config.pool.health_check_ingesters.then(|| HealthCheck {
        timeout: config.remote_timeout.std(),
        grace_period: config.pool.ingester_health_check_grace_period.std(),
    });
    let counted = Arc::clone(pool);
    env.metrics.gauge_fn(
        "cortex_distributor_ingester_clients",
        "Connections to ingesters.",
        move || counted.len() as f64,
    );
    let name = ("ingester-clients", config.pool.client_cleanup_period.std());
    let pool = Arc::clone(pool);
    cluster::tend_connections(name, (env, ring), move |known, now| {
        let pool = Arc::clone(&pool);
        async move { pool.tend(&known, now, check).await }
    })
}

/// Requests to ingesters that go on after their push was answered: the process ends after them.
struct PushTasks {
    tasks: Arc<TaskGroup>,
    patience: Duration,
}

impl Service for PushTasks {
    fn name(&self) -> &'static str {
        "push-tasks"
    }

    fn stopping(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async move { Ok(self.tasks.join(self.patience).await?) })
    }
}
