//! The open histogram chunk of a series.

use model::batch::HistogramValue;
use model::{TimeRange, TimestampMs};

use super::chunks::ChunkSink;
use super::rules::Newest;
use super::series::FullChunk;
use super::shards::Shard;

/// An open histogram chunk.
#[derive(Debug)]
pub(super) struct OpenHistogram {
    /// Time of the newest sample, ms.
    last_time_ms: TimestampMs,
}

impl OpenHistogram {
    /// Time of the newest sample, ms.
    pub(super) fn last_time(&self) -> TimestampMs {
        self.last_time_ms
    }
}

/// The time of the first sample of the open histogram chunk.
pub(super) fn first_open_time(_shard: &Shard, _slot: u32) -> Option<TimestampMs> {
    None
}

/// A copy of the open histogram chunk, if it has samples in `range`.
pub(super) fn copy_open(_shard: &Shard, _slot: u32, _range: TimeRange) -> Option<FullChunk> {
    None
}

/// Moves the open histogram chunk to the full chunks.
pub(super) fn close_histogram(_shard: &mut Shard, _slot: u32, _sink: &ChunkSink<'_>) {}

/// Whether spans and buckets fit one another.
pub(super) fn is_valid(_value: &HistogramValue) -> bool {
    false
}

/// The newest sample of the series in `slot`, compared with a histogram.
pub(super) fn newest_for_histogram(
    _shard: &Shard,
    _slot: u32,
    _t: TimestampMs,
    _value: &HistogramValue,
) -> Newest {
    Newest::Nothing
}

/// Appends a sample that is newer than all others of the series.
pub(super) fn push_histogram(
    _shard: &mut Shard,
    _slot: u32,
    (_t, _value): (TimestampMs, &HistogramValue),
    _sink: &ChunkSink<'_>,
) {
}
