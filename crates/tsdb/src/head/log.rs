//! What an append hands to the write-ahead log, and what happens when the log fails.
//!
//! Memory is changed before the log is written. When a write fails, the request fails and its
//! records go to the backlog; until the backlog is in the log, no further append changes
//! anything. So everything in memory is either in the log, or in the backlog, or on its way by a
//! request that has not been answered. The backlog holds at most the requests that were on their
//! way when the log failed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Label;
use parking_lot::Mutex;

use super::Head;
use super::append::AppendScratch;
use super::sample_records::SampleRecords;
use super::shards::Location;
use crate::error::TsdbError;
use crate::wal::record::{ExemplarsEncoder, SeriesEncoder};
use crate::wal::{LogScratch, Wal};

/// The records of one request.
#[derive(Debug, Default)]
pub(super) struct LogRecords {
    series: SeriesEncoder,
    pub(super) samples: SampleRecords,
    pub(super) exemplars: ExemplarsEncoder,
    scratch: LogScratch,
}

impl LogRecords {
    /// Adds the labels of a series.
    #[cold]
    pub(super) fn push_series(&mut self, series_ref: u64, labels: &[Label<'_>]) {
        self.series.push(series_ref, labels.iter().map(|label| (label.name, label.value)));
    }

    /// Bytes that are held, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.series.record().len() + self.samples.float_bytes()
    }

    fn clear(&mut self) {
        self.series.clear();
        self.samples.clear();
        self.exemplars.clear();
    }

    /// In the order in which they are logged: labels before the samples.
    fn all(&self) -> [&[u8]; 10] {
        let [a, b, c, d, e, f, g, h] = self.samples.all();
        [self.series.record(), a, b, c, d, e, f, g, h, self.exemplars.record()]
    }
}

/// The log of a head, or none.
#[derive(Default)]
pub(super) struct HeadLog {
    wal: OnceLock<Wal>,
    has_backlog: AtomicBool,
    backlog: Mutex<Vec<FailedWrite>>,
}

/// Records that could not be written.
struct FailedWrite {
    records: Vec<Box<[u8]>>,
    unlogged: Vec<(Location, u64)>,
}

impl HeadLog {
    /// Writes to `wal` from now on.
    pub(super) fn attach(&self, wal: Wal) {
        assert!(self.wal.set(wal).is_ok(), "a head gets one log, once");
    }

    /// Whether there is a log.
    pub(super) fn is_on(&self) -> bool {
        self.wal().is_some()
    }

    /// The log.
    pub(super) fn wal(&self) -> Option<&Wal> {
        self.wal.get()
    }

    /// Writes the backlog, if there is one.
    #[inline]
    pub(super) fn recover(&self, head: &Head) -> Result<(), TsdbError> {
        if self.has_backlog.load(Ordering::Acquire) { self.write_backlog(head) } else { Ok(()) }
    }

    #[cold]
    fn write_backlog(&self, head: &Head) -> Result<(), TsdbError> {
        let Some(wal) = self.wal() else { return Ok(()) };
        let mut backlog = self.backlog.lock();
        let mut scratch = LogScratch::default();
        while let Some(failed) = backlog.first() {
            let records: Vec<&[u8]> = failed.records.iter().map(|record| &**record).collect();
            wal.log(&mut scratch, &records)?;
            let written = backlog.remove(0);
            head.mark_logged(&written.unlogged);
        }
        self.has_backlog.store(false, Ordering::Release);
        Ok(())
    }

    /// Logs what the request encoded. After an error the request must fail.
    pub(super) fn commit(&self, head: &Head, scratch: &mut AppendScratch) -> Result<(), TsdbError> {
        let result = match self.wal() {
            Some(wal) => self.write(wal, scratch),
            None => Ok(()),
        };
        if result.is_ok() {
            head.mark_logged(&scratch.unlogged);
        }
        scratch.unlogged.clear();
        scratch.records.clear();
        result
    }

    fn write(&self, wal: &Wal, scratch: &mut AppendScratch) -> Result<(), TsdbError> {
        let mut log_scratch = std::mem::take(&mut scratch.records.scratch);
        let result = wal.log(&mut log_scratch, &scratch.records.all());
        scratch.records.scratch = log_scratch;
        result.map_err(|error| {
            self.keep(scratch);
            error.into()
        })
    }

    /// Puts the records of a failed write into the backlog.
    #[cold]
    fn keep(&self, scratch: &AppendScratch) {
        let records = scratch.records.all();
        let records = records.iter().filter(|record| !record.is_empty());
        let records = records.map(|record| Box::from(*record)).collect();
        let mut backlog = self.backlog.lock();
        backlog.push(FailedWrite { records, unlogged: scratch.unlogged.clone() });
        self.has_backlog.store(true, Ordering::Release);
    }
}

impl Head {
    /// Notes that the WAL has the labels of these series.
    fn mark_logged(&self, series: &[(Location, u64)]) {
        let mut rest = series;
        while let Some(&(first, _)) = rest.first() {
            let same_shard = rest.iter().take_while(|(at, _)| at.shard() == first.shard()).count();
            let (part, after) = rest.split_at(same_shard);
            let mut shard = self.shards.lock(first.shard());
            for &(location, series_ref) in part {
                if shard.series_if(location.slot(), series_ref).is_some() {
                    shard.series[location.slot() as usize].set_logged();
                }
            }
            rest = after;
        }
    }
}
