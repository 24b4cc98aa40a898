//! Bad input is answered with an error; the process lives, and nothing acknowledged is lost.

use std::time::Duration;

use crate::harness::{self, Server};
use crate::remote_write::{self, HEADERS, Series, bytes_field, compressed, label, sample};

const T: i64 = 1_700_000_000_000;

fn push_raw(server: &Server, body: &[u8]) -> (u16, String) {
    let answer = server.post("/api/v1/push", HEADERS, body);
    (answer.status, answer.body)
}

fn series_of(labels: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut message: Vec<u8> = labels.iter().flat_map(|(n, v)| label(n, v)).collect();
    message.extend(sample(T, 1.0));
    compressed(&bytes_field(1, &message))
}

#[test]
fn pushes_that_are_not_valid() {
    let dir = tempfile::tempdir().unwrap();
    let server = harness::urd(dir.path(), &["-validation.create-grace-period=10m"]);
    let good = series_of(&[(b"__name__", b"good")]);
    assert_eq!(push_raw(&server, &good).0, 200);
    for (what, body, want) in [
        ("truncated snappy", good[..good.len() - 3].to_vec(), ""),
        ("no snappy", b"hello".to_vec(), ""),
        ("bad protobuf", compressed(b"\x0a\xff\xff\xff\xff\x0f"), ""),
        ("labels not UTF-8", series_of(&[(b"__name__", b"\xff")]), "err-mimir-metric-name-invalid"),
        ("no name", series_of(&[(b"a", b"b")]), "err-mimir-missing-metric-name"),
        (
            "duplicate labels",
            series_of(&[(b"__name__", b"m"), (b"a", b"1"), (b"a", b"2")]),
            "err-mimir-duplicate-label-names",
        ),
        (
            "empty label name",
            series_of(&[(b"", b"1"), (b"__name__", b"m")]),
            "err-mimir-label-invalid",
        ),
        (
            "oversized",
            compressed(&vec![0; 101 << 20]),
            "err-mimir-distributor-max-write-message-size",
        ),
    ] {
        let (status, text) = push_raw(&server, &body);
        assert_eq!(status, 400, "{what}: {text}");
        assert!(text.contains(want), "{what}: {text}");
    }
    assert_eq!(push_raw(&server, &series_of(&[])).0, 200, "a series without labels is left out");
    let future = [Series::new("m", &[], vec![(i64::MAX / 2, 1.0)])];
    let answer = remote_write::push(&server, "/api/v1/push", &future);
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("err-mimir-too-far-in-future"), "{}", answer.body);
    unsupported_types(&server, &good);
    assert_eq!(push_raw(&server, &good).0, 200, "the same sample again is no error");
    assert!(query(&server, "good", &(T / 1000 + 1).to_string()).1.contains("\"1\""));
}

fn unsupported_types(server: &Server, body: &[u8]) {
    for (name, value) in [
        ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
        ("Content-Type", "text/plain"),
        ("Content-Encoding", "gzip"),
    ] {
        let answer = server.post("/api/v1/push", &[(name, value)], body);
        assert_eq!(answer.status, 415, "{value}: {}", answer.body);
    }
}

