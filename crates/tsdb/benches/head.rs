//! What the head costs: CPU per sample and per new series, bytes per series, seconds of replay,
//! time of a select. Run with
//! `cargo bench -p tsdb --bench head -- [series] [scrapes]` (default 100000 and 17).
//!
//! The series have the shape of a Kubernetes fleet: 8 or 9 labels, half of them histogram
//! buckets. CPU time is the process', memory is what the allocator handed out and not got back.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::batch::{BatchRange, BatchSample, BatchSeries, SeriesHasher};
use model::env::SeededRandom;
use model::{
    Clock, Executor, Label, MatchOp, Matcher, QueryContext, Queryable, SampleBuffer, SelectHints,
    TimeRange, WriteBatch,
};
use tsdb::db::{Db, DbEnv, DbOptions};
use tsdb::fs::OsFs;
use tsdb::head::AppendLimits;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn count(added: usize, removed: usize) {
    let now = LIVE.fetch_add(added.wrapping_sub(removed), Ordering::Relaxed);
    PEAK.fetch_max(now.wrapping_add(added).wrapping_sub(removed), Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "a global allocator that counts and hands everything on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size, layout.size());
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct WallClock(std::time::Instant);

impl Clock for WallClock {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.monotonic().as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Threads for the replay.
struct Threads(usize);

impl Executor for Threads {
    fn parallelism(&self) -> usize {
        self.0
    }

    fn for_each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let run = || {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    return;
                }
                job(i);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.0.min(count) {
                scope.spawn(run);
            }
            run();
        });
    }
}

/// Nanoseconds that this thread has spent on a processor.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Nanoseconds that all threads of this process, also those that ended, have spent on a
/// processor; in steps of 10 ms.
fn process_cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks * 10_000_000
}

/// Resident bytes that are not of files.
fn resident_anonymous() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap_or("0 0");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<usize>().ok()).unwrap_or(0) * 1024
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

const BUCKETS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

/// Labels of series `i`, sorted.
fn labels(i: u64) -> Vec<(&'static str, String)> {
    let (pod, k) = (i / 100, i % 100);
    let app = format!("app-{:03}", pod % 120);
    let mut labels = vec![
        ("app", app.clone()),
        ("cluster", format!("prod-eu-{}", pod % 4)),
        ("instance", format!("10.{}.{}.{}:8080", pod >> 16 & 255, pod >> 8 & 255, pod & 255)),
        ("job", "kubernetes-pods".to_owned()),
        ("namespace", format!("team-{:02}", pod % 20)),
        (
            "pod",
            format!("{app}-{:010x}-{:05x}", mix(pod) & 0xff_ffff_ffff, mix(pod ^ 77) & 0xfffff),
        ),
    ];
    match k {
        0..48 => {
            labels.push(("__name__", "http_request_duration_seconds_bucket".to_owned()));
            labels.push(("le", BUCKETS[(k % 12) as usize].to_owned()));
            labels.push(("route", format!("/api/v1/route{}", k / 12)));
        }
        48..60 => {
            labels.push(("__name__", "http_requests_total".to_owned()));
            labels.push(("code", ["200", "404", "500"][(k % 3) as usize].to_owned()));
            labels.push((
                "method",
                ["GET", "POST", "PUT", "DELETE"][(k / 3 % 4) as usize].to_owned(),
            ));
        }
        60..75 => {
            labels.push(("__name__", "container_cpu_usage_seconds_total".to_owned()));
            labels.push(("cpu", format!("cpu{k}")));
            labels.push(("container", "main".to_owned()));
        }
        _ => {
            labels.push(("__name__", format!("app_internal_metric_{k}")));
            labels.push(("kind", "gauge".to_owned()));
        }
    }
    labels.sort_by_key(|(name, _)| *name);
    labels
}

/// Counters grow by whole steps, gauges walk, one in ten stands still.
fn value(i: u64, t: u64) -> f64 {
    let k = i % 100;
    match k {
        _ if mix(i).is_multiple_of(10) => (mix(i) % 100) as f64,
        0..48 => (t * (1 + mix(i) % 7) * (k % 12 + 1) + t / 3) as f64,
        48..60 => (t * (1 + mix(i) % 50)) as f64,
        60..75 => t as f64 * 15.0 * 0.37 + (mix(i ^ (t << 20)) % 100) as f64 / 1000.0,
        _ => (mix(i ^ (t << 20)) % 100_000) as f64 / 100.0,
    }
}

const BATCH: u64 = 2000;

/// The requests of one scrape: hashes are made once, text and values at each scrape, so that the
/// text is as near to the processor as that of a request that was just decoded.
struct Request {
    text: String,
    /// Ends of names and values in the text.
    ends: Vec<u32>,
    /// How many labels each series has, and its hash.
    series: Vec<(u32, u64)>,
    first: u64,
}

impl Request {
    fn new(first: u64, end: u64, hasher: SeriesHasher) -> Self {
        let (text, ends, series) = (String::new(), Vec::new(), Vec::new());
        let mut this = Self { text, ends, series, first };
        for i in first..end {
            let labels = labels(i);
            let borrowed: Vec<Label<'_>> =
                labels.iter().map(|(name, value)| Label { name, value }).collect();
            this.series.push((labels.len() as u32, hasher.hash(&borrowed)));
            for (name, value) in &labels {
                this.text.push_str(name);
                this.ends.push(this.text.len() as u32);
                this.text.push_str(value);
                this.ends.push(this.text.len() as u32);
            }
        }
        this
    }

