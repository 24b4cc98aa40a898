//! Series as they arrive from another process: the labels of all of them first, and then their
//! chunks, which are taken from the stream as the series are.

use std::collections::VecDeque;
use std::sync::Arc;

use model::storage::DecodedSamples;
use model::{
    EncodedChunk, Labels, QueryContext, SampleBuffer, SampleReader, SeriesEntry, SeriesSet,
    StorageError,
};
use tsdb::chunk::{ChunkEncoding, decode};
use tsdb::merge::read_in_order;

/// A message of either service.
#[derive(Default)]
pub(crate) struct Message {
    /// Labels of the next series.
    pub(crate) labels: Vec<Labels>,
    /// Whether no more labels come.
    pub(crate) is_last_of_labels: bool,
    /// Chunks of the next series.
    pub(crate) chunks: Vec<RemoteSeries>,
}

/// The chunks of one series.
pub(crate) struct RemoteSeries {
    /// Its place among all series of the answer.
    pub(crate) index: u64,
    /// Its chunks.
    pub(crate) chunks: Vec<EncodedChunk>,
}

/// Where messages come from.
pub(crate) trait SeriesSource: Send {
    /// The next message; `None` at the end.
    fn next_message(&mut self) -> Result<Option<Message>, StorageError>;
}

/// Series of another process.
pub(crate) struct RemoteSeriesSet<S> {
    source: S,
    labels: VecDeque<Labels>,
    next_index: u64,
    chunks: VecDeque<RemoteSeries>,
    with_chunks: bool,
    context: Arc<QueryContext>,
    held_bytes: u64,
    /// Chunks and their bytes that were counted on the query.
    counted: (u64, u64),
}

impl<S: SeriesSource> RemoteSeriesSet<S> {
    /// Takes all labels from the stream. Their memory counts on the query.
    pub(crate) fn new(
        source: S,
        context: Arc<QueryContext>,
        with_chunks: bool,
    ) -> Result<Self, StorageError> {
        let mut set = Self {
            source,
            labels: VecDeque::new(),
            next_index: 0,
            chunks: VecDeque::new(),
            with_chunks,
            context,
            held_bytes: 0,
            counted: (0, 0),
        };
        set.take_labels()?;
        Ok(set)
    }

    fn take_labels(&mut self) -> Result<(), StorageError> {
        loop {
            let Some(message) = self.source.next_message()? else {
                // Without the mark at the end a part may be missing.
                return Err(broken_off());
            };
            for labels in message.labels {
                let bytes = labels.packed().len() as u64;
                self.context.add_series(&labels)?;
                self.context.reserve_memory(bytes)?;
                self.held_bytes += bytes;
                self.labels.push_back(labels);
            }
            if message.is_last_of_labels {
                return Ok(());
            }
        }
    }

    /// The stream has broken: its chunks may come once more, from another one.
    fn forget_chunks(&mut self) {
        let (count, bytes) = std::mem::take(&mut self.counted);
        self.context.forget_chunks(count, bytes);
    }

    fn next_chunks(&mut self) -> Result<Vec<EncodedChunk>, StorageError> {
        while self.chunks.is_empty() {
            let message = self.source.next_message()?.ok_or_else(broken_off)?;
            self.chunks.extend(message.chunks);
        }
        let index = self.next_index;
        self.next_index += 1;
        match self.chunks.pop_front() {
            Some(series) if series.index == index => Ok(series.chunks),
            _ => Err(StorageError::Internal("chunks of another series arrived".to_owned())),
        }
    }
}

fn broken_off() -> StorageError {
    StorageError::Unavailable("the stream of series ended before its end".to_owned())
}

