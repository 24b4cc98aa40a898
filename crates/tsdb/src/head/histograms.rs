//! Appending native histograms: the open histogram chunk of a series, and cutting it.
//!
//! Called by `append.rs` and `replay.rs` under the lock of the series' shard. The open chunk
//! lives in the cold part of the series: histograms are large, so that nothing is gained by
//! keeping them beside the floats.

use model::batch::HistogramValue;
use model::{FloatHistogram, Histogram, TimeRange, TimestampMs};

use super::chunks::ChunkSink;
use super::floats::{close_float, newest_for_other};
use super::rules::{Newest, chunk_end, range_end};
use super::series::{ChunkPlace, ColdChunk, FullChunk, Open};
use super::shards::Shard;
use super::xor2::close_xor2;
use crate::chunk::ChunkEncoding;
use crate::chunk::histogram::{
    AppendOutcome, CounterResetHeader, Floats, HistogramAppender, HistogramKind, Integers,
};
use crate::error::DecodeError;

/// How large a chunk should become, bytes.
const TARGET_BYTES: usize = 1024;
/// From this size on a chunk is cut.
const MAX_BYTES: usize = 2 * TARGET_BYTES;
/// A chunk has at least so many samples, unless the block range ends before.
const MIN_SAMPLES: u16 = 10;

/// An open histogram chunk.
#[derive(Debug)]
pub(super) struct OpenHistogram {
    appender: Appender,
    first_time_ms: TimestampMs,
    /// Whether the end of the chunk was predicted from its size.
    is_end_predicted: bool,
}

#[derive(Debug)]
enum Appender {
    Int(HistogramAppender<Integers>),
    Float(HistogramAppender<Floats>),
}

/// What a histogram type has to do with its codec.
trait Kind: HistogramKind {
    fn wrap(appender: HistogramAppender<Self>) -> Appender;
    fn unwrap(appender: &mut Appender) -> Option<&mut HistogramAppender<Self>>;
}

impl Kind for Integers {
    fn wrap(appender: HistogramAppender<Self>) -> Appender {
        Appender::Int(appender)
    }

    fn unwrap(appender: &mut Appender) -> Option<&mut HistogramAppender<Self>> {
        if let Appender::Int(appender) = appender { Some(appender) } else { None }
    }
}

impl Kind for Floats {
    fn wrap(appender: HistogramAppender<Self>) -> Appender {
        Appender::Float(appender)
    }

    fn unwrap(appender: &mut Appender) -> Option<&mut HistogramAppender<Self>> {
        if let Appender::Float(appender) = appender { Some(appender) } else { None }
    }
}

impl OpenHistogram {
    /// Time of the newest sample, ms.
    pub(super) fn last_time(&self) -> TimestampMs {
        match &self.appender {
            Appender::Int(appender) => appender.last_time(),
            Appender::Float(appender) => appender.last_time(),
        }
    }

    fn parts(&self) -> (ChunkEncoding, &[u8], u16) {
        match &self.appender {
            Appender::Int(a) => (a.encoding(), a.bytes(), a.count()),
            Appender::Float(a) => (a.encoding(), a.bytes(), a.count()),
        }
    }

    /// Whether a sample at `t` begins a new chunk. Predicts the end of the chunk at a quarter of
    /// the target.
    fn must_cut(&mut self, next_cut_ms: &mut TimestampMs, t: TimestampMs, range_ms: i64) -> bool {
        let (_, bytes, count) = self.parts();
        let bytes = bytes.len();
        let end = range_end(self.first_time_ms, range_ms);
        if !self.is_end_predicted && bytes >= TARGET_BYTES / 4 {
            let ratio = TARGET_BYTES as f64 / bytes as f64;
            *next_cut_ms = chunk_end(self.first_time_ms, self.last_time(), end, ratio);
            self.is_end_predicted = true;
        }
        (t >= *next_cut_ms || bytes >= MAX_BYTES) && (count >= MIN_SAMPLES || t >= end)
    }

    /// Whether the newest sample is `value`.
    fn last_is(&self, value: &HistogramValue) -> bool {
        match (&self.appender, value) {
            (Appender::Int(appender), HistogramValue::Int(value)) => {
                same_int(appender.last_histogram(), value)
            }
            (Appender::Float(appender), HistogramValue::Float(value)) => {
                same_float(appender.last_histogram(), value)
            }
            _ => false,
        }
    }
}

