//! The system's clock. Made once by the binary and handed to everything that needs time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::{Clock, TimestampMs};

/// The time of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> TimestampMs {
        system_time_ms()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Wall-clock time in milliseconds since the Unix epoch; negative before it.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
pub(crate) fn system_time_ms() -> TimestampMs {
    let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => ms(since),
        Err(before) => -ms(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_never_goes_back() {
        let clock = SystemClock::new();
        let first = clock.monotonic();
        assert!(first <= clock.monotonic());
        assert!(clock.now_ms() > 1_600_000_000_000, "this machine's clock stands before 2020");
    }
}
