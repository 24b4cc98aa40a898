//! A moving average of events a second, computed anew by a timer, as the limits and statistics of
//! Mimir's ingester understand a rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// The weight of the newest interval.
const ALPHA: f64 = 0.2;

/// An exponentially weighted rate. Adding is cheap; the value moves at [`EwmaRate::tick`] alone.
#[derive(Debug, Default)]
pub(crate) struct EwmaRate {
    new_events: AtomicU64,
    /// `None` before the first tick.
    rate: Mutex<Option<f64>>,
}

impl EwmaRate {
    /// Counts events.
    pub(crate) fn add(&self, events: u64) {
        self.new_events.fetch_add(events, Ordering::Relaxed);
    }

    /// Takes in what was counted during the last `interval`.
    pub(crate) fn tick(&self, interval: Duration) {
        let events = self.new_events.swap(0, Ordering::Relaxed) as f64;
        let instant = events / interval.as_secs_f64().max(f64::MIN_POSITIVE);
        let mut rate = self.rate.lock();
        *rate = Some(rate.map_or(instant, |rate| rate + ALPHA * (instant - rate)));
    }

    /// Events a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.rate.lock().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_interval_counts_whole_the_next_ones_a_fifth() {
        let rate = EwmaRate::default();
        assert_eq!(rate.per_second(), 0.0);
        rate.add(150);
        rate.tick(Duration::from_secs(15));
        assert_eq!(rate.per_second(), 10.0);
        rate.tick(Duration::from_secs(15));
        assert_eq!(rate.per_second(), 8.0);
    }
}
