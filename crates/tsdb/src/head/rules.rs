//! Which samples the head takes: Prometheus' rules, as pure functions.
//!
//! A sample is compared with the newest one of its series. Exact duplicates are taken silently,
//! since retries and federation send them.

use model::TimestampMs;

use super::outcome::{AppendLimits, RejectionKind};

/// "No time yet" of the head's oldest and newest sample.
pub(super) const NO_MAX_TIME: TimestampMs = TimestampMs::MIN;

/// What one append compares times with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Older samples are out of bounds.
    pub(super) min_valid_ms: TimestampMs,
    /// The newest sample of the head when the append began.
    pub(super) head_max_ms: TimestampMs,
    /// How late a sample may be.
    pub(super) out_of_order_window_ms: i64,
}

impl Bounds {
    /// `min_valid_ms` is the end of the newest block; the head takes nothing that is more than
    /// half a block range behind its newest sample either.
    pub(super) fn new(
        min_valid_ms: TimestampMs,
        head_max_ms: TimestampMs,
        block_range_ms: i64,
        limits: &AppendLimits,
    ) -> Self {
        let half_range_before = head_max_ms.saturating_sub(block_range_ms / 2);
        Self {
            min_valid_ms: min_valid_ms.max(half_range_before),
            head_max_ms,
            out_of_order_window_ms: limits.out_of_order_window_ms,
        }
    }
}

/// The newest sample of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newest {
    /// There is none.
    Nothing,
    /// Its time; the value is another one than the new sample's, or not known.
    Different(TimestampMs),
    /// Its time; the value equals the new sample's bit by bit.
    Same(TimestampMs),
}

/// What to do with a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Append it.
    Append,
    /// It is there already.
    Duplicate,
    /// Put it to the samples that came out of order.
    OutOfOrder,
    /// Refuse it.
    Reject(RejectionKind),
}

/// Decides on a sample at `t`.
pub(super) fn judge(newest: Newest, t: TimestampMs, bounds: &Bounds) -> Verdict {
    if t >= bounds.min_valid_ms {
        match newest {
            Newest::Nothing => return Verdict::Append,
            Newest::Different(last) | Newest::Same(last) if t > last => return Verdict::Append,
            Newest::Same(last) if t == last => return Verdict::Duplicate,
            Newest::Different(last) if t == last => {
                return Verdict::Reject(RejectionKind::DuplicateTimestamp);
            }
            Newest::Different(_) | Newest::Same(_) => {}
        }
    }
    judge_late(t, bounds)
}

/// Decides on a sample that is not in order.
#[cold]
fn judge_late(t: TimestampMs, bounds: &Bounds) -> Verdict {
    if bounds.out_of_order_window_ms > 0 {
        let oldest = bounds.head_max_ms.saturating_sub(bounds.out_of_order_window_ms);
        return match t < oldest {
            true => Verdict::Reject(RejectionKind::TooOld),
            false => Verdict::OutOfOrder,
        };
    }
    Verdict::Reject(match t < bounds.min_valid_ms {
        true => RejectionKind::OutOfBounds,
        false => RejectionKind::OutOfOrder,
    })
}

/// The end of the aligned range that `t` lies in, by division towards zero as Prometheus does it.
pub(super) fn range_end(t: TimestampMs, range_ms: i64) -> TimestampMs {
    (t / range_ms).saturating_mul(range_ms).saturating_add(range_ms)
}

