//! The write-ahead log and the files of head chunks: records, segments, checkpoints, a restart.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::batch::SeriesHasher;
use model::env::{Inline, ManualClock, SeededRandom};
use model::{Matcher, QueryContext, Queryable as _, SampleBuffer, SelectHints, TimeRange};
use tsdb::db::{Db, DbEnv, DbOptions};
use tsdb::fs::{FaultFs, SharedFs};
use tsdb::head_chunks::{DEFAULT_FILE_BYTES, HeadChunks};
use tsdb::wal::record::Record;
use tsdb::wal::{
    CheckpointRequest, Compression, PAGE_BYTES, WalError, WalReader, last_checkpoint,
    list_segments, repair,
};

use super::blocks::put;
use crate::seeds;

const DIR: &str = "/tenant";

pub(super) fn record(data: &[u8]) {
    let _ = walk(data);
}

/// Reads every item of a record; how many.
fn walk(data: &[u8]) -> Option<usize> {
    fn all<T, E>(mut items: impl Iterator<Item = Result<T, E>>) -> Option<usize> {
        items.try_fold(0, |count, item| item.ok().map(|_| count + 1))
    }
    let count = match Record::decode(data).ok()? {
        Record::Series(mut items) => {
            let mut count = 0;
            while let Some(item) = items.next_item() {
                assert!(item.ok()?.labels.len() <= data.len());
                count += 1;
            }
            Some(count)
        }
        Record::Exemplars(mut items) => {
            let mut count = 0;
            while let Some(item) = items.next_item() {
                assert!(item.ok()?.labels.len() <= data.len());
                count += 1;
            }
            Some(count)
        }
        Record::Samples(items) => all(items),
        Record::Tombstones(items) => all(items),
        Record::MmapMarkers(items) => all(items),
        Record::Metadata(items) => all(items),
        Record::Histograms(items) => all(items),
        Record::FloatHistograms(items) => all(items),
        Record::Unknown(_) => None,
    };
    assert!(count.unwrap_or(0) <= data.len());
    count
}

/// The log of a tenant with `data` as its first segment, or first two.
fn log(data: &[u8], segments: usize) -> SharedFs {
    let fs: SharedFs = Arc::new(FaultFs::new());
    let cut = if segments == 2 { data.len() / 2 } else { data.len() };
    let dir = Path::new(DIR).join("wal");
    put(&*fs, &dir.join("00000000"), &data[..cut]);
    if segments == 2 {
        put(&*fs, &dir.join("00000001"), &data[cut..]);
    }
    fs
}

/// All records, and the damage that ended the reading.
fn records(fs: &SharedFs, dir: &Path) -> (Vec<Vec<u8>>, Option<WalError>) {
    let mut records = Vec::new();
    let mut reader = match list_segments(fs, dir) {
        Ok(segments) => WalReader::new(fs.clone(), segments),
        Err(error) => return (records, Some(error)),
    };
    loop {
        match reader.next_record() {
            Ok(Some(record)) => records.push(record.to_vec()),
            Ok(None) => return (records, None),
            Err(error) => return (records, Some(error)),
        }
    }
}

pub(super) fn segment(data: &[u8]) {
    let fs = log(data, 1);
    let dir = Path::new(DIR).join("wal");
    let (before, damage) = records(&fs, &dir);
    for record in &before {
        walk(record);
    }
    let Some(WalError::Corrupt(corruption)) = damage else { return };
    repair(&fs, &corruption).expect("a file system in memory");
    let (after, damage) = records(&fs, &dir);
    assert!(damage.is_none(), "damage after the repair: {damage:?}");
    assert_eq!(before, after, "the repair took or made records");
}

pub(super) fn checkpoint(data: &[u8]) {
    let fs = log(data, 2);
    let dir = Path::new(DIR).join("wal");
    let request = CheckpointRequest {
        dir: &dir,
        last_segment: 1,
        mint: 1_000,
        compression: Compression::None,
        segment_bytes: 4 * PAGE_BYTES as u64,
    };
    if tsdb::wal::checkpoint(&fs, request, &mut |series| series % 7 != 0).is_err() {
        return;
    }
    let made = last_checkpoint(&fs, &dir).expect("a file system in memory").expect("it was made");
    let (_, damage) = records(&fs, &made.path);
    assert!(damage.is_none(), "a checkpoint cannot be read: {damage:?}");
}

/// A restart with `data` as the log, cut into what a first byte says.
pub(super) fn replay(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let fs = log(data, 1 + usize::from(kind & 1));
    if kind & 2 != 0 {
        let chunks = Path::new(DIR).join("chunks_head/000001");
        put(&*fs, &chunks, &data[data.len() / 3..]);
    }
    // The first start repairs, so the second one must find nothing wrong and the same samples.
    let Some((first, _)) = restart(&fs) else { return };
    let Some((second, damage)) = restart(&fs) else { panic!("the second start fails") };
    assert!(damage.is_empty(), "damage again: {damage:?}");
    assert_eq!(first, second, "a restart changes what is there");
}

