//! Writers that push one sample a series after the other and keep a record of every answer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use model::Random;
use model::env::SeededRandom;

use crate::harness::Server;
use crate::remote_write::{self, HEADERS, Series};

pub(super) const WRITERS: usize = 4;
pub(super) const SERIES_PER_WRITER: usize = 12;
/// A multiple of the block range plus something.
pub(super) const START_MS: i64 = 1_699_999_200_000 + 4_321;
/// So long that every few dozen requests a block is due.
pub(super) const STEP_MS: i64 = 240_000;
/// Late samples change places inside of groups of eight: 5, 4, 7, 6, 1, 0, 3, 2.
const LATE_GROUP: i64 = 7;
const LATE_ORDER: i64 = 5;
/// How far a writer may be ahead of the slowest one, samples: what is more than an hour behind
/// the newest sample is refused.
const MAX_LEAD: i64 = 10;

/// All writers, over all lives of the process.
pub(super) struct Fleet {
    pub(super) writers: Vec<Writer>,
    /// Whether samples are sent in another order than that of their times.
    is_late: bool,
    flush_seed: u64,
}

/// One writer; sample `i` has the time `START_MS + i * STEP_MS` and the value `i`.
#[derive(Default)]
pub(super) struct Writer {
    /// The place of the sample to be sent next.
    next: AtomicI64,
    log: Mutex<Log>,
}

#[derive(Default, Clone)]
pub(super) struct Log {
    /// Samples whose request was answered with success.
    pub(super) acknowledged: BTreeSet<i64>,
    /// Samples that may be there: sent, and not answered.
    pub(super) unanswered: BTreeSet<i64>,
}

impl Writer {
    pub(super) fn log(&self) -> Log {
        self.log.lock().unwrap().clone()
    }

    /// The place of the sample that is to be sent next.
    pub(super) fn next(&self) -> i64 {
        self.next.load(Ordering::Relaxed)
    }
}

impl Fleet {
    pub(super) fn new(random: &SeededRandom, is_late: bool) -> Self {
        let writers = (0..WRITERS).map(|_| Writer::default()).collect();
        Self { writers, is_late, flush_seed: random.next_u64() }
    }

    /// The sample that is sent in place `position`: each one once.
    fn sample_at(&self, position: i64) -> i64 {
        if self.is_late { position ^ LATE_ORDER } else { position }
    }

    /// The last sample that a writer can have sent.
    pub(super) fn last(&self, writer: &Writer) -> i64 {
        if self.is_late { writer.next() | LATE_GROUP } else { writer.next() }
    }

    /// Requests that were answered with success.
    pub(super) fn acknowledged(&self) -> u64 {
        self.writers.iter().map(|writer| writer.log().acknowledged.len() as u64).sum()
    }

    /// Pushes from all writers until the process is killed, which happens `after` a while.
    pub(super) fn write_until_killed(&mut self, server: &mut Server, after: Duration) {
        let random = SeededRandom::new(self.flush_seed);
        self.flush_seed = random.next_u64();
        let is_over = AtomicBool::new(false);
        let flushing = RwLock::new(());
        let shared: &Server = server;
        let fleet: &Self = self;
        std::thread::scope(|scope| {
            for number in 0..WRITERS {
                let (is_over, flushing) = (&is_over, &flushing);
                scope.spawn(move || fleet.write(number, (shared, is_over), flushing));
            }
            if random.below(3) == 0 {
                let when = Duration::from_millis(random.below(400));
                let (is_over, flushing) = (&is_over, &flushing);
                scope.spawn(move || fleet.flush(when, (shared, is_over), flushing));
            }
            scope.spawn(|| {
                std::thread::park_timeout(after);
                let pid = shared.pid().to_string();
                let kill = std::process::Command::new("kill").args(["-KILL", &pid]).status();
                assert!(kill.unwrap().success());
                is_over.store(true, Ordering::Relaxed);
            });
        });
        server.wait_exit();
    }

    fn write(&self, number: usize, (server, is_over): (&Server, &AtomicBool), gate: &RwLock<()>) {
        let writer = &self.writers[number];
        while !is_over.load(Ordering::Relaxed) {
            let gate = gate.read().unwrap();
            let next = writer.next();
            if next > self.slowest() + MAX_LEAD {
                drop(gate);
                std::thread::yield_now();
                continue;
            }
            let sample = self.sample_at(next);
            writer.log.lock().unwrap().unanswered.insert(sample);
            let body = remote_write::compressed(&remote_write::message(&series(number, sample)));
            let Some(answer) = server.try_post("/api/v1/push", HEADERS, &body) else { return };
            assert_eq!(answer.status, 200, "{}", answer.body);
            let mut log = writer.log.lock().unwrap();
            log.unanswered.remove(&sample);
            log.acknowledged.insert(sample);
            drop(log);
            writer.next.store(next + 1, Ordering::Relaxed);
        }
    }

    fn slowest(&self) -> i64 {
        self.writers.iter().map(Writer::next).min().unwrap_or(0)
    }

    /// Has the whole head cut while nobody writes. Nothing that is not newer than all samples is
    /// taken afterwards, so that all writers go on behind the one that is furthest.
    fn flush(&self, when: Duration, (server, is_over): (&Server, &AtomicBool), gate: &RwLock<()>) {
        std::thread::park_timeout(when);
        let _nobody_writes = gate.write().unwrap();
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let furthest = self.writers.iter().map(Writer::next).max().unwrap_or(0);
        // One more: the furthest may have a sample that was not answered.
        self.writers.iter().for_each(|writer| writer.next.store(furthest + 1, Ordering::Relaxed));
        let _ = server.try_get("/ingester/flush?wait=true");
    }
}

pub(super) fn series(writer: usize, sample: i64) -> Vec<Series> {
    let one = |i: usize| {
        let (writer, i) = (writer.to_string(), i.to_string());
        let labels = [("i", &*i), ("writer", &*writer)];
        let value = (START_MS + sample * STEP_MS, sample as f64);
        Series::new("crash_total", &labels, vec![value])
    };
    (0..SERIES_PER_WRITER).map(one).collect()
}
