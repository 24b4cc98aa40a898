//! The metrics of the store-gateway, under Mimir's names.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TimestampMs;
use rt::Metrics;
use rt::metrics::{Counter, CounterVec, Gauge, GaugeF64, GaugeVec, Histogram, HistogramVec};

use crate::block::Block;

const COMPONENT: &str = "store-gateway";
const SYNC_SECONDS: &[f64] = &[0.1, 1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0];
const LOAD_SECONDS: &[f64] = &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
const GATE_SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
const BLOCK_COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
const SIZES: &[f64] = &[1024.0, 16_384.0, 262_144.0, 4_194_304.0, 67_108_864.0, 1_073_741_824.0];

/// Counters of one store-gateway.
pub(crate) struct StoreMetrics {
    pub(crate) lists: ListMetrics,
    pub(crate) headers: HeaderMetrics,
    pub(crate) cache: CacheMetrics,
    pub(crate) index_fetched: Histogram,
    pub(crate) index_touched: Histogram,
    pub(crate) chunks_fetched: Histogram,
    pub(crate) chunks_touched: Histogram,
    pub(crate) expand_postings: Histogram,
    pub(crate) fetch_series_and_chunks: Histogram,
    /// Fetching the chunks of some series, where there are more than one batch. Nothing is loaded
    /// ahead of time, so that readers wait as long as that takes.
    pub(crate) batch_load: Histogram,
    pub(crate) batch_wait: Histogram,
    pub(crate) gates: HistogramVec,
    blocks_queried: HistogramVec,
}

/// Counters of the lists of blocks.
pub(crate) struct ListMetrics {
    pub(crate) tenants: Gauge,
    pub(crate) discovered: Gauge,
    last_sync: GaugeF64,
    sync_seconds: Histogram,
    block_loads: Counter,
    block_load_failures: Counter,
    block_drops: Counter,
    blocks_loaded: Gauge,
    loaded_size_bytes: GaugeVec,
}

/// Counters of index headers.
pub(crate) struct HeaderMetrics {
    pub(crate) unloads: Counter,
    loads: Counter,
    load_failures: Counter,
    load_seconds: Histogram,
}

/// Counters of the index cache. All that it keeps is of one kind: pages.
#[derive(Clone)]
pub(crate) struct CacheMetrics {
    pub(crate) max_size_bytes: Gauge,
    requests: Counter,
    hits: Counter,
    added: Counter,
    evicted: Counter,
}

/// What the label `item_type` says.
const PAGE: &str = "IndexPage";

/// Families with the component's label.
struct Families<'a>(&'a Metrics);

impl Families<'_> {
    fn counter(&self, name: &str, help: &str) -> Counter {
        self.0.counter_vec(name, help, &["component"]).with(&[COMPONENT])
    }

    fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.0.gauge_vec(name, help, &["component"]).with(&[COMPONENT])
    }

    fn histogram(&self, name: &str, help: &str, buckets: &'static [f64]) -> Histogram {
        self.0.histogram_vec(name, help, &["component"], buckets).with(&[COMPONENT])
    }

    fn size(&self, name: &str, help: &str, data_type: &str) -> Histogram {
        let labels = &["component", "data_type", "stage"];
        self.0.histogram_vec(name, help, labels, SIZES).with(&[COMPONENT, data_type, ""])
    }

    fn stage(&self, stage: &str) -> Histogram {
        let name = "cortex_bucket_store_series_request_stage_duration_seconds";
        let help = "How long the stages of a selection took, a block or a batch at a time.";
        let family = self.0.histogram_vec(name, help, &["component", "stage"], LOAD_SECONDS);
        family.with(&[COMPONENT, stage])
    }

    fn fetched(&self, data_type: &str) -> Histogram {
        let name = "cortex_bucket_store_series_data_size_fetched_bytes";
        self.size(name, "Bytes that were read from the bucket at a time.", data_type)
    }

    fn touched(&self, data_type: &str) -> Histogram {
        let name = "cortex_bucket_store_series_data_size_touched_bytes";
        self.size(name, "Bytes that were used at a time.", data_type)
    }
}

