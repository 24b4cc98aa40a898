//! The token bucket of the rate limits, with the arithmetic of Go's `rate.Limiter`.

use std::time::Duration;

use parking_lot::Mutex;

/// A bucket that fills at a rate up to a burst. Rate and burst are given at each call, because
/// the limits of a tenant may change at any time.
#[derive(Debug, Default)]
pub(crate) struct TokenBucket {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tokens: f64,
    /// Monotonic time of the last change; `None` before the first.
    last: Option<Duration>,
}

/// What a bucket fills with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    /// Tokens a second; infinite = no limit.
    pub(crate) per_second: f64,
    /// The most tokens that can gather.
    pub(crate) burst: Burst,
}

/// The most tokens that a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Burst {
    /// So many in each of several distributors: a request is not divided.
    Tokens(f64),
    /// What comes in so many seconds, and so less in each of several distributors.
    Seconds(f64),
}

impl Rate {
    /// The part of each of so many distributors.
    pub(crate) fn shared_by(self, distributors: usize) -> Self {
        Self { per_second: self.per_second / distributors.max(1) as f64, ..self }
    }

    /// The burst in tokens.
    pub(crate) fn burst_tokens(self) -> f64 {
        match self.burst {
            Burst::Tokens(tokens) => tokens,
            Burst::Seconds(seconds) => (self.per_second * seconds).ceil(),
        }
    }
}

impl TokenBucket {
    /// Takes `count` tokens at the monotonic time `now` if there are so many.
    pub(crate) fn try_take(&self, now: Duration, rate: Rate, count: u64) -> bool {
        if rate.per_second.is_infinite() {
            return true;
        }
        let burst = rate.burst_tokens();
        let mut state = self.state.lock();
        let available = match state.last {
            None => burst,
            Some(last) => {
                let gained = now.saturating_sub(last).as_secs_f64() * rate.per_second;
                (state.tokens + gained).min(burst)
            }
        };
        let count = count as f64;
        let is_enough = count <= available;
        state.tokens = if is_enough { available - count } else { available };
        state.last = Some(now.max(state.last.unwrap_or_default()));
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_starts_full_empties_and_fills_again() {
        let bucket = TokenBucket::default();
        let rate = Rate { per_second: 10.0, burst: Burst::Tokens(20.0) };
        let at = Duration::from_millis;
        assert!(!bucket.try_take(at(0), rate, 21), "more than the burst never fits");
        assert!(bucket.try_take(at(0), rate, 20));
        assert!(!bucket.try_take(at(99), rate, 1));
        assert!(bucket.try_take(at(100), rate, 1));
        assert!(bucket.try_take(at(60_000), rate, 20), "it is full again, and no fuller");
        assert!(!bucket.try_take(at(60_000), rate, 1));
    }

    #[test]
    fn a_burst_in_seconds_is_shared_and_one_in_tokens_is_not() {
        let part = |burst| Rate { per_second: 10.0, burst }.shared_by(4).burst_tokens();
        assert_eq!(part(Burst::Tokens(20.0)), 20.0);
        assert_eq!(part(Burst::Seconds(3.0)), 8.0, "7.5, rounded up");
    }

    #[test]
    fn an_infinite_rate_is_no_limit() {
        let rate = Rate { per_second: f64::INFINITY, burst: Burst::Tokens(0.0) };
        assert!(TokenBucket::default().try_take(Duration::ZERO, rate, u64::MAX));
    }
}
