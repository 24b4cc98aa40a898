//! A memcached that speaks TLS only and wants a certificate.

use std::path::PathBuf;

use super::*;
use rt::tls::{Allowed, TlsOptions};

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls")).join(name)
}

fn right() -> TlsOptions {
    TlsOptions {
        ca_path: Some(file("ca.pem")),
        cert_path: Some(file("client.pem")),
        key_path: Some(file("client.key")),
        server_name: "storage.test".to_owned(),
        ..TlsOptions::default()
    }
}

fn allowed(suite: [String; 1]) -> Allowed {
    Allowed { cipher_suites: suite.into(), only_tls_13: false }
}

#[tokio::test]
async fn a_server_is_asked_over_tls() {
    let path = |name: &str| file(name).display().to_string();
    let [shown, of_it, ca] = ["server.pem", "server.key", "ca.pem"].map(path);
    let ssl = format!("ssl_chain_cert={shown},ssl_key={of_it},ssl_verify_mode=2,ssl_ca_cert={ca}");
    let Some(server) = memcached_with(None, &["-Z", "-o", &ssl]).await else { return };
    let address = server.address();
    let over_tls = |tls: &TlsOptions| {
        let tls = Some(ClientTls::new(tls).unwrap());
        world(MemcachedOptions { tls, ..options(&[&address]) })
    };
    let newest =
        TlsOptions { allowed: Allowed { only_tls_13: true, ..Allowed::default() }, ..right() };
    let suite = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned()];
    let one_suite = TlsOptions { allowed: allowed(suite), ..right() };
    for (i, tls) in [right(), newest, one_suite].iter().enumerate() {
        let world = over_tls(tls);
        world.cache.set(&key(i + 1), value(i + 1), HOUR);
        world.until(&[key(i + 1)], |got| got == [Some(value(i + 1))]).await;
    }
    let keys = [key(1)];
    for wrong in [
        TlsOptions { server_name: "other.test".to_owned(), ..right() },
        TlsOptions { cert_path: None, key_path: None, ..right() },
    ] {
        let world = over_tls(&wrong);
        assert_eq!(world.cache.get_multi(&keys).await, [None]);
        assert_ne!(world.metric("thanos_cache_operation_failures_total"), "");
    }
    let plain =
        world(MemcachedOptions { timeout: Duration::from_millis(200), ..options(&[&address]) });
    assert_eq!(plain.cache.get_multi(&keys).await, [None], "it does not speak in the clear");
}

#[test]
fn what_cannot_be_obeyed_is_refused() {
    let suite = ["TLS_RSA_WITH_RC4_128_SHA".to_owned()];
    let old = TlsOptions { allowed: allowed(suite), ..right() };
    let refused = ClientTls::new(&old).unwrap_err().to_string();
    assert_eq!(refused, "cipher suites: TLS_RSA_WITH_RC4_128_SHA is not supported");
    let half = TlsOptions { key_path: None, ..right() };
    let refused = ClientTls::new(&half).unwrap_err().to_string();
    assert_eq!(refused, "certificate to show: its key is missing");
}
