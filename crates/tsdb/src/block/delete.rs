//! Deleting samples of a block: its tombstones file and its `meta.json` are written anew, nothing
//! else of it is touched.

use model::{Matcher, TimeRange};

use super::{Block, META_FILE, write_tombstones};
use crate::error::TsdbError;
use crate::fs::{SharedFs, write_atomically};
use crate::index::SeriesRow;
use crate::meta::BlockMeta;
use crate::postings::postings_for_matchers;
use crate::tombstones::{Interval, Tombstones};

impl Block {
    /// Deletes the samples in `range` of the series that satisfy all matchers. Returns the block
    /// as it is then, and how many series had something there; this one goes on answering as
    /// before. After an error or a crash it may or may not have happened.
    pub fn delete(
        &self,
        fs: &SharedFs,
        range: TimeRange,
        matchers: &[Matcher],
    ) -> Result<(Self, u64), TsdbError> {
        let mut tombstones = self.tombstones().clone();
        let mut row = SeriesRow::default();
        let mut count = 0;
        for series in postings_for_matchers(self.index(), matchers)? {
            self.index().series(series, &mut row)?;
            let first_ms = row.chunks.iter().map(|chunk| chunk.min_time_ms).min();
            let last_ms = row.chunks.iter().map(|chunk| chunk.max_time_ms).max();
            let (Some(first_ms), Some(last_ms)) = (first_ms, last_ms) else { continue };
            let interval = Interval {
                min_ms: range.start_ms_incl.max(first_ms),
                max_ms: range.end_ms_incl.min(last_ms),
            };
            if interval.min_ms <= interval.max_ms {
                tombstones.add(u64::from(series), interval);
                count += 1;
            }
        }
        if count == 0 {
            return Ok((self.clone(), 0));
        }
        Ok((self.with_tombstones(fs, tombstones)?, count))
    }

    /// The file is what counts; `meta.json` only tells how many there are.
    fn with_tombstones(&self, fs: &SharedFs, tombstones: Tombstones) -> Result<Self, TsdbError> {
        write_tombstones(fs, self.dir(), &tombstones)?;
        let mut meta: BlockMeta = self.meta().clone();
        meta.stats.num_tombstones = tombstones.len() as u64;
        let path = self.dir().join(META_FILE);
        write_atomically(&**fs, &path, &meta.encode())
            .map_err(|e| TsdbError::io("write", &path, e))?;
        Self::open(&**fs, self.dir())
    }
}
