//! From the options of object storage and caches to buckets. Called by `env` and by tools.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bucket::cache::{
    CacheMetrics, MemcachedCache, MemcachedOptions, MemoryCache, MemoryCacheOptions, SharedCache,
};
use bucket::caching::{BucketCaches, ChunksCaching, MetadataTtls};
use bucket::{AzureOptions, BucketOptions, GcsOptions, Hidden, HttpOptions, S3Options, Sse};
use config::{
    AzureConfig, BackendName, BucketConfig, BucketStoreConfig, CacheBackend, ChunksCacheConfig,
    GcsConfig, GoDuration, IndexCacheBackend, IndexCacheConfig, MemcachedConfig,
    MetadataCacheConfig, S3Config, SseType, StorageHttpConfig,
};
use model::Clock;
use rt::Metrics;
use rt::tls::{ClientTls, TlsOptions};

/// What the cache of sizes in this process may take, bytes.
const ATTRIBUTES_BYTES: u64 = 64 << 20;

/// Where a bucket is, as the options say.
pub(crate) fn bucket_options(options: &BucketConfig) -> anyhow::Result<BucketOptions> {
    let storage_prefix = options.storage_prefix.clone();
    Ok(match options.backend {
        BackendName::Filesystem => {
            BucketOptions::Filesystem { dir: options.filesystem.dir.clone().into(), storage_prefix }
        }
        BackendName::S3 => {
            BucketOptions::S3 { s3: Box::new(s3_options(&options.s3)?), storage_prefix }
        }
        BackendName::Gcs => {
            BucketOptions::Gcs { gcs: Box::new(gcs_options(&options.gcs)?), storage_prefix }
        }
        BackendName::Azure => {
            BucketOptions::Azure { azure: Box::new(azure_options(&options.azure)), storage_prefix }
        }
        BackendName::Swift => anyhow::bail!("the backend swift is not built yet"),
    })
}

fn s3_options(s3: &S3Config) -> anyhow::Result<S3Options> {
    refuse_of_s3(s3)?;
    Ok(S3Options {
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        bucket_name: s3.bucket_name.clone(),
        access_key_id: s3.access_key_id.clone(),
        secret_access_key: Hidden::new(s3.secret_access_key.expose()),
        session_token: Hidden::new(s3.session_token.expose()),
        insecure: s3.insecure,
        lookup: match s3.bucket_lookup_type {
            config::BucketLookup::Auto => bucket::BucketLookup::Auto,
            config::BucketLookup::Path => bucket::BucketLookup::Path,
            config::BucketLookup::VirtualHosted => bucket::BucketLookup::VirtualHosted,
        },
        storage_class: s3.storage_class.clone(),
        part_bytes: s3.part_size,
        sts_endpoint: s3.sts_endpoint.clone(),
        sse: match s3.sse.r#type {
            SseType::None => Sse::None,
            SseType::SseS3 => Sse::S3,
            SseType::SseKms => Sse::Kms(s3.sse.kms_key_id.clone()),
        },
        dualstack: s3.dualstack_enabled,
        retries: None,
        trace: s3.trace.enabled,
        http: http_options(&s3.http),
    })
}

/// What cannot be obeyed, and would be missed.
fn refuse_of_s3(s3: &S3Config) -> anyhow::Result<()> {
    let has_keys = !s3.access_key_id.is_empty() || !s3.secret_access_key.expose().is_empty();
    let refused = [
        (
            !["", "v2"].contains(&&*s3.list_objects_version),
            "s3.list-objects-version",
            "only v2 is spoken",
        ),
        (s3.send_content_md5, "s3.send-content-md5", "no MD5 is sent"),
        (
            !s3.sse.kms_encryption_context.is_empty(),
            "s3.sse.kms-encryption-context",
            "it cannot be sent",
        ),
        (
            s3.native_aws_auth_enabled && has_keys,
            "s3.native-aws-auth-enabled",
            "there are keys as well",
        ),
    ];
    match refused.iter().find(|(is_wanted, ..)| *is_wanted) {
        Some((_, option, reason)) => anyhow::bail!("option {option} cannot be obeyed: {reason}"),
        None => Ok(()),
    }
}

fn gcs_options(gcs: &GcsConfig) -> anyhow::Result<GcsOptions> {
    if !gcs.enable_upload_retries {
        anyhow::bail!("option gcs.enable-upload-retries cannot be obeyed: uploads are retried");
    }
    let retries = match gcs.max_retries {
        0 => usize::MAX,
        attempts => attempts - 1,
    };
    Ok(GcsOptions {
        bucket_name: gcs.bucket_name.clone(),
        service_account: Hidden::new(gcs.service_account.expose()),
        max_retries: retries,
        http: http_options(&gcs.http),
    })
}

fn azure_options(azure: &AzureConfig) -> AzureOptions {
    AzureOptions {
        account_name: azure.account_name.clone(),
        account_key: Hidden::new(azure.account_key.expose()),
        connection_string: Hidden::new(azure.connection_string.expose()),
        container_name: azure.container_name.clone(),
        endpoint_suffix: azure.endpoint_suffix.clone(),
        user_assigned_id: azure.user_assigned_id.clone(),
        max_retries: azure.max_retries,
        http: http_options(&azure.http),
    }
}

