//! TLS: whom to trust, what to show, and how. Made once from options, when the files are read;
//! used by every client and server of the process. It must never fall back to plain text.

mod connector;
mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    version,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

pub use connector::{Connected, Connector};
use verify::{AnyCertificate, OtherName};

/// What the peers of HTTP/2 agree on.
const HTTP2: &[u8] = b"h2";

static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// Why TLS cannot be spoken as the options say.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file or an option does not hold what it should.
    #[error("{what}: {reason}")]
    Malformed {
        /// The file or option.
        what: String,
        /// What is wrong.
        reason: String,
    },
}

/// How TLS is spoken as a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// File with the certificates of the authorities to trust, instead of the system's.
    pub ca_path: Option<PathBuf>,
    /// File with the certificate to show.
    pub cert_path: Option<PathBuf>,
    /// File with its key.
    pub key_path: Option<PathBuf>,
    /// The name to expect on certificates; empty is that of the server.
    pub server_name: String,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// What may be agreed on.
    pub allowed: Allowed,
}

/// What may be agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowed {
    /// The names of the suites of TLS 1.2 to allow; none is all. Those of TLS 1.3 are always
    /// allowed.
    pub cipher_suites: Vec<String>,
    /// Nothing older than TLS 1.3. Older than TLS 1.2 is never spoken.
    pub only_tls_13: bool,
}

impl Allowed {
    /// From suites separated by commas and the name of the lowest version, as options give them.
    pub fn parse(suites: &str, min_version: &str) -> Result<Self, TlsError> {
        let only_tls_13 = match min_version {
            "" | "VersionTLS10" | "VersionTLS11" | "VersionTLS12" => false,
            "VersionTLS13" => true,
            other => return Err(malformed("lowest version of TLS", &format!("unknown {other:?}"))),
        };
        let suites = suites.split(',').map(str::trim).filter(|name| !name.is_empty());
        Ok(Self { cipher_suites: suites.map(str::to_owned).collect(), only_tls_13 })
    }

    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        if self.only_tls_13 { &VERSIONS[1..] } else { &VERSIONS }
    }

    /// The cryptography with the suites that are allowed.
    fn provider(&self) -> Result<Arc<CryptoProvider>, TlsError> {
        let mut provider = ring::default_provider();
        let name_of = |suite: &SupportedCipherSuite| suite.suite().as_str().unwrap_or_default();
        for name in &self.cipher_suites {
            // Those of TLS 1.3 are called differently in other places.
            let is_newer = ["TLS_AES_", "TLS_CHACHA20_"].iter().any(|it| name.starts_with(it));
            if !is_newer && !provider.cipher_suites.iter().any(|suite| name_of(suite) == name) {
                return Err(malformed("cipher suites", &format!("{name} is not supported")));
            }
        }
        if !self.cipher_suites.is_empty() {
            provider.cipher_suites.retain(|suite| {
                matches!(suite, SupportedCipherSuite::Tls13(_))
                    || self.cipher_suites.iter().any(|name| name_of(suite) == name)
            });
        }
        Ok(Arc::new(provider))
    }
}

/// Everything that it takes to speak TLS as a client.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for ClientTls {}

impl ClientTls {
    /// Reads the files that the options name. Blocks.
    pub fn new(options: &TlsOptions) -> Result<Self, TlsError> {
        let provider = options.allowed.provider()?;
        let verifier = server_verifier(options, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(options.allowed.versions())
            .map_err(|error| malformed("versions of TLS", &error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match (&options.cert_path, &options.key_path) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key_path)) => builder
                .with_client_auth_cert(certificates(cert)?, key(key_path)?)
                .map_err(|error| malformed_file(cert, &error))?,
            (cert, _) => {
                let missing = if cert.is_some() { "key" } else { "certificate" };
                return Err(malformed("certificate to show", &format!("its {missing} is missing")));
            }
        };
        Ok(Self { config: Arc::new(config) })
    }

    /// The same for HTTP/2, which peers agree on in the handshake.
    #[must_use]
    pub fn for_http2(mut self) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![HTTP2.to_vec()];
        self
    }

    /// What rustls needs.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Speaks TLS on a connection to `host`, a name or an address.
    pub async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let name = ServerName::try_from(host).map_err(invalid)?;
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }
}

