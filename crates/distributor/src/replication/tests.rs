//! Pushes to a ring of ingesters that answer as a test wants.

use std::collections::{BTreeMap, BTreeSet};

use config::Config;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use model::env::ManualClock;
use model::{Label, batch::BatchSample};
use parking_lot::Mutex;
use ring::{Desc, InstanceDesc, InstanceState, Operation, Ring, RingRules, hash};
use rt::{CancellationToken, ComputeOptions, ComputePool};
use tokio::sync::Notify;

use super::*;

const NOW_S: i64 = 1_000;

/// How an ingester answers.
#[derive(Clone)]
enum Answer {
    Stores,
    Fails(PushErrorCause),
    /// Stores when it is told to.
    Waits(Arc<Notify>),
}

/// Ingesters that keep the names of the series that they were sent.
#[derive(Default)]
struct Ingesters {
    answers: Mutex<BTreeMap<String, Answer>>,
    stored: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
}

impl IngesterPushes for Ingesters {
    fn push_message(
        &self,
        address: &str,
        _: &TenantId,
        message: Bytes,
    ) -> BoxFuture<'static, Result<(), PushError>> {
        let answer = self.answers.lock().get(address).cloned().unwrap_or(Answer::Stores);
        let (stored, address) = (Arc::clone(&self.stored), address.to_owned());
        async move {
            match answer {
                Answer::Stores => {}
                Answer::Fails(cause) => return Err(PushError::hard(cause, "refused")),
                Answer::Waits(told) => told.notified().await,
            }
            let mut batch = WriteBatch::default();
            wire::remote_write::decode(&message, &mut batch).unwrap();
            let names = batch.series.iter().map(|s| batch.labels_of(s)[0].value.to_owned());
            stored.lock().entry(address).or_default().extend(names);
            Ok(())
        }
        .boxed()
    }
}

/// A ring of ingesters at the addresses `0`, `1`, ..., with tokens spread evenly.
fn ring(count: u32, replication_factor: usize) -> Ring {
    let mut desc = Desc::default();
    for i in 0..count {
        let tokens = (0..64).map(|t| (t * count + i) * (u32::MAX / (64 * count))).collect();
        let instance = InstanceDesc {
            addr: i.to_string(),
            timestamp: NOW_S,
            state: InstanceState::Active as i32,
            tokens,
            ..InstanceDesc::default()
        };
        desc.ingesters.insert(format!("ingester-{i}"), instance);
    }
    Ring::new(desc, RingRules { replication_factor, ..RingRules::default() })
}

struct World {
    ingesters: Arc<Ingesters>,
    push: Arc<ReplicatedPush>,
    ring: Arc<Ring>,
    pool: ComputePool,
    tasks: Arc<TaskGroup>,
}

impl World {
    fn new(ring: Ring) -> Self {
        let (ring, ingesters) = (Arc::new(ring), Arc::new(Ingesters::default()));
        let tasks = Arc::new(TaskGroup::new(&CancellationToken::new()));
        let view = Arc::clone(&ring);
        let push = ReplicatedPush::new(ReplicationParts {
            ring: Arc::new(move || Arc::clone(&view)),
            ingesters: Arc::clone(&ingesters) as _,
            overrides: Arc::new(Overrides::new(&Config::default())),
            clock: Arc::new(ManualClock::new(NOW_S * 1000)),
            remote_timeout: Duration::from_secs(60),
            blocking: BlockingHandle::current(),
            tasks: Arc::clone(&tasks),
        });
        let options = ComputeOptions { name: "t", threads: 1, queue_capacity: 20 };
        let pool = ComputePool::new(options).unwrap();
        Self { ingesters, push: Arc::new(push), ring, pool, tasks }
    }

    fn answers(&self, address: &str, answer: Answer) {
        self.ingesters.answers.lock().insert(address.to_owned(), answer);
    }

    async fn push(&self, series: usize) -> Result<(), PushError> {
        self.push_holding(series, Arc::new(())).await
    }

    /// Pushes a sample of each series from a thread that is not to wait.
    async fn push_holding(&self, series: usize, held: PushHeld) -> Result<(), PushError> {
        let push = Arc::clone(&self.push);
        let job = move || {
            let names: Vec<String> = (0..series).map(name).collect();
            let mut batch = WriteBatch::default();
            for name in &names {
                let labels = [Label { name: "__name__", value: name }];
                batch.push_float(&labels, BatchSample { timestamp_ms: 1, value: 1.0 });
            }
            push.begin(&TenantId::new("team").unwrap(), &batch, held)
        };
        self.pool.run(job).await.unwrap().ended().await
    }

