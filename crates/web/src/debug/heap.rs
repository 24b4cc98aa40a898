//! `/debug/pprof/heap`: who holds the memory, from jemalloc's sampling. Works where the process
//! runs on jemalloc with `prof:true`.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use rt::ComputePool;
use tikv_jemalloc_ctl::{profiling, raw};

use super::cpu::attachment;
use super::pprof_proto::{Header, Line, ProfileBuilder, ValueType};
use crate::reply::text_error;

pub(super) async fn profile(State(compute): State<ComputePool>) -> Response {
    if !profiling::prof::read().unwrap_or(false) {
        let message = "heap profiling is switched off: start the process with the environment \
                       variable _RJEM_MALLOC_CONF=prof:true,prof_active:true";
        return text_error(StatusCode::NOT_IMPLEMENTED, message);
    }
    match compute.run(record).await {
        Ok(Ok(bytes)) => attachment("heap.pb.gz", bytes),
        Ok(Err(message)) => text_error(StatusCode::INTERNAL_SERVER_ERROR, &message),
        Err(error) => text_error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

fn record() -> Result<Vec<u8>, String> {
    let dump = dump().map_err(|error| format!("dump the heap profile: {error}"))?;
    let samples = parse(&dump).ok_or("read the heap profile: it is not a heap_v2")?;
    encode(&samples).map_err(|error| format!("encode the heap profile: {error}"))
}

/// jemalloc's own text. It writes to a file alone.
fn dump() -> Result<String, Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("heap");
    // The interface wants a name that lives for ever: some bytes for each profile.
    let name = format!("{}\0", path.display()).into_bytes().leak();
    raw::write_str(b"prof.dump\0", name)?;
    Ok(std::fs::read_to_string(&path)?)
}

/// The memory that one stack holds.
#[derive(Debug, PartialEq)]
struct HeapSample {
    /// Return addresses, leaf first.
    addresses: Vec<usize>,
    objects: f64,
    bytes: f64,
}

/// Reads a `heap_v2` dump:
///
/// ```text
/// heap_v2/524288
///   t*: 28106: 56637512 [0: 0]
/// @ 0x5f86da8 0x5f5a1dc
///   t*: 13: 6688 [0: 0]
/// ```
///
/// A line `t*` says how many objects with how many bytes the stack above it holds, counting those
/// that were sampled, on average one in so many bytes as the first line says.
fn parse(dump: &str) -> Option<Vec<HeapSample>> {
    let mut lines = dump.lines();
    let period: f64 = lines.next()?.strip_prefix("heap_v2/")?.parse().ok()?;
    let (mut samples, mut stack) = (Vec::new(), None);
    for line in lines {
        if let Some(addresses) = line.strip_prefix("@ ") {
            stack = Some(parse_stack(addresses)?);
        } else if let Some(counts) = line.trim_start().strip_prefix("t*: ") {
            let Some(addresses) = stack.take() else { continue }; // The sum at the top.
            let (objects, bytes) = parse_counts(counts)?;
            let scale = unsampled(objects, bytes, period);
            samples.push(HeapSample { addresses, objects: objects * scale, bytes: bytes * scale });
        } else if line.starts_with("MAPPED_LIBRARIES") {
            break;
        }
    }
    Some(samples)
}

fn parse_stack(addresses: &str) -> Option<Vec<usize>> {
    let parse = |text: &str| usize::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    addresses.split_whitespace().map(parse).collect()
}

fn parse_counts(counts: &str) -> Option<(f64, f64)> {
    let (objects, rest) = counts.split_once(": ")?;
    Some((objects.parse().ok()?, rest.split(' ').next()?.parse().ok()?))
}

/// By how much to multiply what was sampled: an object of `n` bytes is sampled with the
/// probability `1 - exp(-n / period)`.
fn unsampled(objects: f64, bytes: f64, period: f64) -> f64 {
    if objects <= 0.0 || bytes <= 0.0 || period <= 0.0 {
        return 1.0;
    }
    1.0 / -(-(bytes / objects) / period).exp_m1()
}

fn encode(samples: &[HeapSample]) -> std::io::Result<Vec<u8>> {
    let space = ValueType { kind: "inuse_space", unit: "bytes" };
    let mut builder = ProfileBuilder::new(&Header {
        sample_types: &[ValueType { kind: "inuse_objects", unit: "count" }, space],
        period_type: space,
        period: 1,
        time_ns: 0,
        duration_ns: 0,
    });
    for sample in samples {
        let stack = sample.addresses.iter().map(|&address| lines_at(address)).collect();
        let values = [sample.objects as i64, sample.bytes as i64];
        builder.sample(without_allocator(stack), &values);
    }
    builder.finish()
}

/// Every stack begins in the allocator, which tells nothing: cuts that off.
fn without_allocator(mut stack: Vec<Vec<Line>>) -> Vec<Vec<Line>> {
    /// Deeper than the allocator and the standard library's way to it ever are.
    const MAX_DEPTH: usize = 12;
    let is_allocator = |lines: &Vec<Line>| {
        lines.iter().any(|line| ["_rjem_", "__rust_"].iter().any(|s| line.function.contains(s)))
    };
    let end = stack[..stack.len().min(MAX_DEPTH)]
        .iter()
        .rposition(is_allocator)
        .map_or(0, |last| last + 1);
    if end < stack.len() {
        stack.drain(..end);
    }
    stack
}

/// The functions at a return address, innermost first; its number where nothing is known.
fn lines_at(address: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    // A return address is behind the call.
    let call = std::ptr::without_provenance_mut(address.saturating_sub(1));
    backtrace::resolve(call, |symbol| {
        let name = symbol.name().map(|name| format!("{name:#}"));
        let file = symbol.filename().map(|file| file.to_string_lossy().into_owned());
        lines.push(Line {
            function: name.unwrap_or_else(|| format!("{address:#x}")),
            file: file.unwrap_or_default(),
            line: symbol.lineno().unwrap_or(0),
        });
    });
    if lines.is_empty() {
        lines.push(Line { function: format!("{address:#x}"), file: String::new(), line: 0 });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_begin_where_memory_was_asked_for() {
        let lines =
            |name: &str| vec![Line { function: name.to_owned(), file: String::new(), line: 0 }];
        let check = |stack: &[&str], want: &[&str]| {
            let cut = without_allocator(stack.iter().map(|name| lines(name)).collect());
            let names: Vec<&str> = cut.iter().map(|lines| lines[0].function.as_str()).collect();
            assert_eq!(names, want);
        };
        check(
            &["prof", "_rjem_malloc", "__rustc::__rust_alloc", "push", "main"],
            &["push", "main"],
        );
        check(&["a", "b"], &["a", "b"]);
        check(&["prof", "_rjem_malloc"], &["prof", "_rjem_malloc"]);
    }

    #[test]
    fn a_dump_of_jemalloc_is_read() {
        let dump = "heap_v2/1024\n  t*: 3: 6144 [0: 0]\n  t0: 3: 6144 [0: 0]\n\
                    @ 0x10 0xff\n  t*: 2: 2048 [0: 0]\n  t0: 2: 2048 [0: 0]\n\
                    @ 0x20\n  t*: 1: 4096 [0: 0]\n  t0: 1: 4096 [0: 0]\n\
                    \nMAPPED_LIBRARIES:\n00-ff r-xp 0 00:00 0 /bin/x\n";
        let samples = parse(dump).unwrap();
        assert_eq!(samples.len(), 2);
        assert_eq!(samples[0].addresses, [0x10, 0xff]);
        // 1 / (1 - 1/e) and 1 / (1 - e^-4), from a table of e^x.
        assert!((samples[0].objects - 2.0 * 1.581_976_7).abs() < 1e-5, "{samples:?}");
        assert!((samples[1].bytes - 4096.0 * 1.018_657_4).abs() < 1e-2, "{samples:?}");
        assert_eq!(parse("something else"), None);
    }
}
