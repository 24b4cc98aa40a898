//! Timers: the only place that touches tokio's. Async code waits through these, so that a
//! simulation can put its own time behind them.

use std::future::Future;
use std::time::Duration;

/// The time of [`timeout`] was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct TimedOut;

/// Waits for `duration`.
#[expect(clippy::disallowed_methods, reason = "the one place that touches tokio's timers")]
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits for `future`, at most for `duration`; then the future is dropped.
#[expect(clippy::disallowed_methods, reason = "the one place that touches tokio's timers")]
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, TimedOut> {
    tokio::time::timeout(duration, future).await.map_err(|_| TimedOut)
}

/// Ticks again and again, see [`interval`].
#[derive(Debug)]
pub struct Interval(tokio::time::Interval);

/// The first tick comes after `period` (at least 1 ms), not at once. When a tick was missed the
/// next one comes a whole period after it was taken: ticks never pile up.
pub fn interval(period: Duration) -> Interval {
    let period = period.max(Duration::from_millis(1));
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    Interval(ticks)
}

impl Interval {
    /// Waits for the next tick. Dropping the future loses no tick.
    pub async fn tick(&mut self) {
        self.0.tick().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_tick_comes_after_a_period() {
        let mut ticks = interval(Duration::from_secs(15));
        let early = timeout(Duration::from_secs(14), ticks.tick()).await;
        assert_eq!(early, Err(TimedOut));
        assert_eq!(timeout(Duration::from_secs(2), ticks.tick()).await, Ok(()));
    }
}
