//! Connections to servers, with TLS or without.

use std::io::Result;
use std::pin::Pin;

use rt::tls::ClientTls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What a connection is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// A connection.
pub(super) type Transport = Pin<Box<dyn Stream>>;

/// Connects to `server`, a `host:port`.
pub(super) async fn connect(server: &str, tls: Option<&ClientTls>) -> Result<Transport> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::pin(stream)) };
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    Ok(Box::pin(tls.connect(host, stream).await?))
}
