//! Options of the hash rings, of the stores that they are kept in, and of the gossip.

use super::TlsFilesConfig;
use crate::table::config;
use crate::value::{CommaList, GoDuration, Secret, StringList};

config! {
    /// Where a ring is kept.
    pub struct KvStoreConfig {
        /// The store: memberlist, etcd, inmemory or multi.
        store: KvBackend = "memberlist", "store", Basic;
        /// What stands before every key in the store.
        prefix: String = "collectors/", "prefix", Advanced;
    } sections {
        /// The servers of the store etcd.
        etcd: EtcdConfig => "etcd", ".etcd.";
        /// The two stores of the store multi.
        multi: MultiKvConfig => "multi", ".multi.";
    }
}

config! {
    /// Kinds of store for a ring.
    pub enum KvBackend {
        /// Gossip between the processes.
        Memberlist = "memberlist",
        /// Inside this process, for a single one.
        Inmemory = "inmemory",
        /// Consul.
        Consul = "consul",
        /// etcd.
        Etcd = "etcd",
        /// Two stores, to move from one to the other.
        Multi = "multi",
    }
}

config! {
    /// How etcd is reached.
    pub struct EtcdConfig {
        /// host:port of each server; the flag may be repeated.
        endpoints: StringList = "", "endpoints", Basic;
        /// Time within which a connection must be there.
        dial_timeout: GoDuration = "10s", "dial-timeout", Advanced;
        /// How often a change of a value is tried.
        max_retries: usize = "10", "max-retries", Advanced;
        /// Use TLS.
        tls_enabled: bool = "false", "tls-enabled", Advanced;
        /// The user.
        username: String = "", "username", Basic;
        /// The user's password.
        password: Secret = "", "password", Basic;
    } sections {
        /// Its keys stand here.
        tls: TlsFilesConfig => "", ".";
    }
}

config! {
    /// Two stores.
    pub struct MultiKvConfig {
        /// The store that is read and changed.
        primary: String = "", "primary", Advanced;
        /// The store that changes are copied to.
        secondary: String = "", "secondary", Advanced;
        /// Copy changes to the secondary store.
        mirror_enabled: bool = "false", "mirror-enabled", Advanced;
        /// Time within which a copy must be made.
        mirror_timeout: GoDuration = "2s", "mirror-timeout", Advanced;
    }
}

config! {
    /// The ingesters' ring.
    pub struct IngesterRingConfig {
        /// How often the instance shows in the ring that it is there.
        heartbeat_period: GoDuration = "15s", "heartbeat-period", Advanced;
        /// An instance without a heartbeat for this long is not used.
        heartbeat_timeout: GoDuration = "1m", "heartbeat-timeout", Advanced;
        /// Number of ingesters that each series is written to.
        replication_factor: usize = "3", "replication-factor", Basic;
        /// Write each series to ingesters of different zones.
        zone_awareness_enabled: bool = "false", "zone-awareness-enabled", Basic;
        /// Zones whose instances are left out, separated by commas.
        excluded_zones: CommaList = "", "excluded-zones", Advanced;
        /// File that keeps the tokens over a restart; empty for none.
        tokens_file_path: String = "", "tokens-file-path", Basic;
        /// Number of tokens of the instance.
        num_tokens: usize = "128", "num-tokens", Advanced;
        /// Name of the instance in the ring.
        instance_id: String = "<hostname>", "instance-id", Advanced;
        /// Network interfaces to take the instance's address from; the flag may be repeated.
        instance_interface_names: StringList = "", "instance-interface-names", Advanced;
        /// Port that others reach the instance at; 0 is -server.grpc-listen-port.
        instance_port: u16 = "0", "instance-port", Advanced;
        /// Address that others reach the instance at; empty is found.
        instance_addr: String = "", "instance-addr", Advanced;
        /// Use IPv6 addresses as well.
        instance_enable_ipv6: bool = "false", "instance-enable-ipv6", Advanced;
        /// Zone of the instance.
        instance_availability_zone: String = "", "instance-availability-zone", Advanced;
        /// Take the instance out of the ring when the process ends.
        unregister_on_shutdown: bool = "true", "unregister-on-shutdown", Advanced;
        /// Watch new tokens for this long before they are used, for others may have taken the same.
        observe_period: GoDuration = "0", "observe-period", Advanced;
        /// How long the process must have been ready inside before /ready says so.
        min_ready_duration: GoDuration = "15s", "min-ready-duration", Advanced;
        /// How long to wait before the process exits, so that its last metrics can be scraped.
        final_sleep: GoDuration = "0", "final-sleep", Advanced;
        /// How tokens are chosen: random or spread-minimizing.
        token_generation_strategy: String = "random", "token-generation-strategy", Advanced;
        /// Join only after all instances with a lower number; for spread-minimizing tokens.
        spread_minimizing_join_ring_in_order: bool = "false", "spread-minimizing-join-ring-in-order", Advanced;
        /// All zones, separated by commas; for spread-minimizing tokens.
        spread_minimizing_zones: CommaList = "", "spread-minimizing-zones", Advanced;
    } sections {
        /// Where the ring is kept.
        kvstore: KvStoreConfig => "kvstore", "ingester.ring.";
    }
}

