//! From the addresses of the configuration to servers: names are looked up in DNS again and again,
//! so that servers can come and go.

use std::net::SocketAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use tokio::sync::OnceCell;

/// How an address is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    /// `host:port`, used as it is.
    Plain(String),
    /// `dns+host:port`.
    Hosts(String),
    /// `dnssrv+name`.
    ServiceHosts(String),
    /// `dnssrvnoa+name`.
    Service(String),
}

impl Address {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        match text.split_once('+') {
            Some(("dns", rest)) => Self::Hosts(rest.to_owned()),
            Some(("dnssrv", rest)) => Self::ServiceHosts(rest.to_owned()),
            Some(("dnssrvnoa", rest)) => Self::Service(rest.to_owned()),
            _ => Self::Plain(text.to_owned()),
        }
    }
}

/// Addresses and how to look them up.
pub(super) struct Resolver {
    addresses: Vec<Address>,
    dns: OnceCell<TokioResolver>,
}

/// Why nothing could be looked up.
#[derive(Debug, thiserror::Error)]
#[error("look up {name}: {reason}")]
pub(super) struct ResolveError {
    name: String,
    reason: String,
}

impl Resolver {
    pub(super) fn new(addresses: &[String]) -> Self {
        let addresses = addresses.iter().filter(|address| !address.trim().is_empty());
        Self { addresses: addresses.map(|a| Address::parse(a)).collect(), dns: OnceCell::new() }
    }

    /// Whether nothing has to be looked up.
    pub(super) fn is_plain(&self) -> bool {
        self.addresses.iter().all(|address| matches!(address, Address::Plain(_)))
    }

    /// The servers that are known without a look-up.
    pub(super) fn plain(&self) -> Vec<String> {
        let plain = |address: &Address| match address {
            Address::Plain(server) => Some(server.clone()),
            _ => None,
        };
        self.addresses.iter().filter_map(plain).collect()
    }

    /// All servers. When one name cannot be looked up the rest is used; when none can, it fails.
    pub(super) async fn resolve(&self) -> Result<Vec<String>, ResolveError> {
        let (mut servers, mut failed) = (Vec::new(), None);
        for address in &self.addresses {
            match self.resolve_one(address).await {
                Ok(found) => servers.extend(found),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if servers.is_empty() => Err(error),
            Some(error) => {
                tracing::warn!(%error, "cannot look up some of the servers of a cache");
                Ok(servers)
            }
            None => Ok(servers),
        }
    }

    async fn resolve_one(&self, address: &Address) -> Result<Vec<String>, ResolveError> {
        match address {
            Address::Plain(server) => Ok(vec![server.clone()]),
            Address::Hosts(host) => hosts(host).await,
            Address::Service(name) => self.targets(name).await,
            Address::ServiceHosts(name) => {
                let mut servers = Vec::new();
                for target in self.targets(name).await? {
                    servers.extend(hosts(&target).await?);
                }
                Ok(servers)
            }
        }
    }

    /// `host:port` of every SRV record.
    async fn targets(&self, name: &str) -> Result<Vec<String>, ResolveError> {
        let failed = |reason: String| ResolveError { name: name.to_owned(), reason };
        let start = || async { TokioResolver::builder_tokio()?.build() };
        let dns = self.dns.get_or_try_init(start).await.map_err(|e| failed(e.to_string()))?;
        let found = dns.srv_lookup(name).await.map_err(|e| failed(e.to_string()))?;
        let target = |record: &RData| match record {
            RData::SRV(srv) => {
                let host = srv.target.to_utf8();
                Some(format!("{}:{}", host.trim_end_matches('.'), srv.port))
            }
            _ => None,
        };
        Ok(found.answers().iter().filter_map(|record| target(&record.data)).collect())
    }
}

/// `address:port` of every address of `host:port`.
async fn hosts(host: &str) -> Result<Vec<String>, ResolveError> {
    let failed =
        |error: std::io::Error| ResolveError { name: host.to_owned(), reason: error.to_string() };
    let found = tokio::net::lookup_host(host).await.map_err(failed)?;
    Ok(found.map(|address: SocketAddr| address.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_plain_or_names() {
        let texts = ["10.0.0.1:11211", "dns+localhost:11211", " ", "dnssrv+a", "dnssrvnoa+b"];
        let resolver = Resolver::new(&texts.map(str::to_owned));
        assert_eq!(resolver.addresses[2], Address::ServiceHosts("a".to_owned()));
        assert_eq!(resolver.addresses[3], Address::Service("b".to_owned()));
        assert!(!resolver.is_plain());
        assert_eq!(resolver.plain(), ["10.0.0.1:11211"]);
        let local = resolver.resolve_one(&resolver.addresses[1]).await.unwrap();
        assert!(local.contains(&"127.0.0.1:11211".to_owned()), "{local:?}");
        let plain = Resolver::new(&["a:1".to_owned()]);
        assert!(plain.is_plain());
        assert_eq!(plain.resolve().await.unwrap(), ["a:1"]);
    }
}
