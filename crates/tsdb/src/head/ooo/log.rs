//! The write-behind log of a head: late samples and where their chunks went.
//!
//! One request after the other inserts its late samples and logs them, holding [`LateLog::lock`]
//! from the first change of memory until its records are written. A request is answered after
//! that. When a write fails, the request fails, its records are kept, and no other request's late
//! samples are taken until they are in the log: what is in memory without being logged belongs
//! to nobody who was told that it is stored.
//!
//! The log is opened when the first late sample comes, so that tenants without any have no file.

use std::path::PathBuf;
use std::sync::OnceLock;

use parking_lot::{Mutex, MutexGuard};

use crate::error::TsdbError;
use crate::fs::SharedFs;
use crate::wal::record::MmapMarkersEncoder;
use crate::wal::{LogScratch, Wal, WalOptions};

use super::super::floats::FloatSample;
use super::super::sample_records::SampleRecords;
use super::sample::{LateSample, LateValue};

/// The log of late samples, or none.
#[derive(Default)]
pub(in crate::head) struct LateLog {
    place: OnceLock<Place>,
    wbl: OnceLock<Wal>,
    commits: Mutex<Commits>,
}

/// Where the log is, and how it is written.
struct Place {
    fs: SharedFs,
    dir: PathBuf,
    options: WalOptions,
}

/// What belongs to the request that inserts late samples now.
#[derive(Default)]
pub(super) struct Commits {
    /// Records that could not be written, in order.
    failed: Vec<Vec<Box<[u8]>>>,
    pub(super) records: LateRecords,
    scratch: LogScratch,
}

impl LateLog {
    /// A log that is not attached yet; `with_start_times` tells whether its records have them.
    pub(super) fn new(with_start_times: bool) -> Self {
        let mut log = Self::default();
        log.commits.get_mut().records.samples.set_start_times(with_start_times);
        log
    }

    /// Writes to the log in `dir` from now on. To be called once, after the replay.
    pub(in crate::head) fn attach(&self, fs: SharedFs, dir: PathBuf, options: WalOptions) {
        let place = Place { fs, dir, options };
        assert!(self.place.set(place).is_ok(), "a head gets one log, once");
    }

    /// The log, if it is open.
    pub(in crate::head) fn wbl(&self) -> Option<&Wal> {
        self.wbl.get()
    }

    /// Waits until no other request inserts late samples.
    pub(super) fn lock(&self) -> MutexGuard<'_, Commits> {
        self.commits.lock()
    }

    /// The log, opened now if need be; `None` for a head without logs. The guard of
    /// [`LateLog::lock`] makes sure that it is opened once.
    pub(super) fn open(&self, _commits: &Commits) -> Result<Option<&Wal>, TsdbError> {
        let Some(place) = self.place.get() else { return Ok(None) };
        if self.wbl.get().is_none() {
            let wbl = Wal::open(place.fs.clone(), &place.dir, place.options)?;
            assert!(self.wbl.set(wbl).is_ok(), "it is opened under a lock");
        }
        Ok(self.wbl.get())
    }
}

impl Commits {
    /// Writes what could not be written before.
    pub(super) fn recover(&mut self, wbl: &Wal) -> Result<(), TsdbError> {
        while let Some(failed) = self.failed.first() {
            let records: Vec<&[u8]> = failed.iter().map(|record| &**record).collect();
            wbl.log(&mut self.scratch, &records)?;
            self.failed.remove(0);
        }
        Ok(())
    }

    /// Logs the records. After an error the request must fail.
    pub(super) fn write(&mut self, wbl: Option<&Wal>) -> Result<(), TsdbError> {
        let result = match wbl {
            Some(wbl) => wbl.log(&mut self.scratch, &self.records.all()),
            None => Ok(()),
        };
        if result.is_err() {
            let records = self.records.all();
            let records = records.iter().filter(|record| !record.is_empty());
            self.failed.push(records.map(|record| Box::from(*record)).collect());
        }
        self.records.clear();
        Ok(result?)
    }
}

/// The records of one request, in the order in which memory changed.
#[derive(Default)]
pub(super) struct LateRecords {
    /// Records that are complete, one behind the other, and where each ends.
    done: Vec<u8>,
    ends: Vec<usize>,
    /// The last group: its markers come before its samples.
    markers: MmapMarkersEncoder,
    samples: SampleRecords,
    /// The series whose samples came last in the group.
    newest_series: Option<u64>,
}

impl LateRecords {
    /// Notes that the samples of a series which came before this stand in the chunk `chunk_ref`;
    /// 0 = there are none.
    pub(super) fn push_marker(&mut self, series_ref: u64, chunk_ref: u64) {
        if self.newest_series == Some(series_ref) {
            self.end_group();
        }
        self.markers.push(series_ref, chunk_ref);
    }

    /// Adds a sample.
    pub(super) fn push_sample(&mut self, series_ref: u64, sample: &LateSample) {
        self.newest_series = Some(series_ref);
        let LateSample { t, start_t, value } = sample;
        match value {
            LateValue::Float(value) => {
                let sample = FloatSample { t: *t, start_t: *start_t, value: *value };
                self.samples.push_float(series_ref, sample);
            }
            LateValue::Histogram(value) => {
                self.samples.push_histogram(series_ref, (*t, *start_t), value);
            }
        }
    }

    fn end_group(&mut self) {
        let (mut done, mut ends) = (std::mem::take(&mut self.done), std::mem::take(&mut self.ends));
        for record in self.group().iter().filter(|record| !record.is_empty()) {
            done.extend_from_slice(record);
            ends.push(done.len());
        }
        (self.done, self.ends) = (done, ends);
        self.clear_group();
    }

    /// The records of the last group; some may be empty.
    fn group(&self) -> [&[u8]; 9] {
        let [a, b, c, d, e, f, g, h] = self.samples.all();
        [self.markers.record(), a, b, c, d, e, f, g, h]
    }

    fn all(&self) -> Vec<&[u8]> {
        let mut start = 0;
        let done = self.ends.iter().map(|&end| &self.done[std::mem::replace(&mut start, end)..end]);
        let mut all: Vec<&[u8]> = done.collect();
        all.extend(self.group());
        all
    }

    fn clear_group(&mut self) {
        self.newest_series = None;
        self.markers.clear();
        self.samples.clear();
    }

    fn clear(&mut self) {
        self.clear_group();
        self.done.clear();
        self.done.shrink_to(RETAINED_BYTES);
        self.ends.clear();
    }
}

/// Buffers that stay allocated are no larger than this, bytes.
const RETAINED_BYTES: usize = 64 * 1024;