config! {
    /// The store-gateways' ring.
    pub struct StoreGatewayRingConfig {
        /// How often the instance shows in the ring that it is there.
        heartbeat_period: GoDuration = "15s", "heartbeat-period", Advanced;
        /// An instance without a heartbeat for this long is not used.
        heartbeat_timeout: GoDuration = "1m", "heartbeat-timeout", Advanced;
        /// Take instances out of the ring that are silent for too long.
        auto_forget_enabled: bool = "true", "auto-forget-enabled", Deprecated;
        /// After how many heartbeat timeouts a silent instance is taken out of the ring; 0 is never.
        auto_forget_unhealthy_periods: u32 = "10", "auto-forget-unhealthy-periods", Advanced;
        /// Number of store-gateways that each block is loaded by.
        replication_factor: usize = "3", "replication-factor", Advanced;
        /// File that keeps the tokens over a restart; empty for none.
        tokens_file_path: String = "", "tokens-file-path", Basic;
        /// Number of tokens of the instance.
        num_tokens: usize = "512", "num-tokens", Advanced;
        /// Load each block in different zones.
        zone_awareness_enabled: bool = "false", "zone-awareness-enabled", Basic;
        /// Zones whose instances are left out, separated by commas.
        excluded_zones: CommaList = "", "excluded-zones", Advanced;
        /// How long the ring must not have changed before the instance starts; 0 is not at all.
        wait_stability_min_duration: GoDuration = "0", "wait-stability-min-duration", Advanced, Later;
        /// How long is waited for that at most.
        wait_stability_max_duration: GoDuration = "5m", "wait-stability-max-duration", Advanced, Later;
        /// Name of the instance in the ring.
        instance_id: String = "<hostname>", "instance-id", Advanced;
        /// Network interfaces to take the instance's address from; the flag may be repeated.
        instance_interface_names: StringList = "", "instance-interface-names", Basic;
        /// Port that others reach the instance at; 0 is -server.grpc-listen-port.
        instance_port: u16 = "0", "instance-port", Advanced;
        /// Address that others reach the instance at; empty is found.
        instance_addr: String = "", "instance-addr", Advanced;
        /// Use IPv6 addresses as well.
        instance_enable_ipv6: bool = "false", "instance-enable-ipv6", Advanced;
        /// Zone of the instance.
        instance_availability_zone: String = "", "instance-availability-zone", Basic;
        /// Take the instance out of the ring when the process ends.
        unregister_on_shutdown: bool = "true", "unregister-on-shutdown", Basic;
    } sections {
        /// Where the ring is kept.
        kvstore: KvStoreConfig => "kvstore", "store-gateway.sharding-ring.";
    }
}

config! {
    /// The compactors' ring.
    pub struct CompactorRingConfig {
        /// How often the instance shows in the ring that it is there.
        heartbeat_period: GoDuration = "15s", "heartbeat-period", Advanced;
        /// An instance without a heartbeat for this long is not used.
        heartbeat_timeout: GoDuration = "1m", "heartbeat-timeout", Advanced;
        /// Name of the instance in the ring.
        instance_id: String = "<hostname>", "instance-id", Advanced;
        /// Network interfaces to take the instance's address from; the flag may be repeated.
        instance_interface_names: StringList = "", "instance-interface-names", Basic;
        /// Port that others reach the instance at; 0 is -server.grpc-listen-port.
        instance_port: u16 = "0", "instance-port", Advanced;
        /// Address that others reach the instance at; empty is found.
        instance_addr: String = "", "instance-addr", Advanced;
        /// Use IPv6 addresses as well.
        instance_enable_ipv6: bool = "false", "instance-enable-ipv6", Advanced;
        /// How long the ring must not have changed before the instance starts; 0 is not at all.
        wait_stability_min_duration: GoDuration = "0", "wait-stability-min-duration", Advanced, Later;
        /// How long is waited for that at most.
        wait_stability_max_duration: GoDuration = "5m", "wait-stability-max-duration", Advanced, Later;
        /// How long is waited at most until the instance is active in the ring.
        wait_active_instance_timeout: GoDuration = "10m", "wait-active-instance-timeout", Advanced, Later;
        /// After how many heartbeat timeouts a silent instance is taken out of the ring; 0 is never.
        auto_forget_unhealthy_periods: u32 = "10", "auto-forget-unhealthy-periods", Advanced;
    } sections {
        /// Where the ring is kept.
        kvstore: KvStoreConfig => "kvstore", "compactor.ring.";
    }
}