/// Which certificates a server asks of its clients. The names are those of Go's `crypto/tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// None.
    #[default]
    NoClientCert,
    /// Any, where the client has one.
    RequestClientCert,
    /// Any.
    RequireAnyClientCert,
    /// One of the authorities, where the client has one.
    VerifyClientCertIfGiven,
    /// One of the authorities.
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// By its name; empty is [`Self::NoClientCert`].
    pub fn parse(name: &str) -> Result<Self, TlsError> {
        Ok(match name {
            "" | "NoClientCert" => Self::NoClientCert,
            "RequestClientCert" => Self::RequestClientCert,
            "RequireAnyClientCert" | "RequireClientCert" => Self::RequireAnyClientCert,
            "VerifyClientCertIfGiven" => Self::VerifyClientCertIfGiven,
            "RequireAndVerifyClientCert" => Self::RequireAndVerifyClientCert,
            other => return Err(malformed("invalid ClientAuth", &other)),
        })
    }
}

/// How TLS is spoken as a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerTlsOptions {
    /// File with the certificate to show.
    pub cert_path: PathBuf,
    /// File with its key.
    pub key_path: PathBuf,
    /// File with the certificates of the authorities of clients.
    pub ca_path: Option<PathBuf>,
    /// What clients must show.
    pub client_auth: ClientAuth,
    /// What may be agreed on.
    pub allowed: Allowed,
}

/// Everything that it takes to speak TLS as a server.
#[derive(Debug, Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the files that the options name. Blocks.
    pub fn new(options: &ServerTlsOptions) -> Result<Self, TlsError> {
        let provider = options.allowed.provider()?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(options.allowed.versions())
            .map_err(|error| malformed("versions of TLS", &error))?;
        let builder = match client_verifier(options, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let config = builder
            .with_single_cert(certificates(&options.cert_path)?, key(&options.key_path)?)
            .map_err(|error| malformed_file(&options.cert_path, &error))?;
        Ok(Self { config: Arc::new(config) })
    }

    /// The same for HTTP/2, which peers agree on in the handshake.
    #[must_use]
    pub fn for_http2(mut self) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![HTTP2.to_vec()];
        self
    }

    /// Speaks TLS with who has connected.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await
    }
}

fn server_verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let provider = Arc::clone(provider);
    if options.insecure_skip_verify {
        return Ok(Arc::new(AnyCertificate { provider, is_mandatory: true }));
    }
    let inner: Arc<dyn ServerCertVerifier> = match &options.ca_path {
        Some(path) => WebPkiServerVerifier::builder_with_provider(authorities(path)?, provider)
            .build()
            .map_err(|error| malformed_file(path, &error))?,
        None => Arc::new(
            rustls_platform_verifier::Verifier::new(provider)
                .map_err(|error| malformed("the system's certificates", &error))?,
        ),
    };
    if options.server_name.is_empty() {
        return Ok(inner);
    }
    let name = ServerName::try_from(options.server_name.clone());
    let name = name.map_err(|error| malformed("name of the server's certificate", &error))?;
    Ok(Arc::new(OtherName { inner, name }))
}

/// What checks the certificates of clients; `None` when they need none.
fn client_verifier(
    options: &ServerTlsOptions,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let auth = options.client_auth;
    let any = |is_mandatory, provider| {
        let verifier: Arc<dyn ClientCertVerifier> =
            Arc::new(AnyCertificate { provider, is_mandatory });
        Ok(Some(verifier))
    };
    match (auth, &options.ca_path) {
        (ClientAuth::NoClientCert, None) => Ok(None),
        (ClientAuth::NoClientCert, Some(_)) => Err(malformed(
            "authorities of clients",
            &"Client CA's have been configured without a Client Auth Policy",
        )),
        (ClientAuth::RequestClientCert, _) => any(false, provider),
        (ClientAuth::RequireAnyClientCert, _) => any(true, provider),
        (_, None) => Err(malformed("authorities of clients", &"they are missing")),
        (_, Some(path)) => {
            let builder = WebPkiClientVerifier::builder_with_provider(authorities(path)?, provider);
            let builder = match auth {
                ClientAuth::VerifyClientCertIfGiven => builder.allow_unauthenticated(),
                _ => builder,
            };
            Ok(Some(builder.build().map_err(|error| malformed_file(path, &error))?))
        }
    }
}

fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| malformed_file(path, &error))?;
    }
    Ok(Arc::new(roots))
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| malformed_file(path, &error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| malformed_file(path, &error))?;
    if found.is_empty() {
        return Err(malformed_file(path, &"there is no certificate in it"));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

fn malformed_file(path: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    malformed(&path.display().to_string(), reason)
}

fn malformed(what: &str, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::Malformed { what: what.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
