//! What everything in a simulation shares: true time, randomness from the seed, the log, what was
//! covered and what was found wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::env::SeededRandom;
use model::{Clock, Random, TimestampMs};
use parking_lot::Mutex;
use tokio::time::Instant;
use xxhash_rust::xxh64::Xxh64;

use crate::bugs::Bug;

/// The moment at which every simulation begins, ms; the start of a block range.
pub(crate) const EPOCH_MS: TimestampMs = 1_700_006_400_000;
/// So many lines of the log are kept where only its digest is wanted.
const KEPT_LINES: usize = 60;

/// A simulation's surroundings.
pub(crate) struct World {
    start: Instant,
    random: SeededRandom,
    log: Mutex<Log>,
    coverage: Mutex<BTreeMap<&'static str, u64>>,
    violations: Mutex<Vec<String>>,
    /// How many faults there are now, and when the last one ended.
    faults: Mutex<(u64, Duration)>,
    /// The bug that was planted.
    pub(crate) bug: Option<Bug>,
}

struct Log {
    digest: Xxh64,
    lines: std::collections::VecDeque<String>,
    keeps_all: bool,
}

impl World {
    /// The world of a seed, beginning now.
    pub(crate) fn new(seed: u64, bug: Option<Bug>, keeps_log: bool) -> Arc<Self> {
        let log = Log { digest: Xxh64::new(0), lines: Default::default(), keeps_all: keeps_log };
        Arc::new(Self {
            start: Instant::now(),
            random: SeededRandom::new(seed),
            log: Mutex::new(log),
            coverage: Mutex::default(),
            violations: Mutex::default(),
            faults: Mutex::default(),
            bug,
        })
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().duration_since(self.start)
    }

    /// The true time of day.
    pub(crate) fn now_ms(&self) -> TimestampMs {
        EPOCH_MS + i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// A number in `[0, bound)`.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    /// A number in `[min, max)`.
    pub(crate) fn between(&self, min: u64, max: u64) -> u64 {
        min + self.below(max.saturating_sub(min))
    }

    /// True so many times of a thousand.
    pub(crate) fn chance(&self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// A generator of its own for a part of the simulation.
    pub(crate) fn fork(&self) -> Arc<SeededRandom> {
        Arc::new(SeededRandom::new(self.random.next_u64()))
    }

    /// Writes a line of the log.
    pub(crate) fn log(&self, line: fmt::Arguments<'_>) {
        let line = format!("{:>9} {line}", self.elapsed().as_millis());
        let mut log = self.log.lock();
        log.digest.update(line.as_bytes());
        log.digest.update(b"\n");
        if !log.keeps_all && log.lines.len() >= KEPT_LINES {
            log.lines.pop_front();
        }
        log.lines.push_back(line);
    }

    /// Writes a line that is kept only where the whole log is.
    pub(crate) fn detail(&self, line: fmt::Arguments<'_>) {
        let mut log = self.log.lock();
        if log.keeps_all {
            let at = self.elapsed().as_millis();
            log.lines.push_back(format!("{at:>9} . {line}"));
        }
    }

    /// What tells this log from others.
    pub(crate) fn digest(&self) -> u64 {
        self.log.lock().digest.digest()
    }

    /// The lines that were kept.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lock().lines.iter().cloned().collect()
    }

    /// Counts something that happened.
    pub(crate) fn cover(&self, what: &'static str) {
        self.cover_by(what, 1);
    }

    /// Counts several of it.
    pub(crate) fn cover_by(&self, what: &'static str, count: u64) {
        *self.coverage.lock().entry(what).or_default() += count;
    }

    /// What happened so far.
    pub(crate) fn coverage(&self) -> BTreeMap<&'static str, u64> {
        self.coverage.lock().clone()
    }

    /// A fault begins.
    pub(crate) fn fault_begins(&self) {
        self.faults.lock().0 += 1;
    }

    /// A fault has ended.
    pub(crate) fn fault_ends(&self) {
        let mut faults = self.faults.lock();
        *faults = (faults.0.saturating_sub(1), self.elapsed());
    }

    /// Whether there is a fault now.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.faults.lock().0 > 0
    }

    /// For how long there has been no fault; `None` when there is one.
    pub(crate) fn calm_for(&self) -> Option<Duration> {
        let (count, last_end) = *self.faults.lock();
        (count == 0).then(|| self.elapsed().saturating_sub(last_end))
    }

    /// Something is wrong.
    pub(crate) fn violation(&self, text: String) {
        self.log(format_args!("VIOLATION {text}"));
        self.violations.lock().push(text);
    }

    /// What was found wrong.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().clone()
    }
}

/// A node's clock: true time, and how far it is off.
pub(crate) struct NodeClock {
    world: Arc<World>,
    offset_ms: AtomicI64,
}

impl NodeClock {
    /// A clock that is right.
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: Arc::clone(world), offset_ms: AtomicI64::new(0) })
    }

    /// Puts it forward, or back.
    pub(crate) fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// Whether it is right.
    pub(crate) fn is_right(&self) -> bool {
        self.offset_ms.load(Ordering::Relaxed) == 0
    }
}

impl Clock for NodeClock {
    fn now_ms(&self) -> TimestampMs {
        self.world.now_ms() + self.offset_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.world.elapsed()
    }
}
