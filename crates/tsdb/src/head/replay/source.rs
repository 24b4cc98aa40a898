//! The records of several segments in batches, read ahead of those who decode them.

use super::decode::RecordBatch;
use super::progress::ReplayProgress;
use crate::error::TsdbError;
use crate::fs::SharedFs;
use crate::wal::{Corruption, SegmentInfo, SegmentReader, WalError};

/// How many bytes of records are decoded and applied at a time. A batch and the samples in it
/// stay in the processor's cache; ten times as much was slower and took 20 MB more.
const BATCH_BYTES: usize = 1 << 20;

/// The records of all segments in batches.
pub(super) struct Source<'a> {
    fs: &'a SharedFs,
    progress: &'a ReplayProgress,
    segments: std::vec::IntoIter<SegmentInfo>,
    /// Where the first segment is read from.
    first_offset: u64,
    current: Option<SegmentReader>,
    /// How much of the current segment has been told to `progress`.
    told: u64,
    /// Damage after everything that was handed out.
    damage: Option<Corruption>,
}

impl<'a> Source<'a> {
    /// Reads `segments`, the first one from `first_offset` on.
    pub(super) fn new(
        fs: &'a SharedFs,
        segments: Vec<SegmentInfo>,
        first_offset: u64,
        progress: &'a ReplayProgress,
    ) -> Self {
        let bytes = segments.iter().map(|segment| segment.length).sum();
        progress.expect(segments.len(), bytes);
        let segments = segments.into_iter();
        Self { fs, progress, segments, first_offset, current: None, told: 0, damage: None }
    }

    /// Reads on until `batch` is full, the segments end, or damage is met: then what is intact
    /// before it is in `batch`.
    pub(super) fn fill(&mut self, batch: &mut RecordBatch) -> Result<(), TsdbError> {
        while batch.byte_len() < BATCH_BYTES && self.damage.is_none() {
            let Some(reader) = &mut self.current else {
                let Some(next) = self.segments.next() else { return Ok(()) };
                let offset = std::mem::take(&mut self.first_offset);
                self.current = Some(SegmentReader::open_at(self.fs, next, offset)?);
                continue;
            };
            match reader.advance() {
                Ok(true) => {
                    batch.push(reader.record(), reader.info(), reader.record_offset());
                }
                Ok(false) => self.finish_segment(),
                Err(WalError::Corrupt(corruption)) => self.damage = Some(corruption),
                Err(other) => return Err(other.into()),
            }
        }
        self.tell(self.current.as_ref().map_or(0, SegmentReader::record_offset));
        Ok(())
    }

    fn finish_segment(&mut self) {
        self.tell(self.current.as_ref().map_or(0, |reader| reader.info().length));
        self.current = None;
        self.told = 0;
        self.progress.finish_segment();
    }

    fn tell(&mut self, offset: u64) {
        self.progress.read(offset.saturating_sub(self.told));
        self.told = self.told.max(offset);
    }

    /// The damage that ended the reading; to be asked when everything before it was applied.
    pub(super) fn take_damage(&mut self) -> Option<Corruption> {
        self.damage.take()
    }

    /// Goes on after a repair with those of the segments that are left which satisfy `keep`.
    pub(super) fn go_on_with(&mut self, keep: impl Fn(&SegmentInfo) -> bool) {
        self.current = None;
        self.told = 0;
        self.damage = None;
        let rest = std::mem::take(&mut self.segments);
        self.segments = rest.filter(keep).collect::<Vec<_>>().into_iter();
    }
}