config! {
    /// The distributors' ring.
    pub struct DistributorRingConfig {
        /// How often the instance shows in the ring that it is there.
        heartbeat_period: GoDuration = "15s", "heartbeat-period", Advanced;
        /// An instance without a heartbeat for this long is not used.
        heartbeat_timeout: GoDuration = "1m", "heartbeat-timeout", Advanced;
        /// Name of the instance in the ring.
        instance_id: String = "<hostname>", "instance-id", Advanced;
        /// Network interfaces to take the instance's address from; the flag may be repeated.
        instance_interface_names: StringList = "", "instance-interface-names", Basic;
        /// Port that others reach the instance at; 0 is -server.grpc-listen-port.
        instance_port: u16 = "0", "instance-port", Advanced;
        /// Address that others reach the instance at; empty is found.
        instance_addr: String = "", "instance-addr", Advanced;
        /// Use IPv6 addresses as well.
        instance_enable_ipv6: bool = "false", "instance-enable-ipv6", Advanced;
        /// After how many heartbeat timeouts a silent instance is taken out of the ring; 0 is never.
        auto_forget_unhealthy_periods: u32 = "10", "auto-forget-unhealthy-periods", Advanced;
    } sections {
        /// Where the ring is kept.
        kvstore: KvStoreConfig => "kvstore", "distributor.ring.";
    }
}

config! {
    /// More owners of the blocks that most queries need. Store-gateways and queriers must have the
    /// same values.
    pub struct DynamicReplicationConfig {
        /// Blocks with recent samples belong to more store-gateways.
        enabled: bool = "false", "enabled", Experimental;
        /// A block is recent while its newest sample is not older than this; at least 1h.
        max_time_threshold: GoDuration = "25h", "max-time-threshold", Experimental;
        /// How many times as many store-gateways as the ring's replication factor; at least 2.
        multiple: usize = "5", "multiple", Experimental;
    }
}

config! {
    /// Queries over the blocks of the bucket.
    pub struct StoreGatewayConfig {
        /// Tenants whose blocks are answered for, separated by commas; empty is all.
        enabled_tenants: CommaList = "", "enabled-tenants", Advanced;
        /// Tenants whose blocks are not answered for, separated by commas.
        disabled_tenants: CommaList = "", "disabled-tenants", Advanced;
    } sections {
        /// More owners of recent blocks.
        dynamic_replication: DynamicReplicationConfig => "dynamic_replication", "store-gateway.dynamic-replication.";
        /// The store-gateways' ring.
        sharding_ring: StoreGatewayRingConfig => "sharding_ring", "store-gateway.sharding-ring.";
    }
}

