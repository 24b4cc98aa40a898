//! What a line looks like, and that levels can change.

use std::sync::Arc;

use model::env::ManualClock;
use parking_lot::Mutex;

use super::*;

/// Runs `events` and returns the lines with the caller's place cut out.
fn lines(format: LogFormat, level: LogLevel, events: impl FnOnce(LogHandle)) -> Vec<String> {
    let written = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&written);
    let clock = Arc::new(ManualClock::new(1_000));
    let layer = LineLayer::new(format, clock, move |line: &str| sink.lock().push_str(line));
    let (subscriber, handle) = subscriber(level, layer);
    tracing::subscriber::with_default(subscriber, || events(handle));
    let text = written.lock();
    text.lines().map(without_line_number).collect()
}

fn without_line_number(line: &str) -> String {
    let (before, after) = line.split_once("tests.rs:").unwrap();
    format!("{before}tests.rs{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn events(_: LogHandle) {
    let span = tracing::info_span!("request", user = "team a", status = tracing::field::Empty);
    let _guard = span.enter();
    span.record("status", 200);
    let error = std::io::Error::other("line\nbreak \"x\"");
    tracing::warn!(%error, count = 3, "did it");
    tracing::debug!("left out");
}

#[test]
fn logfmt_with_the_fields_of_the_request() {
    let want = "ts=1970-01-01T00:00:01.000Z caller=rt/log/tests.rs level=warn msg=\"did it\" \
                error=\"line\\nbreak \\\"x\\\"\" count=3 user=\"team a\" status=200";
    assert_eq!(lines(LogFormat::Logfmt, LogLevel::Info, events), [want]);
}

#[test]
fn json_with_the_fields_of_the_request() {
    let want = "{\"ts\":\"1970-01-01T00:00:01.000Z\",\"caller\":\"rt/log/tests.rs\",\
                \"level\":\"warn\",\"msg\":\"did it\",\"error\":\"line\\nbreak \\\"x\\\"\",\
                \"count\":\"3\",\"user\":\"team a\",\"status\":\"200\"}";
    assert_eq!(lines(LogFormat::Json, LogLevel::Info, events), [want]);
}

#[test]
fn the_level_can_change() {
    let written = lines(LogFormat::Logfmt, LogLevel::Error, |handle| {
        tracing::warn!("one");
        handle.set_level(LogLevel::Debug);
        tracing::debug!("two");
        tracing::debug!(target: "h2::codec", "noise");
    });
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(written[0].contains("level=debug msg=two"), "{written:?}");
}
