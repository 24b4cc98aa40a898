//! Clock, randomness and parallelism as traits, so that the same seed gives the same run.
//!
//! `rt` implements them over the system; a simulation over one deterministic thread.

use std::time::Duration;

use crate::TimestampMs;

/// The time of day and a monotonic time.
pub trait Clock: Send + Sync {
    /// Wall-clock time in milliseconds since the Unix epoch.
    fn now_ms(&self) -> TimestampMs;
    /// Time since an arbitrary fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// A source of random bits. Not for secrets.
pub trait Random: Send + Sync {
    /// 64 uniformly distributed bits.
    fn next_u64(&self) -> u64;

    /// A number in `[0, bound)`; 0 for a bound of 0.
    fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }
}

/// Runs independent pieces of CPU work, possibly on several threads, and waits for all of them.
pub trait Executor: Send + Sync {
    /// How many pieces can run at the same time; at least 1.
    fn parallelism(&self) -> usize;
    /// Calls `job` once with every number of `[0, count)`, in any order, and returns when the
    /// last call has returned. May be called from within a job.
    fn for_each(&self, count: usize, job: &(dyn Fn(usize) + Sync));
}

/// The executor that runs everything on the calling thread, in order.
#[derive(Debug, Default, Clone, Copy)]
pub struct Inline;

impl Executor for Inline {
    fn parallelism(&self) -> usize {
        1
    }

    fn for_each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(job);
    }
}

/// A clock that stands still until it is told to move; for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock(std::sync::atomic::AtomicI64);

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub fn new(now_ms: TimestampMs) -> Self {
        Self(std::sync::atomic::AtomicI64::new(now_ms))
    }

    /// Moves the clock to `now_ms`.
    pub fn set(&self, now_ms: TimestampMs) {
        self.0.store(now_ms, std::sync::atomic::Ordering::SeqCst);
    }

    /// Moves the clock forward by `ms`.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> TimestampMs {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now_ms().unsigned_abs())
    }
}

/// A small deterministic generator (splitmix64); for tests and simulations.
#[derive(Debug)]
pub struct SeededRandom(std::sync::atomic::AtomicU64);

impl SeededRandom {
    /// A generator whose sequence depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(seed))
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.fetch_add(GAMMA, std::sync::atomic::Ordering::Relaxed);
        let mut z = state.wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
