//! `cargo xtask fairness`: how long a tenant's query takes beside one that keeps the server busy.
//!
//! Asks a running server, or starts one and fills it: first the guest alone, then the guest while
//! the hostile tenant asks for something heavy on several connections without a pause.

mod server;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::commands::say;

const USAGE: &str = "cargo xtask fairness --urd BINARY [CONNECTIONS], or \
                     cargo xtask fairness HOST:PORT GUEST HOSTILE END_SECONDS [CONNECTIONS]";
const CONNECTIONS: usize = 8;
/// `i_sum_rate` of the query set.
const GUEST_QUERY: &str = "sum by (namespace) (rate(http_requests_total[5m]))";
const HOSTILE_QUERY: &str = "quantile_over_time(0.9,{__name__=~\".+\"}[30m])";
const REQUESTS: usize = 300;
/// The hostile tenant's range, s, and step, s.
const HOSTILE_RANGE: (u64, u64) = (3_600, 5);

#[expect(clippy::disallowed_methods, reason = "measures another process in real time")]
fn now() -> Instant {
    Instant::now()
}

pub(crate) fn fairness(args: &[&str]) -> Result<()> {
    match args {
        ["--urd", binary] => beside_own_server(binary, CONNECTIONS),
        ["--urd", binary, n] => beside_own_server(binary, n.parse()?),
        [address, guest, hostile, end] => {
            measure(address, (guest, hostile), (end.parse().context(USAGE)?, CONNECTIONS))
        }
        [address, guest, hostile, end, n] => {
            measure(address, (guest, hostile), (end.parse().context(USAGE)?, n.parse()?))
        }
        _ => bail!("{USAGE}"),
    }
}

fn beside_own_server(binary: &str, connections: usize) -> Result<()> {
    let (guest, hostile) = ("guest", "hostile");
    let server = server::FilledServer::start(binary, &[guest, hostile])?;
    measure(&server.address, (guest, hostile), (server.end_seconds, connections))
}

fn measure(
    address: &str,
    (guest, hostile): (&str, &str),
    (end, connections): (u64, usize),
) -> Result<()> {
    let guest = Client { address, tenant: guest };
    let hostile = Client { address, tenant: hostile };
    let alone = guest.times(end)?;
    say(&format!("guest alone:         {}", shown(&alone)));
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let beside = std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = hostile.ask_heavy(end); // A refusal is an answer too.
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let times = guest.times(end);
        done.store(true, Ordering::Relaxed);
        times
    })?;
    say(&format!("beside {connections} connections: {}", shown(&beside)));
    let ratio = percentile(&beside, 99).as_secs_f64() / percentile(&alone, 99).as_secs_f64();
    let asked = asked.into_inner();
    say(&format!("p99 is {ratio:.1} times that of the guest alone; {asked} hostile queries ended"));
    Ok(())
}

fn shown(times: &[Duration]) -> String {
    let ms = |p| percentile(times, p).as_secs_f64() * 1000.0;
    format!("p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms", ms(50), ms(90), ms(99))
}

/// Of sorted times.
fn percentile(times: &[Duration], p: usize) -> Duration {
    times
        .get((times.len() * p / 100).min(times.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// A tenant.
struct Client<'a> {
    address: &'a str,
    tenant: &'a str,
}

impl Client<'_> {
    /// How long the guest's query took, sorted.
    fn times(&self, end: u64) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let start = now();
            let answer = self.get(&format!("query?query={}&time={end}", escaped(GUEST_QUERY)))?;
            times.push(start.elapsed());
            if !answer.starts_with("HTTP/1.1 200") {
                bail!("{}", answer.chars().take(400).collect::<String>());
            }
        }
        times.sort_unstable();
        Ok(times)
    }

    fn ask_heavy(&self, end: u64) -> Result<String> {
        let (range, step) = HOSTILE_RANGE;
        let (query, start) = (escaped(HOSTILE_QUERY), end - range);
        self.get(&format!("query_range?query={query}&start={start}&end={end}&step={step}"))
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        let (address, tenant) = (self.address, self.tenant);
        let request = format!(
            "GET /prometheus/api/v1/{path} HTTP/1.1\r\nHost: {address}\r\n\
             X-Scope-OrgID: {tenant}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// Percent-encoded.
fn escaped(text: &str) -> String {
    let escape = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(escape).collect()
}
