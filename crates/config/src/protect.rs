//! Which of Mimir's options promise protection: encryption, authentication, isolation or a bound
//! on what a client can use up. A process that was asked for one of these and does not have it
//! must not start. Called by `resolve.rs` and `runtime.rs` for options that Urd does not have.

use crate::known::Foreign;

/// Words of an option's path that promise protection wherever they stand. A word matches whole
/// keys and their parts between underscores: `tls` matches `tls_enabled` and `http_tls_config`.
const WORDS: &[&str] =
    &["tls", "oauth2", "sasl", "sse", "auth", "password", "secret", "firewall", "vault"];

/// Parts of a path that promise protection.
const PARTS: &[&str] = &[
    "basic_auth",
    "cluster_validation.",
    "circuit_breaker.enabled",
    "reactive_limiter.enabled",
    "reactive_limiter.max_limit",
    "conn_limit",
    "utilization_limit",
    "client_auth",
];

/// Single options.
const PATHS: &[&str] = &[
    "limits.blocked_queries",
    "limits.blocked_requests",
    "limits.limited_queries",
    "limits.s3_sse_type",
    "limits.s3_sse_kms_key_id",
    "limits.s3_sse_kms_encryption_context",
    "server.proxy_protocol_enabled",
    "tenant_federation.max_tenants",
];

/// Options that the words would match although nothing is protected by them: they belong to
/// clients whose protection another option switches on, or to stores that Urd refuses to use.
const HARMLESS_ENDS: &[&str] = &["tls_handshake_timeout", "insecure_skip_verify"];

pub(crate) fn promises_protection(option: &Foreign) -> bool {
    let path = option.path.as_str();
    if HARMLESS_ENDS.iter().any(|end| path.ends_with(end)) {
        return false;
    }
    PATHS.contains(&path)
        || PARTS.iter().any(|part| path.contains(part))
        || path.split(['.', '_']).any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::{At, known};

    fn check(path: &str, expected: bool) {
        let Some(At::Foreign(option)) = known().at(path) else {
            panic!("{path} is no option of Mimir that Urd lacks")
        };
        assert_eq!(promises_protection(option), expected, "{path}");
    }

    #[test]
    fn encryption_authentication_and_bounds_are_protection() {
        for path in [
            "alertmanager.alertmanager_client.tls_cert_path",
            "frontend.grpc_client_config.tls_min_version",
            "server.http_listen_conn_limit",
            "server.cluster_validation.grpc.enabled",
            "ingester.read_path_memory_utilization_limit",
            "ingester.push_circuit_breaker.enabled",
            "alertmanager.alertmanager_client.tls_enabled",
            "limits.blocked_queries",
            "limits.s3_sse_type",
            "vault.enabled",
            "ingest_storage.kafka.sasl_password",
        ] {
            check(path, true);
        }
    }

    #[test]
    fn tuning_and_features_are_not() {
        for path in [
            "compactor.max_opening_blocks_concurrency",
            "frontend.cache_results",
            "limits.metric_relabel_configs",
            "usage_stats.installation_mode",
        ] {
            check(path, false);
        }
    }
}
