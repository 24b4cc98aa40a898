//! Inserting the late samples of a request, after its samples in order are stored and logged.
//!
//! `append.rs` has judged the samples under the lock of their shard and has pinned their series,
//! so that they are still there. Everything happens under [`LateLog::lock`](super::LateLog).

use std::sync::atomic::Ordering;

use super::super::Head;
use super::super::chunks::ChunkSink;
use super::super::series::{ChunkPlace, FullChunk};
use super::super::shards::{Location, Shard};
use super::log::{Commits, LateRecords};
use super::sample::{LateSample, LateValue, NO_FLOAT_LIMIT, encode_late};
use super::{LateHead, LateSeries};
use crate::error::{DecodeError, TsdbError};

/// Late samples on their way, those of one shard together.
#[derive(Debug, Default)]
pub(in crate::head) struct LateSamples {
    samples: Vec<Accepted>,
}

/// A late sample that was accepted.
#[derive(Debug)]
struct Accepted {
    location: Location,
    series_ref: u64,
    sample: LateSample,
}

impl LateSamples {
    /// Whether there is none.
    #[inline]
    pub(in crate::head) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Bytes that are held.
    pub(in crate::head) fn memory_bytes(&self) -> usize {
        self.samples.capacity() * size_of::<Accepted>()
    }

    /// Takes a sample of a series and pins the series.
    #[cold]
    pub(in crate::head) fn push(
        &mut self,
        shard: &mut Shard,
        location: Location,
        sample: LateSample,
    ) {
        let slot = location.slot();
        let series_ref = shard.series[slot as usize].series_ref();
        shard.cold_or_new(slot).late_or_new().pending += 1;
        self.samples.push(Accepted { location, series_ref, sample });
    }
}

impl Head {
    /// Inserts and logs the late samples of a request. After an error the request must fail.
    #[cold]
    pub(in crate::head) fn commit_late(&self, late: &mut LateSamples) -> Result<(), TsdbError> {
        let samples = std::mem::take(&mut late.samples);
        let mut commits = self.late.log.lock();
        let result = self.insert_late(&mut commits, &samples);
        if result.is_err() {
            self.unpin(&samples);
        }
        result?;
        let wbl = self.late.log.wbl();
        commits.write(wbl)
    }

    /// Forgets the late samples of a request that failed.
    #[cold]
    pub(in crate::head) fn forget_late(&self, late: &mut LateSamples) {
        self.unpin(&std::mem::take(&mut late.samples));
    }

    fn unpin(&self, samples: &[Accepted]) {
        for part in by_shard(samples) {
            let mut shard = self.shards.lock(part[0].location.shard());
            for accepted in part {
                if let Some(late) = shard.late_mut(accepted.location.slot(), accepted.series_ref) {
                    late.pending -= 1;
                }
            }
        }
    }

    fn insert_late(&self, commits: &mut Commits, samples: &[Accepted]) -> Result<(), TsdbError> {
        if let Some(wbl) = self.late.log.open(commits)? {
            commits.recover(wbl)?;
        }
        let times = samples.iter().map(|accepted| accepted.sample.t);
        if let (Some(min), Some(max)) = (times.clone().min(), times.max()) {
            self.late.note_times(min, max);
        }
        let sink = self.chunk_sink();
        for part in by_shard(samples) {
            let mut shard = self.shards.lock(part[0].location.shard());
            for accepted in part {
                let slot = accepted.location.slot();
                let Some(late) = shard.late_mut(slot, accepted.series_ref) else { continue };
                late.pending -= 1;
                self.late.insert(late, accepted, &sink, &mut commits.records);
            }
        }
        Ok(())
    }
}

impl LateHead {
    fn insert(
        &self,
        late: &mut LateSeries,
        accepted: &Accepted,
        sink: &ChunkSink<'_>,
        records: &mut LateRecords,
    ) {
        let series_ref = accepted.series_ref;
        if late.samples.is_empty() {
            if late.chunks().all(|chunk| matches!(chunk.place, ChunkPlace::Mapped(_))) {
                records.push_marker(series_ref, 0);
            }
        } else if late.samples.len() >= self.capacity {
            let kept = late.full.len();
            // What cannot be encoded stays in the list, which then grows beyond its capacity.
            if late.close_list(series_ref, sink).is_ok() {
                for chunk in &late.full[kept..] {
                    if let ChunkPlace::Mapped(disk_ref) = chunk.place {
                        records.push_marker(series_ref, disk_ref.number());
                    }
                }
            }
        }
        let sample = &accepted.sample;
        if late.insert(sample.clone()) {
            records.push_sample(series_ref, sample);
            let counter = match sample.value {
                LateValue::Float(_) => &self.appended_floats,
                LateValue::Histogram(_) => &self.appended_histograms,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LateSeries {
    /// Makes chunks of the list. After an error nothing has changed.
    pub(in crate::head) fn close_list(
        &mut self,
        series_ref: u64,
        sink: &ChunkSink<'_>,
    ) -> Result<(), DecodeError> {
        for chunk in encode_late(&self.samples, NO_FLOAT_LIMIT, sink.encodings)? {
            let (min_time_ms, max_time_ms) = (chunk.min_time_ms, chunk.max_time_ms);
            let place = sink.store_late(series_ref, &chunk)?;
            self.full.push(FullChunk { min_time_ms, max_time_ms, place });
        }
        self.samples.clear();
        Ok(())
    }
}

/// Runs of samples of one shard.
fn by_shard(samples: &[Accepted]) -> impl Iterator<Item = &[Accepted]> {
    samples.chunk_by(|a, b| a.location.shard() == b.location.shard())
}
