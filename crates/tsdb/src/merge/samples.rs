//! The samples of one series from several sources, in order of time, each time once.

use std::sync::Arc;

use model::{
    CounterResetHint, EncodedChunk, SampleBuffer, SampleReader, StorageError, TimestampMs,
};

use crate::chunk::encoder::{COMPACTED_CHUNK_SAMPLES, ChunkEncoder, FinishedChunk};
use crate::error::DecodeError;

/// Merges the readers of one series.
pub struct MergeSamples {
    sources: Vec<Source>,
    /// Times up to this one are out already.
    emitted_until: Option<TimestampMs>,
    /// The source of the newest sample that is out.
    newest_source: Option<usize>,
}

/// A reader and what was read from it and not handed on.
struct Source {
    reader: Option<Box<dyn SampleReader>>,
    buffer: SampleBuffer,
    float: usize,
    histogram: usize,
}

impl MergeSamples {
    /// Merges `readers`; of samples with the same time the earlier reader's counts.
    pub fn new(readers: Vec<Box<dyn SampleReader>>) -> Self {
        let source = |reader| Source {
            reader: Some(reader),
            buffer: SampleBuffer::default(),
            float: 0,
            histogram: 0,
        };
        Self {
            sources: readers.into_iter().map(source).collect(),
            emitted_until: None,
            newest_source: None,
        }
    }

    /// Hands on all that the source with the oldest sample has, if no other source has anything
    /// in between.
    fn emit_whole(&mut self, out: &mut SampleBuffer) -> bool {
        let firsts = self.sources.iter().map(Source::first_time);
        let oldest = firsts.enumerate().filter_map(|(i, t)| Some((t?, i))).min();
        let Some((_, index)) = oldest else { return false };
        let others = self.sources.iter().enumerate().filter(|(i, _)| *i != index);
        let next_other = others.filter_map(|(_, source)| source.first_time()).min();
        let last = self.sources[index].buffer.last_time();
        if next_other.is_some_and(|t| last >= Some(t)) {
            return false;
        }
        if self.sources[index].emit_floats(out) {
            self.newest_source = Some(index);
        }
        while self.sources[index].first_time().is_some() {
            self.emit_first(index, out);
        }
        self.emitted_until = last;
        true
    }

    /// Hands on samples one by one up to the time until which all sources are known.
    fn emit_merged(&mut self, out: &mut SampleBuffer) {
        let unfinished = self.sources.iter().filter(|source| source.reader.is_some());
        let known_until = unfinished.filter_map(|source| source.buffer.last_time()).min();
        loop {
            let firsts = self.sources.iter().map(Source::first_time);
            let oldest = firsts.enumerate().filter_map(|(i, t)| Some((t?, i))).min();
            let Some((t, index)) = oldest else { return };
            if known_until.is_some_and(|until| t > until) {
                return;
            }
            self.emit_first(index, out);
            self.emitted_until = Some(t);
            self.skip_emitted();
        }
    }

    /// The only reader that is left, when nothing read before stands between it and what is out.
    fn last_reader(&mut self) -> Option<&mut Box<dyn SampleReader>> {
        let newest = self.newest_source?;
        let is_done = |(i, source): (usize, &Source)| {
            source.first_time().is_none() && (i == newest || source.reader.is_none())
        };
        if !self.sources.iter().enumerate().all(is_done) {
            return None;
        }
        self.sources[newest].reader.as_mut()
    }

    fn emit_first(&mut self, index: usize, out: &mut SampleBuffer) {
        let is_next_of_source = self.newest_source.replace(index) == Some(index);
        self.sources[index].emit_first(out, is_next_of_source);
    }

    fn skip_emitted(&mut self) {
        if let Some(until) = self.emitted_until {
            self.sources.iter_mut().for_each(|source| source.skip_until(until));
        }
    }
}

impl SampleReader for MergeSamples {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        if let Some(reader) = self.last_reader() {
            return reader.read_batch(out);
        }
        let before = out.len();
        loop {
            for source in &mut self.sources {
                source.fill(self.emitted_until)?;
            }
            if self.sources.iter().all(|source| source.first_time().is_none()) {
                return Ok(false);
            }
            if !self.emit_whole(out) {
                self.emit_merged(out);
            }
            if out.len() > before {
                return Ok(true);
            }
        }
    }

    fn chunk_count(&self) -> usize {
        let readers = self.sources.iter().filter_map(|source| source.reader.as_ref());
        readers.map(|reader| reader.chunk_count()).sum()
    }

    fn encoded_chunks(&mut self) -> Result<Option<Vec<EncodedChunk>>, StorageError> {
        let mut all = Vec::new();
        for source in &mut self.sources {
            let Some(reader) = &mut source.reader else { continue };
            all.append(&mut chunks_of(&mut **reader)?);
        }
        all.sort_by_key(|chunk| (chunk.min_time_ms, chunk.max_time_ms));
        Ok(Some(all))
    }
}

impl Source {
    /// Reads on when nothing later than `emitted_until` is left of what was read.
    fn fill(&mut self, emitted_until: Option<TimestampMs>) -> Result<(), StorageError> {
        while self.first_time().is_none() {
            let Some(reader) = &mut self.reader else { return Ok(()) };
            self.buffer.clear();
            (self.float, self.histogram) = (0, 0);
            if !reader.read_batch(&mut self.buffer)? {
                self.reader = None;
            }
            if let Some(until) = emitted_until {
                self.skip_until(until);
            }
        }
        Ok(())
    }

