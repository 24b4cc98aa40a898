//! Tests of the log, by what they do to it.

mod checkpoint;
mod crash;
mod damage;
mod group;
mod pages;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::*;
use crate::fs::{FaultFs, SharedFs};

/// The directory of the log under test.
const DIR: &str = "wal";

/// Two pages, so that little data gives many segments.
const SMALL_SEGMENT: u64 = 2 * PAGE_BYTES as u64;

fn options(fsync: FsyncPolicy) -> WalOptions {
    WalOptions { segment_bytes: SMALL_SEGMENT, compression: Compression::None, fsync }
}

fn shared(fs: &FaultFs) -> SharedFs {
    Arc::new(fs.clone())
}

fn open(fs: &FaultFs, options: WalOptions) -> Wal {
    Wal::open(shared(fs), Path::new(DIR), options).unwrap()
}

fn log(wal: &Wal, record: &[u8]) -> Result<(), WalError> {
    wal.log(&mut LogScratch::default(), &[record])
}

/// The records that a restart finds, and the damage that it stops at.
fn read(fs: &FaultFs) -> (Vec<Vec<u8>>, Option<Corruption>) {
    let mut reader = WalReader::replay(shared(fs), Path::new(DIR)).unwrap();
    let mut records = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => records.push(record.to_vec()),
            Ok(None) => return (records, None),
            Err(WalError::Corrupt(corruption)) => return (records, Some(corruption)),
            Err(other) => panic!("{other}"),
        }
    }
}

/// The records that a restart finds in a log that must be intact.
fn read_intact(fs: &FaultFs) -> Vec<Vec<u8>> {
    let (records, damage) = read(fs);
    assert_eq!(damage, None);
    records
}

/// What a restart does: reads, and repairs what it met.
fn recover(fs: &FaultFs) -> Vec<Vec<u8>> {
    repair_gap(&shared(fs), Path::new(DIR)).unwrap();
    let (records, damage) = read(fs);
    if let Some(damage) = damage {
        repair(&shared(fs), &damage).unwrap();
        assert_eq!(read_intact(fs), records);
    }
    records
}

/// A record that says who wrote it and is `length` bytes long, or a little longer.
fn numbered(number: u32, length: usize) -> Vec<u8> {
    let bytes = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
    let mut record = number.to_be_bytes().to_vec();
    if length > 4 {
        record.extend(bytes.repeat(length / 4));
        record.truncate(length);
    }
    record
}
