//! The log and the head chunk files against bytes that Prometheus wrote: records of all types,
//! whole logs in three compressions, a head chunk file. Both ways where this version writes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, Histogram, SampleBuffer, Span};
use serde_json::Value;
use tsdb::chunk::{ChunkEncoding, decode};
use tsdb::fs::{FaultFs, FileSystem, OsFs, SharedFs};
use tsdb::head_chunks::{DEFAULT_FILE_BYTES, HeadChunks};
use tsdb::wal::record::*;
use tsdb::wal::{Compression, FsyncPolicy, LogScratch, Wal, WalOptions, WalReader};

const BASE: i64 = 1_700_000_000_000;

/// The folder of the vectors; `None`, said loudly, where it is missing.
fn vectors() -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/tsdb-vectors");
    let root = PathBuf::from(root);
    if OsFs.metadata(&root).is_ok() {
        return Some(root);
    }
    eprintln!("SKIPPED: {} is missing", root.display());
    None
}

/// The input and the bytes of the record vector whose name starts with `name`.
fn record_vector(name: &str) -> Option<(Value, Vec<u8>)> {
    let text = OsFs.read(&vectors()?.join("vectors.json")).unwrap();
    let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let is_it = |v: &&Value| v["kind"] == "record" && v["name"].as_str().unwrap().starts_with(name);
    let vector = all.iter().find(is_it).unwrap_or_else(|| panic!("no vector {name}"));
    let hex = vector["hex"].as_str().unwrap();
    let bytes = (0..hex.len()).step_by(2);
    let bytes = bytes.map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    Some((vector["input"].clone(), bytes))
}

fn bits(value: &Value) -> f64 {
    f64::from_bits(u64::from_str_radix(value.as_str().unwrap(), 16).unwrap())
}

fn strings<T>(value: &Value, convert: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().map(|list| list.iter().map(convert).collect()).unwrap_or_default()
}

fn spans(value: &Value) -> Vec<Span> {
    strings(value, |span| Span {
        offset: span[0].as_i64().unwrap() as i32,
        length: span[1].as_u64().unwrap() as u32,
    })
}

fn integer_histogram(h: &Value) -> Histogram {
    Histogram {
        counter_reset_hint: CounterResetHint::from_number(h["hint"].as_u64().unwrap() as u8)
            .unwrap(),
        schema: h["schema"].as_i64().unwrap() as i32,
        zero_threshold: bits(&h["zero_threshold_bits"]),
        zero_count: h["zero_count"].as_u64().unwrap(),
        count: h["count"].as_u64().unwrap(),
        sum: bits(&h["sum_bits"]),
        positive_spans: spans(&h["pspans"]),
        negative_spans: spans(&h["nspans"]),
        positive_buckets: strings(&h["pdeltas"], |v| v.as_i64().unwrap()),
        negative_buckets: strings(&h["ndeltas"], |v| v.as_i64().unwrap()),
        custom_values: strings(&h["custom_values"], |v| v.as_f64().unwrap()).into(),
    }
}

fn float_histogram(h: &Value) -> FloatHistogram {
    FloatHistogram {
        counter_reset_hint: CounterResetHint::from_number(h["hint"].as_u64().unwrap() as u8)
            .unwrap(),
        schema: h["schema"].as_i64().unwrap() as i32,
        zero_threshold: bits(&h["zero_threshold_bits"]),
        zero_count: h["zero_count"].as_f64().unwrap(),
        count: h["count"].as_f64().unwrap(),
        sum: bits(&h["sum_bits"]),
        positive_spans: spans(&h["pspans"]),
        negative_spans: spans(&h["nspans"]),
        positive_buckets: strings(&h["pcounts"], |v| v.as_f64().unwrap()),
        negative_buckets: strings(&h["ncounts"], |v| v.as_f64().unwrap()),
        custom_values: strings(&h["custom_values"], |v| v.as_f64().unwrap()).into(),
    }
}

/// Reference, time, start time of an input object.
fn key(item: &Value) -> (u64, i64, i64) {
    (item["ref"].as_u64().unwrap(), item["t"].as_i64().unwrap(), item["st"].as_i64().unwrap())
}

