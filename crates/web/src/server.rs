//! The HTTP server as a service: a listener that is bound before anything else starts,
//! connections with limits of time and size, and a drain that finishes what is in flight.

mod connection;
mod io;

use std::io as std_io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper_util::server::graceful::GracefulShutdown;
use parking_lot::Mutex;
use rt::metrics::Gauge;
use rt::tls::ServerTls;
use rt::{BoxError, CancellationToken, Metrics, Service, TaskGroup};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long the server waits after the system refused a connection (too many open files), so
/// that it does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Limits of the server.
#[derive(Debug, Clone, Copy)]
pub struct ServerOptions {
    /// From the start of a request to the end of its headers.
    pub read_header_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub read_timeout: Duration,
    /// From the end of the headers to the answer's, and without progress while it is sent.
    pub write_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a drain waits for requests in flight.
    pub drain_timeout: Duration,
    /// Largest request line with headers, bytes.
    pub max_header_bytes: usize,
}

impl Default for ServerOptions {
    /// Mimir's defaults; the header size is Go's.
    fn default() -> Self {
        Self {
            read_header_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(30),
            max_header_bytes: (1 << 20) + 4096,
        }
    }
}

/// A port that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose}: {source}")]
pub struct BindError {
    /// The address and port.
    pub address: String,
    /// What for.
    pub purpose: &'static str,
    /// What the system said.
    pub source: std_io::Error,
}

/// Binds an address (empty: every one) and a port (0: any free one).
pub async fn bind_listener(
    address: &str,
    port: u16,
    purpose: &'static str,
) -> Result<TcpListener, BindError> {
    let bound = match address {
        "" => match TcpListener::bind(("::", port)).await {
            Err(error) if error.kind() == std_io::ErrorKind::AddrInUse => Err(error),
            Err(_) => TcpListener::bind(("0.0.0.0", port)).await, // A machine without IPv6.
            bound => bound,
        },
        address => TcpListener::bind((address, port)).await,
    };
    bound.map_err(|source| BindError { address: format!("{address}:{port}"), purpose, source })
}

/// The server. Its service is named `server` and starts before all others; [`HttpDrain`] is the
/// one that stops first.
pub struct HttpServer {
    address: SocketAddr,
    options: ServerOptions,
    listener: Mutex<Option<TcpListener>>,
    router: OnceLock<Router>,
    drain: CancellationToken,
    is_drained: watch::Sender<bool>,
    connections: Gauge,
    tls: Option<ServerTls>,
}

/// Awaits the end of a connection.
async fn ended(connection: impl Future<Output = Result<(), hyper::Error>>, _open: OpenConnection) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}

impl HttpServer {
    /// A server on a bound listener; it serves when its service runs.
    pub fn new(
        listener: TcpListener,
        options: ServerOptions,
        metrics: &Metrics,
    ) -> std_io::Result<Self> {
        let (protocol, http) = (&["protocol"], &["http"]);
        metrics
            .gauge_vec(
                "cortex_tcp_connections_limit",
                "The max number of TCP connections",
                protocol,
            )
            .with(http);
        let connections = metrics.gauge_vec(
            "cortex_tcp_connections",
            "Current number of accepted TCP connections",
            protocol,
        );
        Ok(Self {
            address: listener.local_addr()?,
            options,
            listener: Mutex::new(Some(listener)),
            router: OnceLock::new(),
            drain: CancellationToken::new(),
            is_drained: watch::Sender::new(false),
            connections: connections.with(http),
            tls: None,
        })
    }

    /// Speaks TLS only.
    #[must_use]
    pub fn with_tls(self, tls: Option<ServerTls>) -> Self {
        Self { tls, ..self }
    }

    /// Where it listens; with the real port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what it serves; once, before its service starts.
    pub fn serve(&self, router: Router) {
        let is_first = self.router.set(router).is_ok();
        assert!(is_first, "the server's routes are set once");
    }

    async fn run(&self, stop: CancellationToken) -> Result<(), BoxError> {
        let listener = self.listener.lock().take().ok_or("the server ran before")?;
        let router = self.router.get().ok_or("the server has no routes")?.clone();
        let (tasks, graceful) =
            (TaskGroup::new(&CancellationToken::new()), GracefulShutdown::new());
        let must_end = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.drain.cancelled() => {}
            }
        };
        tokio::select! {
            () = must_end => {}
            () = self.accept(&listener, &router, &tasks, &graceful) => {}
        }
        drop(listener);
        if rt::time::timeout(self.options.drain_timeout, graceful.shutdown()).await.is_err() {
            tracing::warn!(count = tasks.len(), "requests in flight were cut off");
        }
        drop(tasks);
        self.is_drained.send_replace(true);
        Ok(())
    }

    async fn accept(
        &self,
        listener: &TcpListener,
        router: &Router,
        tasks: &TaskGroup,
        graceful: &GracefulShutdown,
    ) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.spawn(stream, router, tasks, graceful),
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    rt::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        router: &Router,
        tasks: &TaskGroup,
        graceful: &GracefulShutdown,
    ) {
        // Only delays small answers; the connection works without it.
        let _ = stream.set_nodelay(true);
        let (open, watcher) = (OpenConnection::new(&self.connections), graceful.watcher());
        let (router, options) = (router.clone(), self.options);
        let Some(tls) = self.tls.clone() else {
            let connection = watcher.watch(connection::serve(stream, router, options));
            tasks.spawn("http-connection", ended(connection, open));
            return;
        };
        tasks.spawn("http-connection", async move {
            match rt::time::timeout(options.read_header_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let connection = connection::serve(stream, router, options);
                    ended(watcher.watch(connection), open).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            }
        });
    }
}

/// Counts a connection as long as it lives.
struct OpenConnection(Gauge);

impl OpenConnection {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Service for HttpServer {
    fn name(&self) -> &'static str {
        "server"
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        self.run(stop).boxed()
    }
}

/// The service that stops first: no new connections, and the requests in flight come to their
/// end while everything that they need still runs. Add it after all services that serve requests.
pub struct HttpDrain(pub Arc<HttpServer>);

impl Service for HttpDrain {
    fn name(&self) -> &'static str {
        "http-drain"
    }

    fn stopping(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        async {
            self.0.drain.cancel();
            let mut is_drained = self.0.is_drained.subscribe();
            is_drained.wait_for(|drained| *drained).await?;
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
