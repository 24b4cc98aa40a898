//! The addresses of this machine, and the addresses behind names. Called by the wiring, for what
//! an instance tells others about itself, and by the gossip, for whom to join.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

/// Addresses that one name may stand for.
const MAX_ADDRESSES: usize = 10_000;

/// The address that others reach this machine at: of the interfaces with these names, or of any
/// with a private address, or of any; the loopback address where there is no network.
pub fn instance_address(interfaces: &[String], ipv6: bool) -> IpAddr {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let is_named = |name: &str| interfaces.is_empty() || interfaces.iter().any(|i| i == name);
    let usable: Vec<IpAddr> = all
        .iter()
        .filter(|interface| is_named(&interface.name))
        .map(if_addrs::Interface::ip)
        .filter(|ip| !ip.is_loopback() && !is_link_local(*ip) && (ip.is_ipv4() || ipv6))
        .collect();
    let private = usable.iter().find(|ip| is_private(**ip));
    let found = private.or_else(|| usable.first()).copied();
    found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// This machine's name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("look up {name}: {reason}")]
pub struct ResolveError {
    /// The name.
    pub name: String,
    /// What went wrong.
    pub reason: String,
}

/// The addresses of `host`, `host:port`, `dns+host:port`, `dnssrv+name` or `dnssrvnoa+name`.
pub async fn resolve(address: &str, default_port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    let address = address.trim();
    match address.split_once('+') {
        Some(("dns", host)) => hosts(host, default_port).await,
        Some(("dnssrv" | "dnssrvnoa", name)) => services(name).await,
        _ => hosts(address, default_port).await,
    }
}

async fn hosts(host: &str, default_port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    let failed =
        |error: std::io::Error| ResolveError { name: host.to_owned(), reason: error.to_string() };
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, default_port)]);
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let found = if has_port {
        tokio::net::lookup_host(host).await.map_err(failed)?.collect::<Vec<_>>()
    } else {
        tokio::net::lookup_host((host, default_port)).await.map_err(failed)?.collect()
    };
    Ok(found.into_iter().take(MAX_ADDRESSES).collect())
}

async fn services(name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    let failed = |reason: String| ResolveError { name: name.to_owned(), reason };
    let dns = TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
    let dns = dns.map_err(|error| failed(error.to_string()))?;
    let found = dns.srv_lookup(name).await.map_err(|error| failed(error.to_string()))?;
    let mut addresses = Vec::new();
    for record in found.answers() {
        if let RData::SRV(srv) = &record.data {
            let host = srv.target.to_utf8();
            addresses.extend(hosts(host.trim_end_matches('.'), srv.port).await?);
        }
    }
    addresses.truncate(MAX_ADDRESSES);
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_with_and_without_a_port() {
        for (text, want) in [
            ("127.0.0.1", "127.0.0.1:7946"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("::1", "[::1]:7946"),
            ("[::1]:2", "[::1]:2"),
            ("dns+127.0.0.1:3", "127.0.0.1:3"),
        ] {
            assert_eq!(resolve(text, 7946).await, Ok(vec![want.parse().unwrap()]), "{text}");
        }
        assert!(resolve("127.0.0.1:99999", 1).await.is_err());
    }

    #[test]
    fn there_is_always_an_address() {
        assert!(instance_address(&["no-such-interface".to_owned()], false).is_loopback());
        assert!(!hostname().is_empty());
    }
}