impl StoreMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let of = Families(metrics);
        Self {
            lists: ListMetrics::new(metrics),
            headers: HeaderMetrics::new(metrics),
            cache: CacheMetrics::new(metrics),
            index_fetched: of.fetched("index"),
            index_touched: of.touched("index"),
            chunks_fetched: of.fetched("chunks"),
            chunks_touched: of.touched("chunks"),
            expand_postings: of.stage("expand_postings"),
            fetch_series_and_chunks: of.stage("fetch_series_and_chunks"),
            batch_load: metrics.histogram(
                "cortex_bucket_store_series_batch_preloading_load_duration_seconds",
                "How long it took to fetch a batch of series.",
                LOAD_SECONDS,
            ),
            batch_wait: metrics.histogram(
                "cortex_bucket_store_series_batch_preloading_wait_duration_seconds",
                "How long the reader of series waited for a batch of them.",
                LOAD_SECONDS,
            ),
            gates: metrics.histogram_vec(
                "cortex_bucket_stores_gate_duration_seconds",
                "How long requests waited for their turn.",
                &["gate"],
                GATE_SECONDS,
            ),
            blocks_queried: metrics.histogram_vec(
                "cortex_bucket_store_series_blocks_queried",
                "Blocks that one selection was answered from.",
                &["component", "level", "out_of_order"],
                BLOCK_COUNTS,
            ),
        }
    }

    /// A selection is answered from these blocks.
    pub(crate) fn blocks_queried<'a>(&self, blocks: impl Iterator<Item = &'a Arc<Block>>) {
        let mut counts: BTreeMap<(u32, bool), u64> = BTreeMap::new();
        for block in blocks {
            let entry = &block.entry;
            *counts.entry((entry.compaction_level, entry.out_of_order)).or_default() += 1;
        }
        for ((level, out_of_order), count) in counts {
            // Few levels exist; a foreign one must not make a series of its own.
            let level = level.min(10).to_string();
            let labels = [COMPONENT, &level, if out_of_order { "true" } else { "false" }];
            self.blocks_queried.with(&labels).observe(count as f64);
        }
    }
}

impl HeaderMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            unloads: metrics.counter(
                "cortex_bucket_store_indexheader_lazy_unload_total",
                "Index headers that were given up.",
            ),
            loads: metrics.counter(
                "cortex_bucket_store_indexheader_lazy_load_total",
                "Index headers that were loaded.",
            ),
            load_failures: metrics.counter(
                "cortex_bucket_store_indexheader_lazy_load_failed_total",
                "Index headers that could not be loaded.",
            ),
            load_seconds: metrics.histogram(
                "cortex_bucket_store_indexheader_lazy_load_duration_seconds",
                "How long it took to load an index header.",
                LOAD_SECONDS,
            ),
        }
    }

    /// An index header was loaded, or could not be.
    pub(crate) fn loaded(&self, seconds: f64, is_ok: bool) {
        self.loads.inc();
        self.load_seconds.observe(seconds);
        if !is_ok {
            self.load_failures.inc();
        }
    }
}

impl ListMetrics {
    fn new(metrics: &Metrics) -> Self {
        let of = Families(metrics);
        // Giving a block up cannot fail here.
        of.counter(
            "cortex_bucket_store_block_drop_failures_total",
            "Blocks that could not be given up.",
        );
        let last_sync = metrics.gauge_f64_vec(
            "cortex_bucket_stores_blocks_last_successful_sync_timestamp_seconds",
            "When the lists of blocks were last brought up to date, seconds since the epoch.",
            &["component"],
        );
        let loads = "cortex_bucket_store_block_loads_total";
        let drops = "cortex_bucket_store_block_drops_total";
        Self {
            tenants: of.gauge(
                "cortex_bucket_stores_tenants_synced",
                "Tenants whose lists of blocks are kept up to date.",
            ),
            discovered: of
                .gauge("cortex_bucket_stores_tenants_discovered", "Tenants that the bucket has."),
            last_sync: last_sync.with(&[COMPONENT]),
            sync_seconds: of.histogram(
                "cortex_bucket_stores_blocks_sync_seconds",
                "How long it took to bring the lists of blocks up to date.",
                SYNC_SECONDS,
            ),
            block_loads: of.counter(loads, "Blocks taken into use."),
            block_load_failures: of.counter(
                "cortex_bucket_store_block_load_failures_total",
                "Blocks whose index-header could not be fetched.",
            ),
            block_drops: of.counter(drops, "Blocks that were given up."),
            blocks_loaded: of.gauge("cortex_bucket_store_blocks_loaded", "Blocks in use."),
            loaded_size_bytes: metrics.gauge_vec(
                "cortex_bucket_store_blocks_loaded_size_bytes",
                "Bytes of the blocks in use that are kept on local disk.",
                &["user"],
            ),
        }
    }

