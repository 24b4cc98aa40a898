//! A snapshot of the head: what a clean end writes so that the next start need not replay the
//! log from its beginning. An optimisation alone: the log has everything, and a snapshot that is
//! not whole or not current is left out.
//!
//! In Prometheus' format: directory `chunk_snapshot.SSSSSS.OOOOOOOOOO` beside the log, named by
//! the segment and the offset up to which it holds the log, with segments of records
//! (`snapshot/record.rs`). The file `chunks_head` in it is Urd's own, and ignored by Prometheus:
//! numbers and lengths of the head chunk files that the snapshot relies on. Without it nobody
//! could tell that some of them are gone. Byte diagram: `docs/format/wal.md`.
//!
//! Written here, read by `replay/snapshot.rs`. Deleted as soon as the head is truncated.

pub(super) mod record;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use model::{TimeRange, TimestampMs};

use super::Head;
use super::histograms::last_open;
use super::samples::open_chunk;
use super::series::{ChunkPlace, Open};
use super::shards::Shard;
use super::symbols::Symbols;
use super::xor2::open_xor2;
use crate::error::TsdbError;
use crate::fs::{SharedFs, read_dir_if_exists};
use crate::head_chunks::HeadChunks;
use crate::wal::record::ExemplarsEncoder;
use crate::wal::{RecordDirWriter, TEMPORARY, list_segments};
use record::{LastValue, OpenChunk};

/// The start of a snapshot directory's name.
const PREFIX: &str = "chunk_snapshot.";
/// The file with the head chunk files that a snapshot relies on.
const FILES: &str = "chunks_head";
/// What the line in it begins with that tells the next reference.
const NEXT_REF: &str = "next_ref ";
/// Exemplars in one record, as Prometheus has it.
const EXEMPLARS_PER_RECORD: usize = 10_000;
/// The end of the name of a snapshot that is kept for inspection.
const CORRUPT: &str = ".corrupt";

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotStats {
    /// Its directory.
    pub dir: PathBuf,
    /// Series in it.
    pub series: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// A snapshot on disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SnapshotDir {
    /// It holds all of the log before this segment, and this one up to `offset`.
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) path: PathBuf,
}

/// The snapshots in the directory of a database, the newest last.
pub(super) fn list(fs: &SharedFs, dir: &Path) -> Result<Vec<SnapshotDir>, TsdbError> {
    let entries = read_dir_if_exists(&**fs, dir).map_err(|e| TsdbError::io("list", dir, e))?;
    let directories = entries.into_iter().filter(|entry| entry.metadata.is_dir);
    let mut found: Vec<SnapshotDir> = directories
        .filter_map(|entry| {
            let (segment, offset) = parse_name(&entry.name)?;
            Some(SnapshotDir { segment, offset, path: dir.join(entry.name) })
        })
        .collect();
    found.sort();
    Ok(found)
}

fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (segment, offset) = name.strip_prefix(PREFIX)?.split_once('.')?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if is_number { digits.parse().ok() } else { None }
    };
    Some((number(segment)?, number(offset)?))
}

/// Deletes all snapshots, finished or not, except `keep`. Those that are kept for inspection
/// stay.
pub(crate) fn delete_snapshots(
    fs: &SharedFs,
    dir: &Path,
    keep: Option<&Path>,
) -> Result<(), TsdbError> {
    let entries = read_dir_if_exists(&**fs, dir).map_err(|e| TsdbError::io("list", dir, e))?;
    let mut is_changed = false;
    for entry in entries.into_iter().filter(|entry| entry.metadata.is_dir) {
        let name = entry.name.strip_suffix(TEMPORARY).unwrap_or(&entry.name);
        let path = dir.join(&entry.name);
        if parse_name(name).is_some() && keep != Some(&path) {
            fs.remove_dir_all(&path).map_err(|e| TsdbError::io("delete", &path, e))?;
            is_changed = true;
        }
    }
    if is_changed {
        // It must not come back after what follows in the log.
        fs.sync_dir(dir).map_err(|e| TsdbError::io("sync directory", dir, e))?;
    }
    Ok(())
}

/// Puts a snapshot that cannot be used out of the way. Only one is kept for inspection.
pub(super) fn set_aside(fs: &SharedFs, snapshot: &SnapshotDir) -> Result<PathBuf, TsdbError> {
    let mut name = snapshot.path.as_os_str().to_owned();
    name.push(CORRUPT);
    let aside = PathBuf::from(name);
    let parent = crate::fs::parent_dir(&aside);
    let entries =
        read_dir_if_exists(&**fs, parent).map_err(|e| TsdbError::io("list", parent, e))?;
    for entry in entries.iter().filter(|e| e.name.starts_with(PREFIX) && e.name.ends_with(CORRUPT))
    {
        let path = parent.join(&entry.name);
        fs.remove_dir_all(&path).map_err(|e| TsdbError::io("delete", &path, e))?;
    }
    fs.rename(&snapshot.path, &aside).map_err(|e| TsdbError::io("rename", &snapshot.path, e))?;
    // It must not come back after what follows in the log.
    fs.sync_dir(parent).map_err(|e| TsdbError::io("sync directory", parent, e))?;
    Ok(aside)
}

