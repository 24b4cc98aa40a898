//! What a query may read: each limit ends a query that wants more with its own error, from
//! ingesters and from the bucket alike, while the queries of other tenants are answered.

use serde_json::Value;

use crate::harness::{self, Answer, Server};
use crate::promql::seconds;
use crate::remote_write::{self, HEADERS, Series};

const SERIES: i64 = 30;
const SCRAPES: i64 = 480;
const INTERVAL_MS: i64 = 15_000;
/// A border of two-hour blocks.
const START_MS: i64 = 1_699_999_200_000;
const END_MS: i64 = START_MS + (SCRAPES - 1) * INTERVAL_MS;

/// A tenant, its limits, a query that goes over them and what the error begins with, the flag of
/// the limit, and a query that stays below.
struct Case {
    tenant: &'static str,
    limits: &'static str,
    too_much: &'static str,
    error: &'static str,
    flag: &'static str,
    little: &'static str,
}

const CASES: &[Case] = &[
    Case {
        tenant: "series",
        limits: "max_fetched_series_per_query: 10",
        too_much: "sum(rate(m[2h]))",
        error: "the query exceeded the maximum number of series (limit: 10 series) \
                (err-mimir-max-series-per-query)",
        flag: "max-fetched-series-per-query",
        // Ten series, read twice.
        little: "sum_over_time(m{i=~\"[0-9]\"}[2h]) - avg_over_time(m{i=~\"[0-9]|x\"}[2h])",
    },
    Case {
        tenant: "chunks",
        limits: "max_fetched_chunks_per_query: 100",
        too_much: "sum(rate(m[2h]))",
        error: "the query exceeded the maximum number of chunks (limit: 100 chunks) \
                (err-mimir-max-chunks-per-query)",
        flag: "max-fetched-chunks-per-query",
        little: "rate(m{i=~\"[0-9]\"}[2h])",
    },
    Case {
        tenant: "estimated",
        limits: "max_fetched_chunks_per_query: 100, \
                 max_estimated_fetched_chunks_per_query_multiplier: 1",
        too_much: "sum(rate(m[2h]))",
        error: "the estimated number of chunks for the query exceeded the maximum allowed \
                (limit: 100 chunks) (err-mimir-max-estimated-chunks-per-query)",
        flag: "max-estimated-fetched-chunks-per-query-multiplier",
        little: "rate(m{i=~\"[0-9]\"}[2h])",
    },
    Case {
        tenant: "bytes",
        limits: "max_fetched_chunk_bytes_per_query: 20000",
        too_much: "sum(rate(m[2h]))",
        error: "the query exceeded the aggregated chunks size limit (limit: 20000 bytes) \
                (err-mimir-max-chunks-bytes-per-query)",
        flag: "max-fetched-chunk-bytes-per-query",
        little: "rate(m{i=\"1\"}[2h])",
    },
    Case {
        tenant: "memory",
        limits: "max_estimated_memory_consumption_per_query: 100000",
        too_much: "max_over_time(m[2h:1s])",
        error: "the query exceeded the maximum allowed estimated amount of memory consumed by a \
                single query (limit: 100000 bytes) \
                (err-mimir-max-estimated-memory-consumption-per-query)",
        flag: "max-estimated-memory-consumption-per-query",
        little: "m{i=\"1\"}",
    },
];

impl Case {
    fn full_error(&self) -> String {
        format!(
            "{}. Consider reducing the time range and/or number of series selected by the query. \
             One way to reduce the number of selected series is to add more label matchers to the \
             query. Otherwise, to adjust the related per-tenant limit, configure -querier.{}, or \
             contact your service administrator.",
            self.error, self.flag
        )
    }
}

/// Values that do not compress to nothing.
fn series(index: i64) -> Series {
    let value = |scrape: i64| (scrape * scrape * (index + 7)) as f64 / 3.0;
    let samples = (0..SCRAPES).map(|s| (START_MS + s * INTERVAL_MS, value(s))).collect();
    Series::new("m", &[("i", &index.to_string())], samples)
}

fn ask(server: &Server, tenant: &str, query: &str) -> Answer {
    let form: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("query", query), ("time", &*seconds(END_MS))])
        .finish();
    let headers =
        [("Content-Type", "application/x-www-form-urlencoded"), ("X-Scope-OrgID", tenant)];
    server.post("/prometheus/api/v1/query", &headers, form.as_bytes())
}

fn check(server: &Server, place: &str) {
    for case in CASES {
        let answer = ask(server, case.tenant, case.too_much);
        let json = answer.json();
        assert_eq!(answer.status, 422, "{place}: {}: {json}", case.tenant);
        assert_eq!(json["errorType"], "execution", "{place}: {}", case.tenant);
        assert_eq!(json["error"], Value::from(case.full_error()), "{place}");
        for (tenant, query) in [(case.tenant, case.little), ("guest", case.too_much)] {
            let answer = ask(server, tenant, query);
            let result = &answer.json()["data"]["result"];
            assert_eq!(answer.status, 200, "{place}: {tenant}: {query}: {}", answer.body);
            assert_ne!(result.as_array().map(Vec::len), Some(0), "{place}: {tenant}: {query}");
        }
    }
}

#[test]
fn each_limit_has_its_error_wherever_the_samples_are() {
    let dir = tempfile::tempdir().unwrap();
    let overrides: String =
        CASES.iter().map(|case| format!("  {}: {{{}}}\n", case.tenant, case.limits)).collect();
    let file = dir.path().join("runtime.yaml");
    std::fs::write(&file, format!("overrides:\n{overrides}")).unwrap();
    let runtime = format!("-runtime-config.file={}", file.display());
    let options = ["-auth.multitenancy-enabled=true", &*runtime];
    let mut server = harness::urd(dir.path(), &options);
    let all: Vec<Series> = (0..SERIES).map(series).collect();
    let body = remote_write::compressed(&remote_write::message(&all));
    for tenant in CASES.iter().map(|case| case.tenant).chain(["guest"]) {
        let headers = [HEADERS, &[("X-Scope-OrgID", tenant)]].concat();
        let answer = server.post("/api/v1/push", &headers, &body);
        assert!(answer.status < 300, "{} {}", answer.status, answer.body);
    }
    check(&server, "ingester");
    assert_eq!(server.get("/ingester/flush?wait=true").status / 100, 2);
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    std::fs::remove_dir_all(dir.path().join("tsdb")).unwrap();
    let server = harness::urd(dir.path(), &options);
    check(&server, "bucket");
}