/// A restart with `data` as the log of samples that came out of order, in one segment or two, and
/// as a file of head chunks where a first byte says so.
pub(super) fn wbl(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let fs: SharedFs = Arc::new(FaultFs::new());
    let dir = Path::new(DIR);
    put(&*fs, &dir.join("wal/00000000"), &seeds::framed_log(&seeds::late_series()));
    let cut = if kind & 1 == 0 { data.len() } else { data.len() / 2 };
    put(&*fs, &dir.join("wbl/00000000"), &data[..cut]);
    if kind & 1 != 0 {
        put(&*fs, &dir.join("wbl/00000001"), &data[cut..]);
    }
    if kind & 2 != 0 {
        put(&*fs, &dir.join("chunks_head/000001"), &data[data.len() / 3..]);
    }
    let (first, _) = restart(&fs).expect("damage is cut off");
    let (second, damage) = restart(&fs).expect("the second start");
    assert!(damage.is_empty(), "damage again: {damage:?}");
    assert_eq!(first, second, "a restart changes what is there");
}

/// A start with `data` as a snapshot of the head: whatever is in it, the second start has the same.
pub(super) fn snapshot(data: &[u8]) {
    let fs: SharedFs = Arc::new(FaultFs::new());
    let snapshot = Path::new(DIR).join("chunk_snapshot.000000.0000000000");
    put(&*fs, &snapshot.join("00000000"), data);
    let Some((first, _)) = restart(&fs) else { return };
    let Some((second, _)) = restart(&fs) else { panic!("the second start fails") };
    assert_eq!(first, second, "a restart changes what is there");
}

type Found = Vec<(String, Vec<(i64, u64)>, Vec<i64>)>;

/// Starts, reads everything, and stops.
fn restart(fs: &SharedFs) -> Option<(Found, Vec<String>)> {
    let env = DbEnv {
        clock: Arc::new(ManualClock::new(1_000_000)),
        random: Arc::new(SeededRandom::new(1)),
        executor: Arc::new(Inline),
        fs: fs.clone(),
        hasher: SeriesHasher::new(7),
    };
    let options = DbOptions { shards: 4, ..DbOptions::default() };
    let db = Db::open(Path::new(DIR), options, env).ok()?;
    let range = TimeRange::new(i64::MIN, i64::MAX);
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(range, &context).expect("the head can be read");
    let any = Matcher::new(model::MatchOp::Regex, "__name__", ".*").expect("a valid pattern");
    let mut set = querier.select(&[any], &SelectHints::default()).expect("the head can be read");
    let mut found = Vec::new();
    while let Ok(Some(mut entry)) = set.next_series() {
        let mut samples = SampleBuffer::default();
        if entry.samples.read_all(&mut samples).is_err() {
            continue;
        }
        let values = samples.float_values.iter().map(|v| v.to_bits());
        let floats = samples.float_times.iter().copied().zip(values).collect();
        found.push((format!("{:?}", entry.labels), floats, samples.histogram_times));
    }
    drop(set);
    drop(querier);
    let damage = db.replay_report().damage.clone();
    db.close().expect("a file system in memory");
    Some((found, damage))
}

pub(super) fn head_chunks(data: &[u8]) {
    let fs: SharedFs = Arc::new(FaultFs::new());
    let dir = Path::new(DIR).join("chunks_head");
    put(&*fs, &dir.join("000001"), data);
    let read = || {
        let files = HeadChunks::open(fs.clone(), &dir, DEFAULT_FILE_BYTES).ok()?;
        let (bytes, mut refs) = (AtomicU64::new(0), Vec::new());
        let outcome = files.replay(&mut |disk_ref, chunk| {
            bytes.fetch_add(chunk.data.len() as u64, Ordering::Relaxed);
            refs.push((disk_ref, chunk.series_ref, chunk.data.to_vec()));
            Ok(())
        });
        let outcome = outcome.expect("a file system in memory");
        for (disk_ref, series_ref, data) in &refs {
            let same = files.read(*disk_ref, |c| c.series_ref == *series_ref && c.data == *data);
            assert!(same.is_ok_and(|same| same), "a chunk is not where the replay found it");
        }
        assert!(bytes.into_inner() <= data.len() as u64);
        Some((refs, outcome.damage.is_some()))
    };
    let Some((first, _)) = read() else { return };
    let (second, damaged) = read().expect("it could be opened before");
    assert!(!damaged, "damage after it was cut off");
    assert_eq!(first, second);
}
