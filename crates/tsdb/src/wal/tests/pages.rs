//! Pages and segments: borders, cuts, numbers.

use proptest::prelude::*;

use super::super::page::{fits, frame, padding};
use super::*;

/// Lengths that matter: tiny ones, and those that end near the border of one or two pages.
fn length() -> impl Strategy<Value = usize> {
    const USABLE: usize = PAGE_BYTES - RECORD_HEADER_BYTES;
    prop_oneof![
        4 => 1usize..40,
        2 => 1usize..3000,
        1 => USABLE - 60..USABLE + 10,
        1 => 2 * USABLE - 10..2 * USABLE + 10,
        1 => 1usize..200_000,
    ]
}

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::None), Just(Compression::Snappy), Just(Compression::Zstd)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_logged_is_read(
        groups in prop::collection::vec(prop::collection::vec(length(), 1..5), 1..12),
        compression in compression(),
        segment_pages in 1u64..5,
    ) {
        let fs = FaultFs::new();
        let segment_bytes = segment_pages * PAGE_BYTES as u64;
        let wal = open(&fs, WalOptions { segment_bytes, compression, fsync: FsyncPolicy::Never });
        let (mut expected, mut scratch) = (Vec::new(), LogScratch::default());
        for (g, lengths) in groups.iter().enumerate() {
            let records: Vec<_> = lengths.iter().map(|&n| numbered(g as u32, n)).collect();
            let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            wal.log(&mut scratch, &slices).unwrap();
            expected.extend(records);
        }
        prop_assert_eq!(read_intact(&fs), expected);
    }

    /// The sum of what a record takes says whether it fits, for every start.
    #[test]
    fn a_record_fits_when_it_ends_in_the_segment(
        start in 0u64..3 * PAGE_BYTES as u64,
        length in length(),
        pages in 1u64..5,
    ) {
        // A record begins where a header has room.
        let start = if (1..RECORD_HEADER_BYTES).contains(&padding(start)) {
            start + padding(start) as u64
        } else {
            start
        };
        let mut out = Vec::new();
        let data = vec![1; length];
        frame(&mut out, start, page::Payload { flags: 0, data: &data });
        let segment_bytes = pages * PAGE_BYTES as u64;
        prop_assume!(start < segment_bytes);
        let ends_inside = start + out.len() as u64 <= segment_bytes;
        prop_assert_eq!(fits(start, length, segment_bytes), ends_inside);
    }
}

#[test]
fn a_record_without_bytes_is_not_written() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    wal.log(&mut LogScratch::default(), &[b"", b"a", b""]).unwrap();
    wal.log(&mut LogScratch::default(), &[b""]).unwrap();
    wal.log(&mut LogScratch::default(), &[]).unwrap();
    assert_eq!(read_intact(&fs), [b"a".to_vec()]);
    assert_eq!(fs.counts().writes, 1);
}

#[test]
fn a_record_never_crosses_segments() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    for number in 0..4 {
        log(&wal, &numbered(number, 40_000)).unwrap();
    }
    // Longer than a segment: it makes one that is longer than usual.
    log(&wal, &numbered(9, 200_000)).unwrap();
    log(&wal, &numbered(10, 1)).unwrap();
    let segments = list_segments(&shared(&fs), Path::new(DIR)).unwrap();
    let lengths: Vec<_> = segments.iter().map(|s| s.length).collect();
    let last = 4 + RECORD_HEADER_BYTES as u64;
    assert_eq!(lengths[..4], [SMALL_SEGMENT; 4]);
    assert!(lengths[4] > SMALL_SEGMENT && lengths[5] == last, "{lengths:?}");
    assert_eq!(read_intact(&fs).len(), 6);
    assert_eq!(wal.current_segment(), 5);
    assert_eq!(wal.stats().disk_bytes.load(Ordering::Relaxed), lengths.iter().sum::<u64>());
}

#[test]
fn a_new_process_begins_a_new_segment() {
    let fs = FaultFs::new();
    log(&open(&fs, options(FsyncPolicy::Never)), b"one").unwrap();
    let wal = open(&fs, options(FsyncPolicy::Never));
    log(&wal, b"two").unwrap();
    assert_eq!(wal.current_segment(), 1);
    assert_eq!(read_intact(&fs), [b"one".to_vec(), b"two".to_vec()]);
}

#[test]
fn cuts_and_truncations_keep_the_current_segment() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Interval(1000)));
    assert_eq!(wal.cut_segment().unwrap(), 0, "an empty segment is not cut");
    for number in 0..3 {
        log(&wal, &numbered(number, 4)).unwrap();
        assert_eq!(wal.cut_segment().unwrap(), u64::from(number) + 1);
    }
    log(&wal, &numbered(3, 4)).unwrap();
    assert_eq!(wal.truncate(2).unwrap(), 2);
    assert_eq!(read_intact(&fs), [numbered(2, 4), numbered(3, 4)]);
    assert_eq!(wal.truncate(u64::MAX).unwrap(), 1);
    assert_eq!(read_intact(&fs), [numbered(3, 4)]);
    let (syncs, bytes) = (fs.counts().syncs, &wal.stats().disk_bytes);
    assert_eq!(bytes.load(Ordering::Relaxed), 4 + RECORD_HEADER_BYTES as u64);
    wal.sync().unwrap();
    assert_eq!(fs.counts().syncs, syncs + 4, "the finished segments, then the current one");
    wal.sync().unwrap();
    assert_eq!(fs.counts().syncs, syncs + 4, "nothing new, nothing to do");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let fs = shared(&FaultFs::new());
    for segment_bytes in [0, 1, PAGE_BYTES as u64 + 1] {
        let options = WalOptions { segment_bytes, ..WalOptions::default() };
        let refused = Wal::open(fs.clone(), Path::new(DIR), options);
        assert!(matches!(refused, Err(WalError::Invalid(_))));
    }
}
