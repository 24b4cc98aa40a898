//! dskit's TCP transport: every packet comes on a connection of its own, and a stream is a
//! connection that stays open for an exchange. Either begins with a byte that says which it is.
//!
//! ```text
//! packet: 01 | length of address (1) | address of the sender | payload | MD5 of payload (16)
//! stream: 02 | payload in both directions
//! ```

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use md5::{Digest, Md5};
use rt::time::timeout;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const PACKET: u8 = 1;
const STREAM: u8 = 2;
const DIGEST_BYTES: usize = 16;
/// A packet with everything around it; members fill at most 10 MiB.
const MAX_PACKET_BYTES: u64 = 16 << 20;

/// Files of TLS; empty paths are unset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of this process, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The authorities that others' certificates must come from, PEM.
    pub ca: PathBuf,
    /// The name that certificates of others must have; empty: the host that is called.
    pub server_name: String,
    /// Whether others' certificates are taken unseen.
    pub insecure_skip_verify: bool,
}

/// How connections are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportOptions {
    /// Addresses to listen on; empty: every one.
    pub bind_addresses: Vec<String>,
    /// The port to listen on.
    pub bind_port: u16,
    /// For connecting, to send a packet.
    pub packet_dial_timeout: Duration,
    /// For sending a packet.
    pub packet_write_timeout: Duration,
    /// For a stream: connecting, and the whole exchange.
    pub stream_timeout: Duration,
    /// Packets that are sent at once.
    pub max_concurrent_writes: usize,
    /// How long a packet waits for its turn before it is dropped.
    pub acquire_writer_timeout: Duration,
    /// TLS, in both directions.
    pub tls: Option<TlsFiles>,
}

/// A connection, with or without TLS.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Both sides of TLS.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    server_name: String,
}

impl Tls {
    /// Reads the files. Blocks.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&files.cert)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| format!("read key {}: {error}", files.key.display()))?;
        let has_authorities = !files.ca.as_os_str().is_empty();
        let mut roots = rustls::RootCertStore::empty();
        if has_authorities {
            roots.add_parsable_certificates(certificates(&files.ca)?);
        }
        let roots = Arc::new(roots);
        let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
        // Whoever calls must show a certificate of the same authorities.
        let server = if has_authorities && !files.insecure_skip_verify {
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::clone(&roots),
                Arc::clone(&provider),
            );
            server.with_client_cert_verifier(verifier.build().map_err(|e| e.to_string())?)
        } else {
            server.with_no_client_auth()
        };
        let server = server.with_single_cert(chain.clone(), key.clone_key());
        let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider));
        let client = client.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
        let client = if files.insecure_skip_verify {
            let verifier = Arc::new(AnyCertificate(provider));
            client.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            client.with_root_certificates(roots)
        };
        let client = client.with_client_auth_cert(chain, key).map_err(|e| e.to_string())?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server.map_err(|e| e.to_string())?)),
            server_name: files.server_name.clone(),
        })
    }

    async fn connect(&self, to: SocketAddr, tcp: TcpStream) -> io::Result<Box<dyn Connection>> {
        let name = match self.server_name.as_str() {
            "" => ServerName::from(to.ip()),
            name => ServerName::try_from(name.to_owned()).map_err(io::Error::other)?,
        };
        Ok(Box::new(self.connector.connect(name, tcp).await?))
    }

    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(self.acceptor.accept(tcp).await?))
    }
}

fn certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("read certificates of {}: {error}", path.display());
    let read = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
    read.collect::<Result<_, _>>().map_err(|error| failed(&error))
}

/// `tls_insecure_skip_verify`: signatures are checked, names and authorities are not.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What an accepted connection turned out to be.
pub(crate) enum Incoming {
    /// A packet, and the address that its sender gave.
    Packet { from: String, payload: Vec<u8> },
    /// A stream, ready to be read.
    Stream(Box<dyn Connection>),
}

/// Reads what a connection is; all of it for a packet.
pub(crate) async fn read_incoming(mut connection: Box<dyn Connection>) -> io::Result<Incoming> {
    match connection.read_u8().await? {
        STREAM => Ok(Incoming::Stream(connection)),
        PACKET => {
            let length = connection.read_u8().await?;
            let mut from = vec![0; usize::from(length)];
            connection.read_exact(&mut from).await?;
            let mut payload = Vec::new();
            connection.take(MAX_PACKET_BYTES + 1).read_to_end(&mut payload).await?;
            if MAX_PACKET_BYTES < payload.len() as u64 {
                return Err(io::Error::other("packet is too large"));
            }
            let without_digest = payload.len().checked_sub(DIGEST_BYTES);
            let at = without_digest.ok_or_else(|| io::Error::other("packet is too short"))?;
            let digest = payload.split_off(at);
            if digest != md5(&payload) {
                return Err(io::Error::other("packet digest mismatch"));
            }
            Ok(Incoming::Packet { from: String::from_utf8_lossy(&from).into_owned(), payload })
        }
        other => Err(io::Error::other(format!("unknown type of connection {other}"))),
    }
}

fn md5(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    Md5::digest(bytes).into()
}

async fn connect(
    to: SocketAddr,
    tls: Option<&Tls>,
    limit: Duration,
) -> io::Result<Box<dyn Connection>> {
    let dial = async {
        let tcp = TcpStream::connect(to).await?;
        tcp.set_nodelay(true)?;
        match tls {
            Some(tls) => tls.connect(to, tcp).await,
            None => Ok(Box::new(tcp) as Box<dyn Connection>),
        }
    };
    timeout(limit, dial).await.map_err(io::Error::other)?
}

/// Sends a packet on a connection of its own.
pub(crate) async fn send_packet(
    to: SocketAddr,
    own_address: &str,
    payload: &[u8],
    options: &TransportOptions,
    tls: Option<&Tls>,
) -> io::Result<()> {
    let mut connection = connect(to, tls, options.packet_dial_timeout).await?;
    let own_address = &own_address.as_bytes()[..own_address.len().min(255)];
    let mut bytes = Vec::with_capacity(2 + own_address.len() + payload.len() + DIGEST_BYTES);
    bytes.extend_from_slice(&[PACKET, own_address.len() as u8]);
    bytes.extend_from_slice(own_address);
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&md5(payload));
    let write = async {
        connection.write_all(&bytes).await?;
        connection.shutdown().await
    };
    timeout(options.packet_write_timeout, write).await.map_err(io::Error::other)?
}

/// Opens a stream, on which `header` is the first that is sent.
pub(crate) async fn open_stream(
    to: SocketAddr,
    header: &[u8],
    options: &TransportOptions,
    tls: Option<&Tls>,
) -> io::Result<Box<dyn Connection>> {
    let mut stream = connect(to, tls, options.stream_timeout).await?;
    stream.write_all(&[&[STREAM], header].concat()).await?;
    Ok(stream)
}
