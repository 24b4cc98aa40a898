//! Connections of the gRPC port that speak TLS. Handshakes run beside each other, so that a slow
//! one holds up nobody; those that fail are dropped.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use rt::tls::ServerTls;
use rt::{CancellationToken, TaskGroup};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at once.
const MAX_HANDSHAKES: usize = 256;
/// After accepting failed, which most often says that there are no descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

type Shaken = mpsc::Sender<io::Result<TlsStream<TcpStream>>>;

/// The connections whose handshake succeeded, until `stop`.
pub(super) fn incoming(
    listener: TcpListener,
    tls: ServerTls,
    stop: &CancellationToken,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> + use<> {
    let (shaken, connections) = mpsc::channel(MAX_HANDSHAKES);
    let tasks = Arc::new(TaskGroup::new(stop));
    let owner = Arc::clone(&tasks);
    tasks.spawn("grpc-accept", accept(listener, tls, shaken, Arc::downgrade(&tasks)));
    // The stream owns the tasks: they end with it.
    futures::stream::unfold((connections, owner), |(mut connections, owner)| async move {
        let next = connections.recv().await?;
        Some((next, (connections, owner)))
    })
}

async fn accept(
    listener: TcpListener,
    tls: ServerTls,
    shaken: Shaken,
    tasks: std::sync::Weak<TaskGroup>,
) {
    let free = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                rt::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Some(tasks) = tasks.upgrade() else { return };
        let (tls, shaken) = (tls.clone(), shaken.clone());
        tasks.spawn("grpc-handshake", async move {
            handshake(stream, tls, shaken).await;
            drop(permit);
        });
    }
}

async fn handshake(stream: TcpStream, tls: ServerTls, shaken: Shaken) {
    // Only delays small answers; the connection works without it.
    let _ = stream.set_nodelay(true);
    match rt::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        // Nobody takes it when the server stops.
        Ok(Ok(stream)) => drop(shaken.send(Ok(stream)).await),
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}
