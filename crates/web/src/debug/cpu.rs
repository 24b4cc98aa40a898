//! `/debug/pprof/profile`: where CPU time goes, by interrupting the running threads.

use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, HeaderValue};
use pprof::{ProfilerGuardBuilder, Report};
use rt::ComputePool;
use serde::Deserialize;

use super::pprof_proto::{Header, Line, ProfileBuilder, ValueType};
use crate::reply::{text_error, typed};

const DEFAULT_SECONDS: u64 = 30;
const DEFAULT_HZ: u32 = 100;
/// More would measure the measuring.
const MAX_HZ: u32 = 1000;
const MAX_SECONDS: u64 = 600;

/// Code that must not be interrupted while it walks the stack itself.
const BLOCKED_LIBRARIES: &[&str] = &["libc", "libgcc", "pthread", "vdso"];

#[derive(Deserialize)]
pub(super) struct Parameters {
    seconds: Option<u64>,
    hz: Option<u32>,
}

pub(super) async fn profile(
    State(compute): State<ComputePool>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let seconds = parameters.seconds.unwrap_or(DEFAULT_SECONDS);
    let hz = parameters.hz.unwrap_or(DEFAULT_HZ);
    if !(1..=MAX_SECONDS).contains(&seconds) || !(1..=MAX_HZ).contains(&hz) {
        let message = format!("seconds must be 1 to {MAX_SECONDS} and hz 1 to {MAX_HZ}");
        return text_error(StatusCode::BAD_REQUEST, &message);
    }
    match record(&compute, Duration::from_secs(seconds), hz).await {
        Ok(bytes) => attachment("profile.pb.gz", bytes),
        Err(message) => text_error(StatusCode::INTERNAL_SERVER_ERROR, &message),
    }
}

/// A gzipped profile. One can be recorded at a time: the second one is an error.
async fn record(compute: &ComputePool, time: Duration, hz: u32) -> Result<Vec<u8>, String> {
    let guard = ProfilerGuardBuilder::default()
        .frequency(i32::try_from(hz).unwrap_or(i32::MAX))
        .blocklist(BLOCKED_LIBRARIES)
        .build()
        .map_err(|error| format!("start the profile: {error}"))?;
    rt::time::sleep(time).await;
    let encoded = compute.run(move || {
        let report =
            guard.report().build().map_err(|error| format!("read the profile: {error}"))?;
        drop(guard);
        encode(&report, hz).map_err(|error| format!("encode the profile: {error}"))
    });
    encoded.await.map_err(|error| error.to_string())?
}

fn encode(report: &Report, hz: u32) -> std::io::Result<Vec<u8>> {
    let period = 1_000_000_000 / i64::from(hz);
    let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let cpu = ValueType { kind: "cpu", unit: "nanoseconds" };
    let mut builder = ProfileBuilder::new(&Header {
        sample_types: &[ValueType { kind: "samples", unit: "count" }, cpu],
        period_type: cpu,
        period,
        time_ns: report.timing.start_time.duration_since(UNIX_EPOCH).map_or(0, nanoseconds),
        duration_ns: nanoseconds(report.timing.duration),
    });
    for (frames, &count) in &report.data {
        let stack = frames.frames.iter().map(|symbols| symbols.iter().map(line).collect());
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        builder.sample(stack.collect(), &[count, count.saturating_mul(period)]);
    }
    builder.finish()
}

fn line(symbol: &pprof::Symbol) -> Line {
    Line { function: symbol.name(), file: symbol.filename().into_owned(), line: symbol.lineno() }
}

/// A profile as a file to be saved.
pub(super) fn attachment(name: &str, bytes: Vec<u8>) -> Response {
    let mut response = typed("application/octet-stream", bytes);
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    response
}