/// How many buckets the histograms of the open chunk of a series have.
pub(super) fn open_bucket_count(shard: &Shard, slot: u32) -> u32 {
    let open = shard.cold(slot).and_then(|cold| cold.histogram());
    let count = open.map_or(0, |open| match &open.appender {
        Appender::Int(appender) => appender.bucket_count(),
        Appender::Float(appender) => appender.bucket_count(),
    });
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether a stored sample is the given one, which may have been widened by empty buckets.
fn same_int(mut stored: Histogram, given: &Histogram) -> bool {
    if stored.is_stale() || given.is_stale() {
        return stored.is_stale() == given.is_stale();
    }
    let mut given = given.clone();
    stored.compact(0);
    given.compact(0);
    stored.equals(&given)
}

fn same_float(mut stored: FloatHistogram, given: &FloatHistogram) -> bool {
    if stored.is_stale() || given.is_stale() {
        return stored.is_stale() == given.is_stale();
    }
    let mut given = given.clone();
    stored.compact(0);
    given.compact(0);
    stored.equals(&given)
}

/// Whether a histogram contradicts itself.
pub(super) fn is_valid(value: &HistogramValue) -> bool {
    match value {
        HistogramValue::Int(histogram) => histogram.is_stale() || histogram.validate().is_ok(),
        HistogramValue::Float(histogram) => histogram.is_stale() || histogram.validate().is_ok(),
    }
}

/// The newest sample of the series in `slot`, compared with a histogram.
pub(super) fn newest_for_histogram(
    shard: &Shard,
    slot: u32,
    t: TimestampMs,
    value: &HistogramValue,
) -> Newest {
    match shard.cold(slot).and_then(|cold| cold.histogram()) {
        Some(open) if open.last_time() == t && open.last_is(value) => Newest::Same(t),
        Some(open) => Newest::Different(open.last_time()),
        None => newest_for_other(shard, slot),
    }
}

/// A stale marker of the kind of the open histogram chunk.
pub(super) fn stale_like_open(shard: &Shard, slot: u32) -> HistogramValue {
    let sum = model::stale_nan();
    let open = shard.cold(slot).and_then(|cold| cold.histogram());
    match open.map(|open| &open.appender) {
        Some(Appender::Float(_)) => {
            HistogramValue::Float(Box::new(FloatHistogram { sum, ..FloatHistogram::default() }))
        }
        Some(Appender::Int(_)) | None => {
            HistogramValue::Int(Box::new(Histogram { sum, ..Histogram::default() }))
        }
    }
}

/// The time of the first sample of the open histogram chunk.
pub(super) fn first_open_time(shard: &Shard, slot: u32) -> Option<TimestampMs> {
    Some(shard.cold(slot)?.histogram()?.first_time_ms)
}

/// The newest sample of the open histogram chunk.
pub(super) fn last_open(shard: &Shard, slot: u32) -> Option<HistogramValue> {
    let open = shard.cold(slot)?.histogram()?;
    Some(match &open.appender {
        Appender::Int(appender) => HistogramValue::Int(Box::new(appender.last_histogram())),
        Appender::Float(appender) => HistogramValue::Float(Box::new(appender.last_histogram())),
    })
}

/// A copy of the open histogram chunk, if it has samples in `range`.
pub(super) fn copy_open(shard: &Shard, slot: u32, range: TimeRange) -> Option<FullChunk> {
    let open = shard.cold(slot)?.histogram()?;
    let (min_time_ms, max_time_ms) = (open.first_time_ms, open.last_time());
    let (encoding, bytes, _) = open.parts();
    range.overlaps(min_time_ms, max_time_ms).then(|| FullChunk {
        min_time_ms,
        max_time_ms,
        place: ChunkPlace::memory(encoding, bytes.to_vec()),
    })
}

/// Appends a sample that is newer than all others of the series. Fails, and changes nothing,
/// where spans and buckets do not match. `start_t` is its start timestamp, 0 = unknown.
pub(super) fn push_histogram(
    shard: &mut Shard,
    slot: u32,
    (t, start_t, value): (TimestampMs, TimestampMs, &HistogramValue),
    sink: &ChunkSink<'_>,
) -> Result<(), DecodeError> {
    match value {
        HistogramValue::Int(value) => push::<Integers>(shard, slot, (t, start_t, value), sink),
        HistogramValue::Float(value) => push::<Floats>(shard, slot, (t, start_t, value), sink),
    }
}

fn push<K: Kind>(
    shard: &mut Shard,
    slot: u32,
    sample: Sample<'_, K>,
    sink: &ChunkSink<'_>,
) -> Result<(), DecodeError> {
    let Some(header) = append_to_open::<K>(shard, slot, sample, sink.block_range_ms)? else {
        return Ok(());
    };
    close_open(shard, slot, sink);
    open_histogram::<K>(shard, slot, (sample, header), sink)
}

/// Time, start timestamp and value of a histogram.
type Sample<'a, K> = (TimestampMs, TimestampMs, &'a <K as HistogramKind>::Histogram);

