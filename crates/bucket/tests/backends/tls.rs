//! A storage that is reached over TLS only, shows a certificate with a name of its own, and wants
//! one of ours.

use std::path::PathBuf;
use std::sync::Arc;

use bucket::testing::S3Server;
use bucket::{Bucket, BucketError, BucketMetrics, BucketOptions};
use bytes::Bytes;
use model::env::ManualClock;
use rt::tls::TlsOptions;
use rt::{CancellationToken, Metrics, TaskGroup};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls")).join(name)
}

fn acceptor() -> TlsAcceptor {
    let certificate = |name| CertificateDer::from_pem_file(file(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![certificate("server.pem")],
            PrivateKeyDer::from_pem_file(file("server.key")).unwrap(),
        );
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

/// Passes connections on to `behind`. Returns where it listens.
async fn front(tasks: &TaskGroup, behind: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connections = TaskGroup::new(tasks.token());
    let acceptor = acceptor();
    tasks.spawn_until_cancelled("front", async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            connections.spawn_until_cancelled("front connection", async move {
                let Ok(mut socket) = acceptor.accept(socket).await else { return };
                let Ok(mut server) = TcpStream::connect(behind).await else { return };
                // Who closes it is of no interest.
                let _ = tokio::io::copy_bidirectional(&mut socket, &mut server).await;
            });
        }
    });
    address
}

fn open(s3: &S3Server, endpoint: &str, tls: TlsOptions) -> Result<Bucket, BucketError> {
    let mut options = s3.options("");
    if let BucketOptions::S3 { s3, .. } = &mut options {
        s3.endpoint = endpoint.to_owned();
        s3.insecure = false;
        s3.http.tls = tls;
        s3.http.max_connections = 2;
        s3.retries = Some(0);
    }
    let metrics = BucketMetrics::new(&Metrics::new(), "test");
    Bucket::open(&options, Arc::new(ManualClock::new(0)), metrics)
}

#[tokio::test]
async fn certificates_are_shown_and_looked_at() {
    let s3 = S3Server::start().await.unwrap();
    let tasks = TaskGroup::new(&CancellationToken::new());
    let address = front(&tasks, s3.endpoint()).await;
    let right = TlsOptions {
        ca_path: Some(file("ca.pem")),
        cert_path: Some(file("client.pem")),
        key_path: Some(file("client.key")),
        server_name: "storage.test".to_owned(),
        ..TlsOptions::default()
    };
    let bucket = open(&s3, &address, right.clone()).unwrap();
    bucket.put("a/b", Bytes::from_static(b"x")).await.unwrap();
    let reads = (0..8).map(|_| bucket.get("a/b"));
    for read in futures::future::join_all(reads).await {
        assert_eq!(read.unwrap(), "x");
    }
    for wrong in [
        TlsOptions { server_name: "other.test".to_owned(), ..right.clone() },
        TlsOptions { server_name: String::new(), ..right.clone() },
        TlsOptions { cert_path: None, key_path: None, ..right.clone() },
        TlsOptions { ca_path: Some(file("client.pem")), ..right.clone() },
    ] {
        let refused = open(&s3, &address, wrong.clone()).unwrap().get("a/b").await;
        assert!(matches!(refused, Err(BucketError::Storage { .. })), "{wrong:?}");
    }
    let trusting = TlsOptions { ca_path: None, insecure_skip_verify: true, ..right.clone() };
    assert_eq!(open(&s3, &address, trusting).unwrap().get("a/b").await.unwrap(), "x");
    for useless in [
        TlsOptions { key_path: None, ..right.clone() },
        TlsOptions { cert_path: Some(file("none.pem")), ..right.clone() },
        TlsOptions { cert_path: Some(file("client.key")), ..right.clone() },
    ] {
        assert!(open(&s3, &address, useless).is_err());
    }
}
