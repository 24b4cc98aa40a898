//! Two selectors that read storage once: the one that leads decodes the samples and leaves a copy
//! of those that the other one needs as well; what only the other one needs it leaves undecoded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use model::storage::DecodedSamples;
use model::{Labels, Matcher, SampleBuffer, SampleReader, SeriesEntry, SeriesSet, StorageError};

use super::buffer_bytes;
use crate::engine::account::{Reservation, SampleAccount};
use crate::engine::plan::SelectPair;

/// More than this is not left for the other one: it reads storage itself.
const MAX_LEFT_BYTES: u64 = 16 << 20;
/// What a series takes besides its labels and samples; a guess for chunks that are not decoded.
const SERIES_BYTES: u64 = 512;

/// What the one that leads has left.
pub(crate) struct LeftSamples {
    account: Arc<SampleAccount>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    series: VecDeque<LeftSeries>,
    bytes: u64,
    held: Vec<Reservation>,
    progress: Progress,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Progress {
    #[default]
    Begun,
    Complete,
    GivenUp,
}

enum LeftSeries {
    Unread(SeriesEntry),
    Read(Labels, Arc<OnceLock<SampleBuffer>>),
}

impl LeftSamples {
    /// Nothing is left yet.
    pub(crate) fn new(account: Arc<SampleAccount>) -> Arc<Self> {
        Arc::new(Self { account, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, series: LeftSeries, bytes: u64) {
        self.count(bytes);
        let mut state = self.state();
        if state.progress == Progress::Begun {
            state.series.push_back(series);
        }
    }

    /// Counts bytes that are left; gives everything up where they are too many.
    fn count(&self, bytes: u64) {
        let reservation = self.account.reserve(0, bytes);
        let mut state = self.state();
        state.bytes += bytes;
        match reservation {
            Ok(reservation) if state.bytes <= MAX_LEFT_BYTES => state.held.push(reservation),
            _ => *state = State { progress: Progress::GivenUp, ..State::default() },
        }
    }

    fn is_wanted(&self) -> bool {
        self.state().progress != Progress::GivenUp
    }

    /// Everything that the one that leads has left, if it is through.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Box<dyn SeriesSet>> {
        let mut state = self.state();
        if state.progress != Progress::Complete {
            return None;
        }
        let State { series, held, .. } = std::mem::take(&mut *state);
        state.progress = Progress::GivenUp;
        Some(Box::new(Left { series, _held: held }))
    }
}

/// The series of storage as the one that leads sees them.
pub(crate) struct LeadingSeries {
    inner: Box<dyn SeriesSet>,
    pair: SelectPair,
    left: Arc<LeftSamples>,
}

impl LeadingSeries {
    /// Splits the series of `inner` into those of the two selectors of `pair`.
    pub(crate) fn new(inner: Box<dyn SeriesSet>, pair: SelectPair, left: Arc<LeftSamples>) -> Self {
        Self { inner, pair, left }
    }
}

impl SeriesSet for LeadingSeries {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        loop {
            self.left.account.check()?;
            let Some(mut entry) = self.inner.next_series()? else {
                let mut state = self.left.state();
                if state.progress == Progress::Begun {
                    state.progress = Progress::Complete;
                }
                return Ok(None);
            };
            let is_own = matches_all(&self.pair.own, &entry.labels);
            let is_left = matches_all(&self.pair.others, &entry.labels) && self.left.is_wanted();
            let label_bytes = entry.labels.packed().len() as u64 + SERIES_BYTES;
            match (is_own, is_left) {
                (true, true) => {
                    let samples = Arc::new(OnceLock::new());
                    let read = LeftSeries::Read(entry.labels.clone(), Arc::clone(&samples));
                    self.left.leave(read, label_bytes);
                    let left = Arc::clone(&self.left);
                    entry.samples = Box::new(CopyingReader { inner: entry.samples, samples, left });
                    return Ok(Some(entry));
                }
                (true, false) => return Ok(Some(entry)),
                (false, true) => self.left.leave(LeftSeries::Unread(entry), label_bytes),
                (false, false) => {}
            }
        }
    }
}

fn matches_all(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.value(matcher.name())))
}

/// Leaves a copy of what is read.
struct CopyingReader {
    inner: Box<dyn SampleReader>,
    samples: Arc<OnceLock<SampleBuffer>>,
    left: Arc<LeftSamples>,
}

impl SampleReader for CopyingReader {
    fn read_batch(&mut self, out: &mut SampleBuffer) -> Result<bool, StorageError> {
        self.inner.read_batch(out)
    }

    fn read_all(&mut self, out: &mut SampleBuffer) -> Result<(), StorageError> {
        self.inner.read_all(out)?;
        if self.left.is_wanted() {
            self.left.count(buffer_bytes(out));
            // Set once: a reader is read once.
            drop(self.samples.set(out.clone()));
        }
        Ok(())
    }
}

/// The series that were left, in the order of storage.
struct Left {
    series: VecDeque<LeftSeries>,
    _held: Vec<Reservation>,
}

impl SeriesSet for Left {
    fn next_series(&mut self) -> Result<Option<SeriesEntry>, StorageError> {
        match self.series.pop_front() {
            None => Ok(None),
            Some(LeftSeries::Unread(entry)) => Ok(Some(entry)),
            Some(LeftSeries::Read(labels, samples)) => {
                let samples = Arc::try_unwrap(samples)
                    .map_or_else(|shared| shared.get().cloned(), OnceLock::into_inner);
                let samples = samples.ok_or_else(|| {
                    StorageError::Internal("samples that were left are not there".to_owned())
                })?;
                let samples = Box::new(DecodedSamples::new(samples));
                Ok(Some(SeriesEntry { labels, samples }))
            }
        }
    }
}