#[test]
fn series() {
    let Some((input, hex)) = record_vector("series") else { return };
    let Ok(Record::Series(mut items)) = Record::decode(&hex) else { panic!() };
    let mut encoder = SeriesEncoder::default();
    for series in input.as_array().unwrap() {
        let labels: Vec<(&str, &str)> = series["labels"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let series_ref = series["ref"].as_u64().unwrap();
        let decoded = items.next_item().unwrap().unwrap();
        assert_eq!((decoded.series_ref, decoded.labels), (series_ref, &labels[..]));
        encoder.push(series_ref, labels);
    }
    assert!(items.next_item().is_none());
    assert_eq!(encoder.record(), hex);
}

fn decode_samples(hex: &[u8]) -> Vec<(u64, i64, i64, u64)> {
    let Ok(Record::Samples(items)) = Record::decode(hex) else { panic!() };
    items.map(Result::unwrap).map(|s| (s.series_ref, s.t, s.start_t, s.value.to_bits())).collect()
}

#[test]
fn samples() {
    let Some((input, hex)) = record_vector("samples_v1") else { return };
    let mut encoder = SamplesEncoder::default();
    let mut expected = Vec::new();
    for sample in input.as_array().unwrap() {
        let (series_ref, t, _) = key(sample);
        encoder.push(series_ref, t, bits(&sample["bits"]));
        expected.push((series_ref, t, 0, bits(&sample["bits"]).to_bits()));
    }
    assert_eq!(decode_samples(&hex), expected);
    assert_eq!(encoder.record(), hex);
}

#[test]
fn samples_with_start_timestamps() {
    let Some((input, hex)) = record_vector("samples_v2") else { return };
    let expected: Vec<_> = strings(&input, |sample| {
        let (series_ref, t, start_t) = key(sample);
        (series_ref, t, start_t, bits(&sample["bits"]).to_bits())
    });
    assert_eq!(decode_samples(&hex), expected);
    let mut encoder = SamplesV2Encoder::default();
    for (series_ref, t, start_t, value) in expected {
        encoder.push(series_ref, (t, start_t), f64::from_bits(value));
    }
    assert_eq!(encoder.record(), hex);
}

#[test]
fn tombstones() {
    let Some((_, hex)) = record_vector("tombstones") else { return };
    let expected = [(7, 1, 2), (7, 5, 9), (8, -5, 5)];
    let mut encoder = TombstonesEncoder::default();
    for (series_ref, mint, maxt) in expected {
        encoder.push(series_ref, mint, maxt);
    }
    assert_eq!(encoder.record(), hex);
    let Ok(Record::Tombstones(items)) = Record::decode(&hex) else { panic!() };
    let decoded: Vec<_> =
        items.map(Result::unwrap).map(|t| (t.series_ref, t.mint, t.maxt_incl)).collect();
    assert_eq!(decoded, expected);
}

#[test]
fn exemplars() {
    let Some((_, hex)) = record_vector("exemplars") else { return };
    let mut encoder = ExemplarsEncoder::default();
    encoder.push(3, (BASE, 1.5), [("trace_id", "abc")]);
    encoder.push(2, (BASE + 1, 2.0), []);
    assert_eq!(encoder.record(), hex);
    let Ok(Record::Exemplars(mut items)) = Record::decode(&hex) else { panic!() };
    let first = items.next_item().unwrap().unwrap();
    let expected =
        ExemplarRecord { series_ref: 3, t: BASE, value: 1.5, labels: &[("trace_id", "abc")] };
    assert_eq!(first, expected);
    let second = items.next_item().unwrap().unwrap();
    assert_eq!(second, ExemplarRecord { series_ref: 2, t: BASE + 1, value: 2.0, labels: &[] });
    assert!(items.next_item().is_none());
}

#[test]
fn mmap_markers() {
    let Some((_, hex)) = record_vector("mmap_markers") else { return };
    let mut encoder = MmapMarkersEncoder::default();
    encoder.push(3, 2 << 32 | 8);
    encoder.push(9, 0);
    assert_eq!(encoder.record(), hex);
    let Ok(Record::MmapMarkers(items)) = Record::decode(&hex) else { panic!() };
    let decoded: Vec<_> = items.map(Result::unwrap).map(|m| (m.series_ref, m.chunk_ref)).collect();
    assert_eq!(decoded, [(3, 2 << 32 | 8), (9, 0)]);
}

#[test]
fn metadata() {
    let Some((_, hex)) = record_vector("metadata") else { return };
    let mut encoder = MetadataEncoder::default();
    encoder.push(3, MetricType::Counter, "seconds", "H");
    encoder.push(4, MetricType::Unknown, "", "");
    assert_eq!(encoder.record(), hex);
    let Ok(Record::Metadata(items)) = Record::decode(&hex) else { panic!() };
    let decoded: Vec<_> =
        items.map(Result::unwrap).map(|m| (m.series_ref, m.metric_type, m.unit, m.help)).collect();
    let expected = [(3, MetricType::Counter, "seconds", "H"), (4, MetricType::Unknown, "", "")];
    assert_eq!(decoded, expected);
}

fn decode_histograms(hex: &[u8]) -> Vec<IntHistogramRecord> {
    let Ok(Record::Histograms(items)) = Record::decode(hex) else { panic!() };
    items.map(Result::unwrap).collect()
}

fn decode_float_histograms(hex: &[u8]) -> Vec<FloatHistogramRecord> {
    let Ok(Record::FloatHistograms(items)) = Record::decode(hex) else { panic!() };
    items.map(Result::unwrap).collect()
}

/// The records of the input, without start times where the layout has none.
fn expected_records<H>(
    input: &Value,
    has_start_times: bool,
    convert: impl Fn(&Value) -> H,
) -> Vec<HistogramRecord<H>> {
    strings(input, |item| {
        let (series_ref, t, start_t) = key(item);
        let start_t = if has_start_times { start_t } else { 0 };
        HistogramRecord { series_ref, t, start_t, histogram: convert(&item["h"]) }
    })
}

#[test]
fn histograms() {
    let Some((input, hex)) = record_vector("histogram_v1") else { return };
    let Some((_, custom_hex)) = record_vector("custom_buckets_histogram_v1") else { return };
    let expected = expected_records(&input, false, integer_histogram);
    let mut encoder = HistogramsEncoder::default();
    for h in &expected {
        encoder.push(h.series_ref, h.t, &h.histogram);
    }
    assert_eq!(encoder.records(), [&hex[..], &custom_hex[..]]);
    let (custom, exponential): (Vec<_>, Vec<_>) =
        expected.into_iter().partition(|h| h.histogram.schema == -53);
    assert_eq!(decode_histograms(&hex), exponential);
    assert_eq!(decode_histograms(&custom_hex), custom);
    let Some((input, hex)) = record_vector("histogram_v2") else { return };
    let expected = expected_records(&input, true, integer_histogram);
    assert_eq!(decode_histograms(&hex), expected);
    let mut encoder = HistogramsV2Encoder::default();
    for h in &expected {
        encoder.push(h.series_ref, (h.t, h.start_t), &h.histogram);
    }
    assert_eq!(encoder.record(), hex);
}

#[test]
fn float_histograms() {
    let Some((input, hex)) = record_vector("float_histogram_v1") else { return };
    let Some((_, custom_hex)) = record_vector("custom_buckets_float_histogram_v1") else {
        return;
    };
    let expected = expected_records(&input, false, float_histogram);
    let mut encoder = FloatHistogramsEncoder::default();
    for h in &expected {
        encoder.push(h.series_ref, h.t, &h.histogram);
    }
    assert_eq!(encoder.records(), [&hex[..], &custom_hex[..]]);
    let (custom, exponential): (Vec<_>, Vec<_>) =
        expected.into_iter().partition(|h| h.histogram.schema == -53);
    assert_eq!(decode_float_histograms(&hex), exponential);
    assert_eq!(decode_float_histograms(&custom_hex), custom);
    let Some((input, hex)) = record_vector("float_histogram_v2") else { return };
    let expected = expected_records(&input, true, float_histogram);
    assert_eq!(decode_float_histograms(&hex), expected);
    let mut encoder = FloatHistogramsV2Encoder::default();
    for h in &expected {
        encoder.push(h.series_ref, (h.t, h.start_t), &h.histogram);
    }
    assert_eq!(encoder.record(), hex);
}

/// All records of a log.
fn read_log(fs: &SharedFs, dir: &Path) -> Vec<Vec<u8>> {
    let mut reader = WalReader::replay(fs.clone(), dir).unwrap();
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        records.push(record.to_vec());
    }
    records
}

