//! Counts the connections of the gRPC port that are open. Changes nothing of them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt as _};
use rt::Metrics;
use rt::metrics::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// The gauge of open connections.
pub(super) fn gauge(metrics: &Metrics) -> Gauge {
    let (protocol, grpc) = (&["protocol"], &["grpc"]);
    let help = "The max number of TCP connections";
    metrics.gauge_vec("cortex_tcp_connections_limit", help, protocol).with(grpc);
    let help = "Current number of accepted TCP connections";
    metrics.gauge_vec("cortex_tcp_connections", help, protocol).with(grpc)
}

/// The same connections, each counted as long as it is open.
pub(super) fn counted<S>(
    incoming: impl Stream<Item = io::Result<S>>,
    open: Gauge,
) -> impl Stream<Item = io::Result<Counted<S>>> {
    incoming.map(move |connection| {
        let connection = connection?;
        open.inc();
        Ok(Counted { connection, open: open.clone() })
    })
}

/// A connection that is counted until this is dropped.
pub(super) struct Counted<S> {
    connection: S,
    open: Gauge,
}

impl<S> Drop for Counted<S> {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl<S: Connected> Connected for Counted<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.connection.connect_info()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}
