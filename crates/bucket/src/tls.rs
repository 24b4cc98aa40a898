//! TLS to storages and caches: whom to trust, what to show, and how. Made once from options; files
//! are read then.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedCipherSuite,
    SupportedProtocolVersion, version,
};

use crate::BucketError;

/// How TLS is spoken with servers.
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
    /// The names of the suites of TLS 1.2 to allow; none is all. Those of TLS 1.3 are always
    /// allowed.
    pub cipher_suites: Vec<String>,
    /// Nothing older than TLS 1.3. Older than TLS 1.2 is never spoken.
    pub only_tls_13: bool,
}

/// Everything that it takes to speak TLS as a client.
#[derive(Debug, Clone)]
pub struct ClientTls {
    pub(crate) config: Arc<ClientConfig>,
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for ClientTls {}

impl ClientTls {
    /// Reads the files that the options name.
    pub fn new(options: &TlsOptions) -> Result<Self, BucketError> {
        let provider = Arc::new(provider(&options.cipher_suites)?);
        let verifier = verifier(options, &provider)?;
        let old_and_new: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];
        let versions = if options.only_tls_13 { &[&version::TLS13] } else { old_and_new };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| invalid("versions of TLS", &error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match (&options.cert_path, &options.key_path) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let shown = certificates(cert)?;
                let parsed = PrivateKeyDer::from_pem_slice(&read(key)?);
                let parsed = parsed.map_err(|error| malformed(key, &error))?;
                builder
                    .with_client_auth_cert(shown, parsed)
                    .map_err(|error| malformed(cert, &error))?
            }
            (cert, _) => {
                let missing = if cert.is_some() { "key" } else { "certificate" };
                return Err(invalid("certificate to show", &format!("its {missing} is missing")));
            }
        };
        Ok(Self { config: Arc::new(config) })
    }
}

/// The cryptography with the suites that are allowed.
fn provider(names: &[String]) -> Result<CryptoProvider, BucketError> {
    let mut provider = ring::default_provider();
    let name_of = |suite: &SupportedCipherSuite| suite.suite().as_str().unwrap_or_default();
    for name in names {
        // Those of TLS 1.3 are called differently in other places.
        let is_newer = ["TLS_AES_", "TLS_CHACHA20_"].iter().any(|start| name.starts_with(start));
        if !is_newer && !provider.cipher_suites.iter().any(|suite| name_of(suite) == name) {
            return Err(invalid("cipher suites", &format!("{name} is not supported")));
        }
    }
    if !names.is_empty() {
        provider.cipher_suites.retain(|suite| {
            matches!(suite, SupportedCipherSuite::Tls13(_))
                || names.iter().any(|name| name_of(suite) == name)
        });
    }
    Ok(provider)
}

fn verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, BucketError> {
    if options.insecure_skip_verify {
        return Ok(Arc::new(AnyCertificate(Arc::clone(provider))));
    }
    let inner: Arc<dyn ServerCertVerifier> = match &options.ca_path {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| malformed(path, &error))?;
            }
            let provider = Arc::clone(provider);
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| malformed(path, &error))?
        }
        None => Arc::new(
            rustls_platform_verifier::Verifier::new(Arc::clone(provider))
                .map_err(|error| invalid("the system's certificates", &error))?,
        ),
    };
    if options.server_name.is_empty() {
        return Ok(inner);
    }
    let name = ServerName::try_from(options.server_name.clone());
    let name = name.map_err(|error| invalid("name of the server's certificate", &error))?;
    Ok(Arc::new(OtherName { inner, name }))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BucketError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| malformed(path, &error))?;
    if found.is_empty() {
        return Err(malformed(path, &"there is no certificate in it"));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, BucketError> {
    std::fs::read(path).map_err(|source| BucketError::LocalFile { path: path.to_owned(), source })
}

fn malformed(path: &Path, reason: &dyn std::fmt::Display) -> BucketError {
    invalid(&path.display().to_string(), reason)
}

fn invalid(what: &str, reason: &dyn std::fmt::Display) -> BucketError {
    BucketError::Malformed { key: what.to_owned(), reason: reason.to_string() }
}

/// Certificates are those of one name, whatever the server is called.
#[derive(Debug)]
struct OtherName {
    inner: Arc<dyn ServerCertVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for OtherName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Whoever it is, the connection is encrypted.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
