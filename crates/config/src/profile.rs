//! The defaults that file and flags start from: Mimir's, or those of a bare start, with which one
//! process just works on one machine.

use crate::Config;
use crate::options::KvBackend;
use crate::raw::RawConfig;
use crate::value::GoDuration;

/// Which defaults apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Every default is Mimir's.
    Mimir,
    /// One process, on the loopback address, without tenants and limits, below `./data`.
    Bare,
}

/// Flags that show that somebody configures a deployment: with any of them every default is
/// Mimir's. A name that ends with a dot stands for all that begin with it.
const DEPLOYMENT_FLAGS: &[&str] = &[
    "target",
    "server.",
    "auth.",
    "common.storage.",
    "blocks-storage.",
    "ruler-storage.",
    "alertmanager-storage.",
    "memberlist.",
];

impl Profile {
    /// The profile that a configuration as written asks for.
    pub fn of(raw: &RawConfig) -> Profile {
        let deployed = raw.flags.iter().any(|flag| is_deployment_flag(&flag.name));
        if raw.file.is_some() || deployed { Profile::Mimir } else { Profile::Bare }
    }

    /// Its defaults.
    pub fn config(self) -> Config {
        let mut config = Config::default();
        if self == Profile::Bare {
            make_bare(&mut config);
        }
        config
    }
}

fn is_deployment_flag(name: &str) -> bool {
    let listed = |known: &str| match known.strip_suffix('.') {
        Some(_) => name.starts_with(known),
        None => name == known,
    };
    let of_a_ring = name.split('.').any(|part| part == "ring" || part.ends_with("-ring"));
    DEPLOYMENT_FLAGS.iter().any(|known| listed(known)) || of_a_ring
}

fn make_bare(config: &mut Config) {
    const LOOPBACK: &str = "127.0.0.1";
    config.multitenancy_enabled = false;
    LOOPBACK.clone_into(&mut config.server.http_listen_address);
    LOOPBACK.clone_into(&mut config.server.grpc_listen_address);
    config.distributor.ring.kvstore.store = KvBackend::Inmemory;
    config.ingester.ring.kvstore.store = KvBackend::Inmemory;
    config.store_gateway.sharding_ring.kvstore.store = KvBackend::Inmemory;
    config.store_gateway.sharding_ring.replication_factor = 1;
    config.compactor.sharding_ring.kvstore.store = KvBackend::Inmemory;
    config.ingester.ring.replication_factor = 1;
    config.ingester.ring.min_ready_duration = GoDuration::ZERO;
    config.limits.ingestion_rate = f64::INFINITY;
    config.limits.max_global_series_per_user = 0;
    "./data/metrics-activity.log".clone_into(&mut config.activity_tracker.filepath);
    "./data/blocks".clone_into(&mut config.blocks_storage.bucket.filesystem.dir);
    "./data/tsdb".clone_into(&mut config.blocks_storage.tsdb.dir);
    "./data/tsdb-sync".clone_into(&mut config.blocks_storage.bucket_store.sync_dir);
    "./data/compactor".clone_into(&mut config.compactor.data_dir);
    config.urd.self_scrape_interval = GoDuration::from_secs(15);
}
