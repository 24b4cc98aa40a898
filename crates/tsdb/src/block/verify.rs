//! Looking at all of a block: what a query relies on without checking it. For blocks that come
//! from outside (uploads) and for tools.

use model::Labels;

use super::Block;
use crate::chunk;
use crate::error::TsdbError;
use crate::index::{ChunkMeta, LabelMemo, SeriesRow};
use crate::postings::IndexPostings as _;

impl Block {
    /// Checks the block from end to end: checksums of the index, labels of every series (sorted,
    /// not empty, series in ascending order), chunks in order of time and inside the block's
    /// range; with `check_chunks` also that every chunk can be decoded and has the times that the
    /// index says.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, check_chunks: bool) -> Result<(), TsdbError> {
        let (mut row, mut memo) = (SeriesRow::default(), LabelMemo::default());
        let mut before: Option<Labels> = None;
        let mut samples = model::SampleBuffer::default();
        for series in self.index().all_postings()?.into_vec() {
            self.index().series(series, &mut row)?;
            let labels = self.index().labels(&row, &mut memo)?;
            if before.as_ref().is_some_and(|before| *before >= labels) {
                return Err(self.invalid(&labels, "does not come after the series before it"));
            }
            self.verify_times(&labels, &row.chunks)?;
            if check_chunks {
                for chunk in &row.chunks {
                    samples.clear();
                    self.verify_chunk(&labels, chunk, &mut samples)?;
                }
            }
            before = Some(labels);
        }
        Ok(())
    }

    fn verify_times(&self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), TsdbError> {
        let meta = self.meta();
        let mut last = i64::MIN;
        for chunk in chunks {
            let (min, max) = (chunk.min_time_ms, chunk.max_time_ms);
            if min > max || min <= last {
                return Err(self.invalid(labels, "has chunks that overlap or are out of order"));
            }
            if min < meta.min_time_ms || max >= meta.max_time_ms {
                return Err(self.invalid(labels, "has a chunk outside of the block's time range"));
            }
            last = max;
        }
        Ok(())
    }

    fn verify_chunk(
        &self,
        labels: &Labels,
        chunk: &ChunkMeta,
        samples: &mut model::SampleBuffer,
    ) -> Result<(), TsdbError> {
        let record = self.chunk(chunk.reference)?;
        chunk::decode(record.encoding, record.data, samples)
            .map_err(|error| self.corrupt_chunk(chunk.reference, error))?;
        let floats = (samples.float_times.first(), samples.float_times.last());
        let histograms = (samples.histogram_times.first(), samples.histogram_times.last());
        let first = floats.0.into_iter().chain(histograms.0).min();
        let last = floats.1.into_iter().chain(histograms.1).max();
        if (first, last) == (Some(&chunk.min_time_ms), Some(&chunk.max_time_ms)) {
            return Ok(());
        }
        Err(self.invalid(labels, "has a chunk with other times than the index says"))
    }

    fn invalid(&self, labels: &Labels, what: &str) -> TsdbError {
        TsdbError::Invalid(format!("block {}: series {labels} {what}", self.ulid()))
    }
}