    fn stored(&self, address: &str) -> BTreeSet<String> {
        self.ingesters.stored.lock().get(address).cloned().unwrap_or_default()
    }
}

fn name(i: usize) -> String {
    format!("metric_{i}")
}

#[tokio::test]
async fn every_series_goes_to_its_owners_and_to_nobody_else() {
    let world = World::new(ring(7, 3));
    world.push(200).await.unwrap();
    world.tasks.join(Duration::from_secs(60)).await.unwrap();
    for i in 0..200 {
        let token = hash::series_token("team", [("__name__", &*name(i))].into_iter());
        let owners = world.ring.get(token, Operation::WRITE_NO_EXTEND, NOW_S).unwrap();
        let owners: BTreeSet<&str> = owners.instances.iter().map(|i| i.addr.as_str()).collect();
        assert_eq!(owners.len(), 3);
        for address in world.ring.instances().iter().map(|instance| instance.addr.as_str()) {
            let has = world.stored(address).contains(&name(i));
            assert_eq!(has, owners.contains(address), "{} at {address}", name(i));
        }
    }
}

#[tokio::test]
async fn one_of_three_may_be_down_and_two_may_not() {
    let world = World::new(ring(3, 3));
    world.answers("1", Answer::Fails(PushErrorCause::ServiceUnavailable));
    world.push(20).await.unwrap();
    world.answers("2", Answer::Fails(PushErrorCause::ServiceUnavailable));
    let error = world.push(20).await.unwrap_err();
    assert_eq!(error.cause, PushErrorCause::ServiceUnavailable);
    let whose = ["1", "2"].map(|i| {
        format!("send data to ingesters: failed pushing to ingester ingester-{i}: refused")
    });
    assert!(whose.contains(&error.message.to_string()), "{error}");
}

#[tokio::test]
async fn what_two_ingesters_refuse_is_refused_with_their_text() {
    let world = World::new(ring(3, 3));
    for address in ["0", "2"] {
        world.answers(address, Answer::Fails(PushErrorCause::BadData));
    }
    let error = world.push(1).await.unwrap_err();
    assert_eq!(error.cause, PushErrorCause::BadData);
    let whose = ["0", "2"].map(|i| {
        format!("send data to ingesters: failed pushing to ingester ingester-{i}: refused")
    });
    assert!(whose.contains(&error.message.to_string()), "{error}");
}

#[tokio::test]
async fn the_answer_does_not_wait_for_the_slowest_replica_and_it_is_served_all_the_same() {
    let world = World::new(ring(3, 3));
    let told = Arc::new(Notify::new());
    world.answers("0", Answer::Waits(Arc::clone(&told)));
    world.push(5).await.unwrap();
    assert!(world.stored("0").is_empty());
    told.notify_one();
    world.tasks.join(Duration::from_secs(60)).await.unwrap();
    assert_eq!(world.stored("0").len(), 5);
}

#[tokio::test]
async fn what_a_push_holds_is_held_until_the_slowest_replica_has_answered() {
    let world = World::new(ring(3, 3));
    let told = Arc::new(Notify::new());
    world.answers("0", Answer::Waits(Arc::clone(&told)));
    let held = Arc::new(());
    world.push_holding(5, Arc::clone(&held) as PushHeld).await.unwrap();
    assert_eq!(Arc::strong_count(&held), 2);
    told.notify_one();
    world.tasks.join(Duration::from_secs(60)).await.unwrap();
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn pushes_that_wait_for_ingesters_need_no_threads() {
    let world = World::new(ring(3, 3));
    let told = Arc::new(Notify::new());
    for address in ["0", "1", "2"] {
        world.answers(address, Answer::Waits(Arc::clone(&told)));
    }
    let pushes = futures::future::join_all((0..20).map(|_| world.push(1)));
    let telling = async {
        // All of them have been sent before one is answered.
        while world.tasks.len() < 20 * 3 {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 * 3 {
            told.notify_one();
            tokio::task::yield_now().await;
        }
        told.notify_waiters();
    };
    let all = async { futures::join!(pushes, telling) };
    let (done, ()) = rt::time::timeout(Duration::from_secs(60), all).await.unwrap();
    assert!(done.into_iter().all(|done| done.is_ok()));
}

#[tokio::test]
async fn without_ingesters_a_push_fails() {
    let world = World::new(ring(0, 3));
    assert_eq!(&*world.push(1).await.unwrap_err().message, "send data to ingesters: empty ring");
}
