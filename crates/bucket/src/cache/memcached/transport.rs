//! Connections to servers, with TLS or without.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::ClientTls;

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
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|e| Error::new(ErrorKind::InvalidInput, e))?;
    let stream = TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream).await?;
    Ok(Box::pin(stream))
}
