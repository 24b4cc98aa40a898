//! Segment files: their names, and writing one behind the other.
//!
//! [`SegmentWriter`] is the common part of the log and of checkpoints: one owner, no locks. It
//! never appends to a file of an earlier process, and after a failed write it continues only
//! when what the failure left behind is gone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::page::{PAGE_BYTES, Payload, fits, frame, padding};
use super::{WalError, batch};
use crate::fs::{FileHandle, SharedFs, parent_dir, read_dir_if_exists};

/// The most zeros that fill up a page.
static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// How many finished segments may wait for the owner's next sync.
const MAX_UNSYNCED_SEGMENTS: usize = 4;

/// A segment on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// Its file.
    pub path: PathBuf,
    /// Its length, bytes.
    pub length: u64,
}

/// The file name of a segment.
pub fn segment_name(number: u64) -> String {
    format!("{number:08}")
}

/// The segments of a directory in ascending order, none when the directory does not exist. A
/// gap in the numbers is an error, see [`super::repair_gap`]. Other files are ignored.
pub fn list_segments(fs: &SharedFs, dir: &Path) -> Result<Vec<SegmentInfo>, WalError> {
    let segments = sorted_segments(fs, dir)?;
    for pair in segments.windows(2) {
        if pair[0].number + 1 != pair[1].number {
            let (before, after) = (pair[0].path.display(), pair[1].path.display());
            return Err(WalError::Invalid(format!("segments are missing: {before}, {after}")));
        }
    }
    Ok(segments)
}

/// As [`list_segments`], whether or not their numbers have a gap.
pub(super) fn sorted_segments(fs: &SharedFs, dir: &Path) -> Result<Vec<SegmentInfo>, WalError> {
    let entries = read_dir_if_exists(&**fs, dir).map_err(|e| WalError::io("list", dir, e))?;
    let mut segments: Vec<SegmentInfo> = entries
        .into_iter()
        .filter(|entry| !entry.metadata.is_dir)
        .filter_map(|entry| {
            let number = parse_digits(&entry.name)?;
            let path = dir.join(entry.name);
            Some(SegmentInfo { number, path, length: entry.metadata.length })
        })
        .collect();
    segments.sort_by_key(|s| s.number);
    Ok(segments)
}

/// Deletes the segments below `before`, in ascending order and whether or not their numbers have a
/// gap: a crash of the machine may bring back some that were deleted. Returns those that stay.
pub(crate) fn remove_segments_before(
    fs: &SharedFs,
    dir: &Path,
    before: u64,
) -> Result<Vec<SegmentInfo>, WalError> {
    let mut segments = sorted_segments(fs, dir)?;
    let left = segments.split_off(segments.partition_point(|s| s.number < before));
    for segment in &segments {
        fs.remove_file(&segment.path).map_err(|e| WalError::io("delete", &segment.path, e))?;
    }
    Ok(left)
}

/// A number that is written in digits alone.
pub(super) fn parse_digits(name: &str) -> Option<u64> {
    let is_number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    if is_number { name.parse().ok().filter(|&n| n < u64::MAX) } else { None }
}

/// What a call of [`SegmentWriter::write`] did.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Written {
    /// Calls of write(2).
    pub(super) writes: u64,
    /// Bytes, headers and padding included.
    pub(super) bytes: u64,
    /// Pages that became full.
    pub(super) pages: u64,
    /// Segments that were begun.
    pub(super) cuts: u64,
}

/// Writes records into the segments of a directory.
pub(super) struct SegmentWriter {
    fs: SharedFs,
    dir: PathBuf,
    segment_bytes: u64,
    /// Whether files and names are brought to the device when a segment is finished.
    sync_names: bool,
    /// Directories to sync before anything of this writer counts as synced. Not at the start: a
    /// process may open a thousand logs, and writes to few of them at once.
    unsynced_dirs: Vec<PathBuf>,
    /// Likewise segments of earlier processes, which may have died before they synced them: of a
    /// log with a hole in the middle only what is before the hole counts.
    unsynced_earlier: Vec<PathBuf>,
    current: Segment,
    /// Finished segments that were not synced yet, in ascending order.
    finished: Vec<Finished>,
    out: Vec<u8>,
    written: Written,
}

struct Segment {
    number: u64,
    path: PathBuf,
    file: Arc<dyn FileHandle>,
    /// Everything below is whole records and padding.
    offset: u64,
    /// A failed write may have left something behind `offset`.
    is_damaged: bool,
}

