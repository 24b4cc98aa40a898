//! The texts that a human reads first: the version, and after a bare start where everything is.

use std::net::SocketAddr;

use config::{Profile, Resolved};

use crate::node::Listeners;

/// What `-version` prints.
pub(crate) fn version() -> String {
    let build = build_info();
    let revision = if build.revision.is_empty() { "unknown" } else { build.revision };
    format!("urd, version {} (revision: {revision}, {})\n", build.version, build.compiler)
}

/// Which program this is. A build can set its revision in the environment.
pub(crate) fn build_info() -> web::BuildInfo {
    web::BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        revision: option_env!("URD_REVISION").unwrap_or_default(),
        compiler: concat!("rust", env!("CARGO_PKG_RUST_VERSION")),
    }
}

/// The first lines of a start: after a bare one how to use it; nothing under a configuration,
/// where the log tells the addresses.
pub(crate) fn greeting(resolved: &Resolved, listeners: &Listeners) -> String {
    if resolved.profile != Profile::Bare {
        return String::new();
    }
    let config = &resolved.config;
    let url = url(listeners.http_address());
    let base = format!("{url}{}", config.server.http_path_prefix.trim_end_matches('/'));
    let api = format!("{base}{}", config.api.prometheus_http_prefix.trim_end_matches('/'));
    format!(
        "Urd {} is starting on {base} and keeps its data below ./data\n\
         \n\
         To send it a Prometheus' samples, add this to prometheus.yml:\n\
         \n\
         remote_write:\n\
         \u{20} - url: {base}/api/v1/push\n\
         \n\
         To query it, use {api} as the URL of a Prometheus data source.\n\
         \n",
        env!("CARGO_PKG_VERSION")
    )
}

/// The URL to reach a listener from this machine.
fn url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn greeting_of(args: &[&str]) -> String {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let line = config::CommandLine::parse(&args).unwrap();
        let mut resolved = line.load(&|_| None).unwrap().resolve().unwrap();
        resolved.config.server.http_listen_port = 0;
        resolved.config.server.grpc_listen_port = 0;
        let listeners = Listeners::bind(&resolved.config.server).await.unwrap();
        let port = listeners.http_address().port().to_string();
        greeting(&resolved, &listeners).replace(&port, "PORT")
    }

    #[tokio::test]
    async fn a_bare_start_tells_how_to_use_it() {
        let text = greeting_of(&[]).await;
        assert!(text.lines().next().unwrap().contains("http://127.0.0.1:PORT"), "{text}");
        let snippet = "remote_write:\n  - url: http://127.0.0.1:PORT/api/v1/push\n";
        assert!(text.contains(snippet), "{text}");
        assert!(text.contains(" http://127.0.0.1:PORT/prometheus "), "{text}");
    }

    #[tokio::test]
    async fn a_configured_start_is_silent() {
        assert_eq!(greeting_of(&["-target=all"]).await, "");
    }
}