config! {
    /// Gossip between the processes.
    pub struct MemberlistConfig {
        /// Name of the member; empty is the host's name.
        node_name: String = "", "nodename", Advanced;
        /// Add something random to the name.
        randomize_node_name: bool = "true", "randomize-node-name", Advanced;
        /// Time for a connection to another member and for an exchange over it.
        stream_timeout: GoDuration = "2s", "stream-timeout", Advanced;
        /// A message is sent this many times log10(members + 1).
        retransmit_factor: usize = "4", "retransmit-factor", Advanced;
        /// How often everything is compared with another member; 0 is never.
        pull_push_interval: GoDuration = "30s", "pullpush-interval", Advanced;
        /// How often there is gossip.
        gossip_interval: GoDuration = "200ms", "gossip-interval", Advanced;
        /// To how many members at once.
        gossip_nodes: usize = "3", "gossip-nodes", Advanced;
        /// How long dead members still get gossip, so that they can object.
        gossip_to_dead_nodes_time: GoDuration = "30s", "gossip-to-dead-nodes-time", Advanced;
        /// When the name of a dead member may be used with another address; 0 is never.
        dead_node_reclaim_time: GoDuration = "0", "dead-node-reclaim-time", Advanced;
        /// Compress what is sent.
        compression_enabled: bool = "true", "compression-enabled", Advanced;
        /// The shortest time between two reports of changes within the process.
        notify_interval: GoDuration = "0", "notify-interval", Advanced;
        /// Address that other members are told; empty is found.
        advertise_addr: String = "", "advertise-addr", Basic;
        /// Port that other members are told along with -memberlist.advertise-addr.
        advertise_port: u16 = "7946", "advertise-port", Basic;
        /// Name of the cluster; members of others are refused.
        cluster_label: String = "", "cluster-label", Advanced;
        /// Take messages with another cluster's label as well; while the label is being changed.
        cluster_label_verification_disabled: bool = "false", "cluster-label-verification-disabled", Advanced;
        /// Members to join, as host:port or as names with dns+, dnssrv+ or dnssrvnoa+; separated by commas, or the flag repeated.
        join_members: StringList = "", "join", Basic;
        /// First wait after nobody could be joined.
        min_join_backoff: GoDuration = "1s", "min-join-backoff", Advanced;
        /// Longest wait.
        max_join_backoff: GoDuration = "1m", "max-join-backoff", Advanced;
        /// How often joining is tried at the start.
        max_join_retries: u64 = "10", "max-join-retries", Advanced;
        /// End the process when the first quick attempt to join fails.
        abort_if_cluster_fast_join_fails: bool = "false", "abort-if-fast-join-fails", Advanced;
        /// How many members the first quick attempt must reach.
        abort_if_cluster_fast_join_fails_min_nodes: usize = "1", "abort-if-fast-join-fails-min-nodes", Advanced;
        /// End the process when nobody could be joined at the start.
        abort_if_cluster_join_fails: bool = "false", "abort-if-join-fails", Basic;
        /// How often members are joined again; 0 is never.
        rejoin_interval: GoDuration = "0", "rejoin-interval", Advanced;
        /// Members to join again; empty is those of -memberlist.join.
        rejoin_seed_nodes: StringList = "", "rejoin-seed-nodes", Experimental;
        /// How long the marks of instances that left a ring are kept.
        left_ingesters_timeout: GoDuration = "5m", "left-ingesters-timeout", Advanced;
        /// How long deleted keys are kept.
        obsolete_entries_timeout: GoDuration = "30s", "obsolete-entries-timeout", Experimental;
        /// Time for leaving the cluster.
        leave_timeout: GoDuration = "20s", "leave-timeout", Advanced;
        /// Time for telling the last changes before leaving; 0 is no limit.
        broadcast_timeout_for_local_updates_on_shutdown: GoDuration = "10s", "broadcast-timeout-for-local-updates-on-shutdown", Advanced;
        /// Bytes of messages that are kept for the status page; 0 is none.
        message_history_buffer_bytes: usize = "0", "message-history-buffer-bytes", Advanced, Later;
        /// Changes that wait for those who watch many keys; nothing is lost here when there are more.
        watch_prefix_buffer_size: usize = "128", "watch-prefix-buffer-size", Advanced;
        /// Addresses to listen on; the flag may be repeated. Empty is every IPv4 address.
        bind_addr: StringList = "", "bind-addr", Basic;
        /// Port to listen on.
        bind_port: u16 = "7946", "bind-port", Basic;
        /// Time for a connection, to send a packet.
        packet_dial_timeout: GoDuration = "500ms", "packet-dial-timeout", Advanced;
        /// Time for sending a packet.
        packet_write_timeout: GoDuration = "500ms", "packet-write-timeout", Advanced;
        /// Packets that are sent at once.
        max_concurrent_writes: usize = "5", "max-concurrent-writes", Advanced;
        /// How long a packet waits for its turn; here it is dropped when more than 1024 wait.
        acquire_writer_timeout: GoDuration = "1s", "acquire-writer-timeout", Advanced;
        /// Use TLS between the members.
        tls_enabled: bool = "false", "tls-enabled", Advanced;
    } sections {
        /// Its keys stand here.
        tls: TlsFilesConfig => "", "memberlist.";
    }
}
