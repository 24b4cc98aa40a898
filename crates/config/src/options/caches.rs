//! Options of the caches before the bucket, and of memcached. The same table of memcached stands
//! below every cache: its flags begin with that cache's prefix.

use super::TlsFilesConfig;
use crate::table::config;
use crate::value::{CommaList, GoDuration};

config! {
    /// The cache of parts of blocks' indexes.
    pub struct IndexCacheConfig {
        /// Where the cache is.
        backend: IndexCacheBackend = "inmemory", "backend", Basic;
    } sections {
        /// Servers of the cache.
        memcached: MemcachedConfig => "memcached", ".memcached.";
        /// The cache in this process.
        inmemory: InMemoryCacheConfig => "inmemory", ".inmemory.";
    }
}

config! {
    /// Where the cache of indexes is.
    pub enum IndexCacheBackend {
        /// In this process.
        Inmemory = "inmemory",
        /// In memcached.
        Memcached = "memcached",
    }
}

config! {
    /// Where another cache is.
    pub enum CacheBackend {
        /// Nowhere.
        None = "",
        /// In memcached.
        Memcached = "memcached",
    }
}

config! {
    /// A cache in this process.
    pub struct InMemoryCacheConfig {
        /// The most that it holds, for all tenants together, in bytes.
        max_size_bytes: u64 = "1073741824", "max-size-bytes", Basic;
    }
}

config! {
    /// The cache of chunks.
    pub struct ChunksCacheConfig {
        /// Where the cache is; empty is nowhere.
        backend: CacheBackend = "", "backend", Basic;
        /// Requests that one read may be split into for the parts that the cache lacks; 0 or less is any number.
        max_get_range_requests: i64 = "3", "max-get-range-requests", Advanced;
        /// How long sizes of chunk files are kept.
        attributes_ttl: GoDuration = "168h", "attributes-ttl", Advanced;
        /// Sizes of chunk files that are also kept in this process; 0 keeps none.
        attributes_in_memory_max_items: usize = "50000", "attributes-in-memory-max-items", Advanced;
        /// How long parts of chunk files are kept.
        subrange_ttl: GoDuration = "24h", "subrange-ttl", Advanced;
    } sections {
        /// Servers of the cache.
        memcached: MemcachedConfig => "memcached", ".memcached.";
    }
}

config! {
    /// The cache of lists and small objects. A time of zero or less switches its kind off.
    pub struct MetadataCacheConfig {
        /// Where the cache is; empty is nowhere.
        backend: CacheBackend = "", "backend", Basic;
        /// How long the list of tenants is kept.
        tenants_list_ttl: GoDuration = "15m", "tenants-list-ttl", Advanced;
        /// How long a tenant's list of blocks is kept.
        tenant_blocks_list_ttl: GoDuration = "5m", "tenant-blocks-list-ttl", Advanced;
        /// How long a block's list of chunk files is kept. Nothing here lists them: their names follow from the index.
        chunks_list_ttl: GoDuration = "24h", "chunks-list-ttl", Advanced;
        /// How long it is kept that a block's meta file or mark is there.
        metafile_exists_ttl: GoDuration = "2h", "metafile-exists-ttl", Advanced;
        /// How long it is kept that a block's meta file or mark is not there.
        metafile_doesnt_exist_ttl: GoDuration = "5m", "metafile-doesnt-exist-ttl", Advanced;
        /// How long a block's meta file or mark is kept.
        metafile_content_ttl: GoDuration = "24h", "metafile-content-ttl", Advanced;
        /// Larger meta files are not kept, in bytes.
        metafile_max_size_bytes: usize = "1048576", "metafile-max-size-bytes", Advanced;
        /// How long the size of a block's meta file or mark is kept.
        metafile_attributes_ttl: GoDuration = "168h", "metafile-attributes-ttl", Advanced;
        /// How long the size of a block's index is kept.
        block_index_attributes_ttl: GoDuration = "168h", "block-index-attributes-ttl", Advanced;
        /// How long a bucket index is kept.
        bucket_index_content_ttl: GoDuration = "5m", "bucket-index-content-ttl", Advanced;
        /// Larger bucket indexes are not kept, in bytes.
        bucket_index_max_size_bytes: usize = "1048576", "bucket-index-max-size-bytes", Advanced;
    } sections {
        /// Servers of the cache.
        memcached: MemcachedConfig => "memcached", ".memcached.";
    }
}

config! {
    /// Memcached servers.
    pub struct MemcachedConfig {
        /// Servers, separated by commas: host:port, or a name in DNS behind dns+, dnssrv+ or dnssrvnoa+.
        addresses: CommaList = "", "addresses", Basic;
        /// How long a request and its answer may take.
        timeout: GoDuration = "200ms", "timeout", Basic;
        /// How long making a connection may take.
        connect_timeout: GoDuration = "200ms", "connect-timeout", Basic;
        /// Unused connections that are kept, in percent of those used lately; less than 0 keeps all.
        min_idle_connections_headroom_percentage: f64 = "-1", "min-idle-connections-headroom-percentage", Advanced, Later;
        /// Unused connections that are kept to one server.
        max_idle_connections: usize = "100", "max-idle-connections", Advanced;
        /// Writes under way.
        max_async_concurrency: usize = "50", "max-async-concurrency", Advanced;
        /// Writes that wait; further ones are dropped. They are also dropped beyond 64 MiB.
        max_async_buffer_size: usize = "25000", "max-async-buffer-size", Advanced;
        /// Reads under way; 0 is any number.
        max_get_multi_concurrency: usize = "100", "max-get-multi-concurrency", Advanced;
        /// Keys in one read; 0 is any number.
        max_get_multi_batch_size: usize = "100", "max-get-multi-batch-size", Advanced;
        /// Larger values are not written, in bytes; 0 is any size.
        max_item_size: usize = "1048576", "max-item-size", Advanced;
        /// Speak TLS with the servers.
        tls_enabled: bool = "false", "tls-enabled", Advanced;
    } sections {
        /// Files of TLS.
        tls: TlsFilesConfig => "", ".";
    }
}
