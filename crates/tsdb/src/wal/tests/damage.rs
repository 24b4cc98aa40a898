//! Bytes that broke on the way: nothing panics, nothing before the damage is lost.

use model::Random;
use model::env::SeededRandom;

use super::*;

/// A log over several segments and compressions, and its records.
fn written(seed: u64) -> (FaultFs, Vec<Vec<u8>>) {
    let (fs, random) = (FaultFs::new(), SeededRandom::new(seed));
    let mut records = Vec::new();
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let wal = open(&fs, WalOptions { compression, ..options(FsyncPolicy::Never) });
        for _ in 0..8 {
            let record = numbered(records.len() as u32, random.below(25_000) as usize);
            log(&wal, &record).unwrap();
            records.push(record);
        }
    }
    (fs, records)
}

fn path(segment: u64) -> PathBuf {
    Path::new(DIR).join(segment_name(segment))
}

/// Damages a random place of a random segment. Returns the segment.
fn damage(fs: &FaultFs, random: &SeededRandom) -> u64 {
    let segments = list_segments(&shared(fs), Path::new(DIR)).unwrap();
    let segment = &segments[random.below(segments.len() as u64) as usize];
    fs.corrupt(&segment.path, |bytes| {
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => bytes[at..].fill(0),
            _ => bytes[at..].iter_mut().for_each(|b| *b = random.next_u64() as u8),
        }
    });
    segment.number
}

/// Where the first record of `segment` is among all.
fn first_of(fs: &FaultFs, segment: u64) -> usize {
    let segments = list_segments(&shared(fs), Path::new(DIR)).unwrap();
    let before = segments.into_iter().filter(|s| s.number < segment).collect();
    let mut reader = WalReader::new(shared(fs), before);
    let mut count = 0;
    while reader.next_record().unwrap().is_some() {
        count += 1;
    }
    count
}

#[test]
fn damage_loses_only_what_is_behind_it() {
    for seed in 0..60 {
        let (fs, records) = written(seed);
        let random = SeededRandom::new(seed + 1_000_000);
        let segment = damage(&fs, &random);
        let safe = first_of(&fs, segment);
        let (found, damage) = read(&fs);
        assert!(found.len() >= safe, "seed {seed}");
        match damage {
            Some(damage) => {
                assert_eq!(found[..], records[..found.len()], "seed {seed}");
                check_repair(&fs, &damage, &found);
            }
            // Cut off between two records, or zeros from there: the rest is simply not there.
            None => assert!(is_subsequence(&found, &records), "seed {seed}"),
        }
    }
}

fn is_subsequence(found: &[Vec<u8>], records: &[Vec<u8>]) -> bool {
    let mut rest = records.iter();
    found.iter().all(|record| rest.any(|r| r == record))
}

/// After a repair the log is whole, can be written to, and the damaged bytes are still there.
fn check_repair(fs: &FaultFs, damage: &Corruption, found: &[Vec<u8>]) {
    let before = list_segments(&shared(fs), Path::new(DIR)).unwrap();
    let outcome = repair(&shared(fs), damage).unwrap();
    assert_eq!(read_intact(fs), found);
    let later = before.iter().filter(|s| s.number > damage.segment).count();
    assert_eq!(outcome.dropped_segments, later);
    let is_torn = damage.kind == CorruptionKind::TornRecord;
    assert_eq!(outcome.set_aside.len(), later + usize::from(!is_torn));
    log(&open(fs, options(FsyncPolicy::Never)), b"and on").unwrap();
    let mut expected = found.to_vec();
    expected.push(b"and on".to_vec());
    assert_eq!(read_intact(fs), expected);
}

#[test]
fn a_gap_ends_the_log() {
    let fs = FaultFs::new();
    for number in 0..5u8 {
        log(&open(&fs, options(FsyncPolicy::Never)), &[number]).unwrap();
    }
    let segments = |fs: &FaultFs| {
        let listed = list_segments(&shared(fs), Path::new(DIR));
        listed.map(|all| all.iter().map(|s| s.number).collect::<Vec<_>>())
    };
    assert_eq!(repair_gap(&shared(&fs), Path::new(DIR)).unwrap(), None);
    shared(&fs).remove_file(&path(2)).unwrap();
    assert!(matches!(segments(&fs), Err(WalError::Invalid(_))));
    let gap = repair_gap(&shared(&fs), Path::new(DIR)).unwrap().unwrap();
    assert_eq!(gap.missing, path(2));
    let aside = [4, 3].map(|number| path(number).with_extension("corrupt"));
    assert_eq!(gap.set_aside, aside);
    let text = "segment wal/00000002 is missing: the log ends before it; behind it were, now kept \
                as wal/00000004.corrupt, wal/00000003.corrupt";
    assert_eq!(gap.to_string(), text);
    assert_eq!(read_intact(&fs), [vec![0], vec![1]]);
    assert!(shared(&fs).read(&aside[0]).unwrap().contains(&4), "nothing is thrown away");
    assert_eq!(repair_gap(&shared(&fs), Path::new(DIR)).unwrap(), None);
    log(&open(&fs, options(FsyncPolicy::Never)), b"and on").unwrap();
    assert_eq!(segments(&fs).unwrap(), [0, 1, 2]);
}

