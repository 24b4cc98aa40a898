//! From the configuration to what rings, stores and the gossip are built with. Called by the
//! wiring; opens nothing but reads the machine's name and addresses.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use config::{
    CompactorRingConfig, DistributorRingConfig, EtcdConfig, GoDuration, IngesterRingConfig,
    MemberlistConfig, StoreGatewayRingConfig, StringList, TlsFilesConfig,
};
use model::Random;
use rt::tls::{Allowed, TlsError, TlsOptions};

use crate::desc::InstanceState;
use crate::kv::EtcdOptions;
use crate::lifecycler::{InstanceOptions, JoinStyle, LifecyclerOptions, TokenStrategy};
use crate::memberlist::{
    Envelope, GossipOptions, JoinOptions, MemberlistOptions, TransportOptions,
};
use crate::net::NoAddress;
use crate::reader::RingName;
use crate::ring::{RingRules, Strategy};
use crate::spread::{SpreadError, SpreadMinimizing};

/// What stands in the configuration for the machine's name.
const HOSTNAME: &str = "<hostname>";
/// Tokens of a compactor.
const COMPACTOR_TOKENS: usize = 512;

/// The ingesters' ring.
pub const INGESTER_RING: RingName =
    RingName { service: "ingester-ring", ring: "ingester", key: "ring" };
/// The store-gateways' ring.
pub const STORE_GATEWAY_RING: RingName =
    RingName { service: "store-gateway-ring", ring: "store-gateway", key: "store-gateway" };
/// The compactors' ring.
pub const COMPACTOR_RING: RingName =
    RingName { service: "compactor-ring", ring: "compactor", key: "compactor" };
/// The distributors' ring.
pub const DISTRIBUTOR_RING: RingName =
    RingName { service: "distributor-ring", ring: "distributor", key: "distributor" };

/// Why the options of a ring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// There is no such way to choose tokens.
    #[error("unsupported token generation strategy (\"{0}\") has been chosen")]
    TokenStrategy(String),
    /// The instance cannot have such tokens.
    #[error("\"spread-minimizing\" token generation strategy is misconfigured")]
    Spread(#[from] SpreadError),
    /// Both cannot be had.
    #[error("\"spread-minimizing\" token generation strategy requires the tokens file to be empty")]
    SpreadWithFile,
    /// An address is no IP address.
    #[error("\"{0}\" is not an IP address")]
    Address(String),
    /// The interfaces that were named have no address to be reached at.
    #[error(transparent)]
    NoAddress(#[from] NoAddress),
    /// Some endpoints of etcd want TLS, others do not.
    #[error("the endpoints of etcd mix http:// and https://")]
    MixedEndpoints,
    /// TLS cannot be spoken so.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A ring as a process reads it.
#[derive(Debug, Clone)]
pub struct RingSetup {
    /// Its names.
    pub name: RingName,
    /// How it is read.
    pub rules: RingRules,
}

struct Address<'a> {
    id: &'a str,
    addr: &'a str,
    port: u16,
    interfaces: &'a StringList,
    ipv6: bool,
}

impl Address<'_> {
    fn id(&self) -> String {
        if self.id == HOSTNAME { crate::net::hostname() } else { self.id.to_owned() }
    }

    fn addr(&self, grpc_port: u16) -> Result<String, NoAddress> {
        let port = if self.port == 0 { grpc_port } else { self.port };
        if self.addr.is_empty() {
            let ip = match split(self.interfaces) {
                names if names.is_empty() => crate::net::instance_address(self.ipv6),
                names => crate::net::interface_address(&names, self.ipv6)?,
            };
            return Ok(SocketAddr::new(ip, port).to_string());
        }
        Ok(match self.addr.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, port).to_string(),
            Err(_) => format!("{}:{port}", self.addr),
        })
    }
}

