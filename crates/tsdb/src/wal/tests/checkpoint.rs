//! Checkpoints: what stays, what goes, and that a failure changes nothing.

use super::super::record::*;
use super::*;
use crate::fs::{Crash, exists};

fn request(last_segment: u64, mint: i64) -> CheckpointRequest<'static> {
    CheckpointRequest {
        dir: Path::new(DIR),
        last_segment,
        mint,
        compression: Compression::Snappy,
        segment_bytes: SMALL_SEGMENT,
    }
}

fn log_series(wal: &Wal, refs: std::ops::Range<u64>) {
    let mut encoder = SeriesEncoder::default();
    refs.for_each(|r| encoder.push(r, [("__name__", "up"), ("n", &*r.to_string())]));
    log(wal, encoder.record()).unwrap();
}

fn log_samples(wal: &Wal, times: impl IntoIterator<Item = i64>) {
    let mut encoder = SamplesEncoder::default();
    times.into_iter().for_each(|t| encoder.push(1, t, t as f64));
    log(wal, encoder.record()).unwrap();
}

/// What a log says, in words.
fn describe(fs: &FaultFs) -> Vec<String> {
    let mut lines = Vec::new();
    for record in read_intact(fs) {
        match Record::decode(&record).unwrap() {
            Record::Series(mut items) => {
                while let Some(series) = items.next_item() {
                    lines.push(format!("series {}", series.unwrap().series_ref));
                }
            }
            Record::Samples(items) => {
                lines.extend(items.map(|s| format!("sample {}", s.unwrap().t)));
            }
            Record::Histograms(items) => {
                lines.extend(items.map(|h| format!("histogram {}", h.unwrap().t)));
            }
            Record::FloatHistograms(items) => {
                lines.extend(items.map(|h| format!("float histogram {}", h.unwrap().t)));
            }
            Record::Tombstones(items) => {
                lines.extend(items.map(|t| format!("tombstone {}", t.unwrap().maxt_incl)));
            }
            Record::Exemplars(mut items) => {
                while let Some(e) = items.next_item() {
                    lines.push(format!("exemplar {}", e.unwrap().t));
                }
            }
            Record::Metadata(items) => lines.extend(items.map(|m| {
                let m = m.unwrap();
                format!("metadata {} {}", m.series_ref, m.help)
            })),
            Record::MmapMarkers(_) => lines.push("marker".to_owned()),
            Record::Unknown(n) => lines.push(format!("unknown {n}")),
        }
    }
    lines
}

/// One record of each type, with something that stays and something that goes for mint 100.
fn log_everything(wal: &Wal) {
    log_series(wal, 1..4);
    log_samples(wal, [99, 100, 101]);
    log_samples(wal, [1, 2]);
    let mut histograms = HistogramsEncoder::default();
    let mut floats = FloatHistogramsEncoder::default();
    for t in [50, 150] {
        for schema in [0, -53] {
            let histogram = model::Histogram { schema, ..Default::default() };
            histograms.push(1, t, &histogram);
            floats.push(1, t, &model::FloatHistogram { schema, ..Default::default() });
        }
    }
    let (mut tombstones, mut exemplars) =
        (TombstonesEncoder::default(), ExemplarsEncoder::default());
    tombstones.push(1, 0, 99);
    tombstones.push(1, 0, 100);
    exemplars.push(1, (99, 0.5), [("a", "b")]);
    exemplars.push(1, (100, 0.5), [("a", "b")]);
    let [a, b] = histograms.records();
    let [c, d] = floats.records();
    let records = [a, b, c, d, tombstones.record(), exemplars.record(), b"\xffunknown"];
    wal.log(&mut LogScratch::default(), &records).unwrap();
}

fn log_metadata(wal: &Wal, series_ref: u64, help: &str) {
    let mut encoder = MetadataEncoder::default();
    encoder.push(series_ref, MetricType::Gauge, "", help);
    log(wal, encoder.record()).unwrap();
}

#[test]
fn what_is_still_needed_stays() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    log_metadata(&wal, 1, "old");
    log_everything(&wal);
    for (series_ref, help) in [(2, "gone"), (3, "three"), (1, "new")] {
        log_metadata(&wal, series_ref, help);
    }
    wal.cut_segment().unwrap();
    log_samples(&wal, [7]);
    let stats = checkpoint(&shared(&fs), request(0, 100), &mut |r| r != 2).unwrap();
    wal.truncate(1).unwrap();
    let expected = [
        "series 1",
        "series 3",
        "sample 100",
        "sample 101",
        "histogram 150",
        "histogram 150",
        "float histogram 150",
        "float histogram 150",
        "tombstone 100",
        "exemplar 100",
        "metadata 1 new",
        "metadata 3 three",
        "sample 7",
    ];
    assert_eq!(describe(&fs), expected);
    assert_eq!((stats.series, stats.dropped_series), (2, 1));
    assert_eq!((stats.samples, stats.dropped_samples), (2, 3));
    assert_eq!((stats.histograms, stats.dropped_histograms), (4, 4));
    assert_eq!((stats.tombstones, stats.dropped_tombstones), (1, 1));
    assert_eq!((stats.exemplars, stats.dropped_exemplars), (1, 1));
    assert_eq!(stats.metadata, 2);
}