#[test]
fn unsorted_labels_and_nan_payloads_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let server = harness::urd(dir.path(), &[]);
    let unsorted = series_of(&[(b"z", b"1"), (b"__name__", b"m"), (b"a", b"2")]);
    assert_eq!(push_raw(&server, &unsorted).0, 200);
    let (status, text) = query(&server, "m{z=\"1\"}", &(T / 1000 + 1).to_string());
    assert_eq!(status, 200);
    assert!(text.contains(r#"{"__name__":"m","a":"2","z":"1"}"#), "{text}");
    let nan = |bits: u64| f64::from_bits(bits);
    let samples = vec![(T, nan(0x7ff8_0000_dead_beef)), (T + 1000, nan(0x7ff0_0000_0000_0002))];
    let series = [Series::new("payloads", &[], samples)];
    assert_eq!(remote_write::push(&server, "/api/v1/push", &series).status, 200);
    assert!(query(&server, "payloads", &(T / 1000).to_string()).1.contains("\"NaN\""));
    let stale = query(&server, "payloads", &(T / 1000 + 2).to_string()).1;
    assert!(stale.contains("\"result\":[]"), "{stale}");
}

#[test]
fn errors_of_samples_by_their_ids() {
    let dir = tempfile::tempdir().unwrap();
    let server = harness::urd(dir.path(), &["-ingester.max-global-series-per-user=2"]);
    let push = |name: &str, t: i64, v: f64| {
        let series = [Series::new(name, &[], vec![(t, v)])];
        let answer = remote_write::push(&server, "/api/v1/push", &series);
        (answer.status, answer.body)
    };
    assert_eq!(push("a", T, 1.0).0, 200);
    let (status, text) = push("a", T, 2.0);
    assert!(status == 400 && text.contains("err-mimir-sample-duplicate-timestamp"), "{text}");
    let (status, text) = push("a", T - 1000, 2.0);
    assert!(status == 400 && text.contains("err-mimir-sample-out-of-order"), "{text}");
    let (status, text) = push("b", T - 7_200_000, 2.0);
    assert!(status == 400 && text.contains("err-mimir-sample-timestamp-too-old"), "{text}");
    assert_eq!(push("b", T, 2.0).0, 200);
    let (status, text) = push("c", T, 3.0);
    assert!(status == 400 && text.contains("err-mimir-max-series-per-user"), "{text}");
    assert_eq!(push("b", T + 1000, 2.0).0, 200, "series that exist go on");
}

fn query(server: &Server, query: &str, time: &str) -> (u16, String) {
    let params = [("query", query), ("time", time)];
    let answer = server.api("/prometheus/api/v1/query", &params);
    (answer.status, answer.body)
}

#[test]
fn queries_that_are_not_valid_or_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let server = harness::urd(dir.path(), &["-querier.timeout=20s"]);
    let good = series_of(&[(b"__name__", b"good")]);
    assert_eq!(push_raw(&server, &good).0, 200);
    let megabyte = format!("sum({})", "good + ".repeat(150_000) + "good");
    for (what, text, want) in [
        ("nothing", String::new(), "no expression found in input"),
        ("syntax", "sum(".to_owned(), "parse error"),
        ("deep brackets", format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000)), "parse error"),
        ("deep calls", format!("{}1{}", "abs(".repeat(20_000), ")".repeat(20_000)), "parse error"),
        ("regex bomb", "{a=~\"((a{0,100}){0,100}){0,100}\"}".to_owned(), "parse error"),
        ("regex depth", format!("{{a=~\"{}\"}}", "(".repeat(20_000)), "parse error"),
        ("unknown function", "foo(good)".to_owned(), "unknown function"),
        ("type", "rate(good)".to_owned(), "expected type range vector"),
    ] {
        let (status, body) = query(&server, &text, "1700000000");
        assert_eq!(status, 400, "{what}: {body}");
        assert!(
            body.contains(want) && body.contains("\"errorType\":\"bad_data\""),
            "{what}: {body}"
        );
    }
    let (status, body) = query(&server, &megabyte, "1700000001");
    assert!([200, 400, 422].contains(&status), "a query of a megabyte: {status} {body}");
    let (status, body) = query(&server, "good", "yesterday");
    assert!(status == 400 && body.contains("to a valid timestamp"), "{body}");
    let long_url = format!("/prometheus/api/v1/query?query={}", "a".repeat(1 << 20));
    // The server may close the connection before it has read all of it.
    if let Some(answer) = server.try_get(&long_url) {
        assert!((400..500).contains(&answer.status), "a URL of a megabyte: {}", answer.status);
    }
    assert_eq!(query(&server, "good", "1700000001").0, 200);
}

