//! dskit's TCP transport: every packet comes on a connection of its own, and a stream is a
//! connection that stays open for an exchange. Either begins with a byte that says which it is.
//!
//! ```text
//! packet: 01 | length of address (1) | address of the sender | payload | MD5 of payload (16)
//! stream: 02 | payload in both directions
//! ```
//!
//! What the connections are is a [`Network`]'s matter: those of this machine, or of a simulation.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::FutureExt as _;
use md5::{Digest, Md5};
use rt::BoxFuture;
use rt::time::timeout;
use rt::tls::{ClientAuth, ClientTls, ServerTls, ServerTlsOptions, TlsError, TlsOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PACKET: u8 = 1;
const STREAM: u8 = 2;
const DIGEST_BYTES: usize = 16;
/// A packet with everything around it; members fill at most 10 MiB.
const MAX_PACKET_BYTES: u64 = 16 << 20;

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
    pub tls: Option<TlsOptions>,
}

/// A connection, with or without TLS.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A connection that others have begun: who they are, and what has to be awaited, in a task of its
/// own, before it can be used.
pub type Accepted = (SocketAddr, BoxFuture<'static, io::Result<Box<dyn Connection>>>);

/// What the gossip's connections go through.
pub trait Network: Send + Sync {
    /// Begins to listen; all listeners have the same port.
    fn listen(&self) -> BoxFuture<'_, io::Result<Vec<Box<dyn Listener>>>>;

    /// A connection to another member; gives up after `limit`.
    fn connect(
        &self,
        to: SocketAddr,
        limit: Duration,
    ) -> BoxFuture<'_, io::Result<Box<dyn Connection>>>;
}

/// Where connections of others come in.
pub trait Listener: Send + Sync {
    /// Where it listens.
    fn address(&self) -> io::Result<SocketAddr>;

    /// The next connection.
    fn accept(&self) -> BoxFuture<'_, io::Result<Accepted>>;
}

/// The network of this machine.
pub(crate) struct Tcp {
    options: TransportOptions,
    tls: Option<Tls>,
}

impl Tcp {
    /// Reads the files of TLS. Blocks.
    pub(crate) fn new(options: TransportOptions) -> Result<Self, TlsError> {
        let tls = options.tls.as_ref().map(Tls::load).transpose()?;
        Ok(Self { options, tls })
    }
}

impl Network for Tcp {
    fn listen(&self) -> BoxFuture<'_, io::Result<Vec<Box<dyn Listener>>>> {
        async {
            let mut port = self.options.bind_port;
            let mut listeners: Vec<Box<dyn Listener>> = Vec::new();
            let any = [Ipv4Addr::UNSPECIFIED.to_string()];
            let named = &self.options.bind_addresses;
            let addresses = if named.is_empty() { &any[..] } else { named };
            for address in addresses {
                let bound = TcpListener::bind((address.as_str(), port)).await;
                let tcp = bound.map_err(|error| {
                    let message = format!("listen for gossip on {address}:{port}: {error}");
                    io::Error::new(error.kind(), message)
                })?;
                // All addresses have the same port.
                port = tcp.local_addr()?.port();
                listeners.push(Box::new(Accepting { tcp, tls: self.tls.clone() }));
            }
            Ok(listeners)
        }
        .boxed()
    }

    fn connect(
        &self,
        to: SocketAddr,
        limit: Duration,
    ) -> BoxFuture<'_, io::Result<Box<dyn Connection>>> {
        let dial = async move {
            let tcp = TcpStream::connect(to).await?;
            tcp.set_nodelay(true)?;
            match &self.tls {
                Some(tls) => tls.connect(to, tcp).await,
                None => Ok(Box::new(tcp) as Box<dyn Connection>),
            }
        };
        async move { timeout(limit, dial).await.map_err(io::Error::other)? }.boxed()
    }
}

/// An open port.
struct Accepting {
    tcp: TcpListener,
    tls: Option<Tls>,
}

impl Listener for Accepting {
    fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Accepted>> {
        async {
            let (tcp, from) = self.tcp.accept().await?;
            let tls = self.tls.clone();
            let ready = async move {
                match tls {
                    Some(tls) => tls.accept(tcp).await,
                    None => Ok(Box::new(tcp) as Box<dyn Connection>),
                }
            };
            Ok((from, ready.boxed()))
        }
        .boxed()
    }
}

/// Both sides of TLS.
#[derive(Clone)]
struct Tls {
    client: ClientTls,
    server: ServerTls,
}

impl Tls {
    /// Reads the files. Blocks.
    fn load(options: &TlsOptions) -> Result<Self, TlsError> {
        // Whoever calls must show a certificate of the same authorities.
        let checks_clients = options.ca_path.is_some() && !options.insecure_skip_verify;
        let server = ServerTlsOptions {
            cert_path: options.cert_path.clone().unwrap_or_default(),
            key_path: options.key_path.clone().unwrap_or_default(),
            ca_path: options.ca_path.clone().filter(|_| checks_clients),
            client_auth: if checks_clients {
                ClientAuth::RequireAndVerifyClientCert
            } else {
                ClientAuth::NoClientCert
            },
            allowed: options.allowed.clone(),
        };
        Ok(Self { client: ClientTls::new(options)?, server: ServerTls::new(&server)? })
    }

    async fn connect(&self, to: SocketAddr, tcp: TcpStream) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(self.client.connect(&to.ip().to_string(), tcp).await?))
    }

    async fn accept(&self, tcp: TcpStream) -> io::Result<Box<dyn Connection>> {
        Ok(Box::new(self.server.accept(tcp).await?))
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

/// Sends a packet on a connection of its own.
pub(crate) async fn send_packet(
    to: SocketAddr,
    own_address: &str,
    payload: &[u8],
    (network, options): (&dyn Network, &TransportOptions),
) -> io::Result<()> {
    let mut connection = network.connect(to, options.packet_dial_timeout).await?;
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
    (network, options): (&dyn Network, &TransportOptions),
) -> io::Result<Box<dyn Connection>> {
    let mut stream = network.connect(to, options.stream_timeout).await?;
    stream.write_all(&[&[STREAM], header].concat()).await?;
    Ok(stream)
}
