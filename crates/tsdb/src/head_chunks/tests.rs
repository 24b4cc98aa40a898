//! Tests of head chunk files: round trips, damage, full disks, truncation.

use model::Random;
use model::env::SeededRandom;

use super::*;
use crate::fs::{Crash, FaultFs, FileSystem, OsFs};

const DIR: &str = "chunks_head";

fn open(fs: &FaultFs, max_file_bytes: u64) -> HeadChunks {
    HeadChunks::open(Arc::new(fs.clone()), Path::new(DIR), max_file_bytes).unwrap()
}

fn chunk(number: u64, data: &[u8]) -> HeadChunk<'_> {
    HeadChunk {
        series_ref: number,
        mint: number.cast_signed() * 10,
        maxt_incl: number.cast_signed() * 10 + 9,
        encoding: 1,
        is_out_of_order: number.is_multiple_of(3),
        data,
    }
}

/// Data that tells chunks apart.
fn data(number: u64) -> Vec<u8> {
    (0..20 + number % 50).map(|i| (i * 7 + number) as u8).collect()
}

fn write(chunks: &HeadChunks, numbers: std::ops::Range<u64>) -> Vec<ChunkDiskRef> {
    numbers.map(|n| chunks.write(chunk(n, &data(n))).unwrap()).collect()
}

/// The numbers of the chunks that a restart finds; each must be what was written.
fn replay(chunks: &HeadChunks) -> (Vec<u64>, ReplayOutcome) {
    let mut found = Vec::new();
    let outcome = chunks.replay(&mut |disk_ref, c| {
        assert_eq!(c, chunk(c.series_ref, &data(c.series_ref)));
        chunks.read(disk_ref, |again| assert_eq!(again, c)).unwrap();
        found.push(c.series_ref);
        Ok(())
    });
    (found, outcome.unwrap())
}

#[test]
fn chunks_are_read_at_once_and_after_a_restart() {
    let fs = FaultFs::new();
    let chunks = open(&fs, 1000);
    for (number, disk_ref) in (1..).zip(write(&chunks, 1..101)) {
        chunks.read(disk_ref, |c| assert_eq!(c, chunk(number, &data(number)))).unwrap();
    }
    assert!(chunks.file_count() > 5);
    let again = open(&fs, 1000);
    let (found, outcome) = replay(&again);
    assert_eq!(found, (1..101).collect::<Vec<_>>());
    assert!(outcome.damage.is_none() && outcome.chunks == 100);
    // A new process never continues a file.
    let first_new = again.write(chunk(101, &data(101))).unwrap();
    assert_eq!(first_new, ChunkDiskRef::new(chunks.file_count() as u32 + 1, 8));
}

#[test]
fn the_real_file_system_maps_what_is_being_written() {
    let root = tempfile::tempdir().unwrap();
    let chunks = HeadChunks::open(OsFs::shared(), root.path(), 1 << 20).unwrap();
    for (number, disk_ref) in (1..).zip(write(&chunks, 1..30_001)) {
        chunks.read(disk_ref, |c| assert_eq!(c, chunk(number, &data(number)))).unwrap();
    }
    assert!(chunks.file_count() > 1);
    let again = HeadChunks::open(OsFs::shared(), root.path(), 1 << 20).unwrap();
    assert_eq!(replay(&again).0.len(), 30_000);
    let bytes: u64 = OsFs.read_dir(root.path()).unwrap().iter().map(|e| e.metadata.length).sum();
    assert_eq!(again.byte_len(), bytes);
}

#[test]
fn references_that_lead_nowhere_are_errors() {
    let fs = FaultFs::new();
    let chunks = open(&fs, 1000);
    let disk_ref = write(&chunks, 1..2)[0];
    for wrong in [
        ChunkDiskRef::new(7, 8),
        ChunkDiskRef::new(disk_ref.file(), 0),
        ChunkDiskRef::new(disk_ref.file(), disk_ref.offset() + 1),
        ChunkDiskRef::new(disk_ref.file(), 5000),
    ] {
        assert!(chunks.read(wrong, |_| ()).is_err(), "{wrong:?}");
    }
}

#[test]
fn damage_cuts_off_what_is_behind_it() {
    for seed in 0..100 {
        let (fs, random) = (FaultFs::new(), SeededRandom::new(seed));
        let chunks = open(&fs, 1000);
        write(&chunks, 1..60);
        let files = chunks.file_count() as u64;
        let path = Path::new(DIR).join(format!("{:06}", 1 + random.below(files)));
        fs.corrupt(&path, |bytes| {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(3) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes.truncate(at),
                _ => bytes[at..].iter_mut().for_each(|b| *b = random.next_u64() as u8),
            }
        });
        let again = open(&fs, 1000);
        let (found, outcome) = replay(&again);
        let expected: Vec<u64> = (1..60).collect();
        if outcome.damage.is_some() {
            assert_eq!(found[..], expected[..found.len()], "seed {seed}");
        } else {
            // Cut off between two chunks, or in a byte that says nothing.
            assert!(found.iter().all(|n| expected.contains(n)), "seed {seed}");
        }
        let (once_more, outcome) = replay(&open(&fs, 1000));
        assert!(outcome.damage.is_none(), "seed {seed}");
        assert_eq!(once_more, found, "seed {seed}");
    }
}

