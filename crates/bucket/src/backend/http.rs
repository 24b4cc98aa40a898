//! Connections to a storage over HTTP: time-outs, trust, and the one provider of cryptography.

use std::sync::Arc;
use std::time::Duration;

use object_store::client::{HttpClient, HttpConnector};
use object_store::limit::LimitStore;
use object_store::{Certificate, ClientOptions, ObjectStore};
use rustls::ClientConfig;

use crate::BucketError;
use rt::tls::{ClientTls, TlsOptions};

/// How connections to a storage are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How long to wait for more of an answer.
    pub read_timeout: Duration,
    /// How long making a connection may take; zero is for ever.
    pub connect_timeout: Duration,
    /// Unused connections that are kept.
    pub max_idle: usize,
    /// Requests to the storage under way, each of which has a connection; 0 is any number.
    pub max_connections: usize,
    /// Whom to trust and what to show.
    pub tls: TlsOptions,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(90),
            read_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(10),
            max_idle: 100,
            max_connections: 0,
            tls: TlsOptions::default(),
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
        .with_pool_max_idle_per_host(http.max_idle)
        .with_allow_invalid_certificates(http.tls.insecure_skip_verify);
    client = match http.connect_timeout {
        Duration::ZERO => client.with_connect_timeout_disabled(),
        timeout => client.with_connect_timeout(timeout),
    };
    if let Some(path) = &http.tls.ca_path {
        let local = |source| BucketError::LocalFile { path: path.clone(), source };
        let pem = std::fs::read(path).map_err(local)?;
        let file = path.display().to_string();
        for certificate in Certificate::from_pem_bundle(&pem).map_err(super::cannot_open(&file))? {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client.with_no_system_certificates(is_plain || http.tls.ca_path.is_some()))
}

/// Makes connections that show a certificate of ours or expect another name on the storage's, which
/// options of the storage's library cannot say.
#[derive(Debug)]
pub(super) struct OwnConnector(reqwest::Client);

impl HttpConnector for OwnConnector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// The connector, where the options ask for one.
pub(super) fn connector(http: &HttpOptions) -> Result<Option<OwnConnector>, BucketError> {
    let tls = &http.tls;
    if tls.cert_path.is_none() && tls.key_path.is_none() && tls.server_name.is_empty() {
        return Ok(None);
    }
    let config = ClientTls::new(tls)?;
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(ClientConfig::clone(config.config()))
        .http1_only()
        .read_timeout(http.read_timeout)
        .pool_idle_timeout(http.idle_timeout)
        .pool_max_idle_per_host(http.max_idle)
        // What comes from the storage is what was put there.
        .redirect(reqwest::redirect::Policy::none());
    if !http.connect_timeout.is_zero() {
        builder = builder.connect_timeout(http.connect_timeout);
    }
    let failed = |error: reqwest::Error| BucketError::Malformed {
        key: "connections to the storage".to_owned(),
        reason: error.to_string(),
    };
    Ok(Some(OwnConnector(builder.build().map_err(failed)?)))
}

/// The storage with no more requests under way than the options allow.
pub(super) fn limited(store: Arc<dyn ObjectStore>, http: &HttpOptions) -> Arc<dyn ObjectStore> {
    match http.max_connections {
        0 => store,
        most => Arc::new(LimitStore::new(store, most)),
    }
}

fn install_crypto() {
    // It fails when one is installed already: the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
