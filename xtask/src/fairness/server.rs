//! A server of a given binary with an hour of samples for some tenants, for measurements.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};

const SERIES: u64 = 2_000;
const NAMESPACES: u64 = 20;
const SCRAPES: u64 = 240;
const SCRAPES_PER_REQUEST: u64 = 10;
const INTERVAL_MS: u64 = 15_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// Stopped, and its data removed, when it is dropped.
pub(super) struct FilledServer {
    process: Child,
    dir: PathBuf,
    /// Host and port of its HTTP API.
    pub(super) address: String,
    /// The time of the newest samples.
    pub(super) end_seconds: u64,
}

impl FilledServer {
    /// Starts `binary` and writes the same counters for every tenant.
    pub(super) fn start(binary: &str, tenants: &[&str]) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("urd-fairness-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let (http, grpc) = (free_port()?, free_port()?);
        let process = Command::new(binary)
            .current_dir(&dir)
            .args(["-auth.multitenancy-enabled=true", "-ingester.ring.store=inmemory"])
            .args(["-server.http-listen-address=127.0.0.1", "-ingester.ring.replication-factor=1"])
            .args([
                "-server.grpc-listen-address=127.0.0.1",
                "-distributor.ingestion-rate-limit=1e9",
            ])
            .args(["-distributor.ingestion-burst-size=1000000000", "-log.level=error"])
            .arg("-ingester.ring.min-ready-duration=0s")
            .arg(format!("-server.http-listen-port={http}"))
            .arg(format!("-server.grpc-listen-port={grpc}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {binary}"))?;
        let end_seconds = unix_seconds()?;
        let server = Self { process, dir, address: format!("127.0.0.1:{http}"), end_seconds };
        server.wait_ready()?;
        for tenant in tenants {
            server.fill(tenant)?;
        }
        Ok(server)
    }

    fn wait_ready(&self) -> Result<()> {
        let start = now();
        while start.elapsed() < PATIENCE {
            if self.request("GET /ready", "x", &[]).is_ok_and(|a| a.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        bail!("the server is not ready after {PATIENCE:?}")
    }

    fn fill(&self, tenant: &str) -> Result<()> {
        let start_ms = self.end_seconds * 1000 - (SCRAPES - 1) * INTERVAL_MS;
        for first in (0..SCRAPES).step_by(usize::try_from(SCRAPES_PER_REQUEST)?) {
            let scrapes = first..first + SCRAPES_PER_REQUEST;
            let body = snappy(&message(start_ms, scrapes));
            let answer = self.request("POST /api/v1/push", tenant, &body)?;
            if !answer.starts_with("HTTP/1.1 20") {
                bail!("write: {}", answer.chars().take(400).collect::<String>());
            }
        }
        Ok(())
    }

    fn request(&self, line: &str, tenant: &str, body: &[u8]) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\nX-Scope-OrgID: {tenant}\r\nConnection: close\r\n\
             Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
             Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for FilledServer {
    fn drop(&mut self) {
        // Nothing is left to do where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for another process in real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "samples of a real server are of today")]
fn unix_seconds() -> Result<u64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A remote-write request of all series.
fn message(start_ms: u64, scrapes: std::ops::Range<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..SERIES {
        let namespace = format!("team-{}", number % NAMESPACES);
        let pod = format!("pod-{number}");
        let labels =
            [("__name__", "http_requests_total"), ("namespace", &namespace), ("pod", &pod)];
        let mut series = Vec::new();
        for (name, value) in labels {
            let label = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
            series.extend(field(1, &label));
        }
        for scrape in scrapes.clone() {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let value = (scrape * (number % 17 + 1)) as f64;
            let mut sample = vec![1 << 3 | 1];
            sample.extend(value.to_le_bytes());
            sample.push(2 << 3);
            sample.extend(varint(start_ms + scrape * INTERVAL_MS));
            series.extend(field(2, &sample));
        }
        out.extend(field(1, &series));
    }
    out
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], &varint(bytes.len() as u64)[..], bytes].concat()
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A snappy block that compresses nothing: literals alone.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    const TWO_BYTE_LENGTH: u8 = 61 << 2;
    let mut out = varint(bytes.len() as u64);
    for piece in bytes.chunks(1 << 16) {
        out.push(TWO_BYTE_LENGTH);
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^16 - 1")]
        let length = (piece.len() - 1) as u16;
        out.extend(length.to_le_bytes());
        out.extend(piece);
    }
    out
}
