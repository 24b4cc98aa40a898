//! The addresses of this machine, and the addresses behind names. Called by the wiring, for what
//! an instance tells others about itself, and by the gossip, for whom to join.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

/// Addresses that one name may stand for.
const MAX_ADDRESSES: usize = 10_000;

/// The interfaces that an instance was told to use have no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no useable address found for interfaces {0:?}")]
pub struct NoAddress(Vec<String>);

/// The address that others reach this machine at: a private one of any interface, else any; the
/// loopback address where there is no network.
pub fn instance_address(ipv6: bool) -> IpAddr {
    let usable: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .iter()
        .map(if_addrs::Interface::ip)
        .filter(|ip| !ip.is_loopback() && !is_link_local(*ip) && (ip.is_ipv4() || ipv6))
        .collect();
    let private = usable.iter().find(|ip| is_private(**ip));
    let found = private.or_else(|| usable.first()).copied();
    found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// The address of the first of the named interfaces that has one, with `ipv6` rather such a one.
pub fn interface_address(interfaces: &[String], ipv6: bool) -> Result<IpAddr, NoAddress> {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let of_interface = |name: &String| {
        let named = all.iter().filter(move |interface| interface.name == *name);
        named.map(if_addrs::Interface::ip).collect::<Vec<IpAddr>>()
    };
    let usable = |ip: &IpAddr| !is_link_local(*ip) && (ip.is_ipv4() || ipv6);
    let named: Vec<IpAddr> = interfaces.iter().flat_map(of_interface).filter(usable).collect();
    let found = named.iter().find(|ip| ip.is_ipv6()).or_else(|| named.first());
    found.copied().ok_or_else(|| NoAddress(interfaces.to_vec()))
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
    fn an_interface_that_is_named_must_have_an_address() {
        let (missing, loopback) = ("no-such-interface".to_owned(), "lo".to_owned());
        let found = interface_address(&[missing.clone(), loopback], false).unwrap();
        assert!(found.is_loopback(), "{found}");
        let refused = interface_address(&[missing], false).unwrap_err().to_string();
        assert_eq!(refused, "no useable address found for interfaces [\"no-such-interface\"]");
        assert!(!hostname().is_empty());
    }
}