/// A segment that nothing is appended to any more.
pub(super) struct Finished {
    number: u64,
    path: PathBuf,
    file: Arc<dyn FileHandle>,
    /// Where to cut off what a failed write left.
    cut_to: Option<u64>,
}

impl Finished {
    /// Brings the segment to the device.
    pub(super) fn sync(&self) -> Result<(), WalError> {
        self.file.sync_data().map_err(|e| WalError::io("sync", &self.path, e))
    }
}

impl SegmentWriter {
    /// Begins segment `number` of an existing directory; an old file of this name is emptied.
    /// `earlier` are the segments of the log before it.
    pub(super) fn create(
        fs: SharedFs,
        dir: &Path,
        (number, earlier): (u64, &[SegmentInfo]),
        segment_bytes: u64,
        sync_names: bool,
    ) -> Result<Self, WalError> {
        let current = create_segment(&fs, dir, number, false)?;
        let mut unsynced_dirs = vec![parent_dir(dir).to_owned(), dir.to_owned()];
        unsynced_dirs.retain(|_| sync_names);
        let earlier = earlier.iter().filter(|s| sync_names && s.length > 0);
        Ok(Self {
            fs,
            unsynced_dirs,
            unsynced_earlier: earlier.map(|s| s.path.clone()).collect(),
            dir: dir.to_owned(),
            segment_bytes,
            sync_names,
            current,
            finished: Vec::new(),
            out: Vec::new(),
            written: Written::default(),
        })
    }

    /// The number of the segment that is written to.
    pub(super) fn number(&self) -> u64 {
        self.current.number
    }

    /// Where the next byte goes in it.
    pub(super) fn offset(&self) -> u64 {
        self.current.offset
    }

    /// What has to be synced so that everything written so far is on the device, in the order
    /// in which to do it.
    pub(super) fn unsynced(&mut self) -> Result<Vec<Finished>, WalError> {
        self.heal()?;
        self.sync_beginning()?;
        let finished = self.finished.iter().map(|f| (f.number, &f.path, &f.file));
        let current = (self.current.number, &self.current.path, &self.current.file);
        let all = finished.chain([current]);
        let copy = |(number, path, file): (u64, &PathBuf, &Arc<dyn FileHandle>)| Finished {
            number,
            path: path.clone(),
            file: file.clone(),
            cut_to: None,
        };
        Ok(all.map(copy).collect())
    }

    /// Makes sure that the first segment, its directory and everything before it are found after
    /// a crash.
    fn sync_beginning(&mut self) -> Result<(), WalError> {
        while let Some(path) = self.unsynced_earlier.last() {
            match self.fs.open_append(path).and_then(|file| file.sync_data()) {
                // A checkpoint has taken its place.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                synced => synced.map_err(|e| WalError::io("sync", path, e))?,
            }
            self.unsynced_earlier.pop();
        }
        while let Some(dir) = self.unsynced_dirs.last() {
            self.fs.sync_dir(dir).map_err(|e| WalError::io("sync directory", dir, e))?;
            self.unsynced_dirs.pop();
        }
        Ok(())
    }

    /// Forgets finished segments that have been synced.
    pub(super) fn forget(&mut self, synced: &[Finished]) {
        self.finished.retain(|f| !synced.iter().any(|s| s.number == f.number));
    }