/// What a snapshot says about the head chunk files: numbers and lengths.
fn describe_files(files: Option<&HeadChunks>) -> String {
    let mut text = String::new();
    for (number, length) in files.map(HeadChunks::file_lengths).unwrap_or_default() {
        let _ = writeln!(text, "{number} {length}");
    }
    text
}

/// Whether all head chunk files that the snapshot in `dir` relies on are there. One of
/// Prometheus does not tell.
pub(super) fn has_its_files(
    fs: &SharedFs,
    dir: &Path,
    files: Option<&HeadChunks>,
) -> Result<bool, TsdbError> {
    let path = dir.join(FILES);
    let text = match fs.read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(TsdbError::io("read", &path, e)),
    };
    let found = files.map(HeadChunks::file_lengths).unwrap_or_default();
    let is_there = |line: &str| {
        if line.starts_with(NEXT_REF) {
            return true;
        }
        let numbers = line.split_once(' ');
        let numbers = numbers.and_then(|(number, length)| {
            Some((number.parse::<u32>().ok()?, length.parse::<u64>().ok()?))
        });
        numbers.is_some_and(|(number, length)| {
            found.iter().any(|file| file.0 == number && file.1 >= length)
        })
    };
    Ok(std::str::from_utf8(&text).is_ok_and(|text| text.lines().all(is_there)))
}

/// The reference that the next new series was to have when the snapshot in `dir` was written; `None`
/// where it does not tell. References of series that were gone by then stand in the log before it.
pub(super) fn next_ref(fs: &SharedFs, dir: &Path) -> Option<u64> {
    let text = fs.read(&dir.join(FILES)).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    text.lines().find_map(|line| line.strip_prefix(NEXT_REF)?.trim().parse().ok())
}

impl Head {
    /// Writes a snapshot of everything to `dir`, the parent of the log's directory, in place of
    /// all earlier ones. Nothing may be appended meanwhile or afterwards, or the snapshot is out
    /// of date in a way that nobody notices. `None`: there is nothing worth a snapshot, or
    /// the next start needs the log anyway.
    pub fn write_snapshot(
        &self,
        fs: &SharedFs,
        dir: &Path,
    ) -> Result<Option<SnapshotStats>, TsdbError> {
        let Some(wal) = self.log.wal() else { return Ok(None) };
        if self.series_count() == 0 || self.needs_log(fs, dir)? {
            delete_snapshots(fs, dir, None)?;
            return Ok(None);
        }
        let segment = wal.cut_segment()?;
        wal.sync()?;
        if let Some(files) = self.files() {
            files.finish_file()?;
        }
        let path = dir.join(format!("{PREFIX}{segment:06}.{:010}", 0));
        let options = wal.options();
        let mut output =
            RecordDirWriter::create(fs, &path, options.compression, options.segment_bytes)?;
        let written = self.write_records(&mut output);
        let written = written.and_then(|count| self.write_files(fs, &output).map(|()| count));
        let series = match written {
            Ok(series) => series,
            Err(e) => {
                output.abandon();
                return Err(e);
            }
        };
        let bytes = output.finish()?;
        delete_snapshots(fs, dir, Some(&path))?;
        Ok(Some(SnapshotStats { dir: path, series, bytes }))
    }

    fn write_files(&self, fs: &SharedFs, output: &RecordDirWriter) -> Result<(), TsdbError> {
        let path = output.dir().join(FILES);
        let mut text = describe_files(self.files().map(|files| &**files));
        let next_ref = self.next_series_ref.load(Ordering::Acquire);
        text.push_str(&format!("{NEXT_REF}{next_ref}\n"));
        let written = fs.create(&path).and_then(|file| {
            file.write_all_at(text.as_bytes(), 0)?;
            file.sync_data()
        });
        written.map_err(|e| TsdbError::io("write", &path, e))
    }

    /// Returns the number of series.
    fn write_records(&self, output: &mut RecordDirWriter) -> Result<u64, TsdbError> {
        let mut aliases = self.second_refs.lock().clone();
        aliases.sort_unstable();
        let mut count = 0;
        for index in 0..self.shards.len() {
            let shard = self.shards.lock(index);
            let symbols = self.symbols.read();
            for slot in shard.live_slots() {
                write_series(output, &shard, slot, &symbols)?;
                let series_ref = shard.series[slot as usize].series_ref();
                let first = aliases.partition_point(|alias| alias.0 < series_ref);
                for &(_, second) in aliases[first..].iter().take_while(|a| a.0 == series_ref) {
                    write_labels(output, (&shard, slot, second), &symbols)?;
                }
                count += 1;
            }
        }
        // Its presence tells that the snapshot is whole.
        let deleted = self.deleted.all();
        output.push(|out| record::put_tombstones(out, &deleted))?;
        self.write_exemplars(output)?;
        Ok(count)
    }

