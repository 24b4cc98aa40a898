//! The promise: what was acknowledged is there after a crash, whatever fails before it.

use std::ops::ControlFlow;

use model::Random;
use model::env::SeededRandom;

use super::*;
use crate::fs::Crash;

#[test]
fn a_full_disk_costs_nothing_that_was_acknowledged() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    log(&wal, b"one").unwrap();
    fs.set_free_bytes(Some(50));
    let error = log(&wal, &numbered(2, 1000)).unwrap_err();
    assert!(error.is_storage_full(), "{error}");
    log(&wal, b"small enough").unwrap();
    assert!(log(&wal, &numbered(3, 100_000)).is_err(), "needs a new segment");
    fs.set_free_bytes(None);
    log(&wal, &numbered(4, 100_000)).unwrap();
    let expected = [b"one".to_vec(), b"small enough".to_vec(), numbered(4, 100_000)];
    assert_eq!(read_intact(&fs), expected);
    assert_eq!(wal.stats().failed_writes.load(Ordering::Relaxed), 2);
}

#[test]
fn a_log_that_cannot_be_cut_back_refuses_until_it_can() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    log(&wal, b"one").unwrap();
    fs.fail_writes(1);
    fs.fail_set_lens(2);
    assert!(log(&wal, &numbered(1, 500)).is_err());
    assert!(log(&wal, b"refused").is_err());
    log(&wal, b"two").unwrap();
    assert_eq!(read_intact(&fs), [b"one".to_vec(), b"two".to_vec()]);
}

#[test]
fn a_failed_sync_is_not_acknowledged() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Always));
    log(&wal, b"one").unwrap();
    fs.fail_syncs(1);
    assert!(log(&wal, b"lost").is_err());
    log(&wal, b"two").unwrap();
    fs.crash(Crash::LoseUnsynced);
    assert_eq!(read_intact(&fs), [b"one".to_vec(), b"two".to_vec()]);
}

#[test]
fn a_segment_that_cannot_be_created_is_tried_again() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    log(&wal, &numbered(1, 60_000)).unwrap();
    fs.fail_creates(1);
    assert!(log(&wal, &numbered(2, 60_000)).is_err());
    log(&wal, &numbered(3, 60_000)).unwrap();
    assert_eq!(read_intact(&fs), [numbered(1, 60_000), numbered(3, 60_000)]);
}

#[test]
fn an_unsynced_tail_costs_only_itself() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Interval(1000)));
    log(&wal, b"synced").unwrap();
    wal.sync().unwrap();
    log(&wal, &numbered(1, 20_000)).unwrap();
    fs.crash(Crash::LoseUnsynced);
    assert_eq!(recover(&fs), [b"synced".to_vec()]);
}

/// One life of a process: logs, faults, then a crash. What it was promised goes to
/// `acknowledged`, what may be there as well to `attempted`.
fn live(
    fs: &FaultFs,
    random: &SeededRandom,
    options: WalOptions,
    acknowledged: &mut Vec<Vec<u8>>,
) -> Vec<Vec<u8>> {
    let mut attempted = acknowledged.clone();
    let wal = open(fs, options);
    let mut scratch = LogScratch::default();
    for _ in 0..random.below(30) {
        inject(fs, random);
        let length = [10, 300, 9_000, 40_000, 100_000][random.below(5) as usize];
        let records: Vec<_> = (0..=random.below(3))
            .map(|_| numbered(attempted.len() as u32, random.below(length) as usize))
            .collect();
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let result = wal.log(&mut scratch, &slices);
        attempted.extend(records.iter().cloned());
        if result.is_ok() {
            acknowledged.extend(records);
        }
        if random.below(10) == 0 {
            let _ = wal.cut_segment();
        }
        if random.below(10) == 0 {
            let _ = wal.sync();
        }
    }
    attempted
}

fn inject(fs: &FaultFs, random: &SeededRandom) {
    match random.below(12) {
        0 => fs.fail_writes(1 + random.below(2) as u32),
        1 => fs.fail_syncs(1),
        2 => fs.fail_set_lens(1),
        3 => fs.fail_creates(1),
        4 => fs.set_free_bytes(Some(random.below(50_000))),
        5 | 6 => fs.set_free_bytes(None),
        _ => {}
    }
}

