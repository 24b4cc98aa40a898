//! The log that the head writes to: many threads, one file.
//!
//! Group commit without a thread of its own: a caller puts its records into the queue and takes
//! the writer's lock. Whoever gets the lock first writes everything that has gathered with one
//! write(2); the others find their result when the lock comes to them. A caller that meets
//! nobody writes straight from its own buffers. Compression happens before any lock.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

use super::batch::{Batch, check_length};
use super::page::{PAGE_BYTES, Payload};
use super::segment::{Finished, SegmentWriter, Written};
use super::stats::add;
use super::{
    Compression, FsyncPolicy, LogScratch, WalError, WalOptions, WalStats, last_checkpoint,
    list_segments,
};
use crate::fs::SharedFs;

/// A log that is open for writing. Shared by reference; all methods take `&self`.
pub struct Wal {
    fs: SharedFs,
    dir: PathBuf,
    options: WalOptions,
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
    stats: WalStats,
}

/// Who waits for the writer's lock.
#[derive(Default)]
struct Queue {
    batch: Batch,
    group: Arc<Group>,
}

/// The outcome of one write, shared by all whose records were in it.
type Group = OnceLock<Result<(), WalError>>;

struct Writer {
    segments: SegmentWriter,
    /// Taken for the queue's batch in exchange.
    spare: Batch,
    /// Whether something was written since the last sync.
    is_dirty: bool,
}

impl Wal {
    /// Opens the log in `dir`, which is created if need be, and begins a new segment. What an
    /// earlier process left must have been read, and repaired where necessary, before.
    pub fn open(fs: SharedFs, dir: &Path, options: WalOptions) -> Result<Self, WalError> {
        let size = options.segment_bytes;
        if size == 0 || !size.is_multiple_of(PAGE_BYTES as u64) {
            let reason = format!("segment size {size} is not a multiple of {PAGE_BYTES}");
            return Err(WalError::Invalid(reason));
        }
        fs.create_dir_all(dir).map_err(|e| WalError::io("create directory", dir, e))?;
        let existing = list_segments(&fs, dir)?;
        let checkpoint = last_checkpoint(&fs, dir)?.map(|c| c.number);
        let last = existing.last().map(|s| s.number).max(checkpoint);
        let number = last.map_or(0, |n| n + 1);
        let sync_names = options.fsync != FsyncPolicy::Never;
        let segments =
            SegmentWriter::create(fs.clone(), dir, (number, &existing), size, sync_names)?;
        let stats = WalStats::default();
        stats.current_segment.store(number, Ordering::Relaxed);
        stats.disk_bytes.store(existing.iter().map(|s| s.length).sum(), Ordering::Relaxed);
        let writer = Writer { segments, spare: Batch::default(), is_dirty: false };
        Ok(Self {
            fs,
            dir: dir.to_owned(),
            options,
            queue: Mutex::default(),
            writer: Mutex::new(writer),
            stats,
        })
    }

    /// Writes the records, in order, and returns when they are written (and synced, with
    /// [`FsyncPolicy::Always`]). Records without bytes are left out. After an error none of them
    /// counts as logged, though some may come back at the next restart; the log stays usable.
    pub fn log(&self, scratch: &mut LogScratch, records: &[&[u8]]) -> Result<(), WalError> {
        let result = if self.options.compression == Compression::None {
            self.log_plain(records)
        } else {
            let batch = scratch.compress(self.options.compression, records)?;
            self.commit(|| batch.payloads())
        };
        result.inspect(|()| {
            let records = records.iter().filter(|r| !r.is_empty());
            let (count, bytes) = records.fold((0, 0), |(n, b), r| (n + 1, b + r.len() as u64));
            add(&self.stats.records, count);
            add(&self.stats.record_bytes, bytes);
        })
    }

    fn log_plain(&self, records: &[&[u8]]) -> Result<(), WalError> {
        for record in records {
            check_length(record)?;
        }
        let plain = |data| Payload { flags: 0, data };
        self.commit(|| records.iter().copied().filter(|r| !r.is_empty()).map(plain))
    }

    /// Writes at once when nobody else does, else together with others.
    fn commit<'a, I>(&self, payloads: impl Fn() -> I) -> Result<(), WalError>
    where
        I: Iterator<Item = Payload<'a>>,
    {
        if payloads().next().is_none() {
            return Ok(());
        }
        if let Some(mut writer) = self.writer.try_lock() {
            return self.write(&mut writer, payloads());
        }
        let group = self.enqueue(payloads());
        let mut writer = self.writer.lock();
        if group.get().is_none() {
            self.write_queue(&mut writer);
        }
        group.get().cloned().unwrap_or_else(|| Err(lost_group()))
    }