    fn write_exemplars(&self, output: &mut RecordDirWriter) -> Result<(), TsdbError> {
        let mut encoder = ExemplarsEncoder::default();
        let (mut records, mut count) = (Vec::new(), 0);
        self.each_exemplar(&mut |series_ref, _, exemplar| {
            let pairs = exemplar.labels.iter().map(|label| (label.name, label.value));
            encoder.push(series_ref, (exemplar.timestamp_ms, exemplar.value), pairs);
            count += 1;
            if count == EXEMPLARS_PER_RECORD {
                records.push(encoder.record().to_vec());
                encoder.clear();
                count = 0;
            }
        });
        records.push(encoder.record().to_vec());
        for record in records.iter().filter(|record| !record.is_empty()) {
            output.push(|out| record::put_exemplars(out, record))?;
        }
        Ok(())
    }

    /// Whether the next start has to read the log:
    /// - metadata stand in it alone;
    /// - samples that came out of order are found by their places among the others in it;
    /// - a series with several references has its chunks under each of them;
    /// - the log has not taken all series: later samples would stand in it without labels.
    fn needs_log(&self, fs: &SharedFs, dir: &Path) -> Result<bool, TsdbError> {
        if self.log.recover(self).is_err() || !self.metadata.read().is_empty() {
            return Ok(true);
        }
        let late = list_segments(fs, &dir.join("wbl"))?;
        let has_late = self.out_of_order_bounds().is_some() || late.iter().any(|s| s.length > 0);
        Ok(has_late || !self.second_refs.lock().is_empty() || self.has_unfinished_series())
    }

    /// Whether complete chunks are in memory for want of files, or labels are not logged.
    fn has_unfinished_series(&self) -> bool {
        (0..self.shards.len()).any(|index| {
            let shard = self.shards.lock(index);
            shard.live_slots().any(|slot| {
                if !shard.series[slot as usize].is_logged() {
                    return true;
                }
                let full = shard.cold(slot).map_or(&[][..], |cold| &cold.full);
                full.iter().any(|chunk| matches!(chunk.place, ChunkPlace::Memory(_)))
            })
        })
    }
}

fn write_series(
    output: &mut RecordDirWriter,
    shard: &Shard,
    slot: u32,
    symbols: &Symbols,
) -> Result<(), TsdbError> {
    let series = &shard.series[slot as usize];
    let everything = TimeRange::new(TimestampMs::MIN, TimestampMs::MAX);
    let chunk = open_chunk(shard, slot, everything);
    let last = match series.open {
        Open::Histogram => last_open(shard, slot).map(LastValue::Histogram),
        Open::Xor2 => {
            open_xor2(shard, slot).map(|open| LastValue::Float(f64::from_bits(open.last_bits())))
        }
        Open::Float | Open::Nothing => Some(LastValue::Float(series.xor.last_value())),
    };
    output.push(|out| {
        record::put_series(out, series.series_ref(), texts(shard, slot, symbols));
        let memory = chunk.as_ref().and_then(|chunk| match &chunk.place {
            ChunkPlace::Memory(memory) => Some((chunk, memory)),
            ChunkPlace::Mapped(_) => None,
        });
        let chunk = memory.zip(last).map(|((chunk, memory), last)| OpenChunk {
            min_time_ms: chunk.min_time_ms,
            max_time_ms: chunk.max_time_ms,
            encoding: memory.encoding,
            data: &memory.data,
            last,
        });
        record::put_chunk(out, chunk);
    })?;
    Ok(())
}

/// Writes that another reference leads to the series as well.
fn write_labels(
    output: &mut RecordDirWriter,
    (shard, slot, series_ref): (&Shard, u32, u64),
    symbols: &Symbols,
) -> Result<(), TsdbError> {
    output.push(|out| {
        record::put_series(out, series_ref, texts(shard, slot, symbols));
        record::put_chunk(out, None);
    })?;
    Ok(())
}

fn texts<'a>(
    shard: &'a Shard,
    slot: u32,
    symbols: &'a Symbols,
) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + 'a {
    let start = shard.series[slot as usize].labels;
    let names = symbols.shape(shard.labels.shape(start));
    let values = shard.labels.values(start, names.len());
    names.iter().zip(values).map(|(&name, &value)| (symbols.get(name), symbols.get(value)))
}
