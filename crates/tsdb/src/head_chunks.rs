//! Head chunk files: full chunks of the head, out of the heap and still at hand.
//!
//! The head writes a chunk here when it starts the next one of a series, keeps the
//! [`ChunkDiskRef`], and reads through it; a restart finds the chunks again by [`HeadChunks::replay`].
//! The write-ahead log has every sample too, so that what a crash takes from the end of these
//! files is rebuilt from there; a file is synced before the next one begins, so that nothing is
//! ever missing in the middle. Byte diagram: `docs/format/head_chunks.md`.

mod provisional;
mod record;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use model::TimestampMs;
use parking_lot::{Mutex, RwLock};

pub use record::HeadChunk;

use record::{FILE_HEADER_BYTES, Step, check_file_header, parse, record_length, step};
use writer::Writer;

use crate::chunk::ChunkEncoding;
use crate::error::{DecodeError, TsdbError};
use crate::fs::{FileMap, GrowingView, SharedFs, keep_copy, read_dir_if_exists, set_aside};

/// The usual size of a file, bytes; also the most that offsets are meant for.
pub const DEFAULT_FILE_BYTES: u64 = 128 << 20;

/// Where a chunk is: number of the file, and offset of the chunk's record in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkDiskRef(u64);

impl ChunkDiskRef {
    /// A reference made of its parts.
    pub fn new(file: u32, offset: u32) -> Self {
        Self(u64::from(file) << 32 | u64::from(offset))
    }

