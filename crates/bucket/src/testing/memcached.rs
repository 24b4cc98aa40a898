//! A memcached of its own for a test. Without the program it says so loudly, and there is none.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// A running memcached. Dropping it kills it.
pub struct Memcached {
    /// The port of the loopback address that it listens on.
    pub port: u16,
    child: Child,
}

impl Memcached {
    /// Starts one on `port` or any free one, within the current runtime; `dir` is for its files.
    /// `None` where the program is missing.
    pub async fn start(dir: &Path, port: Option<u16>) -> Option<Self> {
        Self::start_with(dir, port, &[]).await
    }

    /// The same with further options of the program.
    pub async fn start_with(dir: &Path, port: Option<u16>, further: &[&str]) -> Option<Self> {
        let port_file = dir.join("port");
        // One that is left over would tell of another server.
        _ = std::fs::remove_file(&port_file);
        let port_text = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        let mut command = Command::new("memcached");
        command.args(["-l", "127.0.0.1", "-U", "0", "-m", "64", "-u", "root", "-p", &port_text]);
        command.args(further);
        command.env("MEMCACHED_PORT_FILENAME", &port_file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.kill_on_drop(true).spawn() else {
            tracing::warn!("SKIPPED: the program memcached is not installed");
            return None;
        };
        for _ in 0..2000 {
            let text = std::fs::read_to_string(&port_file).unwrap_or_default();
            let found = text.lines().find_map(|line| line.strip_prefix("TCP INET: "));
            if let Some(port) = found.and_then(|port| port.trim().parse().ok()) {
                return Some(Self { port, child });
            }
            rt::time::sleep(Duration::from_millis(5)).await;
        }
        tracing::error!("memcached does not listen");
        None
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(mut self) {
        _ = self.child.kill().await;
    }
}
