//! Options of TLS, as every client and server of Mimir has them.

use crate::table::config;

config! {
    /// Files of TLS.
    pub struct TlsFilesConfig {
        /// Certificate of this process, PEM.
        tls_cert_path: String = "", "tls-cert-path", Advanced;
        /// Key of the certificate, PEM.
        tls_key_path: String = "", "tls-key-path", Advanced;
        /// Authorities that certificates of others must come from, PEM.
        tls_ca_path: String = "", "tls-ca-path", Advanced;
        /// Name that certificates of others must have; empty is the host that is called.
        tls_server_name: String = "", "tls-server-name", Advanced;
        /// Take certificates of others unseen.
        tls_insecure_skip_verify: bool = "false", "tls-insecure-skip-verify", Advanced;
        /// Cipher suites of TLS 1.2 that are allowed, separated by commas; empty is all.
        tls_cipher_suites: String = "", "tls-cipher-suites", Advanced;
        /// Lowest version of TLS: VersionTLS12 or VersionTLS13.
        tls_min_version: String = "", "tls-min-version", Advanced;
    }
}

config! {
    /// TLS of a server.
    pub struct ServerTlsConfig {
        /// Certificate to show, PEM; TLS is on with it and its key.
        cert_file: String = "", "tls-cert-path", Advanced;
        /// Key of the certificate, PEM.
        key_file: String = "", "tls-key-path", Advanced;
        /// What clients must show: NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert.
        client_auth_type: String = "", "tls-client-auth", Advanced;
        /// Authorities that certificates of clients must come from, PEM.
        client_ca_file: String = "", "tls-ca-path", Advanced;
    }
}