fn http_options(http: &StorageHttpConfig) -> HttpOptions {
    // There is one host.
    let max_idle = match (http.max_idle_connections, http.max_idle_connections_per_host) {
        (0, to_one) => to_one,
        (to_all, to_one) => to_all.min(to_one),
    };
    HttpOptions {
        idle_timeout: duration(http.idle_conn_timeout),
        read_timeout: duration(http.response_header_timeout),
        connect_timeout: duration(http.tls_handshake_timeout),
        max_idle,
        max_connections: http.max_connections_per_host,
        tls: TlsOptions {
            ca_path: path(&http.tls_ca_path),
            cert_path: path(&http.tls_cert_path),
            key_path: path(&http.tls_key_path),
            server_name: http.tls_server_name.clone(),
            insecure_skip_verify: http.insecure_skip_verify,
            ..TlsOptions::default()
        },
    }
}

fn path(option: &str) -> Option<PathBuf> {
    (!option.is_empty()).then(|| PathBuf::from(option))
}

/// TLS with memcached, where it is wanted.
fn memcached_tls(config: &MemcachedConfig) -> anyhow::Result<Option<ClientTls>> {
    let options = ring::options::tls(config.tls_enabled, &config.tls)?;
    options.as_ref().map(ClientTls::new).transpose().context("TLS with memcached")
}

/// Negative durations are none, as in Mimir's options.
fn duration(duration: GoDuration) -> Duration {
    Duration::from_nanos(duration.nanos().max(0).unsigned_abs())
}

/// What caches of one component are made from.
pub(crate) struct CacheMaker<'a> {
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) component: &'static str,
}

impl CacheMaker<'_> {
    /// The caches before a component's bucket; `None` when the options name none. Must be called
    /// within the runtime.
    pub(crate) fn bucket_caches(
        &self,
        store: &BucketStoreConfig,
    ) -> anyhow::Result<Option<BucketCaches>> {
        let metadata = (store.metadata_cache.backend == CacheBackend::Memcached)
            .then(|| self.memcached("metadata-cache", &store.metadata_cache.memcached))
            .transpose()?;
        let chunks = (store.chunks_cache.backend == CacheBackend::Memcached)
            .then(|| self.memcached("chunks-cache", &store.chunks_cache.memcached))
            .transpose()?;
        if metadata.is_none() && chunks.is_none() {
            return Ok(None);
        }
        let mut caches = BucketCaches::new(self.metrics);
        if let Some(chunks) = chunks {
            let config = &store.chunks_cache;
            let sizes = metadata.clone().unwrap_or_else(|| Arc::clone(&chunks));
            let attributes = self.attributes_cache(config, sizes);
            caches = caches.with_chunks(chunks, attributes, chunks_caching(config));
        }
        if let Some(metadata) = metadata {
            caches = caches.with_metadata(metadata, metadata_ttls(&store.metadata_cache));
        }
        Ok(Some(caches))
    }

    /// Where parts of indexes are kept; `None` when the options say: in this process. Must be
    /// called within the runtime.
    pub(crate) fn index_cache(
        &self,
        config: &IndexCacheConfig,
    ) -> anyhow::Result<Option<SharedCache>> {
        (config.backend == IndexCacheBackend::Memcached)
            .then(|| self.memcached("index-cache", &config.memcached))
            .transpose()
    }

    /// A cache in memcached.
    pub(crate) fn memcached(
        &self,
        name: &'static str,
        config: &MemcachedConfig,
    ) -> anyhow::Result<SharedCache> {
        let metrics = CacheMetrics::new(self.metrics, name, self.component, "memcached");
        let options = MemcachedOptions {
            addresses: config.addresses.0.clone(),
            timeout: duration(config.timeout),
            connect_timeout: duration(config.connect_timeout),
            max_idle_connections: config.max_idle_connections,
            max_async_concurrency: config.max_async_concurrency,
            max_async_buffer_size: config.max_async_buffer_size,
            max_get_multi_concurrency: config.max_get_multi_concurrency,
            max_get_multi_batch_size: config.max_get_multi_batch_size,
            max_item_size: config.max_item_size,
            tls: memcached_tls(config)?,
        };
        Ok(Arc::new(MemcachedCache::start(name, options, Arc::clone(self.clock), metrics)))
    }

    /// Sizes of chunk files in this process, in front of where they are kept.
    fn attributes_cache(&self, config: &ChunksCacheConfig, behind: SharedCache) -> SharedCache {
        let options = MemoryCacheOptions {
            max_bytes: ATTRIBUTES_BYTES,
            max_items: config.attributes_in_memory_max_items,
            fill_ttl: duration(config.attributes_ttl),
        };
        if options.max_items == 0 {
            return behind;
        }
        let clock = Arc::clone(self.clock);
        let memory = MemoryCache::new("chunks-attributes-cache", options, clock, self.metrics);
        Arc::new(memory.in_front_of(behind))
    }
}

fn chunks_caching(config: &ChunksCacheConfig) -> ChunksCaching {
    ChunksCaching {
        subrange_ttl: duration(config.subrange_ttl),
        attributes_ttl: duration(config.attributes_ttl),
        max_get_range_requests: usize::try_from(config.max_get_range_requests).unwrap_or(0),
    }
}

fn metadata_ttls(config: &MetadataCacheConfig) -> MetadataTtls {
    MetadataTtls {
        tenants_list: duration(config.tenants_list_ttl),
        tenant_blocks_list: duration(config.tenant_blocks_list_ttl),
        metafile_exists: duration(config.metafile_exists_ttl),
        metafile_doesnt_exist: duration(config.metafile_doesnt_exist_ttl),
        metafile_content: duration(config.metafile_content_ttl),
        metafile_max_bytes: config.metafile_max_size_bytes,
        metafile_attributes: duration(config.metafile_attributes_ttl),
        block_index_attributes: duration(config.block_index_attributes_ttl),
        bucket_index_content: duration(config.bucket_index_content_ttl),
        bucket_index_max_bytes: config.bucket_index_max_size_bytes,
    }
}
