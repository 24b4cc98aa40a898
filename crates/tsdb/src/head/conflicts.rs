//! Samples that only contradict others of their own request: the same series twice, times that go
//! back, a float and a histogram at one time.
//!
//! Such a sample is not stored, and counted, but its sender is not told: Prometheus and Mimir
//! compare with what was there before the request, and senders are used to that. So the newest
//! time of each series of the request is noted before its first sample is appended, and a sample
//! that is refused is judged a second time by it. Used by `append.rs` under the lock of a shard.

use hashbrown::HashMap;
use model::TimestampMs;

use super::rules::{NO_MAX_TIME, Newest};

/// The newest times of the series of one shard's part of a request.
#[derive(Debug, Default)]
pub(super) struct TimesBefore {
    /// By position in the part, before the series at that position was appended.
    times: Vec<TimestampMs>,
    /// The first position of each slot; made when it is first asked for.
    first: HashMap<u32, u32>,
}

impl TimesBefore {
    /// Begins the next part.
    pub(super) fn clear(&mut self) {
        self.times.clear();
        if !self.first.is_empty() {
            self.first.clear();
        }
    }

    /// Notes the newest time of the series at the next position.
    #[inline]
    pub(super) fn push(&mut self, newest: Option<TimestampMs>) {
        self.times.push(newest.unwrap_or(NO_MAX_TIME));
    }

    /// The newest sample of a series before the request. `slots` are those of the part, by
    /// position; that of the series has been appended to.
    #[cold]
    pub(super) fn newest(&mut self, slot: u32, slots: &[u32]) -> Newest {
        if self.first.is_empty() {
            for (position, &slot) in (0u32..).zip(slots) {
                self.first.entry(slot).or_insert(position);
            }
        }
        let first = self.first.get(&slot).and_then(|&first| self.times.get(first as usize));
        match first {
            None | Some(&NO_MAX_TIME) => Newest::Nothing,
            Some(&time) => Newest::Different(time),
        }
    }

    /// Bytes that are held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.times.capacity() * size_of::<TimestampMs>() + self.first.capacity() * 9
    }
}
