//! Which series are active: have taken a sample within the idle timeout, by the process's clock
//! and not by the samples' times.
//!
//! A series remembers the moment as one byte of its hot part, which an append has in its cache
//! anyway: no table of labels, no further memory. The byte counts in ticks of a part of the
//! timeout and wraps around, so [`Head::active_set`] must walk over the series (64 bytes each) at
//! least once a timeout; it forgets those that are idle.
//!
//! Series that a replay brings back are idle until they take a sample.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use super::Head;
use super::histograms::open_bucket_count;
use super::series::{Open, Series};
use super::shards::Shard;

/// Ticks are numbered from 1 to this and then from 1 again.
const TICKS: u64 = 255;
/// The idle timeout in ticks: an answer is wrong by at most a 120th of it.
const TIMEOUT_TICKS: u8 = 120;
/// From this age on a tick was not long ago but is a moment ahead: two threads may read the
/// clock in the other order than they use it.
const AHEAD_TICKS: u8 = 250;
/// The timeout where none was set.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// When a series took its newest sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tick(u8);

impl Tick {
    /// Not within the timeout.
    pub(super) const NEVER: Self = Self(0);

    fn at(ticks: u64) -> Self {
        Self((ticks % TICKS) as u8 + 1)
    }

    /// Whether it is at most the timeout before `now`.
    fn is_active(self, now: Self) -> bool {
        let age = (i16::from(now.0) - i16::from(self.0)).rem_euclid(TICKS as i16) as u8;
        self != Self::NEVER && (age <= TIMEOUT_TICKS || age >= AHEAD_TICKS)
    }
}

/// The clock of a head's activity.
#[derive(Debug)]
pub(super) struct Activity {
    tick_ms: AtomicU64,
    now: AtomicU8,
}

impl Default for Activity {
    fn default() -> Self {
        let activity = Self { tick_ms: AtomicU64::new(1), now: AtomicU8::new(1) };
        activity.set_timeout(DEFAULT_TIMEOUT);
        activity
    }
}

impl Activity {
    fn set_timeout(&self, timeout: Duration) {
        let tick_ms = timeout.as_millis() as u64 / u64::from(TIMEOUT_TICKS);
        self.tick_ms.store(tick_ms.max(1), Ordering::Relaxed);
    }

    /// The last moment that was told.
    pub(super) fn now(&self) -> Tick {
        Tick(self.now.load(Ordering::Relaxed))
    }

    fn set_now(&self, monotonic: Duration) {
        let ticks = monotonic.as_millis() as u64 / self.tick_ms.load(Ordering::Relaxed);
        self.now.store(Tick::at(ticks).0, Ordering::Relaxed);
    }
}

/// The active series at one moment. Its numbers are those of the postings: whoever made it holds
/// `Head::selects`.
#[derive(Debug, Default)]
pub(super) struct ActiveSet {
    /// One bit a number.
    bits: Vec<u64>,
    /// Series of native histograms and how many buckets they have, ascending by number.
    pub(super) histograms: Vec<(u32, u32)>,
}

impl ActiveSet {
    /// Whether the series is active.
    #[inline]
    pub(super) fn contains(&self, number: u32) -> bool {
        let word = self.bits.get(number as usize / 64).copied().unwrap_or(0);
        word >> (number % 64) & 1 == 1
    }

    fn insert(&mut self, number: u32) {
        if let Some(word) = self.bits.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// The number of buckets of an active series of native histograms.
    pub(super) fn bucket_count(&self, number: u32) -> Option<u32> {
        let found = self.histograms.binary_search_by_key(&number, |&(number, _)| number).ok()?;
        Some(self.histograms[found].1)
    }

    /// All active series, ascending.
    pub(super) fn numbers(&self) -> Vec<u32> {
        crate::postings::numbers_of_bits(&self.bits)
    }

    /// The number of active series.
    pub(super) fn len(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

impl Head {
    /// Sets after what time without a sample a series is idle. To be called before any append.
    pub fn set_active_timeout(&self, timeout: Duration) {
        self.activity.set_timeout(timeout);
    }

    /// Tells the time on a monotonic clock. To be called before each append.
    pub fn set_activity_time(&self, monotonic: Duration) {
        self.activity.set_now(monotonic);
    }

    /// The active series now. The caller holds `Head::selects`.
    pub(super) fn active_set(&self, now: Duration) -> ActiveSet {
        self.activity.set_now(now);
        let tick = self.activity.now();
        let len = self.postings.read().len();
        let mut set = ActiveSet { bits: vec![0; len.div_ceil(64)], histograms: Vec::new() };
        for index in 0..self.shards.len() {
            self.shards.lock(index).collect_active(tick, &mut set);
        }
        set.histograms.sort_unstable();
        set
    }
}

impl Shard {
    /// Adds the active series to `set` and forgets when the others took their samples.
    fn collect_active(&mut self, now: Tick, set: &mut ActiveSet) {
        for slot in 0..self.series.len() {
            let series = &mut self.series[slot];
            if !is_active(series, now) {
                series.activity = Tick::NEVER;
                continue;
            }
            let number = series.number;
            set.insert(number);
            if series.open == Open::Histogram {
                set.histograms.push((number, open_bucket_count(self, slot as u32)));
            }
        }
    }
}

fn is_active(series: &Series, now: Tick) -> bool {
    series.is_live() && series.activity.is_active(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_active_for_the_timeout_across_the_wrap() {
        for start in [0, 1, 200, 254, 255, 1_000_003] {
            let then = Tick::at(start);
            for age in 0..=u64::from(TIMEOUT_TICKS) {
                assert!(then.is_active(Tick::at(start + age)), "{start} {age}");
                assert!(!Tick::NEVER.is_active(Tick::at(start + age)));
            }
            for age in u64::from(TIMEOUT_TICKS) + 1..u64::from(AHEAD_TICKS) {
                assert!(!then.is_active(Tick::at(start + age)), "{start} {age}");
            }
            assert!(Tick::at(start + 1).is_active(then), "a moment ahead");
        }
    }

    #[test]
    fn the_clock_counts_in_parts_of_the_timeout() {
        let activity = Activity::default();
        activity.set_timeout(Duration::from_secs(120));
        activity.set_now(Duration::from_secs(7));
        let then = activity.now();
        activity.set_now(Duration::from_millis(127_999));
        assert!(then.is_active(activity.now()));
        activity.set_now(Duration::from_secs(128));
        assert!(!then.is_active(activity.now()));
    }
}
