//! Starting and stopping: clear errors where a start is not possible, a clean end on SIGTERM.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness;
use crate::remote_write::{self, Series};

/// Starts `urd` with a flag and expects exit code 1; what it printed.
fn fails(dir: &Path, extra: &[&str]) -> String {
    let mut command = harness::urd_command(dir);
    command.args(extra).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let code = harness::wait_exit(&mut child);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(code, Some(1), "{text}");
    text
}

#[test]
fn a_start_that_cannot_work_says_why_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let text = fails(dir.path(), &[&format!("-server.http-listen-port={port}")]);
    assert!(text.contains(&port), "{text}");

    std::fs::write(dir.path().join("file"), "").unwrap();
    let text = fails(dir.path(), &["-blocks-storage.tsdb.dir=file/tsdb"]);
    assert!(text.contains("file/tsdb"), "{text}");

    let text = fails(dir.path(), &["-ingester.rign.replication-factor=1"]);
    assert!(text.contains("flag provided but not defined: -ingester.rign.replication-factor"));
    assert!(text.contains("ingester.ring.replication-factor"), "{text}");

    std::fs::write(dir.path().join("urd.yaml"), "limits:\n  max_golbal_series_per_user: 1\n")
        .unwrap();
    let text = fails(dir.path(), &["-config.file=urd.yaml"]);
    assert!(text.contains("urd.yaml") && text.contains('2'), "{text}");
    assert!(text.contains("max_global_series_per_user"), "{text}");

    let text = fails(dir.path(), &["-target=ruler"]);
    assert!(text.contains("ruler"), "{text}");
    let contradiction = ["-querier.query-ingesters-within=1h", "-querier.query-store-after=12h"];
    let text = fails(dir.path(), &contradiction);
    assert!(
        text.contains("query-store-after") || text.contains("query-ingesters-within"),
        "{text}"
    );
}

#[test]
fn a_data_directory_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let _first = harness::urd(dir.path(), &[]);
    let text = fails(dir.path(), &[]);
    assert!(text.contains("tsdb"), "{text}");
}

#[test]
fn sigterm_drains_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = harness::urd(dir.path(), &[]);
    let t = 1_700_000_000_000;
    let series = [Series::new("drained", &[("a", "b")], vec![(t, 1.5), (t + 1000, 2.5)])];
    assert_eq!(remote_write::push(&server, "/api/v1/push", &series).status, 200);
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    let server = harness::urd(dir.path(), &[]);
    let params = [("query", "drained"), ("time", "1700000001.5")];
    let answer = server.api("/prometheus/api/v1/query", &params).json();
    assert_eq!(answer["data"]["result"][0]["value"][1], "2.5", "{answer}");
}

#[test]
fn a_bare_start_serves_its_own_metrics() {
    let dir = tempfile::tempdir().unwrap();
    // The bare profile has fixed ports, so only its configuration is looked at here.
    let output =
        Command::new(env!("CARGO_BIN_EXE_urd")).current_dir(dir.path()).arg("-help").output();
    assert!(output.unwrap().status.success());

    let server = harness::urd(dir.path(), &["-urd.self-scrape-interval=100ms"]);
    let has_samples = || {
        let params = [("query", "count_over_time(cortex_ingester_memory_series[5m]) > 1")];
        let answer = server.api("/prometheus/api/v1/query", &params).json();
        answer["data"]["result"].as_array().is_some_and(|series| !series.is_empty())
    };
    server.wait_until("its own metrics", has_samples);
    for path in ["/", "/config", "/config?mode=diff", "/services", "/metrics", "/runtime_config"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let info = server.get("/prometheus/api/v1/status/buildinfo").json();
    assert_eq!(info["status"], "success");
}

#[test]
fn who_asks_for_three_copies_gets_them_or_an_error() {
    let sample = [Series::new("up", &[], vec![(1_700_000_000_000, 1.0)])];
    for (extra, want) in [
        // One copy is what the tests ask for.
        (&[][..], 200),
        (&["-ingester.ring.replication-factor=3"], 500),
        (&["-ingester.ring.replication-factor=3", "-urd.single-copy-while-alone=true"], 200),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = harness::urd(dir.path(), extra);
        let answer = remote_write::push(&server, "/api/v1/push", &sample);
        assert_eq!(answer.status, want, "{extra:?}: {}", answer.body);
        if want == 500 {
            let text = "at least 2 live replicas required, could only find 1";
            assert!(answer.body.contains(text), "{}", answer.body);
        }
    }
}