/// The parts between commas of a flag that may be repeated.
fn split(list: &StringList) -> Vec<String> {
    let parts = list.0.iter().flat_map(|text| text.split(','));
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn seconds(duration: GoDuration) -> i64 {
    duration.millis().div_euclid(1000)
}

fn rules(heartbeat_timeout: GoDuration) -> RingRules {
    RingRules {
        replication_factor: 1,
        heartbeat_timeout_s: seconds(heartbeat_timeout),
        ..RingRules::default()
    }
}

/// The ring of the ingesters.
pub fn ingester(config: &IngesterRingConfig) -> RingSetup {
    let rules = RingRules {
        replication_factor: config.replication_factor,
        zone_awareness: config.zone_awareness_enabled,
        excluded_zones: config.excluded_zones.0.clone(),
        ..rules(config.heartbeat_timeout)
    };
    RingSetup { name: INGESTER_RING, rules }
}

/// An ingester that serves gRPC on `grpc_port`, in its ring.
pub fn ingester_instance(
    config: &IngesterRingConfig,
    grpc_port: u16,
) -> Result<LifecyclerOptions, OptionsError> {
    let address = Address {
        id: &config.instance_id,
        addr: &config.instance_addr,
        port: config.instance_port,
        interfaces: &config.instance_interface_names,
        ipv6: config.instance_enable_ipv6,
    };
    let id = address.id();
    let tokens = match config.token_generation_strategy.as_str() {
        "random" => TokenStrategy::Random,
        "spread-minimizing" if !config.tokens_file_path.is_empty() => {
            return Err(OptionsError::SpreadWithFile);
        }
        "spread-minimizing" => TokenStrategy::SpreadMinimizing(SpreadMinimizing::new(
            &id,
            &config.instance_availability_zone,
            &config.spread_minimizing_zones.0,
            config.spread_minimizing_join_ring_in_order,
        )?),
        other => return Err(OptionsError::TokenStrategy(other.to_owned())),
    };
    let instance = InstanceOptions {
        id,
        addr: address.addr(grpc_port)?,
        zone: config.instance_availability_zone.clone(),
        num_tokens: config.num_tokens,
        tokens,
        join: JoinStyle::Steps,
        forget_after_s: 0,
    };
    Ok(LifecyclerOptions {
        tokens_file: path(&config.tokens_file_path),
        observe_period: config.observe_period.std(),
        min_ready_duration: config.min_ready_duration.std(),
        unregister_on_shutdown: config.unregister_on_shutdown,
        final_sleep: config.final_sleep.std(),
        ..lifecycler("ingester-lifecycler", INGESTER_RING, instance, config.heartbeat_period)
    })
}

/// The ring of the store-gateways.
pub fn store_gateway(config: &StoreGatewayRingConfig) -> RingSetup {
    let rules = RingRules {
        replication_factor: config.replication_factor,
        zone_awareness: config.zone_awareness_enabled,
        excluded_zones: config.excluded_zones.0.clone(),
        strategy: Strategy::IgnoreUnhealthy,
        ..rules(config.heartbeat_timeout)
    };
    RingSetup { name: STORE_GATEWAY_RING, rules }
}

/// A store-gateway that serves gRPC on `grpc_port`, in its ring. It comes into the ring when it has
/// its blocks.
pub fn store_gateway_instance(
    config: &StoreGatewayRingConfig,
    grpc_port: u16,
) -> Result<LifecyclerOptions, OptionsError> {
    let address = Address {
        id: &config.instance_id,
        addr: &config.instance_addr,
        port: config.instance_port,
        interfaces: &config.instance_interface_names,
        ipv6: config.instance_enable_ipv6,
    };
    let periods = if config.auto_forget_enabled { config.auto_forget_unhealthy_periods } else { 0 };
    let instance = InstanceOptions {
        id: address.id(),
        addr: address.addr(grpc_port)?,
        zone: config.instance_availability_zone.clone(),
        num_tokens: config.num_tokens,
        tokens: TokenStrategy::Random,
        join: JoinStyle::As(InstanceState::Active),
        forget_after_s: i64::from(periods) * seconds(config.heartbeat_timeout),
    };
    let name = STORE_GATEWAY_RING;
    Ok(LifecyclerOptions {
        tokens_file: path(&config.tokens_file_path),
        unregister_on_shutdown: config.unregister_on_shutdown,
        ..lifecycler("store-gateway-lifecycler", name, instance, config.heartbeat_period)
    })
}

/// The ring of the compactors.
pub fn compactor(config: &CompactorRingConfig) -> RingSetup {
    RingSetup { name: COMPACTOR_RING, rules: rules(config.heartbeat_timeout) }
}

/// A compactor that serves gRPC on `grpc_port`, in its ring.
pub fn compactor_instance(
    config: &CompactorRingConfig,
    grpc_port: u16,
) -> Result<LifecyclerOptions, OptionsError> {
    let address = Address {
        id: &config.instance_id,
        addr: &config.instance_addr,
        port: config.instance_port,
        interfaces: &config.instance_interface_names,
        ipv6: config.instance_enable_ipv6,
    };
    let forget_after_s =
        i64::from(config.auto_forget_unhealthy_periods) * seconds(config.heartbeat_timeout);
    let instance = plain_instance(&address, grpc_port, (COMPACTOR_TOKENS, forget_after_s))?;
    let period = config.heartbeat_period;
    Ok(lifecycler("compactor-lifecycler", COMPACTOR_RING, instance, period))
}

/// The ring of the distributors.
pub fn distributor(config: &DistributorRingConfig) -> RingSetup {
    RingSetup { name: DISTRIBUTOR_RING, rules: rules(config.heartbeat_timeout) }
}

/// A distributor that serves gRPC on `grpc_port`, in its ring.
pub fn distributor_instance(
    config: &DistributorRingConfig,
    grpc_port: u16,
) -> Result<LifecyclerOptions, OptionsError> {
    let address = Address {
        id: &config.instance_id,
        addr: &config.instance_addr,
        port: config.instance_port,
        interfaces: &config.instance_interface_names,
        ipv6: config.instance_enable_ipv6,
    };
    let forget_after_s =
        i64::from(config.auto_forget_unhealthy_periods) * seconds(config.heartbeat_timeout);
    let instance = plain_instance(&address, grpc_port, (1, forget_after_s))?;
    let period = config.heartbeat_period;
    Ok(lifecycler("distributor-lifecycler", DISTRIBUTOR_RING, instance, period))
}

fn plain_instance(
    address: &Address<'_>,
    grpc_port: u16,
    (num_tokens, forget_after_s): (usize, i64),
) -> Result<InstanceOptions, NoAddress> {
    Ok(InstanceOptions {
        id: address.id(),
        addr: address.addr(grpc_port)?,
        zone: String::new(),
        num_tokens,
        tokens: TokenStrategy::Random,
        join: JoinStyle::As(InstanceState::Active),
        forget_after_s,
    })
}

fn lifecycler(
    service: &'static str,
    ring: RingName,
    instance: InstanceOptions,
    heartbeat_period: GoDuration,
) -> LifecyclerOptions {
    LifecyclerOptions {
        service,
        ring_name: ring.ring,
        key: ring.key,
        instance,
        tokens_file: None,
        heartbeat_period: heartbeat_period.std(),
        observe_period: std::time::Duration::ZERO,
        unregister_on_shutdown: true,
        final_sleep: std::time::Duration::ZERO,
        min_ready_duration: std::time::Duration::ZERO,
    }
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

/// How TLS is spoken, where it is switched on.
pub fn tls(is_enabled: bool, config: &TlsFilesConfig) -> Result<Option<TlsOptions>, TlsError> {
    if !is_enabled {
        return Ok(None);
    }
    Ok(Some(TlsOptions {
        cert_path: path(&config.tls_cert_path),
        key_path: path(&config.tls_key_path),
        ca_path: path(&config.tls_ca_path),
        server_name: config.tls_server_name.clone(),
        insecure_skip_verify: config.tls_insecure_skip_verify,
        allowed: Allowed::parse(&config.tls_cipher_suites, &config.tls_min_version)?,
    }))
}

/// How etcd is reached.
pub fn etcd(config: &EtcdConfig) -> Result<EtcdOptions, OptionsError> {
    let endpoints = split(&config.endpoints);
    let has_scheme = |scheme| endpoints.iter().any(|endpoint| endpoint.starts_with(scheme));
    // As etcd's own client has it: a scheme counts for more than the option.
    let is_tls = match (has_scheme("https://"), has_scheme("http://")) {
        (true, true) => return Err(OptionsError::MixedEndpoints),
        (false, false) => config.tls_enabled,
        (is_https, _) => is_https,
    };
    Ok(EtcdOptions {
        endpoints,
        dial_timeout: config.dial_timeout.std(),
        max_retries: config.max_retries,
        tls: tls(is_tls, &config.tls)?,
        username: config.username.clone(),
        password: config.password.expose().to_owned(),
    })
}

/// How this process takes part in the gossip.
pub fn memberlist(
    config: &MemberlistConfig,
    random: &dyn Random,
) -> Result<MemberlistOptions, OptionsError> {
    let mut name = config.node_name.clone();
    if name.is_empty() {
        name = crate::net::hostname();
    }
    if config.randomize_node_name {
        name = format!("{name}-{:08x}", random.next_u64() >> 32);
    }
    let advertise_address = match config.advertise_addr.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| OptionsError::Address(text.to_owned()))?),
    };
    Ok(MemberlistOptions {
        gossip: gossip(config, &name),
        advertise_address,
        advertise_port: config.advertise_port,
        transport: TransportOptions {
            bind_addresses: split(&config.bind_addr),
            bind_port: config.bind_port,
            packet_dial_timeout: config.packet_dial_timeout.std(),
            packet_write_timeout: config.packet_write_timeout.std(),
            stream_timeout: config.stream_timeout.std(),
            max_concurrent_writes: config.max_concurrent_writes,
            acquire_writer_timeout: config.acquire_writer_timeout.std(),
            tls: tls(config.tls_enabled, &config.tls)?,
        },
        join: join(config),
        leave_timeout: config.leave_timeout.std(),
        broadcast_timeout: config.broadcast_timeout_for_local_updates_on_shutdown.std(),
        notify_interval: config.notify_interval.std(),
    })
}