    fn enqueue<'a>(&self, payloads: impl Iterator<Item = Payload<'a>>) -> Arc<Group> {
        let mut queue = self.queue.lock();
        for payload in payloads {
            queue.batch.push(payload);
        }
        queue.group.clone()
    }

    /// Writes everything that has gathered and tells those who wait.
    fn write_queue(&self, writer: &mut MutexGuard<'_, Writer>) {
        let mut batch = std::mem::take(&mut writer.spare);
        let group = {
            let mut queue = self.queue.lock();
            std::mem::swap(&mut queue.batch, &mut batch);
            std::mem::take(&mut queue.group)
        };
        let result = self.write(writer, batch.payloads());
        assert!(group.set(result).is_ok(), "a group is written once");
        batch.reset();
        writer.spare = batch;
    }

    fn write<'a>(
        &self,
        writer: &mut Writer,
        payloads: impl Iterator<Item = Payload<'a>>,
    ) -> Result<(), WalError> {
        let start = (writer.segments.number(), writer.segments.offset());
        let mut payload_bytes = 0;
        let counted = payloads.inspect(|p| payload_bytes += p.data.len() as u64);
        let result = writer.segments.write(counted).and_then(|written| {
            writer.is_dirty = true;
            if self.options.fsync == FsyncPolicy::Always {
                self.sync_now(writer).inspect_err(|_| writer.segments.roll_back(start))?;
            }
            Ok(written)
        });
        self.account(writer, &result, payload_bytes);
        result.map(|_| ())
    }

    /// Brings everything written so far to the device, holding the lock.
    fn sync_now(&self, writer: &mut Writer) -> Result<(), WalError> {
        let unsynced = writer.segments.unsynced()?;
        self.sync_all(&unsynced)?;
        writer.segments.forget(&unsynced);
        writer.is_dirty = false;
        Ok(())
    }

    fn sync_all(&self, segments: &[Finished]) -> Result<(), WalError> {
        for segment in segments {
            add(&self.stats.syncs, 1);
            segment.sync().inspect_err(|_| add(&self.stats.failed_syncs, 1))?;
        }
        Ok(())
    }

    fn account(&self, writer: &Writer, result: &Result<Written, WalError>, payload_bytes: u64) {
        let stats = &self.stats;
        match result {
            Ok(written) => {
                add(&stats.writes, written.writes);
                add(&stats.written_bytes, written.bytes);
                add(&stats.disk_bytes, written.bytes);
                add(&stats.completed_pages, written.pages);
                add(&stats.cut_segments, written.cuts);
                add(&stats.payload_bytes, payload_bytes);
            }
            Err(_) => add(&stats.failed_writes, 1),
        }
        stats.current_segment.store(writer.segments.number(), Ordering::Relaxed);
    }

    /// Brings everything that was logged before to the device; does nothing when there is
    /// nothing new. Called by the owner's timer. Writers go on meanwhile.
    pub fn sync(&self) -> Result<(), WalError> {
        let unsynced = {
            let mut writer = self.writer.lock();
            if !writer.is_dirty {
                return Ok(());
            }
            let unsynced = writer.segments.unsynced()?;
            writer.is_dirty = false;
            unsynced
        };
        let synced = self.sync_all(&unsynced);
        let mut writer = self.writer.lock();
        match &synced {
            Ok(()) => writer.segments.forget(&unsynced),
            Err(_) => writer.is_dirty = true,
        }
        synced
    }

    /// Begins a new segment unless the current one is empty. Returns its number: everything
    /// logged before is in segments below it.
    pub fn cut_segment(&self) -> Result<u64, WalError> {
        let mut writer = self.writer.lock();
        let result = writer.segments.cut_now();
        self.account(&writer, &result, 0);
        result.map(|_| writer.segments.number())
    }

    /// The number of the segment that is written to.
    pub fn current_segment(&self) -> u64 {
        self.stats.current_segment.load(Ordering::Relaxed)
    }

    /// Deletes the segments below `before`, in ascending order and never the current one.
    /// Returns how many.
    pub fn truncate(&self, before: u64) -> Result<usize, WalError> {
        add(&self.stats.truncations, 1);
        self.truncate_segments(before.min(self.current_segment()))
            .inspect_err(|_| add(&self.stats.failed_truncations, 1))
    }

    fn truncate_segments(&self, before: u64) -> Result<usize, WalError> {
        let mut removed = 0;
        for segment in list_segments(&self.fs, &self.dir)? {
            if segment.number >= before {
                break;
            }
            let result = self.fs.remove_file(&segment.path);
            result.map_err(|e| WalError::io("delete", &segment.path, e))?;
            self.stats.disk_bytes.fetch_sub(segment.length, Ordering::Relaxed);
            removed += 1;
        }
        Ok(removed)
    }

    /// Fills the last page up with zeros and syncs, whatever the policy. For an orderly end; the
    /// log stays usable.
    pub fn close(&self) -> Result<(), WalError> {
        let mut writer = self.writer.lock();
        writer.is_dirty = false;
        writer.segments.finish()
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The settings.
    pub fn options(&self) -> WalOptions {
        self.options
    }

    /// The counters.
    pub fn stats(&self) -> &WalStats {
        &self.stats
    }
}

/// A writer that panicked takes its group with it; those who waited must not take it for success.
fn lost_group() -> WalError {
    WalError::Invalid("the writer of this group failed".to_owned())
}

#[cfg(test)]
impl Wal {
    /// Lets everybody else wait while the guard lives.
    pub(super) fn hold_writer(&self) -> impl Drop + '_ {
        self.writer.lock()
    }

    /// How many records wait.
    pub(super) fn waiting_records(&self) -> usize {
        self.queue.lock().batch.payloads().count()
    }
}
