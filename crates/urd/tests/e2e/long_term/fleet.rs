//! A fleet in the shape of a Kubernetes cluster, written as blocks of two hours: the metrics that the
//! query set asks for, in the proportions that such fleets have.

use std::path::{Path, PathBuf};

use bucket::{TenantBucket, UploadedFile, upload_block};
use model::Labels;
use tsdb::block::{BlockChunk, BlockWriter};
use tsdb::chunk::ChunkEncoding;
use tsdb::chunk::encoder::{ChunkEncoder, FinishedChunk};
use tsdb::fs::OsFs;
use tsdb::index::SymbolSet;
use tsdb::meta::{BlockMeta, ThanosFile, ThanosMeta};
use ulid::Ulid;

/// The length of a block, ms.
pub(super) const BLOCK_MS: i64 = 7_200_000;
/// Between two samples, ms.
pub(super) const INTERVAL_MS: i64 = 15_000;
/// Samples stand beside whole seconds: no window of a query begins or ends at one.
const OFFSET_MS: i64 = 4_321;
/// Series of one pod.
const SERIES_OF_POD: u64 = 50;

/// Series in label order, each with its number.
pub(super) struct Fleet(Vec<(Labels, u64)>);

impl Fleet {
    pub(super) fn new(series: u64) -> Self {
        let mut all: Vec<(Labels, u64)> = (0..series).map(|i| (labels(i), i)).collect();
        all.sort_unstable();
        Self(all)
    }

    /// Writes the block that begins at `start_ms` below `parent`.
    pub(super) fn write_block(&self, parent: &Path, start_ms: i64) -> (BlockMeta, PathBuf) {
        let symbols = self.0.iter().flat_map(|(l, _)| l.iter().flat_map(|l| [l.name, l.value]));
        let symbols = SymbolSet::collect(symbols).unwrap();
        let end_ms = start_ms + BLOCK_MS;
        let meta = BlockMeta::new(Ulid::from_parts(end_ms as u64, 7), start_ms, end_ms);
        let mut writer = BlockWriter::create(OsFs::shared(), parent, meta, symbols).unwrap();
        let times: Vec<i64> =
            (start_ms + OFFSET_MS..end_ms).step_by(INTERVAL_MS as usize).collect();
        for (labels, series) in &self.0 {
            let values: Vec<f64> =
                times.iter().map(|t| value(*series, (t / INTERVAL_MS) as u64)).collect();
            let mut chunks: Vec<(i64, i64, Vec<u8>)> = Vec::new();
            let mut sink =
                |c: FinishedChunk<'_>| chunks.push((c.min_time_ms, c.max_time_ms, c.data.to_vec()));
            let mut encoder = ChunkEncoder::new(120, false);
            encoder.push_floats(&times, &values, &[], &mut sink).unwrap();
            encoder.finish(&mut sink);
            let stored: Vec<BlockChunk<'_>> = chunks.iter().map(stored).collect();
            writer.add_series(labels, &stored).unwrap();
        }
        let meta = writer.finish().unwrap().unwrap();
        let dir = parent.join(meta.ulid.to_string());
        (meta, dir)
    }
}

fn stored((min_time_ms, max_time_ms, data): &(i64, i64, Vec<u8>)) -> BlockChunk<'_> {
    let (min_time_ms, max_time_ms) = (*min_time_ms, *max_time_ms);
    BlockChunk { min_time_ms, max_time_ms, encoding: ChunkEncoding::Xor, data }
}

/// Puts a block into a bucket, as an ingester does.
pub(super) async fn upload(bucket: &TenantBucket, meta: &BlockMeta, dir: &Path) {
    let with_files = |files: &[UploadedFile]| {
        let segments = files.iter().filter_map(|f| f.relative_path.strip_prefix("chunks/"));
        let listed = files.iter().map(|file| ThanosFile {
            rel_path: file.relative_path.clone(),
            size_bytes: file.size_bytes,
        });
        let thanos = ThanosMeta {
            source: "receive".to_owned(),
            segment_files: segments.map(str::to_owned).collect(),
            files: listed.collect(),
            ..ThanosMeta::default()
        };
        Ok(BlockMeta { thanos: Some(thanos), ..meta.clone() }.encode().into())
    };
    upload_block(bucket, (meta.ulid, dir), 1, with_files).await.unwrap();
}

/// Spreads the bits of a number.
fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn labels(series: u64) -> Labels {
    const BOUNDS: [&str; 12] =
        ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
    let (pod, kind) = (series / SERIES_OF_POD, series % SERIES_OF_POD);
    let (name, extra, value) = match kind {
        0..24 => {
            let bound = BOUNDS[(kind % 12) as usize].to_owned();
            ("http_request_duration_seconds_bucket".to_owned(), "le", bound)
        }
        24..30 => (
            "http_requests_total".to_owned(),
            "code",
            ["200", "404", "500"][kind as usize % 3].to_owned(),
        ),
        30..34 => {
            ("container_cpu_usage_seconds_total".to_owned(), "cpu", format!("cpu{:02}", kind - 30))
        }
        34..36 => {
            let container = ["main", "sidecar"][kind as usize - 34].to_owned();
            ("container_memory_working_set_bytes".to_owned(), "container", container)
        }
        _ => (format!("app_internal_metric_{kind}"), "kind", "gauge".to_owned()),
    };
    let pairs = [
        ("__name__", name),
        (extra, value),
        ("route", format!("/api/v1/route{}", kind % 24 / 12)),
        ("method", ["GET", "POST"][(kind / 3 % 2) as usize].to_owned()),
        ("cluster", format!("prod-eu-{}", pod % 4)),
        ("namespace", format!("team-{:02}", pod % 20)),
        ("app", format!("app-{:03}", pod % 60)),
        ("pod", format!("app-{:03}-{:08x}", pod % 60, mix(pod) & 0xffff_ffff)),
        ("job", "kubernetes-pods".to_owned()),
    ];
    Labels::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
}

/// Counters with whole steps, floats, gauges; one series in ten stands still.
fn value(series: u64, scrape: u64) -> f64 {
    // Small enough for counters to stay whole numbers.
    let scrape = scrape & 0xff_ffff;
    let seed = mix(series);
    match series % SERIES_OF_POD {
        _ if seed.is_multiple_of(10) => (seed % 100) as f64,
        kind @ 0..24 => (scrape * (1 + seed % 7) * (kind % 12 + 1) + scrape / 3) as f64,
        24..30 => (scrape * (1 + seed % 50)) as f64,
        30..34 => {
            let jitter = (mix(series ^ scrape << 20) % 100) as f64 / 1000.0;
            scrape as f64 * 0.015 * (seed % 1000) as f64 + jitter
        }
        34..36 => (200_000_000 + mix(series ^ scrape << 20) % 1000 * 4096) as f64,
        _ => (mix(series ^ scrape << 20) % 100_000) as f64 / 100.0,
    }
}