/// Whether all of `acknowledged` is in `found`, in order, and nothing that nobody wrote.
fn check(found: &[Vec<u8>], acknowledged: &[Vec<u8>], attempted: &[Vec<u8>]) -> Result<(), String> {
    let mut rest = found.iter();
    for record in acknowledged {
        if !rest.any(|r| r == record) {
            let number = u32::from_be_bytes(*record.first_chunk().unwrap());
            return Err(format!("acknowledged record {number} is missing"));
        }
    }
    let mut rest = attempted.iter();
    match found.iter().find(|record| !rest.any(|r| r == *record)) {
        Some(_) => Err("a record that nobody wrote".to_owned()),
        None => Ok(()),
    }
}

/// Several lives of a log with random faults, each ended by a crash.
fn many_lives(seed: u64, policy: FsyncPolicy, how: impl Fn(&SeededRandom) -> Crash) {
    let random = SeededRandom::new(seed);
    let fs = FaultFs::new();
    let compression = if seed.is_multiple_of(2) { Compression::None } else { Compression::Snappy };
    let options = WalOptions { compression, ..options(policy) };
    let mut acknowledged = Vec::new();
    for life in 0..4 {
        let attempted = live(&fs, &random, options, &mut acknowledged);
        fs.crash(how(&random));
        let found = recover(&fs);
        if let Err(reason) = check(&found, &acknowledged, &attempted) {
            panic!("seed {seed}, life {life}: {reason}");
        }
        // From here on everything that came back counts.
        acknowledged = found;
    }
}

#[test]
fn what_was_acknowledged_survives_the_process() {
    for seed in 0..20 {
        many_lives(seed, FsyncPolicy::Never, |_| Crash::Process);
        many_lives(seed, FsyncPolicy::Interval(1000), |_| Crash::Process);
    }
}

#[test]
fn what_was_synced_survives_the_machine() {
    for seed in 0..20 {
        many_lives(seed, FsyncPolicy::Always, |_| Crash::LoseUnsynced);
        many_lives(seed, FsyncPolicy::Always, |random| Crash::Random(random.next_u64()));
    }
}

/// What a sync covered is there even when everything after it is in pieces.
#[test]
fn an_interval_sync_covers_what_was_logged_before_it() {
    for seed in 0..40 {
        let (random, fs) = (SeededRandom::new(seed), FaultFs::new());
        let wal = open(&fs, options(FsyncPolicy::Interval(1000)));
        let mut synced = 0;
        let written: Vec<_> = (0..20).map(|i| numbered(i, random.below(20_000) as usize)).collect();
        let _ = written.iter().enumerate().try_for_each(|(i, record)| {
            log(&wal, record).unwrap();
            if random.below(4) == 0 {
                wal.sync().unwrap();
                synced = i + 1;
            }
            if random.below(20) == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        fs.crash(Crash::Random(seed));
        let found = recover(&fs);
        assert!(found.len() >= synced, "seed {seed}: {} of {synced}", found.len());
        assert_eq!(found[..synced], written[..synced], "seed {seed}");
    }
}

/// Processes that die one after the other before the machine does: what one of them has synced is
/// there whatever the ones before it left unsynced, and the log can always be opened again.
#[test]
fn a_sync_covers_what_earlier_processes_logged() {
    for seed in 0..300 {
        let (random, fs) = (SeededRandom::new(seed), FaultFs::new());
        let (mut written, mut synced) = (Vec::new(), 0);
        for _ in 0..8 {
            let wal = open(&fs, options(FsyncPolicy::Interval(1000)));
            for _ in 0..random.below(4) {
                let record = numbered(written.len() as u32, random.below(20_000) as usize);
                log(&wal, &record).unwrap();
                written.push(record);
                if random.below(4) == 0 {
                    wal.sync().unwrap();
                    synced = written.len();
                }
            }
            let is_process = random.below(4) > 0;
            fs.crash(if is_process { Crash::Process } else { Crash::Random(random.next_u64()) });
            let found = recover(&fs);
            let promised = if is_process { written.len() } else { synced };
            if let Err(reason) = check(&found, &written[..promised], &written) {
                panic!("seed {seed}: {reason}");
            }
            written = found;
            synced = if is_process { synced } else { written.len() };
        }
    }
}