    fn first_float(&self) -> Option<TimestampMs> {
        self.buffer.float_times.get(self.float).copied()
    }

    fn first_histogram(&self) -> Option<TimestampMs> {
        self.buffer.histogram_times.get(self.histogram).copied()
    }

    fn first_time(&self) -> Option<TimestampMs> {
        match (self.first_float(), self.first_histogram()) {
            (Some(float), Some(histogram)) => Some(float.min(histogram)),
            (float, histogram) => float.or(histogram),
        }
    }

    /// Hands all samples on when none of them is a histogram; whether that was so.
    fn emit_floats(&mut self, out: &mut SampleBuffer) -> bool {
        let range = self.float..self.buffer.float_times.len();
        if range.is_empty() || self.first_histogram().is_some() {
            return false;
        }
        out.extend_floats(&self.buffer, range);
        self.float = self.buffer.float_times.len();
        true
    }

    /// Hands the first sample on. Whether a histogram follows a counter reset is known only where
    /// the sample before it is of the same source.
    fn emit_first(&mut self, out: &mut SampleBuffer, is_next_of_source: bool) {
        let (float, histogram) = (self.first_float(), self.first_histogram());
        match (float, histogram) {
            (Some(t), h) if h.is_none_or(|h| t < h) => {
                let start = start_at(&self.buffer.float_start_times, self.float);
                out.push_float_with_start(t, self.buffer.float_values[self.float], start);
                self.float += 1;
            }
            (_, Some(t)) => {
                let start = start_at(&self.buffer.histogram_start_times, self.histogram);
                let mut value = self.buffer.histograms[self.histogram].clone();
                if !is_next_of_source && is_relative(value.counter_reset_hint) {
                    Arc::make_mut(&mut value).counter_reset_hint = CounterResetHint::Unknown;
                }
                out.push_histogram_with_start(t, value, start);
                self.histogram += 1;
            }
            (_, None) => {}
        }
    }

    fn skip_until(&mut self, until: TimestampMs) {
        while self.first_float().is_some_and(|t| t <= until) {
            self.float += 1;
        }
        while self.first_histogram().is_some_and(|t| t <= until) {
            self.histogram += 1;
        }
    }
}

/// Whether a hint compares a histogram with the one before.
fn is_relative(hint: CounterResetHint) -> bool {
    matches!(hint, CounterResetHint::CounterReset | CounterResetHint::NotCounterReset)
}

fn start_at(start_times: &[TimestampMs], index: usize) -> TimestampMs {
    start_times.get(index).copied().unwrap_or(0)
}

/// The samples of a reader as chunks: as they are stored where they are, else encoded.
pub fn chunks_of(reader: &mut dyn SampleReader) -> Result<Vec<EncodedChunk>, StorageError> {
    match reader.encoded_chunks()? {
        Some(chunks) => Ok(chunks),
        None => encode_all(reader),
    }
}

/// The samples of a reader that has no chunks (deleted parts were taken out), as chunks; its
/// histograms as those with float counts.
fn encode_all(reader: &mut dyn SampleReader) -> Result<Vec<EncodedChunk>, StorageError> {
    let mut samples = SampleBuffer::default();
    reader.read_all(&mut samples)?;
    encode_samples(&samples)
}

/// Floats as they are; histograms with float counts, whatever they were before.
fn encode_samples(samples: &SampleBuffer) -> Result<Vec<EncodedChunk>, StorageError> {
    let mut chunks = Vec::new();
    let mut sink = |chunk: FinishedChunk<'_>| {
        chunks.push(EncodedChunk {
            min_time_ms: chunk.min_time_ms,
            max_time_ms: chunk.max_time_ms,
            encoding: chunk.encoding.number(),
            data: chunk.data.into(),
        });
    };
    let mut starts = samples.float_start_times.iter().chain(&samples.histogram_start_times);
    let mut encoder = ChunkEncoder::new(COMPACTED_CHUNK_SAMPLES, starts.any(|&start| start != 0));
    encode_in_order(samples, &mut encoder, &mut sink)
        .map_err(|e| StorageError::Internal(e.to_string()))?;
    encoder.finish(&mut sink);
    Ok(chunks)
}

fn encode_in_order(
    samples: &SampleBuffer,
    encoder: &mut ChunkEncoder,
    sink: &mut dyn FnMut(FinishedChunk<'_>),
) -> Result<(), DecodeError> {
    let mut float = 0;
    let mut push_floats_before =
        |end: usize, encoder: &mut ChunkEncoder, sink: &mut dyn FnMut(FinishedChunk<'_>)| {
            let range = float..end;
            float = end;
            let starts = samples.float_start_times.get(range.clone()).unwrap_or_default();
            let values = &samples.float_values[range.clone()];
            encoder.push_floats(&samples.float_times[range], values, starts, sink)
        };
    for (i, (&t, histogram)) in samples.histogram_times.iter().zip(&samples.histograms).enumerate()
    {
        let floats = samples.float_times.partition_point(|&float| float < t);
        push_floats_before(floats, encoder, sink)?;
        let start = start_at(&samples.histogram_start_times, i);
        encoder.push_float_histogram(t, histogram, start, sink)?;
    }
    push_floats_before(samples.float_times.len(), encoder, sink)
}