#[test]
fn a_checkpoint_covers_the_one_before() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    let mut last = 0;
    for round in 0..4 {
        log_series(&wal, round..round + 1);
        log_samples(&wal, [round as i64]);
        last = wal.cut_segment().unwrap();
        checkpoint(&shared(&fs), request(last - 1, 2), &mut |r| r != 1).unwrap();
        wal.truncate(last).unwrap();
        delete_checkpoints_before(&shared(&fs), Path::new(DIR), last - 1).unwrap();
    }
    let expected = ["series 0", "series 2", "sample 2", "series 3", "sample 3"];
    assert_eq!(describe(&fs), expected);
    let checkpoints = list_checkpoints(&shared(&fs), Path::new(DIR)).unwrap();
    let name = format!("checkpoint.{:08}", last - 1);
    assert_eq!(checkpoints.len(), 1);
    assert!(checkpoints[0].path.ends_with(name) && checkpoints[0].number == last - 1);
    // The same again has nothing to do.
    let again = checkpoint(&shared(&fs), request(last - 1, 2), &mut |_| false).unwrap();
    assert_eq!(again, CheckpointStats::default());
    assert_eq!(describe(&fs), expected);
}

#[test]
fn a_new_log_begins_after_the_checkpoint() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    log_series(&wal, 1..2);
    log_series(&wal, 2..3);
    wal.cut_segment().unwrap();
    checkpoint(&shared(&fs), request(0, 0), &mut |_| true).unwrap();
    for segment in list_segments(&shared(&fs), Path::new(DIR)).unwrap() {
        shared(&fs).remove_file(&segment.path).unwrap();
    }
    let wal = open(&fs, options(FsyncPolicy::Never));
    assert_eq!(wal.current_segment(), 1);
    log_samples(&wal, [1]);
    assert_eq!(describe(&fs), ["series 1", "series 2", "sample 1"]);
}

#[test]
fn a_checkpoint_that_fails_changes_nothing() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Always));
    log_everything(&wal);
    wal.cut_segment().unwrap();
    log_samples(&wal, [7]);
    let before = read_intact(&fs);
    let faults: [&dyn Fn(); 4] =
        [&|| fs.fail_writes(1), &|| fs.fail_syncs(1), &|| fs.fail_creates(1), &|| {
            fs.set_free_bytes(Some(10))
        }];
    for inject in faults {
        inject();
        assert!(checkpoint(&shared(&fs), request(0, 100), &mut |_| true).is_err());
        fs.set_free_bytes(None);
        assert_eq!(read_intact(&fs), before);
        assert_eq!(remove_leftovers(&shared(&fs), Path::new(DIR)).unwrap(), 0);
    }
    checkpoint(&shared(&fs), request(0, 100), &mut |_| true).unwrap();
}

#[test]
fn a_checkpoint_is_durable_before_its_segments_go() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Always));
    // More than one segment of checkpoint.
    for i in 0..8 {
        log_series(&wal, i * 1000..(i + 1) * 1000);
    }
    let last = wal.cut_segment().unwrap() - 1;
    checkpoint(&shared(&fs), request(last, 0), &mut |_| true).unwrap();
    fs.crash(Crash::LoseUnsynced);
    let wal = open(&fs, options(FsyncPolicy::Always));
    wal.truncate(last + 1).unwrap();
    assert_eq!(describe(&fs).len(), 8000);
}

#[test]
fn leftovers_are_deleted() {
    let fs = FaultFs::new();
    let left = Path::new(DIR).join("checkpoint.00000003.tmp");
    shared(&fs).create_dir_all(&left).unwrap();
    assert_eq!(last_checkpoint(&shared(&fs), Path::new(DIR)).unwrap(), None);
    assert_eq!(remove_leftovers(&shared(&fs), Path::new(DIR)).unwrap(), 1);
    assert!(!exists(&fs, &left).unwrap());
}

#[test]
fn a_record_that_makes_no_sense_stops_a_checkpoint() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    log(&wal, &[RecordType::Series as u8, 1, 2, 3]).unwrap();
    wal.cut_segment().unwrap();
    let error = checkpoint(&shared(&fs), request(0, 0), &mut |_| true).unwrap_err();
    assert!(
        matches!(&error, WalError::Corrupt(c) if c.kind == CorruptionKind::Record && c.offset == 0),
        "{error}"
    );
}

#[test]
fn records_with_start_timestamps_keep_them_when_a_part_stays() {
    let fs = FaultFs::new();
    let wal = open(&fs, options(FsyncPolicy::Never));
    // Type 11: reference 1 at 50 and at 150, start 40, values 0.
    let mut samples = vec![RecordType::SamplesV2 as u8, 2, 100, 80];
    samples.extend([0; 8]);
    samples.extend([0, 200, 1, 1]);
    samples.extend([0; 8]);
    log(&wal, &samples).unwrap();
    wal.cut_segment().unwrap();
    let stats = checkpoint(&shared(&fs), request(0, 100), &mut |_| true).unwrap();
    assert_eq!((stats.samples, stats.dropped_samples), (1, 1));
    wal.truncate(1).unwrap();
    let mut left = vec![RecordType::SamplesV2 as u8, 2, 172, 2, 80];
    left.extend([0; 8]);
    assert_eq!(read_intact(&fs), [left]);
}
