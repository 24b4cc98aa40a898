//! Connections to a storage over HTTP: time-outs, trust, and the one provider of cryptography.

use std::path::PathBuf;
use std::time::Duration;

use object_store::{Certificate, ClientOptions};

use crate::BucketError;

/// How connections to a storage are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How long to wait for more of an answer.
    pub read_timeout: Duration,
    /// How long making a connection may take; zero is for ever.
    pub connect_timeout: Duration,
    /// Unused connections that are kept to one host.
    pub max_idle_per_host: usize,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// File with the certificates of the authorities to trust, instead of the system's.
    pub tls_ca_path: Option<PathBuf>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(90),
            read_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(10),
            max_idle_per_host: 100,
            insecure_skip_verify: false,
            tls_ca_path: None,
        }
    }
}

/// `is_plain`: nothing is spoken but HTTP without TLS, so that no certificates are needed.
pub(super) fn client(http: &HttpOptions, is_plain: bool) -> Result<ClientOptions, BucketError> {
    install_crypto();
    // A bound for a whole request would cut off large objects; each read has its own.
    let mut client = ClientOptions::new()
        .with_allow_http(is_plain)
        .with_timeout_disabled()
        .with_read_timeout(http.read_timeout)
        .with_pool_idle_timeout(http.idle_timeout)
        .with_pool_max_idle_per_host(http.max_idle_per_host)
        .with_allow_invalid_certificates(http.insecure_skip_verify);
    client = match http.connect_timeout {
        Duration::ZERO => client.with_connect_timeout_disabled(),
        timeout => client.with_connect_timeout(timeout),
    };
    if let Some(path) = &http.tls_ca_path {
        let local = |source| BucketError::LocalFile { path: path.clone(), source };
        let pem = std::fs::read(path).map_err(local)?;
        let file = path.display().to_string();
        for certificate in Certificate::from_pem_bundle(&pem).map_err(super::cannot_open(&file))? {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client.with_no_system_certificates(is_plain || http.tls_ca_path.is_some()))
}

fn install_crypto() {
    // It fails when one is installed already: the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