impl<S: SeriesSource> SeriesSet for RemoteSeriesSet<S> {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        let Some(labels) = self.labels.pop_front() else { return Ok(None) };
        let bytes = labels.packed().len() as u64;
        self.context.release_memory(bytes);
        self.held_bytes -= bytes;
        let chunks = match self.with_chunks {
            true => self.next_chunks().inspect_err(|_| self.forget_chunks())?,
            false => Vec::new(),
        };
        let (count, bytes) =
            (chunks.len() as u64, chunks.iter().map(|chunk| chunk.data.len() as u64).sum());
        self.counted = (self.counted.0 + count, self.counted.1 + bytes);
        self.context.add_chunks(count, bytes)?;
        let times = |chunk: &EncodedChunk| (chunk.min_time_ms, chunk.max_time_ms);
        // One that answers for several blocks may send chunks that overlap.
        let samples = read_in_order(chunks, times, |chunks| {
            let samples =
                ReceivedChunks { chunks: chunks.into(), context: Arc::clone(&self.context) };
            Ok::<_, StorageError>(Box::new(samples) as Box<dyn SampleReader>)
        })?;
        Ok(Some(SeriesEntry { labels, samples }))
    }
}

impl<S> Drop for RemoteSeriesSet<S> {
    fn drop(&mut self) {
        self.context.release_memory(self.held_bytes);
    }
}

/// Chunks in memory, decoded when they are read.
struct ReceivedChunks {
    chunks: VecDeque<EncodedChunk>,
    context: Arc<QueryContext>,
}

impl SampleReader for ReceivedChunks {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        let Some(chunk) = self.chunks.pop_front() else { return Ok(false) };
        let corrupted = |text: String| StorageError::Corrupted(format!("received chunk: {text}"));
        let encoding = ChunkEncoding::from_number(chunk.encoding)
            .map_err(|error| corrupted(error.to_string()))?;
        let before = out.len();
        decode(encoding, &chunk.data, out).map_err(|error| corrupted(error.to_string()))?;
        self.context.add_samples((out.len() - before) as u64);
        Ok(true)
    }

    fn encoded_chunks(&mut self) -> Result<Option<Vec<EncodedChunk>>, StorageError> {
        Ok(Some(std::mem::take(&mut self.chunks).into()))
    }
}

/// Series without samples.
pub(crate) fn labels_only(labels: Vec<Labels>) -> Box<dyn SeriesSet> {
    Box::new(LabelsOnly(labels.into_iter()))
}

struct LabelsOnly(std::vec::IntoIter<Labels>);

impl SeriesSet for LabelsOnly {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        let samples = || Box::new(DecodedSamples::default());
        Ok(self.0.next().map(|labels| SeriesEntry { labels, samples: samples() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages, then the end of the connection.
    struct Broken(VecDeque<Message>);

    impl SeriesSource for Broken {
        fn next_message(&mut self) -> Result<Option<Message>, StorageError> {
            Ok(self.0.pop_front())
        }
    }

    /// The stream that takes its place has the same chunks once more: together they must not be
    /// more than one answer.
    #[test]
    fn a_stream_that_breaks_off_counts_nothing() {
        let labels = ["a", "b"].map(|name| Labels::from_pairs([("__name__", name)]));
        let data = Arc::from([0, 0]);
        let chunk = EncodedChunk { min_time_ms: 1, max_time_ms: 2, encoding: 1, data };
        let series = RemoteSeries { index: 0, chunks: vec![chunk.clone(), chunk] };
        let messages = [
            Message { labels: labels.to_vec(), is_last_of_labels: true, ..Message::default() },
            Message { chunks: vec![series], ..Message::default() },
        ];
        let context = Arc::new(QueryContext::unlimited());
        let source = Broken(messages.into());
        let mut set = RemoteSeriesSet::new(source, Arc::clone(&context), true).unwrap();
        assert!(set.next_series().unwrap().is_some());
        assert_eq!((context.usage().chunks, context.usage().chunk_bytes), (2, 4));
        assert!(matches!(set.next_series(), Err(StorageError::Unavailable(_))));
        assert_eq!((context.usage().chunks, context.usage().chunk_bytes), (0, 0));
        drop(set);
        assert_eq!(context.usage().memory_bytes, 0);
    }
}
