//! Both sides of TLS on a loopback connection: who is let in.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../bucket/tests/tls")).join(name)
}

fn server(client_auth: ClientAuth, ca: Option<&str>) -> ServerTlsOptions {
    ServerTlsOptions {
        cert_path: file("server.pem"),
        key_path: file("server.key"),
        ca_path: ca.map(file),
        client_auth,
        allowed: Allowed::default(),
    }
}

fn client() -> TlsOptions {
    TlsOptions { ca_path: Some(file("ca.pem")), ..TlsOptions::default() }
}

fn showing(cert: &str, key: &str) -> TlsOptions {
    TlsOptions { cert_path: Some(file(cert)), key_path: Some(file(key)), ..client() }
}

/// Whether a byte comes through to a server that is called by `name`.
async fn is_let_in(server: &ServerTlsOptions, client: &TlsOptions, name: &str) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (server, client) = (ServerTls::new(server).unwrap(), ClientTls::new(client).unwrap());
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = server.accept(stream).await else { return false };
        stream.write_all(b"x").await.is_ok() && stream.shutdown().await.is_ok()
    };
    let call = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let Ok(mut stream) = client.connect(name, stream).await else { return false };
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.is_ok() && got == b"x"
    };
    let (served, called) = tokio::join!(serve, call);
    served && called
}

#[tokio::test]
async fn servers_ask_for_the_certificates_that_their_policy_names() {
    use ClientAuth::{
        NoClientCert, RequestClientCert, RequireAndVerifyClientCert, RequireAnyClientCert,
        VerifyClientCertIfGiven,
    };
    let signed = showing("client.pem", "client.key");
    // The authority of these tests did not sign itself for clients' use.
    let foreign =
        ServerTlsOptions { ca_path: Some(file("client.pem")), ..server(NoClientCert, None) };
    let table = [
        // policy, authorities; without a certificate, with one of the authority
        (NoClientCert, None, true, true),
        (RequestClientCert, None, true, true),
        (RequireAnyClientCert, None, false, true),
        (VerifyClientCertIfGiven, Some("ca.pem"), true, true),
        (VerifyClientCertIfGiven, Some("client.pem"), true, false),
        (RequireAndVerifyClientCert, Some("ca.pem"), false, true),
        (RequireAndVerifyClientCert, Some("client.pem"), false, false),
    ];
    for (policy, ca, bare, shown) in table {
        let options = server(policy, ca);
        let case = format!("{policy:?} {ca:?}");
        assert_eq!(is_let_in(&options, &client(), "storage.test").await, bare, "{case}: bare");
        assert_eq!(is_let_in(&options, &signed, "storage.test").await, shown, "{case}: shown");
    }
    assert!(ServerTls::new(&foreign).is_err(), "authorities without a policy");
    assert!(ServerTls::new(&server(RequireAndVerifyClientCert, None)).is_err());
}

#[tokio::test]
async fn clients_talk_to_the_server_that_they_know_only() {
    let server = server(ClientAuth::NoClientCert, None);
    let named = TlsOptions { server_name: "storage.test".to_owned(), ..client() };
    let unknown = TlsOptions { ca_path: Some(file("client.pem")), ..client() };
    let trusting = TlsOptions { insecure_skip_verify: true, ..unknown.clone() };
    assert!(!is_let_in(&server, &client(), "localhost").await, "another name");
    assert!(is_let_in(&server, &named, "localhost").await);
    assert!(is_let_in(&server, &named, "[::1]").await);
    assert!(!is_let_in(&server, &unknown, "storage.test").await, "an unknown authority");
    assert!(is_let_in(&server, &trusting, "localhost").await);
    let newest = Allowed { only_tls_13: true, ..Allowed::default() };
    let suites = vec!["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned()];
    let older = Allowed { cipher_suites: suites, only_tls_13: false };
    let only_12 = TlsOptions { allowed: older, ..named.clone() };
    assert!(is_let_in(&server, &only_12, "localhost").await);
    let server = ServerTlsOptions { allowed: newest, ..server };
    assert!(is_let_in(&server, &named, "localhost").await);
}

#[test]
fn policies_have_the_names_of_go() {
    assert_eq!(ClientAuth::parse("").unwrap(), ClientAuth::NoClientCert);
    assert_eq!(
        ClientAuth::parse("RequireAndVerifyClientCert").unwrap(),
        ClientAuth::RequireAndVerifyClientCert
    );
    assert!(ClientAuth::parse("Require").is_err());
    assert!(Allowed::parse("", "VersionTLS14").is_err());
}