/// What a checkpoint covers may be missing; the first segment behind it may not.
#[test]
fn a_gap_behind_a_checkpoint_ends_the_log() {
    let fs = FaultFs::new();
    for number in 0..5 {
        let mut samples = record::SamplesEncoder::default();
        samples.push(number, 7, 1.0);
        log(&open(&fs, options(FsyncPolicy::Never)), samples.record()).unwrap();
    }
    let request = CheckpointRequest {
        dir: Path::new(DIR),
        last_segment: 2,
        mint: 0,
        compression: Compression::None,
        segment_bytes: SMALL_SEGMENT,
    };
    checkpoint(&shared(&fs), request, &mut |_| true).unwrap();
    shared(&fs).remove_file(&path(1)).unwrap();
    assert_eq!(repair_gap(&shared(&fs), Path::new(DIR)).unwrap(), None);
    for number in [0, 2, 3] {
        shared(&fs).remove_file(&path(number)).unwrap();
    }
    let gap = repair_gap(&shared(&fs), Path::new(DIR)).unwrap().unwrap();
    assert_eq!((gap.missing, gap.set_aside.len()), (path(3), 1));
    assert_eq!(read_intact(&fs).len(), 3, "what the checkpoint has");
}

#[test]
fn a_torn_tail_costs_only_the_torn_record() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    log(&wal, b"one").unwrap();
    log(&wal, &numbered(2, 1000)).unwrap();
    for cut in 1..1000 + RECORD_HEADER_BYTES {
        fs.corrupt(&path(0), |bytes| bytes.truncate(10 + 1007 - cut));
        let (found, damage) = read(&fs);
        assert_eq!(found, [b"one".to_vec()]);
        let kind = damage.map(|d| (d.kind, d.offset));
        // One byte of a header that is zero is as good as nothing.
        assert!(
            kind == Some((CorruptionKind::TornRecord, 10)) || (cut == 1007 && kind.is_none()),
            "{cut}: {kind:?}"
        );
    }
}

#[test]
fn a_hole_within_a_record_is_damage() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    log(&wal, &numbered(1, 100)).unwrap();
    log(&wal, &numbered(2, 60_000)).unwrap();
    // The end of the first page and the start of the second never reached the device.
    fs.corrupt(&path(0), |bytes| bytes[PAGE_BYTES..PAGE_BYTES + 4096].fill(0));
    let (found, damage) = read(&fs);
    assert_eq!(found, [numbered(1, 100)]);
    assert_eq!(damage.map(|d| d.offset), Some(107));
}

#[test]
fn a_damaged_checkpoint_keeps_the_segments_after_it() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    for number in 0..4 {
        let mut samples = record::SamplesEncoder::default();
        (0..100).for_each(|i| samples.push(number, i, 1.0));
        log(&wal, samples.record()).unwrap();
    }
    wal.cut_segment().unwrap();
    log(&wal, b"\x00after").unwrap();
    let request = CheckpointRequest {
        dir: Path::new(DIR),
        last_segment: 0,
        mint: 0,
        compression: Compression::None,
        segment_bytes: SMALL_SEGMENT,
    };
    checkpoint(&shared(&fs), request, &mut |_| true).unwrap();
    wal.truncate(1).unwrap();
    let intact = read_intact(&fs);
    fs.corrupt(&Path::new(DIR).join("checkpoint.00000000/00000000"), |bytes| bytes[2000] ^= 1);
    let (found, damage) = read(&fs);
    assert!(!found.is_empty() && found.len() < 4);
    repair(&shared(&fs), &damage.unwrap()).unwrap();
    let repaired = read_intact(&fs);
    assert_eq!(repaired[..found.len()], intact[..found.len()]);
    assert_eq!(repaired.last(), intact.last());
}

#[test]
fn a_full_disk_does_not_stop_a_repair() {
    let (fs, records) = written(1);
    fs.corrupt(&path(0), |bytes| bytes[5000] ^= 1);
    fs.set_free_bytes(Some(0));
    let (found, damage) = read(&fs);
    let outcome = repair(&shared(&fs), &damage.unwrap()).unwrap();
    assert!(outcome.set_aside.iter().all(|p| !p.ends_with("00000000.corrupt")));
    assert_eq!(read_intact(&fs), records[..found.len()]);
}