#[test]
fn tenants_where_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = harness::urd(dir.path(), &["-auth.multitenancy-enabled=true"]);
    let body = series_of(&[(b"__name__", b"mine")]);
    let answer = server.post("/api/v1/push", HEADERS, &body);
    assert_eq!((answer.status, answer.body.trim()), (401, "no org id"));
    let tenant = |name| [HEADERS, &[("X-Scope-OrgID", name)]].concat();
    assert_eq!(server.post("/api/v1/push", &tenant("team-a"), &body).status, 200);
    let path = "/prometheus/api/v1/query?query=mine&time=1700000001";
    let seen = |name| server.post(path, &[("X-Scope-OrgID", name)], b"").body;
    assert!(seen("team-a").contains("\"mine\""));
    assert!(!seen("team-b").contains("\"mine\""), "tenants do not see each other");
    assert!((400..500).contains(&server.post("/api/v1/push", &tenant("a/b"), &body).status));
}

#[test]
fn a_damaged_tail_of_the_log_costs_no_acknowledged_sample_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = harness::urd(dir.path(), &[]);
    assert_eq!(push_raw(&server, &series_of(&[(b"__name__", b"kept")])).0, 200);
    server.kill();
    let wal = dir.path().join("tsdb/anonymous/wal");
    let mut segments: Vec<_> = std::fs::read_dir(&wal)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file())
        .collect();
    segments.sort();
    let last = segments.last().unwrap();
    let mut bytes = std::fs::read(last).unwrap();
    bytes.extend([0xab; 1000]);
    std::fs::write(last, bytes).unwrap();
    let server = harness::urd(dir.path(), &[]);
    assert!(query(&server, "kept", "1700000001").1.contains("\"kept\""), "{}", server.log());
    let after = [Series::new("kept", &[], vec![(T + 1000, 2.0)])];
    assert_eq!(remote_write::push(&server, "/api/v1/push", &after).status, 200);
}

/// A small file system that fills up. Mounting needs rights that not every machine gives.
#[test]
fn a_full_disk_is_a_clear_error_and_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("tsdb");
    std::fs::create_dir(&disk).unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "urd-test", disk.to_str().unwrap()])
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no right to mount a small file system");
        return;
    }
    let outcome = std::panic::catch_unwind(|| fill(dir.path()));
    let unmount = || std::process::Command::new("umount").arg(&disk).status().unwrap().success();
    for _ in 0..100 {
        if unmount() {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    outcome.unwrap();
}

fn fill(dir: &std::path::Path) {
    let ballast = dir.join("tsdb/ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let mut server = harness::urd(dir, &[]);
    let mut acknowledged = 0i64;
    let push = |server: &Server, t: i64| {
        let series: Vec<Series> = (0..500)
            .map(|i| Series::new("filling", &[("i", &i.to_string())], vec![(T + t, t as f64)]))
            .collect();
        remote_write::push(server, "/api/v1/push", &series)
    };
    let error = loop {
        let answer = push(&server, acknowledged * 1000);
        if answer.status != 200 {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 10_000, "the disk never fills");
    };
    assert_eq!(error.status / 100, 5, "{}", error.body);
    assert!(!error.body.trim().is_empty(), "the error says what happened");
    let count = |server: &Server| {
        let time = (T / 1000 + acknowledged + 3600).to_string();
        let (_, body) = query(server, "min(count_over_time(filling[30d]))", &time);
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        json["data"]["result"][0]["value"][1].as_str().map(|n| n.parse::<i64>().unwrap())
    };
    let seen = count(&server).unwrap();
    assert!(seen >= acknowledged, "{seen} of {acknowledged}");
    server.kill();
    std::fs::remove_file(&ballast).unwrap(); // Somebody has made room.
    let server = harness::urd(dir, &[]);
    let seen = count(&server).unwrap();
    assert!(seen >= acknowledged, "after a restart {seen} of {acknowledged}");
    assert_eq!(push(&server, (acknowledged + 2) * 1000).status, 200, "writing goes on");
}