    /// Writes the records with as few calls as possible, in order; all are in the files when it
    /// returns. After an error none of those that went into the current segment is there, and
    /// the writer can be used again.
    pub(super) fn write<'a>(
        &mut self,
        payloads: impl Iterator<Item = Payload<'a>>,
    ) -> Result<Written, WalError> {
        self.written = Written::default();
        let start = (self.current.number, self.current.offset);
        let result = self.heal().and_then(|()| self.write_all(payloads));
        batch::reset_buffer(&mut self.out);
        match result {
            Ok(()) => {
                self.drop_finished();
                Ok(self.written)
            }
            Err(e) => {
                self.roll_back(start);
                Err(e)
            }
        }
    }

    /// Without syncs there is nothing to wait for.
    fn drop_finished(&mut self) {
        if !self.sync_names {
            self.finished.clear();
        }
    }

    fn write_all<'a>(
        &mut self,
        payloads: impl Iterator<Item = Payload<'a>>,
    ) -> Result<(), WalError> {
        for payload in payloads {
            let offset = self.current.offset + self.out.len() as u64;
            if offset > 0 && !fits(offset, payload.data.len(), self.segment_bytes) {
                self.flush()?;
                self.cut()?;
            }
            frame(&mut self.out, self.current.offset, payload);
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), WalError> {
        let data = std::mem::take(&mut self.out);
        let result = self.append(&data);
        self.out = data;
        self.out.clear();
        result
    }

    fn append(&mut self, data: &[u8]) -> Result<(), WalError> {
        if data.is_empty() {
            return Ok(());
        }
        let current = &mut self.current;
        assert!(!current.is_damaged, "what a failed write left must be cut off first");
        if let Err(e) = current.file.write_all_at(data, current.offset) {
            current.is_damaged = true;
            return Err(WalError::io("write", &current.path, e));
        }
        let end = current.offset + data.len() as u64;
        let page = PAGE_BYTES as u64;
        self.written.writes += 1;
        self.written.bytes += data.len() as u64;
        self.written.pages += end / page - current.offset / page;
        current.offset = end;
        Ok(())
    }

    /// Takes back what was written since `start`. Segments that were finished meanwhile must be
    /// cut as well: if their unsynced end broke in a crash, the ones after it were lost with it.
    pub(super) fn roll_back(&mut self, start: (u64, u64)) {
        let (number, offset) = start;
        for finished in self.finished.iter_mut().filter(|f| f.number >= number) {
            finished.cut_to = Some(if finished.number == number { offset } else { 0 });
        }
        self.current.offset = if number == self.current.number { offset } else { 0 };
        self.current.is_damaged = true;
        // A failure here is met again by the next write, which must not go on without it.
        let _ = self.heal();
    }

    /// Cuts off what a failed write may have left.
    fn heal(&mut self) -> Result<(), WalError> {
        let cut = |path: &Path, file: &dyn FileHandle, length| {
            file.set_len(length).map_err(|e| WalError::io("truncate", path, e))
        };
        for finished in &mut self.finished {
            if let Some(length) = finished.cut_to {
                cut(&finished.path, &*finished.file, length)?;
                finished.cut_to = None;
            }
        }
        let current = &mut self.current;
        if current.is_damaged {
            cut(&current.path, &*current.file, current.offset)?;
            current.is_damaged = false;
        }
        Ok(())
    }

    /// Begins the next segment unless the current one is empty. After an error the current one
    /// stays in use.
    pub(super) fn cut_now(&mut self) -> Result<Written, WalError> {
        self.written = Written::default();
        let cut = self.cut();
        self.drop_finished();
        cut.map(|()| self.written)
    }

    fn cut(&mut self) -> Result<(), WalError> {
        self.heal()?;
        self.sync_surplus()?;
        if self.current.offset == 0 {
            return Ok(());
        }
        let next = create_segment(&self.fs, &self.dir, self.current.number + 1, self.sync_names)?;
        let padding = &ZEROS[..padding(self.current.offset)];
        if let Err(e) = self.append(padding) {
            // An empty file that stays behind is emptied again by the next attempt.
            let _ = self.fs.remove_file(&next.path);
            return Err(e);
        }
        assert!(self.current.offset.is_multiple_of(PAGE_BYTES as u64), "a finished page is full");
        let Segment { number, path, file, .. } = std::mem::replace(&mut self.current, next);
        self.finished.push(Finished { number, path, file, cut_to: None });
        self.written.cuts += 1;
        Ok(())
    }

    /// Keeps the number of finished segments that wait for a sync small.
    fn sync_surplus(&mut self) -> Result<(), WalError> {
        if !self.sync_names || self.finished.len() < MAX_UNSYNCED_SEGMENTS {
            return Ok(());
        }
        self.sync_beginning()?;
        self.finished.iter().try_for_each(Finished::sync)?;
        self.finished.clear();
        Ok(())
    }

    /// Fills the last page up and brings everything to the device.
    pub(super) fn finish(&mut self) -> Result<(), WalError> {
        self.heal()?;
        self.append(&ZEROS[..padding(self.current.offset)])?;
        let unsynced = self.unsynced()?;
        unsynced.iter().try_for_each(Finished::sync)?;
        self.forget(&unsynced);
        Ok(())
    }
}

fn create_segment(
    fs: &SharedFs,
    dir: &Path,
    number: u64,
    sync_names: bool,
) -> Result<Segment, WalError> {
    let path = dir.join(segment_name(number));
    let file = fs.create(&path).map_err(|e| WalError::io("create", &path, e))?;
    if sync_names && let Err(e) = fs.sync_dir(dir) {
        let _ = fs.remove_file(&path);
        return Err(WalError::io("sync directory", dir, e));
    }
    Ok(Segment { number, path, file, offset: 0, is_damaged: false })
}