/// Appends a sample to the open chunk. Where it does not belong there, nothing has changed and
/// the header of the chunk that it begins is returned.
fn append_to_open<K: Kind>(
    shard: &mut Shard,
    slot: u32,
    (t, start_t, value): Sample<'_, K>,
    block_range_ms: i64,
) -> Result<Option<CounterResetHeader>, DecodeError> {
    let mut next_cut_ms = shard.series[slot as usize].next_cut_ms;
    let open = shard.cold_mut(slot).and_then(|cold| cold.histogram_mut());
    let Some(open) = open else {
        return HistogramAppender::<K>::header_after(None, value).map(Some);
    };
    let is_full = open.must_cut(&mut next_cut_ms, t, block_range_ms);
    let appender = match K::unwrap(&mut open.appender) {
        Some(appender) if !is_full => appender,
        previous => {
            return HistogramAppender::<K>::header_after(previous.as_deref(), value).map(Some);
        }
    };
    let outcome = appender.append(t, value, start_t)?;
    shard.series[slot as usize].next_cut_ms = next_cut_ms;
    Ok(match outcome {
        AppendOutcome::Appended | AppendOutcome::Recoded => None,
        AppendOutcome::Cut(header) => Some(header),
    })
}

/// Moves the open chunk to the full chunks, of whatever kind it is.
pub(super) fn close_open(shard: &mut Shard, slot: u32, sink: &ChunkSink<'_>) {
    match shard.series[slot as usize].open {
        Open::Nothing => {}
        Open::Float => close_float(shard, slot, sink),
        Open::Histogram => close_histogram(shard, slot, sink),
        Open::Xor2 => close_xor2(shard, slot, sink),
    }
}

fn open_histogram<K: Kind>(
    shard: &mut Shard,
    slot: u32,
    ((t, start_t, value), header): (Sample<'_, K>, CounterResetHeader),
    sink: &ChunkSink<'_>,
) -> Result<(), DecodeError> {
    let mut appender = HistogramAppender::<K>::new(header, sink.encodings.histogram_start_times);
    appender.append(t, value, start_t)?;
    let open =
        OpenHistogram { appender: K::wrap(appender), first_time_ms: t, is_end_predicted: false };
    shard.cold_or_new(slot).open = Some(Box::new(ColdChunk::Histogram(open)));
    let series = &mut shard.series[slot as usize];
    series.open = Open::Histogram;
    series.next_cut_ms = range_end(t, sink.block_range_ms);
    Ok(())
}

/// Moves the open histogram chunk to the full chunks.
fn close_histogram(shard: &mut Shard, slot: u32, sink: &ChunkSink<'_>) {
    let series_ref = shard.series[slot as usize].series_ref();
    shard.series[slot as usize].open = Open::Nothing;
    let Some(cold) = shard.cold_mut(slot) else { return };
    let Some(ColdChunk::Histogram(open)) = cold.open.take().map(|open| *open) else { return };
    let (encoding, bytes, _) = open.parts();
    let times = (open.first_time_ms, open.last_time());
    let place = sink.store(series_ref, times, encoding, bytes);
    cold.push_full(FullChunk { min_time_ms: times.0, max_time_ms: times.1, place });
}
