//! From options of TLS to what clients and servers need. Called by the wiring; reads the files.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use config::{ByteSize, GrpcClientConfig, ServerConfig, ServerTlsConfig};
use rpc::{ClientOptions, Compression};
use rt::tls::{Allowed, ClientAuth, ClientTls, ServerTls, ServerTlsOptions};

/// The smallest window of HTTP/2; a smaller one is not obeyed, as in Mimir.
const MIN_WINDOW: u64 = (1 << 16) - 1;

/// The largest window of HTTP/2.
const MAX_WINDOW: u64 = (1 << 31) - 1;
/// Where the options name none: enough for a fast network that is not near.
const STREAM_WINDOW: u64 = 1 << 20;
const CONNECTION_WINDOW: u64 = 4 << 20;

fn window(option: &str, default: u64) -> anyhow::Result<u32> {
    let bytes = match option {
        "" => default,
        text => ByteSize::parse(text).map_err(anyhow::Error::msg)?.0,
    };
    Ok(bytes.clamp(MIN_WINDOW, MAX_WINDOW) as u32)
}

/// TLS of one of the servers; `None` where nothing of it is configured. Half a configuration is an
/// error: a server that speaks plainly is not what somebody wanted who named authorities.
pub(crate) fn of_server(
    server: &ServerConfig,
    tls: &ServerTlsConfig,
) -> anyhow::Result<Option<ServerTls>> {
    let missing = [&tls.cert_file, &tls.key_file].into_iter().filter(|it| it.is_empty()).count();
    let wants_clients = !tls.client_ca_file.is_empty() || !tls.client_auth_type.is_empty();
    match missing {
        0 => {}
        2 if !wants_clients => return Ok(None),
        _ => bail!("TLS of a server takes both a certificate and its key"),
    }
    let options = ServerTlsOptions {
        cert_path: PathBuf::from(&tls.cert_file),
        key_path: PathBuf::from(&tls.key_file),
        ca_path: Some(&tls.client_ca_file).filter(|path| !path.is_empty()).map(PathBuf::from),
        client_auth: ClientAuth::parse(&tls.client_auth_type)?,
        allowed: Allowed::parse(&server.tls_cipher_suites, &server.tls_min_version)?,
    };
    Ok(Some(ServerTls::new(&options)?))
}

/// How the clients of `peers` make their connections.
pub(crate) fn of_client(peers: &str, config: &GrpcClientConfig) -> anyhow::Result<ClientOptions> {
    let tls = ring::options::tls(config.tls_enabled, &config.tls);
    let tls = tls.and_then(|tls| tls.as_ref().map(ClientTls::new).transpose());
    let compression = Compression::parse(&config.grpc_compression);
    Ok(ClientOptions {
        connect_timeout: config.connect_timeout.std(),
        max_recv_message_bytes: config.max_recv_msg_size,
        max_send_message_bytes: config.max_send_msg_size,
        compression: compression.with_context(|| {
            format!("clients of {peers}: unsupported compression {:?}", config.grpc_compression)
        })?,
        windows: (
            window(&config.initial_stream_window_size, STREAM_WINDOW)?,
            window(&config.initial_connection_window_size, CONNECTION_WINDOW)?,
        ),
        tls: tls.with_context(|| format!("TLS with {peers}"))?,
        times: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cert_file: &str, key_file: &str, client_ca_file: &str) -> anyhow::Result<bool> {
        let tls = ServerTlsConfig {
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
            client_ca_file: client_ca_file.to_owned(),
            ..ServerTlsConfig::default()
        };
        Ok(of_server(&ServerConfig::default(), &tls)?.is_some())
    }

    #[test]
    fn a_server_never_speaks_plainly_by_half_a_configuration() {
        assert!(!of("", "", "").unwrap());
        for (cert, key, ca) in [("c", "", ""), ("", "k", ""), ("", "", "ca"), ("c", "", "ca")] {
            let error = of(cert, key, ca).unwrap_err().to_string();
            assert!(error.contains("both a certificate and its key"), "{error}");
        }
    }
}
