//! `kill -9` at any moment loses nothing that was acknowledged.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::{self, Server};
use crate::remote_write::{self, HEADERS, Series};

const WRITERS: usize = 4;
const SERIES_PER_WRITER: usize = 50;
const START_MS: i64 = 1_700_000_000_000;

#[test]
fn acknowledged_samples_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = [0i64; WRITERS];
    for round in 0..4 {
        let mut server = harness::urd(dir.path(), &[]);
        if round > 0 {
            check(&server, &acknowledged);
        }
        write_until_killed(
            &mut server,
            &mut acknowledged,
            Duration::from_millis(300 + 170 * round),
        );
    }
    let server = harness::urd(dir.path(), &["-blocks-storage.tsdb.wal-compression-enabled=true"]);
    check(&server, &acknowledged);
    assert!(acknowledged.iter().all(|&n| n > 4), "{acknowledged:?}");
}

/// Each writer pushes the next sample of its series again and again; `acknowledged` counts those
/// that were answered with success.
fn write_until_killed(server: &mut Server, acknowledged: &mut [i64; WRITERS], after: Duration) {
    let is_over = AtomicBool::new(false);
    let counts = Mutex::new(*acknowledged);
    let shared: &Server = server;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (is_over, counts) = (&is_over, &counts);
            let mut next = counts.lock().unwrap()[writer];
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let body =
                        remote_write::compressed(&remote_write::message(&series(writer, next)));
                    match shared.try_post("/api/v1/push", HEADERS, &body) {
                        Some(answer) => assert_eq!(answer.status, 200, "{}", answer.body),
                        None => return,
                    }
                    next += 1;
                    counts.lock().unwrap()[writer] = next;
                }
            });
        }
        scope.spawn(|| {
            std::thread::park_timeout(after);
            let pid = shared.pid().to_string();
            let kill = std::process::Command::new("kill").args(["-KILL", &pid]).status();
            assert!(kill.unwrap().success());
            is_over.store(true, Ordering::Relaxed);
        });
    });
    server.wait_exit();
    *acknowledged = counts.into_inner().unwrap();
}

fn series(writer: usize, sample: i64) -> Vec<Series> {
    let one = |i: usize| {
        let labels = [("writer", &*writer.to_string()), ("i", &*i.to_string())]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
        Series::new("crash_total", &labels, vec![(START_MS + sample * 1000, sample as f64)])
    };
    (0..SERIES_PER_WRITER).map(one).collect()
}

/// Every series must have all acknowledged samples. One more may be there: written, not answered.
fn check(server: &Server, acknowledged: &[i64; WRITERS]) {
    for (writer, &count) in acknowledged.iter().enumerate() {
        let query = format!("count_over_time(crash_total{{writer=\"{writer}\"}}[100d])");
        let time = (START_MS / 1000 + 86_400 * 50).to_string();
        let answer = server.api("/prometheus/api/v1/query", &[("query", &query), ("time", &time)]);
        let result = answer.json()["data"]["result"].clone();
        let series = result.as_array().unwrap();
        assert_eq!(series.len(), SERIES_PER_WRITER, "{query}: {}", answer.body);
        for one in series {
            let got: i64 = one["value"][1].as_str().unwrap().parse().unwrap();
            assert!(got == count || got == count + 1, "{one}: {count} were acknowledged");
        }
    }
}