/// When a chunk should end so that the chunks up to `end` are about equally full: called when
/// the chunk that began at `start` and whose newest sample is at `newest` is `1 / ratio` full.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "Prometheus computes in 64-bit floats and cuts off"
)]
pub(super) fn chunk_end(
    start: TimestampMs,
    newest: TimestampMs,
    end: TimestampMs,
    ratio: f64,
) -> TimestampMs {
    let left = end.wrapping_sub(start) as f64;
    let chunks = left / (newest.wrapping_sub(start).wrapping_add(1) as f64 * ratio);
    if chunks <= 1.0 { end } else { (start as f64 + left / chunks.floor()) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn bounds(min_valid: i64, head_max: i64, window: i64) -> Bounds {
        let limits = AppendLimits { out_of_order_window_ms: window, ..AppendLimits::default() };
        Bounds::new(min_valid, head_max, 2 * HOUR, &limits)
    }

    #[test]
    fn in_order_samples_are_appended_and_duplicates_compared() {
        let b = bounds(0, 1000, 0);
        assert_eq!(judge(Newest::Nothing, 0, &b), Verdict::Append);
        assert_eq!(judge(Newest::Different(10), 11, &b), Verdict::Append);
        assert_eq!(judge(Newest::Same(10), 10, &b), Verdict::Duplicate);
        let duplicate = Verdict::Reject(RejectionKind::DuplicateTimestamp);
        assert_eq!(judge(Newest::Different(10), 10, &b), duplicate);
        let late = Verdict::Reject(RejectionKind::OutOfOrder);
        assert_eq!(judge(Newest::Same(10), 9, &b), late);
    }

    #[test]
    fn old_samples_are_out_of_bounds_even_for_new_series() {
        let b = bounds(i64::MIN, 10 * HOUR, 0);
        assert_eq!(judge(Newest::Nothing, 9 * HOUR, &b), Verdict::Append);
        let out = Verdict::Reject(RejectionKind::OutOfBounds);
        assert_eq!(judge(Newest::Nothing, 9 * HOUR - 1, &b), out);
        assert_eq!(judge(Newest::Same(9 * HOUR - 1), 9 * HOUR - 1, &b), out);
        assert_eq!(judge(Newest::Nothing, 9 * HOUR, &bounds(9 * HOUR + 1, 10 * HOUR, 0)), out);
    }

    #[test]
    fn with_a_window_too_old_wins_over_out_of_bounds() {
        let b = bounds(0, 10 * HOUR, 30 * 60_000);
        let too_old = Verdict::Reject(RejectionKind::TooOld);
        assert_eq!(judge(Newest::Nothing, 8 * HOUR, &b), too_old);
        assert_eq!(
            judge(
                Newest::Nothing,
                10 * HOUR - 30 * 60_000 - 1,
                &bounds(10 * HOUR, 10 * HOUR, 30 * 60_000)
            ),
            too_old
        );
    }

    #[test]
    fn inside_the_window_late_samples_are_taken_out_of_order() {
        let b = bounds(0, 10 * HOUR, 3 * HOUR);
        let different = |t| judge(Newest::Different(10 * HOUR), t, &b);
        assert_eq!(different(10 * HOUR - 1), Verdict::OutOfOrder);
        assert_eq!(different(7 * HOUR), Verdict::OutOfOrder);
        assert_eq!(different(7 * HOUR - 1), Verdict::Reject(RejectionKind::TooOld));
        // The newest sample itself is compared while it is in bounds, and not behind that.
        assert_eq!(different(10 * HOUR), Verdict::Reject(RejectionKind::DuplicateTimestamp));
        assert_eq!(judge(Newest::Different(8 * HOUR), 8 * HOUR, &b), Verdict::OutOfOrder);
        // A new series takes in order what is in bounds, and out of order what is not.
        assert_eq!(judge(Newest::Nothing, 9 * HOUR, &b), Verdict::Append);
        assert_eq!(judge(Newest::Nothing, 9 * HOUR - 1, &b), Verdict::OutOfOrder);
    }

    #[test]
    fn ranges_align_by_truncation() {
        assert_eq!(range_end(1, 10), 10);
        assert_eq!(range_end(10, 10), 20);
        // Division towards zero: the range around zero is twice as wide.
        assert_eq!(range_end(-1, 10), 10);
        assert_eq!(range_end(-11, 10), 0);
    }

    /// Computed by hand from the formula: a chunk that is a quarter full after a quarter of the
    /// range is left to the range's end.
    #[test]
    fn the_end_of_a_chunk_is_predicted() {
        assert_eq!(chunk_end(0, 0, 1000, 4.0), 4);
        assert_eq!(chunk_end(0, 250, 1000, 4.0), 1000);
        assert_eq!(chunk_end(100, 200, 1000, 4.0), 550);
        assert_eq!(chunk_end(0, 500, 1000, 4.0), 1000);
    }
}
