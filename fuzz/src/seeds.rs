//! Inputs to begin with: the conformance data where it is there, and a few made here. Called by
//! the smoke test and by `cargo xtask fuzz`, which writes them out as a corpus.

use std::path::{Path, PathBuf};

use model::Histogram;
use serde_json::Value;
use tsdb::wal::record::{
    HistogramsEncoder, MmapMarkersEncoder, SamplesEncoder, SamplesV2Encoder, SeriesEncoder,
};

/// The folder with the conformance data, which may be missing.
pub struct Seeds {
    root: PathBuf,
}

impl Default for Seeds {
    fn default() -> Self {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance");
        Self { root: PathBuf::from(root) }
    }
}

impl Seeds {
    /// Whether there is any conformance data.
    #[must_use]
    pub fn has_conformance(&self) -> bool {
        self.root.is_dir()
    }

    fn vectors(&self) -> Vec<Value> {
        let text = self.text("tsdb-vectors/vectors.json");
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn text(&self, file: &str) -> String {
        read(&self.root.join(file))
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    /// Chunks of one encoding.
    #[must_use]
    pub fn chunks(&self, encoding: u64) -> Vec<Vec<u8>> {
        let vectors = self.vectors();
        let chunks = vectors.iter().filter(|v| v["encoding"].as_u64() == Some(encoding));
        let mut chunks: Vec<Vec<u8>> = chunks.map(hex).collect();
        chunks.push(vec![0; 3]);
        chunks
    }

    /// Records of the write-ahead log.
    pub(crate) fn records(&self) -> Vec<Vec<u8>> {
        let mut records: Vec<_> =
            self.vectors().iter().filter(|v| v["kind"] == "record").map(hex).collect();
        records.push(b"\x01\0\0\0\0\0\0\0\x01\x01\x01a\x01b".to_vec());
        records
    }

    /// The first bytes of segments, small enough to be changed often.
    pub(crate) fn segments(&self) -> Vec<Vec<u8>> {
        let mut segments = self.files("tsdb-vectors/wal-", "0000000");
        segments.iter_mut().for_each(|s| s.truncate(8 << 10));
        segments.extend(self.records().iter().map(|r| framed(r)));
        segments
    }

    /// Files of head chunks.
    pub(crate) fn head_chunks(&self) -> Vec<Vec<u8>> {
        let mut files = self.files("tsdb-vectors/chunks_head", "000001");
        files.iter_mut().for_each(|s| s.truncate(4 << 10));
        files.push(vec![0x01, 0x30, 0xbc, 0x91, 1, 0, 0, 0]);
        files
    }

    /// Files of a block with this name.
    #[must_use]
    pub fn block_files(&self, name: &str) -> Vec<Vec<u8>> {
        let blocks = self.root.join("tsdb-vectors/block");
        dirs(&blocks).iter().filter_map(|dir| read(&dir.join(name))).collect()
    }

    /// Files of tombstones.
    pub(crate) fn tombstones(&self) -> Vec<Vec<u8>> {
        let mut files = self.files("tsdb-vectors/tombstones-file", "tombstones");
        files.push(vec![1, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
        files
    }

    fn files(&self, dir_prefix: &str, name_prefix: &str) -> Vec<Vec<u8>> {
        let (parent, start) = dir_prefix.rsplit_once('/').unwrap_or(("", dir_prefix));
        let matching = |path: &PathBuf, start: &str| {
            path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(start))
        };
        let found = dirs(&self.root.join(parent)).into_iter().filter(|d| matching(d, start));
        let files = found.flat_map(|dir| dirs(&dir));
        files.filter(|f| matching(f, name_prefix)).filter_map(|f| read(&f)).collect()
    }

    /// Queries.
    pub(crate) fn queries(&self) -> Vec<Vec<u8>> {
        let corpora = ["hand", "parse_test", "compliance", "dottest"];
        let texts = corpora.map(|name| self.text(&format!("parser/{name}.jsonl")));
        let mut queries: Vec<Vec<u8>> = texts
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|v| v["expr"].as_str().map(|e| e.as_bytes().to_vec()))
            .collect();
        queries.extend(QUERIES.iter().map(|q| q.as_bytes().to_vec()));
        queries
    }

    /// Queries behind two bytes that choose how they are asked.
    pub(crate) fn programs(&self) -> Vec<Vec<u8>> {
        let queries = self.queries();
        let program = |(i, q): (usize, &Vec<u8>)| {
            [&[(i % 97) as u8, (i % 16) as u8][..], q.as_slice()].concat()
        };
        queries.iter().enumerate().map(program).collect()
    }

    /// Series descriptions.
    pub(crate) fn descriptions(&self) -> Vec<Vec<u8>> {
        let text = self.text("parser/series-desc.jsonl");
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut lines: Vec<Vec<u8>> =
            lines.filter_map(|v| v["line"].as_str().map(|l| l.as_bytes().to_vec())).collect();
        lines.push(
            b"a{b=\"c\"} 1+2x3 _x2 stale {{schema:1 sum:-0.3 count:3 buckets:[1 2]}}".to_vec(),
        );
        lines
    }

    /// Test scripts, each from a `load` to the next.
    pub(crate) fn scripts(&self) -> Vec<Vec<u8>> {
        let mut parts = vec![b"load 1m\n  a 1+1x9\neval instant at 5m a\n  a 6\n".to_vec()];
        for file in dirs(&self.root.join("promqltest")) {
            let text = read(&file).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let whole = text.split("\nclear").filter(|part| part.len() < 4_000);
            parts.extend(whole.map(|part| part.as_bytes().to_vec()));
        }
        parts
    }
}

const QUERIES: &[&str] = &[
    "sum by (job) (rate(metric_total[5m])) / on (job) group_left () avg by (job) (up)",
    "histogram_quantile(0.9, rate(foo[2m])) or topk(2, bar offset 1m @ start())",
    "max_over_time((metric > bool 3)[5m:30s]) unless quantile(0.5, up)",
];

fn read(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

/// What is in a directory, sorted.
fn dirs(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path);
    let mut paths: Vec<PathBuf> =
        entries.into_iter().flatten().filter_map(|e| e.ok().map(|e| e.path())).collect();
    paths.sort();
    paths
}

fn hex(vector: &Value) -> Vec<u8> {
    let text = vector["hex"].as_str().unwrap_or_default();
    let digits = text.as_bytes().chunks_exact(2);
    digits.filter_map(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok()).collect()
}

/// A record as the only one of a segment.
fn framed(record: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    out.extend((record.len() as u16).to_be_bytes());
    out.extend(tsdb::encoding::crc32c(record).to_be_bytes());
    out.extend(record);
    out
}

/// Records as a segment.
pub(crate) fn framed_log(records: &[Vec<u8>]) -> Vec<u8> {
    records.iter().flat_map(|record| framed(record)).collect()
}

/// The log in order of a tenant with three series: labels, and a sample of each.
pub(crate) fn late_series() -> Vec<Vec<u8>> {
    let (mut series, mut samples) = (SeriesEncoder::default(), SamplesEncoder::default());
    for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
        series.push(number, [("__name__", name)]);
        samples.push(number, LATE_MS + 900_000, 1.0);
    }
    vec![series.record().to_vec(), samples.record().to_vec()]
}

/// About when the samples that come out of order are, ms.
const LATE_MS: i64 = 3_600_000;

/// Logs of samples of [`late_series`] that come out of order, behind a byte that says how they are
/// put on the disk.
pub(crate) fn late_logs(seeds: &Seeds) -> Vec<Vec<u8>> {
    let mut markers = MmapMarkersEncoder::default();
    let (mut floats, mut with_starts) = (SamplesEncoder::default(), SamplesV2Encoder::default());
    let mut histograms = HistogramsEncoder::default();
    for i in 0..20_i64 {
        let (series, t) = (i as u64 % 3 + 1, LATE_MS - i * 7_919 % 100_000);
        floats.push(series, t, i as f64);
        with_starts.push(series, (t + 1, LATE_MS - 200_000), i as f64);
        let histogram = Histogram { count: 2, zero_count: 2, ..Histogram::default() };
        histograms.push(series, t + 2, &histogram);
    }
    markers.push(1, 0);
    markers.push(2, 1 << 32 | 8);
    let [histograms, _] = histograms.records();
    let parts = [markers.record(), floats.record(), with_starts.record(), histograms];
    let parts = parts.map(<[u8]>::to_vec);
    let log = framed_log(&parts);
    let reversed: Vec<_> = parts.iter().rev().cloned().collect();
    let mut logs = vec![[&[0], &log[..]].concat(), [&[1], &framed_log(&reversed)[..]].concat()];
    let chunks = seeds.head_chunks();
    logs.extend(chunks.iter().map(|chunks| [&[2], &log[..], chunks].concat()));
    logs
}

/// Marks of blocks and tenants.
pub(crate) fn marks(_: &Seeds) -> Vec<Vec<u8>> {
    let texts = [
        r#"{"id":"01M7ZPQCKZY96HW8E6K6G4X4M9","version":1,"details":"x","deletion_time":5}"#,
        r#"{"id":"01M7ZPQCKZY96HW8E6K6G4X4M9","version":1,"no_compact_time":5,"reason":"manual"}"#,
        r#"{"deletion_time":1700000000,"finished_time":1700000001}"#,
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Sections of an index without their frames, behind the number of their kind.
pub(crate) fn index_sections(seeds: &Seeds) -> Vec<Vec<u8>> {
    let mut sections =
        vec![b"\x00\0\0\0\x02\x01a\x01b".to_vec(), b"\x01\0\0\0\x01\x02\x01a\x01b\x05".to_vec()];
    for index in seeds.block_files("index") {
        let Some(toc) = index.len().checked_sub(52).map(|at| &index[at..]) else { continue };
        sections.push([&[4], toc].concat());
        // Symbols, series, postings and the postings offset table, in the order of the TOC.
        for (kind, position) in [(0_u8, 0), (2, 8), (3, 24), (1, 40)] {
            let Some(bytes) = toc.get(position..position + 8) else { continue };
            let offset = bytes.iter().fold(0_usize, |n, &b| n << 8 | usize::from(b));
            // Series and postings have their own frames.
            let skip = if kind < 2 { 4 } else { 0 };
            let end = (offset + 3_000).min(index.len());
            let Some(bytes) = index.get(offset + skip..end) else { continue };
            sections.push([&[kind], bytes].concat());
        }
    }
    sections
}

/// An index of version 1 with the series `{a="x"}` and `{a="y", b="x"}`.
pub(crate) fn old_indexes(_: &Seeds) -> Vec<Vec<u8>> {
    let mut file = vec![0xba, 0xaa, 0xd7, 0x00, 1];
    let section = |file: &mut Vec<u8>, content: &[u8]| {
        let at = file.len() as u8;
        file.extend((content.len() as u32).to_be_bytes());
        file.extend(content);
        file.extend(tsdb::encoding::crc32c(content).to_be_bytes());
        at
    };
    // The symbols stand at 13, 15, 17 and 19.
    let symbols_at = section(&mut file, b"\0\0\0\x04\x01a\x01b\x01x\x01y");
    let (series_at, mut numbers) = (file.len() as u8, Vec::new());
    for body in [&[1, 13, 17, 0][..], &[2, 13, 19, 15, 17, 0]] {
        numbers.push(file.len() as u8);
        file.push(body.len() as u8);
        file.extend(body);
        file.extend(tsdb::encoding::crc32c(body).to_be_bytes());
    }
    let postings_at = file.len() as u8;
    let both = section(&mut file, &[0, 0, 0, 2, 0, 0, 0, numbers[0], 0, 0, 0, numbers[1]]);
    let [first, second] = [0, 1].map(|i: usize| [0, 0, 0, 1, 0, 0, 0, numbers[i]]);
    let (first, second) = (section(&mut file, &first), section(&mut file, &second));
    let mut table = vec![0, 0, 0, 4];
    for (name, value, list) in
        [("b", "x", second), ("a", "y", second), ("", "", both), ("a", "x", first)]
    {
        table.extend([2, name.len() as u8]);
        table.extend(name.as_bytes());
        table.push(value.len() as u8);
        table.extend(value.as_bytes());
        // Lists stand above 127: two bytes.
        table.extend(if list < 0x80 { vec![list] } else { vec![list | 0x80, 1] });
    }
    let offsets_at = section(&mut file, &table);
    let toc: Vec<u8> = [symbols_at, series_at, postings_at, offsets_at, postings_at, offsets_at]
        .iter()
        .flat_map(|&at| u64::from(at).to_be_bytes())
        .collect();
    file.extend(&toc);
    file.extend(tsdb::encoding::crc32c(&toc).to_be_bytes());
    debug_assert!(tsdb::index::IndexReader::open(&file[..], "seed").is_ok());
    vec![file]
}

/// Uncompressed remote-write requests.
pub(crate) fn write_requests(_: &Seeds) -> Vec<Vec<u8>> {
    let label = |name: &[u8], value: &[u8]| {
        [&[0x0a, name.len() as u8][..], name, &[0x12, value.len() as u8], value].concat()
    };
    let field = |number: u8, body: &[u8]| [&[number << 3 | 2, body.len() as u8][..], body].concat();
    let labels = [field(1, &label(b"__name__", b"up")), field(1, &label(b"job", b"a"))].concat();
    let sample = field(2, &[&[0x09][..], &1.5_f64.to_le_bytes(), &[0x10, 0xe8, 0x07]].concat());
    let exemplar = field(3, &[&field(1, &label(b"id", b"7"))[..], &[0x18, 9]].concat());
    let histogram = field(
        4,
        &[0x08, 3, 0x30, 1, 0x38, 1, 0x5a, 4, 0x08, 0, 0x10, 2, 0x62, 2, 2, 0, 0x78, 0xe8, 0x07],
    );
    let metadata = field(3, &[&[0x08, 1][..], &field(2, b"up"), &field(4, b"help")].concat());
    let series = |parts: &[&[u8]]| field(1, &parts.concat());
    vec![
        series(&[&labels, &sample]),
        series(&[&labels, &sample, &sample, &exemplar]),
        series(&[&labels, &histogram]),
        [series(&[&labels, &sample]), metadata].concat(),
    ]
}

/// The same requests as snappy blocks of one literal each.
pub(crate) fn snappy_blocks(seeds: &Seeds) -> Vec<Vec<u8>> {
    let block = |body: Vec<u8>| {
        let length = body.len() as u8;
        let head = if length < 0x80 { vec![length] } else { vec![length | 0x80, 1] };
        [head, vec![60 << 2, length - 1], body].concat()
    };
    write_requests(seeds).into_iter().map(block).collect()
}

/// Patterns, with a value to match.
pub(crate) fn patterns(_: &Seeds) -> Vec<Vec<u8>> {
    let patterns = [
        "api|app|a.*\0api",
        "(?i:FOO)[^a-z]+x{2,5}\0foo9xx",
        "(a*)*b\0aaaaaaaaaaaaaaaaaaaaaaaac",
        "^(?:.*)$\0x",
        "\\pL\\d[[:alpha:]]\\x{41}\\Q.*\\E\0é1aA.*",
        "(?P<x>a)|(?<y>b)\0b",
        "((((a|b)*c){1,20}){1,20})\0abc",
        "[\\w-]+\\.(com|org)\0a-b.org",
        "\\bfoo\\B.?\0foo",
    ];
    patterns.iter().map(|p| p.as_bytes().to_vec()).collect()
}

/// Files of overrides.
pub(crate) fn runtime_files(_: &Seeds) -> Vec<Vec<u8>> {
    let files = [
        "overrides:\n  a:\n    ingestion_rate: 1e5\n    max_global_series_per_user: 10\n  b: {}\n",
        "overrides: {\"t\": {max_fetched_series_per_query: 5, out_of_order_time_window: 1h}}\n",
        "overrides:\n  a: &x\n    ruler_max_rules_per_rule_group: 3\n  b: *x\n",
        "multi_kv_config:\n  primary: consul\n",
    ];
    files.iter().map(|f| f.as_bytes().to_vec()).collect()
}

/// Arguments, one on a line.
pub(crate) fn config_lines(_: &Seeds) -> Vec<Vec<u8>> {
    let lines = [
        "-server.http-listen-port=0\n-target=all\n-querier.timeout=2m30s",
        "-distributor.ingestion-rate-limit=1e12\n-ingester.ring.replication-factor=1",
        "--blocks-storage.tsdb.block-ranges-period=2h\n-querier.max-concurrent 4\n-x",
    ];
    lines.iter().map(|l| l.as_bytes().to_vec()).collect()
}

/// Bucket indexes.
pub(crate) fn bucket_indexes(_: &Seeds) -> Vec<Vec<u8>> {
    let texts = [
        r#"{"version":2,"updated_at":7,"blocks":[],"block_deletion_marks":[]}"#,
        r#"{"version":2,"updated_at":7,"blocks":[{"block_id":"01M7ZPQCKZY96HW8E6K6G4X4M9",
            "min_time":1,"max_time":9,"segments_format":"1-based-6-digits","segments_num":1,
            "uploaded_at":3}],"block_deletion_marks":[{"block_id":"01M7ZPQCKZY96HW8E6K6G4X4M9",
            "deletion_time":5}]}"#,
    ];
    let indexes = texts.map(serde_json::from_str::<bucket::BucketIndex>);
    indexes.into_iter().flatten().map(|index| index.encode()).collect()
}
