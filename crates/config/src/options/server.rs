//! Options of the HTTP and gRPC server, the log and the API's prefixes.

use super::ServerTlsConfig;
use crate::table::config;
use crate::value::GoDuration;

config! {
    /// Prefixes and headers of the HTTP API.
    pub struct ApiConfig {
        /// Let a request header switch off the check of label names.
        skip_label_name_validation_header_enabled: bool = "false", "api.skip-label-name-validation-header-enabled", Advanced, Later;
        /// Let a request header switch off the check of the number of labels.
        skip_label_count_validation_header_enabled: bool = "false", "api.skip-label-count-validation-header-enabled", Advanced, Later;
        /// The path below which the Prometheus API stands.
        prometheus_http_prefix: String = "/prometheus", "http.prometheus-http-prefix", Advanced;
    }
}

config! {
    /// The HTTP and gRPC server and the log.
    pub struct ServerConfig {
        /// Address that the HTTP server listens on; empty is every address.
        http_listen_address: String = "", "server.http-listen-address", Basic;
        /// Port that the HTTP server listens on; 0 takes any free one.
        http_listen_port: u16 = "8080", "server.http-listen-port", Basic;
        /// Address that the gRPC server listens on; empty is every address.
        grpc_listen_address: String = "", "server.grpc-listen-address", Basic;
        /// Port that the gRPC server listens on; 0 takes any free one.
        grpc_listen_port: u16 = "9095", "server.grpc-listen-port", Basic;
        /// Expose the metrics of this process.
        register_instrumentation: bool = "true", "server.register-instrumentation", Advanced;
        /// How long a shutdown waits for requests in flight.
        graceful_shutdown_timeout: GoDuration = "30s", "server.graceful-shutdown-timeout", Advanced;
        /// Time within which an HTTP request must have been read, body included.
        http_server_read_timeout: GoDuration = "30s", "server.http-read-timeout", Advanced;
        /// Time within which the headers of an HTTP request must have been read; 0 takes the read timeout.
        http_server_read_header_timeout: GoDuration = "0", "server.http-read-header-timeout", Basic;
        /// Time within which an HTTP response must have been written.
        http_server_write_timeout: GoDuration = "2m", "server.http-write-timeout", Advanced;
        /// How long an idle HTTP connection stays open.
        http_server_idle_timeout: GoDuration = "2m", "server.http-idle-timeout", Advanced;
        /// Largest gRPC message that is accepted, in bytes.
        grpc_server_max_recv_msg_size: usize = "104857600", "server.grpc-max-recv-msg-size-bytes", Advanced;
        /// Largest gRPC message that is sent, in bytes.
        grpc_server_max_send_msg_size: usize = "104857600", "server.grpc-max-send-msg-size-bytes", Advanced;
        /// Calls at once on one gRPC connection; 0 is no bound.
        grpc_server_max_concurrent_streams: u32 = "100", "server.grpc-max-concurrent-streams", Advanced;
        /// Form of log lines: logfmt or json.
        log_format: LogFormat = "logfmt", "log.format", Basic;
        /// Only messages of this severity or above are logged: debug, info, warn, error.
        log_level: LogLevel = "info", "log.level", Basic;
        /// Log every request at the level info instead of debug.
        log_request_at_info_level_enabled: bool = "false", "server.log-request-at-info-level-enabled", Advanced;
        /// Path below which every endpoint stands.
        http_path_prefix: String = "", "server.path-prefix", Advanced;
        /// Cipher suites of TLS 1.2 that both servers allow, separated by commas; empty is all.
        tls_cipher_suites: String = "", "server.tls-cipher-suites", Basic;
        /// Lowest version of TLS of both servers: VersionTLS12 or VersionTLS13.
        tls_min_version: String = "", "server.tls-min-version", Basic;
    } sections {
        /// TLS of the HTTP server.
        http_tls_config: ServerTlsConfig => "http_tls_config", "server.http-";
        /// TLS of the gRPC server.
        grpc_tls_config: ServerTlsConfig => "grpc_tls_config", "server.grpc-";
    }
}

config! {
    /// Form of log lines.
    pub enum LogFormat {
        /// `key=value` pairs.
        Logfmt = "logfmt",
        /// One JSON object a line.
        Json = "json",
    }
}

config! {
    /// Severity from which messages are logged.
    pub enum LogLevel {
        /// What an operator wants to know.
        Info = "info",
        /// Everything.
        Debug = "debug",
        /// What is wrong but goes on.
        Warn = "warn",
        /// What must wake a human.
        Error = "error",
    }
}