    /// All tenants were looked at.
    pub(crate) fn synced(&self, seconds: f64, is_ok: bool, now_ms: TimestampMs) {
        self.sync_seconds.observe(seconds);
        if is_ok {
            self.last_sync.set(now_ms as f64 / 1000.0);
        }
    }

    /// Of a tenant so many blocks are new, and so many are gone.
    pub(crate) fn changed(&self, loads: u64, drops: u64) {
        self.block_loads.inc_by(loads);
        self.block_drops.inc_by(drops);
        self.blocks_loaded.inc_by(loads as i64 - drops as i64);
    }

    /// So much of a tenant's blocks is on local disk; `None` for a tenant that is gone.
    pub(crate) fn tenant_size(&self, user: &str, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                self.loaded_size_bytes.with(&[user]).set(bytes);
            }
            None => _ = self.loaded_size_bytes.remove(&[user]),
        }
    }

    /// An index-header was brought to local disk, or could not be.
    pub(crate) fn header_fetched(&self, is_ok: bool) {
        if !is_ok {
            self.block_load_failures.inc();
        }
    }
}

impl CacheMetrics {
    fn new(metrics: &Metrics) -> Self {
        let count = |name: &str, help: &str| -> Counter {
            let family: CounterVec = metrics.counter_vec(name, help, &["component", "item_type"]);
            family.with(&[COMPONENT, PAGE])
        };
        Self {
            max_size_bytes: Families(metrics).gauge(
                "thanos_store_index_cache_max_size_bytes",
                "The most that the index cache in memory holds.",
            ),
            requests: count(
                "thanos_store_index_cache_requests_total",
                "Parts of indexes that were looked for in the cache.",
            ),
            hits: count(
                "thanos_store_index_cache_hits_total",
                "Parts of indexes that were in the cache.",
            ),
            added: count(
                "thanos_store_index_cache_items_added_total",
                "Parts of indexes that were put into the cache.",
            ),
            evicted: count(
                "thanos_store_index_cache_items_evicted_total",
                "Parts of indexes that had to leave the cache.",
            ),
        }
    }

    /// Of `requests` parts so many were there.
    pub(crate) fn asked(&self, requests: usize, hits: usize) {
        self.requests.inc_by(requests as u64);
        self.hits.inc_by(hits as u64);
    }

    /// So many parts came, and so many had to go.
    pub(crate) fn put(&self, added: usize, evicted: usize) {
        self.added.inc_by(added as u64);
        self.evicted.inc_by(evicted as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashes::SeriesHashes;

    #[test]
    fn the_dashboards_find_their_metrics() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance");
        let path = format!("{path}/mixin-metrics.tsv");
        let Ok(table) = std::fs::read_to_string(&path) else {
            eprintln!("SKIPPED: {path} is missing");
            return;
        };
        let metrics = Metrics::new();
        let store_metrics = StoreMetrics::new(&metrics);
        SeriesHashes::new(0, &metrics);
        store_metrics.lists.changed(1, 0);
        store_metrics.lists.tenant_size("team", Some(1));
        store_metrics.gates.with(&["query"]).observe(1.0);
        store_metrics.blocks_queried.with(&[COMPONENT, "1", "false"]).observe(1.0);
        let text = metrics.encode(rt::metrics::TextFormat::Prometheus);
        let mut count = 0;
        for row in table.lines() {
            let mut cells = row.split('\t');
            let (name, labels) = (cells.next().unwrap(), cells.next().unwrap_or_default());
            let is_ours = ["cortex_bucket_store", "thanos_store_index_cache"];
            if !is_ours.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            let line = text.lines().find(|line| line.starts_with(name));
            let line = line.unwrap_or_else(|| panic!("{name} is missing"));
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                assert!(line.contains(&format!("{label}=")), "{name} has no label {label}");
            }
            count += 1;
        }
        assert!(count > 15, "{count}");
    }
}