    /// The reference of a number, as the log stores it.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The number of the file.
    pub fn file(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The offset in the file, bytes.
    pub fn offset(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

/// The head chunk files of one directory. Shared by reference; all methods take `&self`.
pub struct HeadChunks {
    fs: SharedFs,
    dir: PathBuf,
    max_file_bytes: u64,
    files: RwLock<BTreeMap<u32, Arc<ChunkFile>>>,
    writer: Mutex<Writer>,
    /// The number of the first file of this process.
    first_own: u32,
}

/// A file that can be read from.
struct ChunkFile {
    number: u32,
    path: PathBuf,
    view: View,
    /// Where the data ends; grows while the file is written to.
    end: AtomicU64,
    /// The latest time of its chunks; unknown files count as the future.
    maxt: AtomicI64,
}

enum View {
    Whole(FileMap),
    Growing(Arc<dyn GrowingView>),
}

/// What a replay found.
#[derive(Debug, Default)]
pub struct ReplayOutcome {
    /// Chunks that were handed out.
    pub chunks: u64,
    /// Chunks of an unknown encoding.
    pub skipped: u64,
    /// The damage that ended the replay. What came before it was handed out and stays; the rest
    /// is gone from the directory.
    pub damage: Option<TsdbError>,
    /// The visitor's objection. All files are gone: everything handed out must be forgotten.
    pub objection: Option<DecodeError>,
}

impl HeadChunks {
    /// Finds the files in `dir`, which is created if need be. An unfinished last file is
    /// deleted; a gap in the numbers is an error. Files are written from `max_file_bytes` on.
    pub fn open(fs: SharedFs, dir: &Path, max_file_bytes: u64) -> Result<Self, TsdbError> {
        if max_file_bytes <= FILE_HEADER_BYTES || max_file_bytes > u64::from(u32::MAX) {
            return Err(TsdbError::Invalid(format!("head chunk files of {max_file_bytes} bytes")));
        }
        fs.create_dir_all(dir).map_err(|e| TsdbError::io("create directory", dir, e))?;
        provisional::remove(&fs, dir)?;
        let mut files = BTreeMap::new();
        for file in open_files(&fs, dir)? {
            files.insert(file.number, Arc::new(file));
        }
        let next = files.last_key_value().map_or(1, |(&number, _)| number + 1);
        let writer = Mutex::new(Writer::new(next));
        let (dir, files) = (dir.to_owned(), RwLock::new(files));
        Ok(Self { fs, dir, max_file_bytes, files, writer, first_own: next })
    }

    /// Hands out every chunk of the earlier process in the order of writing. To be called once,
    /// before anything is written. An error of `visit` discards all files (for chunks that
    /// contradict each other), damage cuts the files off where it begins.
    pub fn replay(
        &self,
        visit: &mut dyn FnMut(ChunkDiskRef, HeadChunk<'_>) -> Result<(), DecodeError>,
    ) -> Result<ReplayOutcome, TsdbError> {
        let files: Vec<_> = self.files.read().values().cloned().collect();
        let mut outcome = ReplayOutcome::default();
        for file in files {
            match replay_file(&file, visit, &mut outcome) {
                Ok(()) => {}
                Err(Stop::Damage { offset, reason }) => {
                    let at = format!("{} at offset {offset}", file.path.display());
                    // A write that was cut short is nothing to look into.
                    let is_torn = reason == DecodeError::Truncated;
                    outcome.damage = Some(TsdbError::corrupt(at, reason));
                    self.cut_off(file.number, offset, is_torn)?;
                    break;
                }
                Err(Stop::Objection(reason)) => {
                    outcome.objection = Some(reason);
                    self.discard_all()?;
                    break;
                }
            }
        }
        Ok(outcome)
    }

    /// Writes a chunk and returns where it is; it can be read at once. After an error nothing
    /// was written and later writes may work.
    pub fn write(&self, chunk: HeadChunk<'_>) -> Result<ChunkDiskRef, TsdbError> {
        self.writer.lock().write(self, chunk)
    }

    /// Hands the chunk at `disk_ref` to `visit`, with its checksum verified.
    pub fn read<R>(
        &self,
        disk_ref: ChunkDiskRef,
        visit: impl FnOnce(HeadChunk<'_>) -> R,
    ) -> Result<R, TsdbError> {
        let file = self.files.read().get(&disk_ref.file()).cloned();
        let Some(file) = file else {
            let reason = format!("there is no head chunk file {}", disk_ref.file());
            return Err(TsdbError::Invalid(reason));
        };
        file.read(u64::from(disk_ref.offset()), visit)
    }

    /// Deletes the files whose chunks all end before `mint`, in ascending order up to the first
    /// that has later ones or that `first_needed` names. Returns how many. `first_needed` is asked
    /// when no further chunk goes to the files that may be deleted.
    pub fn truncate(
        &self,
        mint: TimestampMs,
        first_needed: &dyn Fn() -> u32,
    ) -> Result<usize, TsdbError> {
        let next_number = {
            let mut writer = self.writer.lock();
            writer.finish_file()?;
            writer.next_number()
        };
        let kept_from = first_needed().min(next_number);
        let is_old =
            |f: &Arc<ChunkFile>| f.number < kept_from && f.maxt.load(Ordering::Acquire) < mint;
        let mut removed = 0;
        loop {
            let first = self.files.read().first_key_value().map(|(_, file)| file.clone());
            let Some(file) = first.filter(is_old) else { return Ok(removed) };
            self.remove(&file)?;
            removed += 1;
        }
    }

    /// Deletes all files. References to them lead nowhere afterwards.
    pub fn discard_all(&self) -> Result<(), TsdbError> {
        self.writer.lock().drop_file();
        self.remove_from(0)
    }

    /// Deletes the files that this process has begun, and begins with the first of them again.
    /// References to them lead nowhere afterwards.
    pub fn discard_own(&self) -> Result<(), TsdbError> {
        let mut writer = self.writer.lock();
        writer.drop_file();
        self.remove_from(self.first_own)?;
        writer.begin_at(self.first_own);
        Ok(())
    }

    /// The files of this process count only when [`HeadChunks::confirm`] is called: if it dies
    /// before, the next one deletes them. To be called before anything is written.
    pub fn begin_provisional(&self) {
        self.writer.lock().begin_provisional();
    }

    /// What was written since [`HeadChunks::begin_provisional`] stays; `synced` where it must not
    /// be the beginning that stays after a power cut.
    pub fn confirm(&self, synced: bool) -> Result<(), TsdbError> {
        self.writer.lock().confirm(self, synced)
    }

    /// Gives the memory of what was read back to the system. After a compaction has read all of
    /// it, it would count as the process' memory until the files are deleted.
    pub fn release_pages(&self) {
        for file in self.files.read().values() {
            match &file.view {
                View::Whole(map) => map.release_pages(),
                View::Growing(view) => view.release_pages(),
            }
        }
    }

    /// Syncs and ends the file that is written to; the next chunk begins a new one.
    pub fn finish_file(&self) -> Result<(), TsdbError> {
        self.writer.lock().finish_file()
    }

    /// Brings the file that is written to to the device.
    pub fn sync(&self) -> Result<(), TsdbError> {
        let current = self.writer.lock().current();
        current.map_or(Ok(()), |(path, file)| {
            file.sync_data().map_err(|e| TsdbError::io("sync", &path, e))
        })
    }

    /// Numbers and lengths of all files, ascending.
    pub fn file_lengths(&self) -> Vec<(u32, u64)> {
        let files = self.files.read();
        files.iter().map(|(&number, f)| (number, f.end.load(Ordering::Acquire))).collect()
    }

    /// Bytes of all files.
    pub fn byte_len(&self) -> u64 {
        self.files.read().values().map(|f| f.end.load(Ordering::Relaxed)).sum()
    }

    /// The number of files.
    pub fn file_count(&self) -> usize {
        self.files.read().len()
    }

    /// Keeps what is before `offset` of file `number`; the damaged file and all later ones stay
    /// beside the others with the ending `.corrupt`.
    fn cut_off(&self, number: u32, offset: u64, is_torn: bool) -> Result<(), TsdbError> {
        let later: Vec<_> = self.files.read().range(number + 1..).map(|(_, f)| f.clone()).collect();
        // The highest first, so that an interruption leaves no gap.
        for file in later.iter().rev() {
            self.set_aside(file)?;
        }
        let Some(file) = self.files.read().get(&number).cloned() else { return Ok(()) };
        if offset <= FILE_HEADER_BYTES {
            return self.set_aside(&file);
        }
        if !is_torn {
            keep_copy(&self.fs, &file.path).map_err(|e| TsdbError::io("copy", &file.path, e))?;
        }
        // The damaged bytes are in the mapping still, but nobody reads beyond the end.
        file.end.store(offset, Ordering::Release);
        let cut = self.fs.open_append(&file.path).and_then(|handle| handle.set_len(offset));
        cut.map_err(|e| TsdbError::io("truncate", &file.path, e))
    }

    fn set_aside(&self, file: &ChunkFile) -> Result<(), TsdbError> {
        let moved = set_aside(&self.fs, &file.path);
        moved.map_err(|e| TsdbError::io("rename", &file.path, e))?;
        self.files.write().remove(&file.number);
        Ok(())
    }

    /// Deletes the files from `number` on, the highest first, so that an interruption leaves no
    /// gap.
    fn remove_from(&self, number: u32) -> Result<(), TsdbError> {
        let later: Vec<_> = self.files.read().range(number..).map(|(_, f)| f.clone()).collect();
        later.iter().rev().try_for_each(|file| self.remove(file))
    }

    fn remove(&self, file: &ChunkFile) -> Result<(), TsdbError> {
        let removed = self.fs.remove_file(&file.path);
        removed.map_err(|e| TsdbError::io("delete", &file.path, e))?;
        self.files.write().remove(&file.number);
        Ok(())
    }
}

impl ChunkFile {
    /// Bytes of the data; the caller must stay below `end`.
    fn with_bytes<R>(
        &self,
        offset: u64,
        length: usize,
        visit: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, TsdbError> {
        match &self.view {
            View::Whole(map) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let bytes = map.get(start..).and_then(|rest| rest.get(..length));
                let bytes = bytes.ok_or_else(|| self.damage(offset, DecodeError::Truncated))?;
                Ok(visit(bytes))
            }
            View::Growing(view) => {
                let bytes = view.bytes(offset, length);
                let bytes = bytes.map_err(|e| TsdbError::io("read", &self.path, e))?;
                Ok(visit(&bytes))
            }
        }
    }

    fn read<R>(&self, offset: u64, visit: impl FnOnce(HeadChunk<'_>) -> R) -> Result<R, TsdbError> {
        let left = self.end.load(Ordering::Acquire).saturating_sub(offset);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let damage = |reason| self.damage(offset, reason);
        let header = left.min(record::MAX_HEADER_BYTES);
        let length = self.with_bytes(offset, header, record_length)?.map_err(damage)?;
        if length > left {
            return Err(damage(DecodeError::Truncated));
        }
        self.with_bytes(offset, length, |bytes| parse(bytes).map(visit))?.map_err(damage)
    }

    fn damage(&self, offset: u64, reason: DecodeError) -> TsdbError {
        TsdbError::corrupt(format!("{} at offset {offset}", self.path.display()), reason)
    }
}

/// Why the replay of a file ended early.
enum Stop {
    Damage { offset: u64, reason: DecodeError },
    Objection(DecodeError),
}

fn replay_file(
    file: &ChunkFile,
    visit: &mut dyn FnMut(ChunkDiskRef, HeadChunk<'_>) -> Result<(), DecodeError>,
    outcome: &mut ReplayOutcome,
) -> Result<(), Stop> {
    let View::Whole(map) = &file.view else { return Ok(()) };
    check_file_header(map).map_err(|reason| Stop::Damage { offset: 0, reason })?;
    let mut maxt = i64::MIN;
    let mut offset = FILE_HEADER_BYTES as usize;
    loop {
        let next = step(&map[offset..]);
        let damage = |reason| Stop::Damage { offset: offset as u64, reason };
        file.maxt.store(maxt, Ordering::Release);
        let Step::Chunk { chunk, length } = next.map_err(damage)? else { break };
        maxt = maxt.max(chunk.maxt_incl);
        if ChunkEncoding::from_number(chunk.encoding).is_ok() {
            let disk_ref = ChunkDiskRef::new(file.number, offset as u32);
            visit(disk_ref, chunk).map_err(Stop::Objection)?;
            outcome.chunks += 1;
        } else {
            outcome.skipped += 1;
        }
        offset += length;
    }
    file.end.store(offset as u64, Ordering::Release);
    Ok(())
}

/// Opens the files of an earlier process.
fn open_files(fs: &SharedFs, dir: &Path) -> Result<Vec<ChunkFile>, TsdbError> {
    let entries = read_dir_if_exists(&**fs, dir).map_err(|e| TsdbError::io("list", dir, e))?;
    let digits = |name: &str| name.bytes().all(|b| b.is_ascii_digit());
    let mut numbers: Vec<(u32, PathBuf)> = entries
        .iter()
        .filter(|entry| !entry.metadata.is_dir && digits(&entry.name))
        .filter_map(|entry| Some((entry.name.parse().ok()?, dir.join(&entry.name))))
        .collect();
    numbers.sort();
    let mut files = Vec::new();
    for (position, (number, path)) in numbers.iter().enumerate() {
        if position > 0 && numbers[position - 1].0 + 1 != *number {
            let reason = format!("head chunk files are missing before {}", path.display());
            return Err(TsdbError::Invalid(reason));
        }
        let map = fs.map(path).map_err(|e| TsdbError::io("map", path, e))?;
        let is_last = position + 1 == numbers.len();
        if is_last && record::is_unfinished(&map) {
            fs.remove_file(path).map_err(|e| TsdbError::io("delete", path, e))?;
            continue;
        }
        files.push(ChunkFile {
            number: *number,
            path: path.clone(),
            end: AtomicU64::new(map.len() as u64),
            view: View::Whole(map),
            maxt: AtomicI64::new(i64::MAX),
        });
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