#[test]
fn an_objection_discards_everything() {
    let fs = FaultFs::new();
    write(&open(&fs, 1000), 1..60);
    let chunks = open(&fs, 1000);
    let objection = DecodeError::Invalid("out of order");
    let mut seen = 0;
    let outcome = chunks.replay(&mut |_, _| {
        seen += 1;
        if seen == 30 { Err(objection) } else { Ok(()) }
    });
    assert_eq!(outcome.unwrap().objection, Some(objection));
    assert_eq!((chunks.file_count(), fs.read_dir(Path::new(DIR)).unwrap().len()), (0, 0));
}

#[test]
fn unknown_encodings_are_left_out() {
    let fs = FaultFs::new();
    let chunks = open(&fs, 1000);
    let bytes = data(1);
    chunks.write(HeadChunk { encoding: 100, ..chunk(1, &bytes) }).unwrap();
    write(&chunks, 2..3);
    let (found, outcome) = replay(&open(&fs, 1000));
    assert_eq!((found, outcome.skipped), (vec![2], 1));
}

#[test]
fn files_go_when_all_their_chunks_are_old() {
    let fs = FaultFs::new();
    let chunks = open(&fs, 500);
    let refs = write(&chunks, 1..41);
    let files = chunks.file_count();
    // The time of the first chunk of the third file: what is before it is in the first two.
    let number = 1 + refs.iter().position(|r| r.file() == 3).unwrap() as i64;
    assert_eq!(chunks.truncate(number * 10 - 1, &|| u32::MAX).unwrap(), 1);
    assert_eq!(chunks.truncate(number * 10, &|| u32::MAX).unwrap(), 1);
    assert_eq!(chunks.file_count(), files - 2);
    assert!(chunks.read(refs[0], |_| ()).is_err());
    let new = chunks.write(chunk(41, &data(41))).unwrap();
    assert_eq!(new.file(), files as u32 + 1, "truncation ends the file that was written to");
    let again = open(&fs, 500);
    assert_eq!(
        again.truncate(i64::MAX, &|| u32::MAX).unwrap(),
        0,
        "nothing goes before it was looked at"
    );
    replay(&again);
    assert_eq!(again.truncate(i64::MAX, &|| u32::MAX).unwrap(), files - 1);
}

#[test]
fn a_full_disk_damages_nothing() {
    let fs = FaultFs::new();
    let chunks = open(&fs, 100_000);
    write(&chunks, 1..3);
    fs.set_free_bytes(Some(10));
    assert!(chunks.write(chunk(3, &data(3))).is_err());
    fs.set_free_bytes(None);
    fs.fail_writes(1);
    fs.fail_set_lens(1);
    assert!(chunks.write(chunk(3, &data(3))).is_err());
    write(&chunks, 4..6);
    fs.fail_creates(1);
    chunks.finish_file().unwrap();
    assert!(chunks.write(chunk(3, &data(3))).is_err());
    write(&chunks, 6..7);
    let (found, outcome) = replay(&open(&fs, 100_000));
    assert_eq!(found, [1, 2, 4, 5, 6]);
    assert!(outcome.damage.is_none());
}

#[test]
fn a_chunk_that_is_too_large_is_refused() {
    let chunks = open(&FaultFs::new(), 1000);
    assert!(matches!(chunks.write(chunk(1, &[0; 1000])), Err(TsdbError::TooLarge(_))));
    write(&chunks, 1..2);
}

#[test]
fn a_gap_is_an_error_and_an_unfinished_file_is_not() {
    let fs = FaultFs::new();
    write(&open(&fs, 500), 1..41);
    let last = fs.read_dir(Path::new(DIR)).unwrap().len();
    let path = |n: usize| Path::new(DIR).join(format!("{n:06}"));
    fs.create(&path(last + 1)).unwrap().set_len(8).unwrap();
    assert_eq!(open(&fs, 500).file_count(), last);
    fs.remove_file(&path(2)).unwrap();
    let opened = HeadChunks::open(Arc::new(fs), Path::new(DIR), 500);
    assert!(matches!(opened, Err(TsdbError::Invalid(_))));
}

#[test]
fn a_power_cut_leaves_whole_chunks() {
    for seed in 0..100 {
        let fs = FaultFs::new();
        let chunks = open(&fs, 3000);
        write(&chunks, 1..40);
        chunks.sync().unwrap();
        write(&chunks, 40..80);
        fs.sync_dir(Path::new(DIR)).unwrap();
        fs.crash(Crash::Random(seed));
        let (found, _) = replay(&open(&fs, 3000));
        assert!(found.iter().zip(1..).all(|(&a, b)| a == b), "seed {seed}");
    }
}
