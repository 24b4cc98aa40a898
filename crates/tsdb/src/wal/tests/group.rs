//! Many threads and one log.

use super::*;

/// A file system in memory that a test watches.
fn run_threads(wal: &Wal, threads: u32, records: u32) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mut scratch = LogScratch::default();
                for i in 0..records {
                    let record = numbered(thread << 16 | i, 4 + (i as usize * 37) % 900);
                    wal.log(&mut scratch, &[&record]).unwrap();
                }
            });
        }
    });
}

#[test]
fn every_thread_finds_its_records_in_order() {
    for compression in [Compression::None, Compression::Snappy] {
        let fs = FaultFs::new();
        let wal = open(&fs, WalOptions { compression, ..options(FsyncPolicy::Never) });
        run_threads(&wal, 8, 300);
        let mut next = [0; 8];
        for record in read_intact(&fs) {
            let number = u32::from_be_bytes(*record.first_chunk().unwrap());
            let (thread, i) = ((number >> 16) as usize, number & 0xffff);
            assert_eq!(record, numbered(number, 4 + (i as usize * 37) % 900));
            assert_eq!(i, next[thread]);
            next[thread] += 1;
        }
        assert_eq!(next, [300; 8]);
        assert_eq!(wal.stats().records.load(Ordering::Relaxed), 8 * 300);
    }
}

/// Starts `count` callers while the writer is held, and lets go when all wait.
fn log_together(wal: &Wal, count: u32) -> Vec<Result<(), WalError>> {
    std::thread::scope(|scope| {
        let held = wal.hold_writer();
        let callers: Vec<_> =
            (0..count).map(|i| scope.spawn(move || log(wal, &numbered(i, 100)))).collect();
        while wal.waiting_records() < count as usize {
            std::thread::yield_now();
        }
        drop(held);
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

#[test]
fn those_who_wait_share_one_write_and_one_sync() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Always));
    let before = fs.counts();
    assert!(log_together(&wal, 16).iter().all(Result::is_ok));
    let after = fs.counts();
    assert_eq!((after.writes - before.writes, after.syncs - before.syncs), (1, 1));
    assert_eq!(read_intact(&fs).len(), 16);
}

#[test]
fn those_who_wait_share_an_error() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    log(&wal, b"before").unwrap();
    fs.fail_writes(1);
    assert!(log_together(&wal, 5).iter().all(Result::is_err));
    log(&wal, b"after").unwrap();
    assert_eq!(read_intact(&fs), [b"before".to_vec(), b"after".to_vec()]);
}