fn join(config: &MemberlistConfig) -> JoinOptions {
    JoinOptions {
        members: split(&config.join_members),
        min_backoff: config.min_join_backoff.std(),
        max_backoff: config.max_join_backoff.std(),
        max_retries: config.max_join_retries,
        abort_if_join_fails: config.abort_if_cluster_join_fails,
        abort_if_fast_join_fails: config.abort_if_cluster_fast_join_fails,
        fast_join_min_nodes: config.abort_if_cluster_fast_join_fails_min_nodes,
        rejoin_interval: config.rejoin_interval.std(),
        rejoin_members: split(&config.rejoin_seed_nodes),
    }
}

fn gossip(config: &MemberlistConfig, name: &str) -> GossipOptions {
    let ms = |duration: GoDuration| u64::try_from(duration.millis()).unwrap_or(0);
    // The address is found when the port is bound.
    let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
    GossipOptions {
        envelope: Envelope {
            label: config.cluster_label.clone(),
            accepts_any_label: config.cluster_label_verification_disabled,
            compression: config.compression_enabled,
        },
        retransmit_factor: config.retransmit_factor,
        gossip_interval_ms: ms(config.gossip_interval),
        gossip_nodes: config.gossip_nodes,
        gossip_to_dead_ms: ms(config.gossip_to_dead_nodes_time),
        dead_node_reclaim_ms: ms(config.dead_node_reclaim_time),
        push_pull_interval_ms: ms(config.pull_push_interval),
        left_timeout_ms: config.left_ingesters_timeout.millis(),
        obsolete_timeout_ms: config.obsolete_entries_timeout.millis(),
        ..GossipOptions::new(name, unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_of_an_endpoint_says_whether_etcd_is_asked_over_tls() {
        let of = |endpoints: &[&str], tls_enabled| {
            let endpoints = StringList(endpoints.iter().map(|&text| text.to_owned()).collect());
            let options = etcd(&EtcdConfig { endpoints, tls_enabled, ..EtcdConfig::default() });
            options.map(|options| options.tls.is_some()).map_err(|error| error.to_string())
        };
        assert_eq!(of(&["a:1"], false), Ok(false));
        assert_eq!(of(&["a:1"], true), Ok(true));
        assert_eq!(of(&["https://a:1", "b:1"], false), Ok(true));
        assert_eq!(of(&["http://a:1"], true), Ok(false));
        assert!(of(&["http://a:1", "https://b:1"], true).is_err());
    }
}
