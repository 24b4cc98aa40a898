//! Counter resets that start timestamps tell of.

use model::TimestampMs;

/// The time of a sample and since when its counter counts (0 = unknown), ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleTime {
    pub(super) time: TimestampMs,
    pub(super) start: TimestampMs,
}

/// Whether the counter began anew between two samples. A start at the previous sample's time
/// says so only if that one's own start is known and sensible: else it is a counter whose
/// beginning nobody knows.
pub(super) fn is_reset(previous: SampleTime, current: SampleTime) -> bool {
    if current.start == 0 || current.start >= current.time || current.start < previous.time {
        return false;
    }
    if current.start > previous.time {
        return true;
    }
    previous.start <= previous.time && previous.start != 0 && previous.start != previous.time
}

/// Whether a sample claims to count since before the previous sample, though that one counts
/// since another time.
pub(super) fn overlaps(previous: SampleTime, current: SampleTime) -> bool {
    current.start != 0 && current.start < previous.time && current.start != previous.start
}
