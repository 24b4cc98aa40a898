//! Options of the kinds of object storage. The same tables stand below every section that has a
//! bucket: their flags begin with that section's prefix.

use crate::table::config;
use crate::value::{GoDuration, Secret};

config! {
    /// Amazon S3 and what speaks its protocol.
    pub struct S3Config {
        /// Host and port of the service, without scheme and bucket; empty is Amazon's for the region.
        endpoint: String = "", "endpoint", Basic;
        /// Region of the bucket; empty is us-east-1.
        region: String = "", "region", Basic;
        /// Name of the bucket.
        bucket_name: String = "", "bucket-name", Basic;
        /// Secret access key. Without keys, those of the environment, the web identity, the container or the instance are used.
        secret_access_key: Secret = "", "secret-access-key", Basic;
        /// Access key id.
        access_key_id: String = "", "access-key-id", Basic;
        /// Session token that belongs to the keys.
        session_token: Secret = "", "session-token", Basic;
        /// Speak HTTP without TLS.
        insecure: bool = "false", "insecure", Advanced;
        /// Version of request signatures; only v4 works.
        signature_version: SignatureVersion = "v4", "signature-version", Advanced;
        /// Version of the request that lists objects: empty or v2; v1 is not spoken.
        list_objects_version: String = "", "list-objects-version", Advanced;
        /// Where the bucket's name stands in addresses: in the host (virtual-hosted) or in the path; auto is in the host for Amazon and in the path elsewhere.
        bucket_lookup_type: BucketLookup = "auto", "bucket-lookup-type", Advanced;
        /// Use Amazon's addresses that also speak IPv6.
        dualstack_enabled: bool = "true", "dualstack-enabled", Experimental;
        /// Storage class of new objects; empty is the bucket's own.
        storage_class: String = "", "storage-class", Experimental;
        /// Look for credentials as Amazon's tools do; without keys that is done in any case, and with keys it is refused.
        native_aws_auth_enabled: bool = "false", "native-aws-auth-enabled", Experimental;
        /// Size of the parts of large uploads, in bytes, at least 5 MiB; 0 is 8 MiB.
        part_size: u64 = "0", "part-size", Experimental;
        /// Send the MD5 of what is uploaded; this is not done, and true is refused.
        send_content_md5: bool = "false", "send-content-md5", Experimental;
        /// Address of the Security Token Service; empty is Amazon's for the region.
        sts_endpoint: String = "", "sts-endpoint", Basic;
    } sections {
        /// Encryption at rest by the storage.
        sse: SseConfig => "sse", ".sse.";
        /// Connections to the storage.
        http: StorageHttpConfig => "http", ".";
        /// Logging of requests.
        trace: S3TraceConfig => "trace", ".trace.";
    }
}

config! {
    /// Versions of request signatures.
    pub enum SignatureVersion {
        /// Version 4.
        V4 = "v4",
        /// Version 2.
        V2 = "v2",
    }
}

config! {
    /// Where a bucket's name stands in addresses.
    pub enum BucketLookup {
        /// In the host for Amazon, in the path elsewhere.
        Auto = "auto",
        /// In the path.
        Path = "path",
        /// In the host.
        VirtualHosted = "virtual-hosted",
    }
}

config! {
    /// Encryption at rest by the storage.
    pub struct SseConfig {
        /// Who holds the keys: SSE-S3 the storage, SSE-KMS Amazon's key management; empty is none asked for.
        r#type: SseType = "", "type", Basic;
        /// The key of SSE-KMS.
        kms_key_id: String = "", "kms-key-id", Basic;
        /// The encryption context of SSE-KMS, as JSON; it cannot be sent, and one is refused.
        kms_encryption_context: String = "", "kms-encryption-context", Basic;
    }
}

config! {
    /// Kinds of encryption at rest.
    pub enum SseType {
        /// None is asked for.
        None = "",
        /// With keys of Amazon's key management.
        SseKms = "SSE-KMS",
        /// With keys of the storage.
        SseS3 = "SSE-S3",
    }
}

config! {
    /// Logging of requests.
    pub struct S3TraceConfig {
        /// Log every operation, with its key and how long it took.
        enabled: bool = "false", "enabled", Advanced;
    }
}

config! {
    /// Google Cloud Storage.
    pub struct GcsConfig {
        /// Name of the bucket.
        bucket_name: String = "", "bucket-name", Basic;
        /// Key of a service account, as JSON. Without it the application default credentials or those of the instance are used.
        service_account: Secret = "", "service-account", Basic;
        /// Retry uploads as well; false is refused.
        enable_upload_retries: bool = "true", "enable-upload-retries", Advanced;
        /// Attempts of a request; 0 is any number within three minutes, 1 is no retry.
        max_retries: usize = "20", "max-retries", Advanced;
    } sections {
        /// Connections to the storage.
        http: StorageHttpConfig => "http", ".";
    }
}

config! {
    /// Azure Blob Storage.
    pub struct AzureConfig {
        /// Name of the storage account.
        account_name: String = "", "account-name", Basic;
        /// Key of the storage account. Without it the managed identity is used.
        account_key: Secret = "", "account-key", Basic;
        /// Connection string; it stands for name, key and address.
        connection_string: Secret = "", "connection-string", Basic;
        /// Name of the container.
        container_name: String = "", "container-name", Basic;
        /// What stands behind the account's name in the host; empty is blob.core.windows.net.
        endpoint_suffix: String = "", "endpoint-suffix", Basic;
        /// Retries of a request.
        max_retries: usize = "20", "max-retries", Advanced;
        /// Client id of the managed identity; empty is the system's.
        user_assigned_id: String = "", "user-assigned-id", Advanced;
    } sections {
        /// Connections to the storage.
        http: StorageHttpConfig => "http", ".";
    }
}

config! {
    /// Connections to a storage.
    pub struct StorageHttpConfig {
        /// How long an unused connection is kept.
        idle_conn_timeout: GoDuration = "90s", "http.idle-conn-timeout", Advanced;
        /// How long to wait for more of an answer.
        response_header_timeout: GoDuration = "2m", "http.response-header-timeout", Advanced;
        /// Accept any certificate.
        insecure_skip_verify: bool = "false", "http.insecure-skip-verify", Advanced;
        /// How long making a connection may take; 0 is for ever.
        tls_handshake_timeout: GoDuration = "10s", "tls-handshake-timeout", Advanced;
        /// How long to wait for the storage's consent before a body is sent.
        expect_continue_timeout: GoDuration = "1s", "expect-continue-timeout", Advanced, Later;
        /// Unused connections that are kept, to all hosts together; 0 is any number.
        max_idle_connections: usize = "100", "max-idle-connections", Advanced;
        /// Unused connections that are kept to one host.
        max_idle_connections_per_host: usize = "100", "max-idle-connections-per-host", Advanced;
        /// Requests to the storage under way, each of which has a connection; 0 is any number.
        max_connections_per_host: usize = "0", "max-connections-per-host", Advanced;
        /// File with the certificates of the authorities to trust, instead of the system's.
        tls_ca_path: String = "", "http.tls-ca-path", Advanced;
        /// File with the certificate to show.
        tls_cert_path: String = "", "http.tls-cert-path", Advanced;
        /// File with the key of the certificate to show.
        tls_key_path: String = "", "http.tls-key-path", Advanced;
        /// Name to expect on the storage's certificate, instead of that of its address.
        tls_server_name: String = "", "http.tls-server-name", Advanced;
    }
}