/// Writes `records` as the process did that wrote the vectors, and returns the segments.
fn write_log(records: &[Vec<u8>], compression: Compression) -> (SharedFs, Vec<Vec<u8>>) {
    let fs: SharedFs = Arc::new(FaultFs::new());
    let dir = Path::new("wal");
    let options = WalOptions { segment_bytes: 64 * 1024, compression, fsync: FsyncPolicy::Never };
    let wal = Wal::open(fs.clone(), dir, options).unwrap();
    for record in records {
        wal.log(&mut LogScratch::default(), &[record]).unwrap();
    }
    wal.close().unwrap();
    let names = fs.read_dir(dir).unwrap();
    let segments = names.iter().map(|e| fs.read(&dir.join(&e.name)).unwrap()).collect();
    (fs, segments)
}

#[test]
fn logs_in_three_compressions() {
    let Some(root) = vectors() else { return };
    let os = OsFs::shared();
    let plain = read_log(&os, &root.join("wal-none"));
    assert_eq!(plain.len(), 5);
    assert!(plain.iter().all(|r| !matches!(Record::decode(r), Err(_) | Ok(Record::Unknown(_)))));
    for (folder, compression) in [
        ("wal-none", Compression::None),
        ("wal-snappy", Compression::Snappy),
        ("wal-zstd", Compression::Zstd),
    ] {
        let dir = root.join(folder);
        assert_eq!(read_log(&os, &dir), plain, "{folder}");
        let (written_to, ours) = write_log(&plain, compression);
        assert_eq!(read_log(&written_to, Path::new("wal")), plain, "{folder}");
        let names = os.read_dir(&dir).unwrap();
        let theirs: Vec<_> = names.iter().map(|e| os.read(&dir.join(&e.name)).unwrap()).collect();
        // Zstandard's libraries differ in what they find; the other two are exact.
        if compression != Compression::Zstd {
            assert!(ours == theirs, "{folder}: segments differ");
        }
    }
}

