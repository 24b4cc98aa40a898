//! Checks that go on beside writes and queries, and those of the end.

use std::sync::Arc;
use std::time::Duration;

use compactor::JobSharding;

use crate::cluster::Cluster;
use crate::node::Process;
use crate::queries::{self, Asked, Query, Question};
use crate::setup::{self, Kind};
use crate::workload::{self, Batch, End, Written};
use crate::world::{EPOCH_MS, World};

/// How often owners are counted.
const OWNERS_PERIOD: Duration = Duration::from_secs(5);
/// So long after the last fault everything must work.
pub(crate) const CALM: Duration = Duration::from_secs(100);
/// How long the end waits for an answer.
const FINAL_TRIES: u32 = 4;

/// Whether everything must work. What takes less than [`CALM`] asks before and after it: a fault may
/// have come and gone meanwhile.
pub(crate) fn is_calm(world: &World) -> bool {
    world.calm_for().is_some_and(|calm| CALM < calm)
}

/// Counts the owners of each tenant's compactions, until it is dropped.
pub(crate) async fn one_owner(cluster: Arc<Cluster>) {
    loop {
        rt::time::sleep(OWNERS_PERIOD).await;
        count_owners(&cluster);
    }
}

/// Compactors that see the same ring at the same time must agree on who works for a tenant.
fn count_owners(cluster: &Cluster) {
    let world = &cluster.shared.world;
    let compactors = cluster.of(Kind::Compactor);
    let ready: Vec<_> = compactors.iter().filter_map(|node| Some((node, node.ready()?))).collect();
    let rings: Vec<_> =
        ready.iter().filter_map(|(_, p)| p.own_ring.as_ref().map(|v| v().to_desc())).collect();
    let agree = rings.windows(2).all(|pair| pair[0] == pair[1]);
    if !agree || ready.iter().any(|(node, _)| !node.clock.is_right()) {
        return;
    }
    for number in 0..setup::TENANTS {
        let tenant = setup::tenant(number);
        // A tenant is cleaned by one, and each of its jobs is run by one; keys of jobs are any texts.
        let job = format!("job-{}", world.elapsed().as_secs());
        let owners = |owns: &dyn Fn(&dyn JobSharding) -> bool| -> Vec<&str> {
            let is_owner = |process: &Process| process.jobs.as_ref().is_some_and(|j| owns(&**j));
            let owners = ready.iter().filter(|(_, process)| is_owner(process));
            owners.map(|(node, _)| node.name.as_str()).collect()
        };
        let cleaners = owners(&|jobs| jobs.cleans(&tenant));
        let runners = owners(&|jobs| jobs.compacts(&tenant) && jobs.runs(&tenant, &job));
        world.cover("owners counted");
        for owners in [cleaners, runners] {
            if owners.len() > 1 || (is_calm(world) && owners.is_empty()) {
                world.violation(format!("work of {tenant} belongs to {owners:?}"));
            }
        }
    }
}

/// When everything is healed: all that was acknowledged is there, and writes and queries work.
pub(crate) async fn at_the_end(cluster: &Arc<Cluster>) {
    let world = &cluster.shared.world;
    for tenant in 0..setup::TENANTS {
        if !can_write(cluster, tenant).await {
            world.violation(format!("team-{tenant} cannot write although all is healed"));
        }
        let range_ms = world.now_ms() - EPOCH_MS + 1;
        for question in [Question::Samples, Question::Count, Question::Sums] {
            for histograms in [false, true] {
                let at_ms = world.now_ms();
                let query = Query { tenant, question, histograms, at_ms, range_ms };
                must_be_answered(cluster, query).await;
            }
        }
    }
}

/// Whether a tenant can write now; of two replicas one. The first one is asked again at the end: the
/// election may have passed from the second one to it after it was asked.
async fn can_write(cluster: &Arc<Cluster>, tenant: usize) -> bool {
    let replicas: &[Option<usize>] =
        if tenant == setup::HA_TENANT { &[Some(0), Some(1), Some(0)] } else { &[None] };
    for replica in replicas {
        let at_ms = cluster.shared.world.now_ms();
        let samples = &[Written { key: (tenant, 0), at_ms, value: 1.0 }];
        let batch = Batch { tenant, replica: *replica, samples };
        if workload::write(cluster, batch).await == End::Acked {
            return true;
        }
        rt::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

async fn must_be_answered(cluster: &Arc<Cluster>, query: Query) {
    let mut last = String::new();
    for _ in 0..FINAL_TRIES {
        match queries::run(cluster, query).await {
            Asked::Failed(error) => last = error,
            Asked::Right | Asked::Wrong => return,
        }
        rt::time::sleep(Duration::from_secs(5)).await;
    }
    let world = &cluster.shared.world;
    world.violation(format!("{query:?} fails although all is healed: {last}"));
}
