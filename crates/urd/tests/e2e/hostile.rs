//! A tenant that asks for too much: every query ends with the error of its limit, the process
//! stays small, another tenant's queries are answered meanwhile, and a query whose client has gone
//! ends.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::harness::{self, Answer, Server};
use crate::remote_write::{self, HEADERS, Series};

const SERIES: i64 = 200;
const SCRAPES: i64 = 120;
const INTERVAL_MS: i64 = 15_000;
const START_MS: i64 = 1_700_000_000_000;
const END_MS: i64 = START_MS + (SCRAPES - 1) * INTERVAL_MS;
const MEMORY_LIMIT: u64 = 64 << 20;
/// Beside the queries' memory: buffers, caches, what the allocator keeps.
const SLACK_BYTES: u64 = 400 << 20;

fn server(dir: &std::path::Path) -> Server {
    let memory = format!("-querier.max-estimated-memory-consumption-per-query={MEMORY_LIMIT}");
    let options = [
        "-auth.multitenancy-enabled=true",
        "-querier.max-fetched-series-per-query=250",
        "-querier.max-samples=3000000",
        "-query-frontend.max-query-expression-size-bytes=200000",
        "-query-frontend.max-total-query-length=2d",
        &memory,
    ];
    let server = harness::urd(dir, &options);
    for tenant in ["hostile", "guest"] {
        for name in ["big", "wide"] {
            let series: Vec<Series> = (0..SERIES).map(|index| one(name, index)).collect();
            let body = remote_write::compressed(&remote_write::message(&series));
            let headers = [HEADERS, &[("X-Scope-OrgID", tenant)]].concat();
            let answer = server.post("/api/v1/push", &headers, &body);
            assert!(answer.status < 300, "{} {}", answer.status, answer.body);
        }
    }
    server
}

fn one(name: &str, index: i64) -> Series {
    let value = |scrape: i64| (index * SCRAPES + scrape) as f64 + 0.5;
    let samples = (0..SCRAPES).map(|s| (START_MS + s * INTERVAL_MS, value(s))).collect();
    Series::new(name, &[("i", &index.to_string()), ("long", "aaaaaaaaaaaaaaaaaaaaab")], samples)
}

fn ask(server: &Server, tenant: &str, endpoint: &str, params: &[(&str, &str)]) -> Answer {
    let form: String =
        form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    let headers =
        [("Content-Type", "application/x-www-form-urlencoded"), ("X-Scope-OrgID", tenant)];
    server.post(&format!("/prometheus/api/v1/{endpoint}"), &headers, form.as_bytes())
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Queries with what their errors say.
fn hostile_queries() -> Vec<(String, &'static str, &'static str)> {
    let memory = "err-mimir-max-estimated-memory-consumption-per-query|too many samples";
    let mut all: Vec<(String, &str, &str)> = [
        ("max_over_time(big[1h:1ms])", "query", memory),
        ("count_over_time((big > 1)[290y:1ms])", "query", memory),
        ("count_values(\"v\", {__name__=~\"b.*\"})", "query_range", memory),
        ("count_values(\"v\", {__name__=~\".+\"})", "query", "err-mimir-max-series-per-query"),
        ("big * on () big", "query", "many-to-many matching not allowed"),
        ("big[9^12]", "query", "out of range"),
        ("big{long=~\"((a{1,100}){1,100}){1,100}\"}", "query", "repeat"),
    ]
    .map(|(query, endpoint, error)| (query.to_owned(), endpoint, error))
    .into();
    all.push(("sum(".repeat(5_000) + "big" + &")".repeat(5_000), "query", "nested"));
    all.push(("9".repeat(300_000), "query", "err-mimir-max-query-expression-size-bytes"));
    let mut labels = "label_join(big, \"a\", \"\", \"long\", \"long\")".to_owned();
    for _ in 0..30 {
        labels = format!("label_join({labels}, \"a\", \"\", \"a\", \"a\", \"a\", \"a\")");
    }
    all.push((labels, "query", "label value|err-mimir-max-estimated-memory"));
    all
}

#[test]
fn hostile_queries_end_with_their_limits_and_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path());
    let (done, answered, peak) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let before = anonymous_bytes(server.pid());
    let all = hostile_queries();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let params = [("query", "sum(rate(big[5m]))"), ("time", &*seconds(END_MS))];
                let answer = ask(&server, "guest", "query", &params);
                assert_eq!(answer.status, 200, "{}", answer.body);
                answered.fetch_add(1, Ordering::Relaxed);
                peak.fetch_max(anonymous_bytes(server.pid()), Ordering::Relaxed);
            }
        });
        // Two at a time.
        let (first, second) = all.split_at(all.len() / 2);
        let threads = [first, second]
            .map(|part| scope.spawn(|| part.iter().for_each(|query| ask_hostile(&server, query))));
        let outcomes = threads.map(|thread| thread.join());
        done.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(Result::is_ok));
    });
    assert!(answered.into_inner() > 0, "the guest had no answer");
    let grown = peak.into_inner().saturating_sub(before);
    assert!(grown < 2 * MEMORY_LIMIT + SLACK_BYTES, "{grown} bytes more");
}

fn ask_hostile(server: &Server, (query, endpoint, error): &(String, &str, &str)) {
    let (start, end) = (seconds(START_MS), seconds(END_MS));
    let params: Vec<(&str, &str)> = match *endpoint {
        "query" => vec![("query", query), ("time", &end)],
        _ => vec![("query", query), ("start", &start), ("end", &end), ("step", "0.2")],
    };
    let answer = ask(server, "hostile", endpoint, &params);
    let shown: String = query.chars().take(80).collect();
    let short: String = answer.body.chars().take(300).collect();
    assert!(answer.status >= 400, "{shown}: {} {short}", answer.status);
    assert!(error.split('|').any(|error| answer.body.contains(error)), "{shown}: {short}");
}

#[test]
fn steps_and_ranges_that_are_absurd_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path());
    for (start, end, step, error) in [
        ("0", "3600", "0.001", "exceeded maximum resolution of 11,000 points"),
        ("0", "9223372036", "1000000", "err-mimir-max-total-query-length"),
    ] {
        let params = [("query", "big"), ("start", start), ("end", end), ("step", step)];
        let answer = ask(&server, "hostile", "query_range", &params);
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert!(answer.body.contains(error), "{}", answer.body);
    }
}

#[test]
fn a_query_ends_when_its_client_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path());
    // Would take minutes.
    let query = "quantile_over_time(0.5, (big)[20m:1s])";
    let form: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("query", query), ("start", &*seconds(START_MS)), ("step", "0.2")])
        .append_pair("end", &seconds(END_MS))
        .finish();
    let address = server.url.trim_start_matches("http://");
    let mut client = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /prometheus/api/v1/query_range HTTP/1.1\r\nHost: {address}\r\nX-Scope-OrgID: hostile\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    client.write_all(head.as_bytes()).unwrap();
    server.wait_until("the query to run", || running(&server) == 1.0);
    drop(client);
    server.wait_until("the query to end", || running(&server) == 0.0);
}

/// Jobs on the threads of queries.
fn running(server: &Server) -> f64 {
    let metrics = server.get("/metrics").body;
    let line = metrics.lines().find(|line| line.starts_with("urd_compute_query_running_jobs"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap()
}

/// `RssAnon` of a process, bytes.
fn anonymous_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