#[test]
fn head_chunk_file() {
    let Some(root) = vectors() else { return };
    let original = OsFs.read(&root.join("chunks_head/000001")).unwrap();
    let fs: SharedFs = Arc::new(FaultFs::new());
    let dir = Path::new("chunks_head");
    fs.create_dir_all(dir).unwrap();
    fs.create(&dir.join("000001")).unwrap().write_all_at(&original, 0).unwrap();
    let theirs = HeadChunks::open(fs.clone(), dir, DEFAULT_FILE_BYTES).unwrap();
    let ours_dir = Path::new("ours");
    let ours = HeadChunks::open(fs.clone(), ours_dir, DEFAULT_FILE_BYTES).unwrap();
    let mut found = Vec::new();
    let outcome = theirs.replay(&mut |disk_ref, chunk| {
        let mut samples = SampleBuffer::default();
        decode(ChunkEncoding::from_number(chunk.encoding)?, chunk.data, &mut samples)?;
        assert_eq!(samples.float_times.first(), Some(&chunk.mint));
        assert_eq!(samples.float_times.last(), Some(&chunk.maxt_incl));
        found.push((disk_ref.number(), chunk.series_ref, chunk.is_out_of_order, samples.len()));
        let copied = theirs.read(disk_ref, |again| {
            assert_eq!(again, chunk);
            ours.write(again).unwrap()
        });
        assert_eq!(copied.unwrap(), disk_ref);
        Ok(())
    });
    assert!(outcome.unwrap().damage.is_none());
    assert_eq!(found, [(4_294_967_304, 1, false, 120), (4_294_967_501, 2, true, 32)]);
    let written = fs.read(&ours_dir.join("000001")).unwrap();
    assert!(original.starts_with(&written));
    assert!(original[written.len()..].iter().all(|&b| b == 0));
}
