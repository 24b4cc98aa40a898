//! One server: its idle connections, and the circuit that leaves it alone when it does not answer.
//!
//! The circuit opens after some failures in a row; then nothing is sent for a time, which doubles
//! with every further failure up to a bound. When the time is up one request is let through: its
//! answer closes the circuit, its failure opens it again.

use std::time::Duration;

use bytes::Bytes;
use model::Clock;
use parking_lot::Mutex;
use rt::metrics::Counter;

use super::protocol::{Connection, Failure};
use super::transport::{self, Transport};
use crate::cache::CacheKey;
use rt::tls::ClientTls;

/// So many failures in a row open the circuit.
const FAILURES_TO_OPEN: u32 = 5;
/// How long it is open at first.
const FIRST_OPEN: Duration = Duration::from_secs(1);
/// How long it is open at most.
const LONGEST_OPEN: Duration = Duration::from_secs(30);

/// The bounds of talking to one server.
#[derive(Debug, Clone)]
pub(super) struct ServerOptions {
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) max_idle_connections: usize,
    pub(super) tls: Option<ClientTls>,
}

/// A server.
pub(super) struct Server {
    name: String,
    options: ServerOptions,
    idle: Mutex<Vec<Connection<Transport>>>,
    circuit: Mutex<Circuit>,
    opened: Counter,
}

/// What is asked of a server.
enum Command<'a> {
    Get(&'a [&'a CacheKey]),
    Set(&'a CacheKey, &'a [u8], u64),
    Delete(&'a CacheKey),
}

impl Command<'_> {
    /// Values for [`Self::Get`], nothing for the others.
    async fn run(
        &self,
        connection: &mut Connection<Transport>,
    ) -> Result<Vec<Option<Bytes>>, Failure> {
        match *self {
            Self::Get(keys) => return connection.get_multi(keys).await,
            Self::Set(key, value, ttl_seconds) => connection.set(key, value, ttl_seconds).await?,
            Self::Delete(key) => connection.delete(key).await?,
        }
        Ok(Vec::new())
    }
}

impl Server {
    /// The server at `name`, a `host:port`.
    pub(super) fn new(name: String, options: ServerOptions, opened: Counter) -> Self {
        Self { name, options, idle: Mutex::default(), circuit: Mutex::default(), opened }
    }

    /// Its `host:port`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn get_multi(
        &self,
        keys: &[&CacheKey],
        clock: &dyn Clock,
    ) -> Result<Vec<Option<Bytes>>, Failure> {
        self.ask(clock, Command::Get(keys)).await
    }

    pub(super) async fn set(
        &self,
        key: &CacheKey,
        value: &[u8],
        ttl_seconds: u64,
        clock: &dyn Clock,
    ) -> Result<(), Failure> {
        self.ask(clock, Command::Set(key, value, ttl_seconds)).await.map(drop)
    }

    pub(super) async fn delete(&self, key: &CacheKey, clock: &dyn Clock) -> Result<(), Failure> {
        self.ask(clock, Command::Delete(key)).await.map(drop)
    }

    async fn ask(
        &self,
        clock: &dyn Clock,
        command: Command<'_>,
    ) -> Result<Vec<Option<Bytes>>, Failure> {
        if !self.circuit.lock().admits(clock.monotonic()) {
            return Err(Failure::CircuitOpen);
        }
        // A caller that goes away in the middle must not leave the circuit waiting for it.
        let mut attempt = Attempt { server: self, clock, has_ended: false };
        let result = self.try_command(&command).await;
        attempt.end(result.as_ref().map_or_else(Failure::is_answer, |_| true));
        result
    }

    async fn try_command(&self, command: &Command<'_>) -> Result<Vec<Option<Bytes>>, Failure> {
        if let Some(connection) = self.take_idle() {
            match self.run(connection, command).await {
                // The server closed it meanwhile: all others will be as old.
                Err(Failure::Network(_)) => self.idle.lock().clear(),
                other => return other,
            }
        }
        let connecting = transport::connect(&self.name, self.options.tls.as_ref());
        let stream = rt::time::timeout(self.options.connect_timeout, connecting)
            .await
            .map_err(|_| Failure::ConnectTimeout)??;
        self.run(Connection::new(stream), command).await
    }

    async fn run(
        &self,
        mut connection: Connection<Transport>,
        command: &Command<'_>,
    ) -> Result<Vec<Option<Bytes>>, Failure> {
        let result = rt::time::timeout(self.options.timeout, command.run(&mut connection))
            .await
            .unwrap_or(Err(Failure::Timeout));
        // Whoever goes away earlier, or fails, drops a connection that is out of step.
        if result.as_ref().map_or_else(Failure::is_answer, |_| true) {
            self.give_back(connection);
        }
        result
    }

    fn take_idle(&self) -> Option<Connection<Transport>> {
        self.idle.lock().pop()
    }

    fn give_back(&self, connection: Connection<Transport>) {
        let mut idle = self.idle.lock();
        if idle.len() < self.options.max_idle_connections.max(1) {
            idle.push(connection);
        }
    }
}

/// A request under way; one that is dropped before its end says nothing about the server.
struct Attempt<'a> {
    server: &'a Server,
    clock: &'a dyn Clock,
    has_ended: bool,
}

impl Attempt<'_> {
    fn end(&mut self, is_answered: bool) {
        self.has_ended = true;
        let has_opened = self.server.circuit.lock().record(is_answered, self.clock.monotonic());
        if has_opened {
            self.server.opened.inc();
            let server = self.server.name();
            tracing::warn!(server, "memcached does not answer and is left alone for a time");
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.server.circuit.lock().is_probed = false;
        }
    }
}

#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    /// The monotonic time until which nothing is sent.
    open_until: Option<Duration>,
    is_probed: bool,
}

impl Circuit {
    fn admits(&mut self, now: Duration) -> bool {
        match self.open_until {
            None => true,
            Some(until) if now < until || self.is_probed => false,
            Some(_) => {
                self.is_probed = true;
                true
            }
        }
    }

    /// Whether this failure opened a circuit that was closed.
    fn record(&mut self, is_answered: bool, now: Duration) -> bool {
        if is_answered {
            *self = Self::default();
            return false;
        }
        self.is_probed = false;
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_TO_OPEN {
            return false;
        }
        let was_closed = self.open_until.is_none();
        let doublings = (self.failures - FAILURES_TO_OPEN).min(16);
        self.open_until = Some(now + (FIRST_OPEN * (1 << doublings)).min(LONGEST_OPEN));
        was_closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_circuit_opens_after_failures_and_lets_one_through_when_its_time_is_up() {
        let mut circuit = Circuit::default();
        for _ in 1..FAILURES_TO_OPEN {
            assert!(circuit.admits(SECOND));
            assert!(!circuit.record(false, SECOND));
        }
        circuit.record(true, SECOND);
        for i in 1..=FAILURES_TO_OPEN {
            assert!(circuit.admits(SECOND));
            assert_eq!(circuit.record(false, SECOND), i == FAILURES_TO_OPEN);
        }
        assert!(!circuit.admits(SECOND));
        assert!(circuit.admits(2 * SECOND));
        assert!(!circuit.admits(2 * SECOND), "one request at a time");
        assert!(!circuit.record(false, 2 * SECOND), "it was open already");
        assert!(!circuit.admits(3 * SECOND), "twice as long");
        assert!(circuit.admits(4 * SECOND));
        circuit.record(true, 4 * SECOND);
        assert!(circuit.admits(4 * SECOND) && circuit.admits(4 * SECOND));
    }
}
