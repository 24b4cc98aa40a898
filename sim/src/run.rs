//! One seed from its beginning to its end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Once};
use std::time::Duration;

use rt::{CancellationToken, TaskGroup};

use crate::bugs::Bug;
use crate::cluster::Cluster;
use crate::setup;
use crate::world::World;
use crate::{checks, faults, queries, scale, workload};

/// How much happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How long it is written, queried and disturbed.
    pub minutes: u64,
    /// How many faults there are.
    pub faults: u64,
    /// Between two writes of a tenant, ms.
    pub write_period_ms: u64,
    /// Between two queries, ms.
    pub query_period_ms: u64,
}

impl Size {
    /// Half a day, as it were: more than thousand writes, more than hundred queries.
    pub const FULL: Self =
        Self { minutes: 31, faults: 12, write_period_ms: 6_600, query_period_ms: 14_000 };
    /// What a test has time for.
    pub const SHORT: Self =
        Self { minutes: 7, faults: 5, write_period_ms: 8_000, query_period_ms: 12_000 };
}

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How much happens.
    pub size: Size,
    /// A bug that is planted.
    pub bug: Option<Bug>,
    /// Whether all lines of the log are kept, not the last ones only.
    pub keeps_log: bool,
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was found wrong.
    pub violations: Vec<String>,
    /// What happened how often.
    pub coverage: BTreeMap<&'static str, u64>,
    /// Tells this log from others.
    pub digest: u64,
    /// The log, or its end.
    pub lines: Vec<String>,
    /// Simulated time.
    pub simulated: Duration,
}

/// No run takes longer, in simulated time: somebody waits for what never comes.
const END: Duration = Duration::from_secs(4 * 3600);
/// How long it goes on when everything must work.
const CALM_SPAN: Duration = Duration::from_secs(45);
/// What each full seed must have at least.
const NEEDED: [(&str, u64); 10] = [
    ("faults", 10),
    ("writes acknowledged", 1000),
    ("queries answered", 100),
    ("blocks uploaded", 1),
    ("blocks compacted", 1),
    ("ingesters added", 1),
    ("ingesters left", 1),
    ("writes of replicas that are not elected", 1),
    ("fault: restarted in order", 1),
    ("blocks marked for deletion", 1),
];
/// Kinds of faults that each full seed must have at least.
const NEEDED_KINDS: usize = 3;

impl Outcome {
    /// What did not happen as often as it must in a full seed.
    pub fn missing(&self) -> Vec<&'static str> {
        let count = |what: &str| self.coverage.get(what).copied().unwrap_or_default();
        let missing = NEEDED.iter().filter(|(what, min)| count(what) < *min);
        let mut missing: Vec<&'static str> = missing.map(|(what, _)| *what).collect();
        let kinds = self.coverage.keys().filter(|what| what.starts_with("fault: ")).count();
        if kinds < NEEDED_KINDS {
            missing.push("kinds of faults");
        }
        missing
    }
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Panics of components are caught where they happen; here they are known.
fn note_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            before(info);
        }));
    });
    PANICS.with_borrow_mut(Vec::clear);
}

/// Runs a seed.
pub fn run(seed: u64, options: &Options) -> Outcome {
    note_panics();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime on this thread needs nothing of the system");
    let world = runtime.block_on(async {
        let world = World::new(seed, options.bug, options.keeps_log);
        if rt::time::timeout(END, simulate(&world, options.size)).await.is_err() {
            world.violation("it does not come to an end: see what the nodes wait for".to_owned());
        }
        world
    });
    let simulated = runtime.block_on(async { world.elapsed() });
    drop(runtime);
    let mut violations = world.violations();
    violations.extend(PANICS.with_borrow_mut(std::mem::take));
    Outcome {
        violations,
        coverage: world.coverage(),
        digest: world.digest(),
        lines: world.lines(),
        simulated,
    }
}

async fn simulate(world: &Arc<World>, size: Size) {
    let cluster = Cluster::new(world);
    cluster.start().await;
    // Queriers and distributors have seen everybody after this.
    rt::time::sleep(Duration::from_secs(15)).await;
    let tasks = TaskGroup::new(&CancellationToken::new());
    let writers = TaskGroup::new(&CancellationToken::new());
    for tenant in 0..setup::HA_TENANT {
        let writer = workload::write_for_ever(Arc::clone(&cluster), tenant, size.write_period_ms);
        writers.spawn("writer", writer);
    }
    for replica in 0..2 {
        let period_ms = size.write_period_ms;
        let writer = workload::write_as_replica(Arc::clone(&cluster), replica, period_ms);
        writers.spawn("replica", writer);
    }
    tasks.spawn("reader", queries::query_for_ever(Arc::clone(&cluster), size.query_period_ms));
    tasks.spawn("owners", checks::one_owner(Arc::clone(&cluster)));
    let span = Duration::from_secs(size.minutes * 60);
    tasks.spawn("grow", scale::grow(Arc::clone(&cluster), span));
    tasks.spawn("shrink", scale::shrink(Arc::clone(&cluster), span));
    let disturbed = span.saturating_sub(Duration::from_secs(75));
    let end = rt::time::sleep(span);
    let faults = async {
        rt::time::sleep(Duration::from_secs(60)).await;
        faults::happen(Arc::clone(&cluster), size.faults, disturbed).await;
    };
    futures::join!(end, faults);
    rt::time::sleep(checks::CALM + CALM_SPAN).await;
    writers.abort_all();
    rt::time::sleep(Duration::from_secs(12)).await;
    tasks.abort_all();
    checks::at_the_end(&cluster).await;
    let acked = cluster.shared.links.truth.lock().acked_count();
    world.cover_by("samples acknowledged", acked);
    cluster.all().iter().for_each(|node| node.kill(crate::node::DiskLoss::None));
    cluster.shared.links.tasks.abort_all();
}
