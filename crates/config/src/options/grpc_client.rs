//! Options of the gRPC clients, as every one of Mimir's has them.

use super::TlsFilesConfig;
use crate::table::config;
use crate::value::GoDuration;

config! {
    /// The clients of ingesters.
    pub struct IngesterClientConfig {
    } sections {
        /// How they are called.
        grpc_client_config: GrpcClientConfig => "grpc_client_config", "ingester.client.";
    }
}

config! {
    /// The clients of store-gateways.
    pub struct StoreGatewayClientConfig {
        /// How long a store-gateway may fail to serve before its connection is dropped; 0 is at once.
        health_check_grace_period: GoDuration = "0", "health-check-grace-period", Experimental;
    } sections {
        /// Its keys stand here.
        grpc: GrpcClientConfig => "", ".";
    }
}

config! {
    /// A gRPC client.
    pub struct GrpcClientConfig {
        /// Largest message that is taken, in bytes.
        max_recv_msg_size: usize = "104857600", "grpc-max-recv-msg-size", Advanced;
        /// Largest message that is sent, in bytes.
        max_send_msg_size: usize = "104857600", "grpc-max-send-msg-size", Advanced;
        /// Compression of messages: gzip, snappy, s2, or empty for none. Servers take all of them.
        grpc_compression: String = "", "grpc-compression", Advanced;
        /// Calls a second that are made; 0 is any number.
        rate_limit: f64 = "0", "grpc-client-rate-limit", Advanced, Later;
        /// Calls that may be made at once under the limit.
        rate_limit_burst: usize = "0", "grpc-client-rate-limit-burst", Advanced, Later;
        /// Call again when the server limits the rate.
        backoff_on_ratelimits: bool = "false", "backoff-on-ratelimits", Advanced, Later;
        /// Bytes of a stream that may be under way; empty is 1 MiB. Less than 64 KiB is not supported and ignored.
        initial_stream_window_size: String = "", "initial-stream-window-size", Experimental;
        /// Bytes of a connection that may be under way; empty is 4 MiB. Less than 64 KiB is not supported and ignored.
        initial_connection_window_size: String = "", "initial-connection-window-size", Experimental;
        /// Speak TLS with the servers.
        tls_enabled: bool = "false", "tls-enabled", Advanced;
        /// How long making a connection may take.
        connect_timeout: GoDuration = "5s", "connect-timeout", Advanced;
        /// Wait after the first connection that failed.
        connect_backoff_base_delay: GoDuration = "1s", "connect-backoff-base-delay", Advanced, Later;
        /// Longest wait between tries to connect.
        connect_backoff_max_delay: GoDuration = "5s", "connect-backoff-max-delay", Advanced, Later;
    } sections {
        /// Waits between calls to a server that limits the rate.
        backoff_config: GrpcBackoffConfig => "backoff_config", ".backoff-";
        /// Its keys stand here.
        tls: TlsFilesConfig => "", ".";
    }
}

config! {
    /// Waits between calls to a server that limits the rate.
    pub struct GrpcBackoffConfig {
        /// Shortest wait.
        min_period: GoDuration = "100ms", "min-period", Advanced, Later;
        /// Longest wait.
        max_period: GoDuration = "10s", "max-period", Advanced, Later;
        /// Number of tries.
        max_retries: usize = "10", "retries", Advanced, Later;
    }
}