    fn fill<'a>(&self, text: &'a str, scrape: u64, t: i64, batch: &mut WriteBatch<'a>) {
        let mut start = 0;
        let mut next = |end: u32| {
            let part = &text[start as usize..end as usize];
            start = end;
            part
        };
        for pair in self.ends.chunks(2) {
            let (name, value) = (next(pair[0]), next(pair[1]));
            batch.labels.push(Label { name, value });
        }
        let mut first_label = 0;
        for (n, &(count, hash)) in self.series.iter().enumerate() {
            let value = value(self.first + n as u64, scrape);
            batch.samples.push(BatchSample { timestamp_ms: t, value });
            let samples = BatchRange { start: n as u32, end: n as u32 + 1 };
            let labels = BatchRange { start: first_label, end: first_label + count };
            batch.series.push(BatchSeries { hash, labels, samples, ..BatchSeries::default() });
            first_label += count;
        }
    }
}

fn open(dir: &Path, hasher: SeriesHasher) -> Db {
    let env = DbEnv {
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
        clock: Arc::new(WallClock(std::time::Instant::now())),
        random: Arc::new(SeededRandom::new(1)),
        executor: Arc::new(Threads(2)),
        fs: Arc::new(OsFs),
        hasher,
    };
    Db::open(dir, DbOptions::default(), env).expect("the database opens")
}

const START: i64 = 1_700_000_000_000 / 7_200_000 * 7_200_000;

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let series = numbers.first().copied().unwrap_or(100_000);
    let scrapes = numbers.get(1).copied().unwrap_or(17);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let hasher = SeriesHasher::new(4711);
    let requests: Vec<Request> = (0..series.div_ceil(BATCH))
        .map(|n| Request::new(n * BATCH, ((n + 1) * BATCH).min(series), hasher))
        .collect();
    let end = START + scrapes as i64 * 15_000;
    let (before, rss_before) = (LIVE.load(Ordering::Relaxed), resident_anonymous());
    let db = open(dir.path(), hasher);
    let mut cpu = (0, 0);
    let (mut text, mut recycled) = (String::new(), WriteBatch::new(hasher));
    for scrape in 0..scrapes {
        for request in &requests {
            text.clear();
            text.push_str(&request.text);
            let mut batch = recycled.recycle();
            request.fill(&text, scrape, START + scrape as i64 * 15_000, &mut batch);
            let start = cpu_ns();
            let outcome = db.append(&batch, &AppendLimits::default()).expect("appended");
            let spent = cpu_ns() - start;
            assert_eq!(outcome.accepted_floats, batch.series.len() as u64);
            recycled = batch.recycle();
            if scrape == 0 {
                cpu.0 += spent;
            } else {
                cpu.1 += spent;
            }
        }
    }
    let per_series = |bytes: usize| bytes as f64 / series as f64;
    println!("{series} series x {scrapes} scrapes");
    println!("new series       {:8.3} us each", cpu.0 as f64 / series as f64 / 1000.0);
    let existing = (series * (scrapes - 1).max(1)) as f64;
    println!("existing series  {:8.3} us a sample", cpu.1 as f64 / existing / 1000.0);
    let live = LIVE.load(Ordering::Relaxed) - before;
    let rss = resident_anonymous().saturating_sub(rss_before);
    println!("heap             {:8.1} bytes a series", per_series(live));
    println!("resident         {:8.1} bytes a series", per_series(rss));
    println!("tables           {:8.1} bytes a series", per_series(db.head().memory_bytes()));
    for line in db.head().memory_parts() {
        println!("  {:15} {:8.1}", line.0, per_series(line.1));
    }
    select(&db, ("count all, newest", end), true);
    select(&db, ("count again", end), true);
    select(&db, ("all samples", end), false);
    drop(db);
    let samples = series * scrapes;
    for source in ["log", "snapshot"] {
        PEAK.store(LIVE.load(Ordering::Relaxed), Ordering::Relaxed);
        let (start, wall) = (process_cpu_ns(), now());
        let db = open(dir.path(), hasher);
        let (wall, peak) = (now() - wall, PEAK.load(Ordering::Relaxed) - before);
        let cpu = (process_cpu_ns() - start) as f64 / 1e9;
        let rate = samples as f64 / 1e6 / wall;
        println!("replay, {source:8} {wall:8.3} s, {cpu:.3} s cpu, {rate:.1} million samples/s");
        println!("  peak           {:8.1} bytes a series", per_series(peak));
        let live = LIVE.load(Ordering::Relaxed) - before;
        println!("  heap           {:8.1} bytes a series", per_series(live));
        assert_eq!(db.replay_report().series, series);
        select(&db, ("count all, newest", end), true);
        let wall = now();
        let snapshot = db.write_snapshot().expect("written").expect("there is something in it");
        println!("write a snapshot {:8.3} s, {} bytes", now() - wall, snapshot.bytes);
        db.close().expect("closed");
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

fn select(db: &Db, (what, end): (&str, i64), newest_only: bool) {
    let (start, wall) = (cpu_ns(), now());
    let context = Arc::new(QueryContext::unlimited());
    let querier = db.querier(TimeRange::new(START - 1, end), &context).expect("a querier");
    let hints = SelectHints { end_ms_incl: end, newest_only, ..SelectHints::default() };
    let all = [Matcher::new(MatchOp::Regex, "__name__", ".+").expect("a pattern")];
    let mut set = querier.select(&all, &hints).expect("a set");
    let selected = now() - wall;
    let (mut series, mut samples) = (0, 0);
    let mut buffer = SampleBuffer::default();
    while let Some(mut entry) = set.next_series().expect("a series") {
        buffer.clear();
        entry.samples.read_all(&mut buffer).expect("samples");
        series += 1;
        samples += buffer.len();
    }
    let cpu = (cpu_ns() - start) as f64 / 1e6;
    println!(
        "{what:17} {cpu:7.1} ms cpu, first series after {:.1} ms, {series} series, {samples} samples",
        selected * 1e3
    );
}
