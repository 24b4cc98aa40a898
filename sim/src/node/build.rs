//! What runs on a node of each kind: the real components, wired as `urd` does it, over simulated
//! threads, time, disk, bucket and network.

use std::sync::Arc;

use axum::Router;
use bucket::{Bucket, BucketMetrics, IndexLoader, IndexLoaderOptions};
use compactor::{Compactor, JobSharding, RingJobs};
use config::{AllowedTenants, Config, KvStoreConfig};
use distributor::Distributor;
use distributor::ha_tracker::{HaTracker, HaTrackerParts, ReplicaCodec};
use distributor::replication::{ReplicatedPush, ReplicationParts};
use ingester::{Ingester, IngesterService, RingMembership};
use model::batch::SeriesHasher;
use model::env::{Inline, SeededRandom};
use model::{Clock, Random};
use query::ingesters::{RingIngesters, RingIngestersParts};
use query::{ActivityTracker, Blocks, BlocksDependencies, QueryService, RingGateways};
use ring::kv::{Client, Store};
use ring::lifecycler::{Lifecycler, LifecyclerOptions, LifecyclerParts};
use ring::memberlist::MemberlistKv;
use ring::options::RingSetup;
use ring::reader::{ReaderParts, RingReader};
use ring::{BlockReplication, Desc, Ring, RingCodec, RingView};
use rt::{
    BlockingHandle, BoxError, ComputeOptions, ComputePool, Fibers, Metrics, Service, TaskGroup,
};
use store_gateway::{RingBlocks, StoreGateway, StoreOptions};
use tsdb::fs::SharedFs;

use super::{Node, Shared};
use crate::disk::Disk;
use crate::fibers::NodeFibers;
use crate::gossip::{self, NodeGossip};
use crate::kv::NodeKv;
use crate::links::{GatewayLinks, PushLinks, ReadLinks, ServedGateway};
use crate::objects::NodeObjects;
use crate::setup::{self, Kind};

/// The port in addresses of instances; nobody listens there.
const PORT: u16 = 9095;

/// What a process consists of; services in the order of their start.
#[derive(Default)]
pub(super) struct Built {
    pub(super) services: Vec<Arc<dyn Service>>,
    pub(super) router: Option<Router>,
    pub(super) ingesters: Option<RingView>,
    pub(super) ring: Option<(Client<Desc>, &'static str)>,
    pub(super) own_ring: Option<RingView>,
    pub(super) jobs: Option<Arc<dyn JobSharding>>,
}

/// What components are built from.
struct Env<'a> {
    node: &'a Node,
    shared: &'a Arc<Shared>,
    config: Config,
    clock: Arc<dyn Clock>,
    random: Arc<SeededRandom>,
    metrics: Metrics,
    tasks: &'a Arc<TaskGroup>,
    fibers: Arc<dyn Fibers>,
    blocking: BlockingHandle,
    disk: &'a Disk,
    objects: &'a Arc<NodeObjects>,
    gossip: Option<Arc<MemberlistKv>>,
}

/// Builds what runs on `node`.
pub(super) fn build(
    node: &Node,
    tasks: &Arc<TaskGroup>,
    disk: &Disk,
    (objects, gossip): (&Arc<NodeObjects>, &Arc<NodeGossip>),
) -> Result<Built, BoxError> {
    let fibers: Arc<dyn Fibers> = Arc::new(NodeFibers::new(Arc::clone(tasks)));
    let clock: Arc<dyn Clock> = Arc::clone(&node.clock) as _;
    let (random, metrics) = (node.shared.world.fork(), Metrics::new());
    let member = || gossip::member(gossip, (Arc::clone(&clock), random.clone()), metrics.clone());
    let member = node.shared.variant.gossips.then(member);
    let env = Env {
        node,
        shared: &node.shared,
        config: setup::config_of(&node.shared.config, &node.name),
        clock: Arc::clone(&clock),
        random,
        metrics,
        gossip: member.clone(),
        tasks,
        blocking: BlockingHandle::of_fibers(Arc::clone(&fibers)),
        fibers,
        disk,
        objects,
    };
    let mut built = match node.kind {
        Kind::Distributor => env.distributor()?,
        Kind::Ingester => env.ingester()?,
        Kind::Querier => env.querier()?,
        Kind::Gateway => env.gateway()?,
        Kind::Compactor => env.compactor()?,
    };
    built.services.splice(0..0, member.map(|member| member as Arc<dyn Service>));
    Ok(built)
}

fn view(reader: &Arc<RingReader>) -> RingView {
    let reader = Arc::clone(reader);
    Arc::new(move || reader.ring())
}

impl Env<'_> {
    fn pool(&self, name: &'static str) -> ComputePool {
        let options = ComputeOptions { name, threads: 1, queue_capacity: 1 };
        ComputePool::of_fibers(options, Arc::clone(&self.fibers))
    }

    fn fs(&self) -> SharedFs {
        Arc::new(self.disk.clone())
    }

    fn random(&self) -> Arc<dyn Random> {
        Arc::clone(&self.random) as _
    }

    fn bucket(&self, component: &'static str) -> Bucket {
        let metrics = BucketMetrics::new(&self.metrics, component);
        let objects = Arc::clone(self.objects) as _;
        let bucket = Bucket::over(objects, "", Arc::clone(&self.clock), metrics);
        bucket.with_files(Arc::new(self.disk.clone()))
    }

    fn indexes(&self) -> Arc<IndexLoader> {
        let config = &self.config.blocks_storage.bucket_store;
        let options = IndexLoaderOptions {
            sync_interval_ms: config.sync_interval.millis(),
            error_interval_ms: config.bucket_index.update_on_error_interval.millis(),
            idle_timeout_ms: config.bucket_index.idle_timeout.millis(),
            meta_concurrency: config.meta_sync_concurrency,
        };
        let clock = Arc::clone(&self.clock);
        Arc::new(IndexLoader::new(self.bucket("store-gateway"), options, clock, &self.metrics))
    }

    /// The store that all share. Where rings are kept by gossip it has the HA tracker's keys.
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(NodeKv {
            kv: Arc::clone(&self.shared.kv),
            network: Arc::clone(&self.shared.links.network),
            node: self.node.name.clone(),
        })
    }

    fn client(&self, config: &KvStoreConfig) -> Client<Desc> {
        let store = match &self.gossip {
            Some(member) => Arc::clone(member) as Arc<dyn Store>,
            None => self.store(),
        };
        Client::new(store, Arc::new(RingCodec), &config.prefix)
    }

    fn reader(&self, setup: &RingSetup, config: &KvStoreConfig) -> Arc<RingReader> {
        let parts = ReaderParts {
            client: self.client(config),
            clock: Arc::clone(&self.clock),
            metrics: self.metrics.clone(),
        };
        Arc::new(RingReader::new(setup.name, setup.rules.clone(), parts))
    }

    fn lifecycler(&self, options: LifecyclerOptions, config: &KvStoreConfig) -> Arc<Lifecycler> {
        let parts = LifecyclerParts {
            client: self.client(config),
            clock: Arc::clone(&self.clock),
            random: self.random(),
            metrics: self.metrics.clone(),
        };
        Arc::new(Lifecycler::new(options, parts))
    }

    fn distributor(&self) -> Result<Built, BoxError> {
        let kv = &self.config.ingester.ring.kvstore;
        let reader = self.reader(&ring::options::ingester(&self.config.ingester.ring), kv);
        let pushes = ReplicatedPush::new(ReplicationParts {
            ring: view(&reader),
            ingesters: Arc::new(PushLinks::new(&self.shared.links, &self.node.name)),
            overrides: Arc::clone(&self.shared.overrides),
            clock: Arc::clone(&self.clock),
            remote_timeout: self.config.distributor.remote_timeout.std(),
            blocking: self.blocking.clone(),
            tasks: Arc::clone(self.tasks),
        });
        let distributor = Distributor::new(distributor::Dependencies {
            config: self.config.distributor.clone(),
            overrides: Arc::clone(&self.shared.overrides),
            ingester: Arc::new(pushes),
            clock: Arc::clone(&self.clock),
            hasher: SeriesHasher::default(),
            metrics: self.metrics.clone(),
        });
        let tracker = self.ha_tracker();
        let distributor = Arc::new(distributor.with_ha_tracker(Arc::clone(&tracker)));
        let router = distributor::http::routes(distributor, self.pool("write"), self.random());
        let ingesters = Some(view(&reader));
        let services: Vec<Arc<dyn Service>> = vec![reader, tracker];
        Ok(Built { services, router: Some(router), ingesters, ..Built::default() })
    }

    fn ha_tracker(&self) -> Arc<HaTracker> {
        let kvstore = self.config.distributor.ha_tracker.kvstore.kvstore();
        Arc::new(HaTracker::new(HaTrackerParts {
            client: Client::new(self.store(), Arc::new(ReplicaCodec), &kvstore.prefix),
            overrides: Arc::clone(&self.shared.overrides),
            clock: Arc::clone(&self.clock),
            random: self.random(),
            metrics: self.metrics.clone(),
            shows_elected: false,
        }))
    }

    fn ingester(&self) -> Result<Built, BoxError> {
        let ingester = Ingester::new(ingester::Dependencies {
            config: self.config.ingester.clone(),
            tsdb_config: self.config.blocks_storage.tsdb.clone(),
            overrides: Arc::clone(&self.shared.overrides),
            bucket: self.bucket("ingester"),
            clock: Arc::clone(&self.clock),
            random: self.random(),
            executor: Arc::new(Inline),
            pool: self.pool("background"),
            fs: self.fs(),
            metrics: self.metrics.clone(),
        });
        let served = Arc::clone(&ingester);
        self.shared.links.ingesters.lock().insert(self.node.name.clone(), served);
        let setup = ring::options::ingester(&self.config.ingester.ring);
        let options = ring::options::ingester_instance(&self.config.ingester.ring, PORT)?;
        let (config, key) = (&self.config.ingester.ring.kvstore, setup.name.key);
        // No limit is divided among ingesters here: nothing is read from the ring.
        let empty = Arc::new(Ring::new(Desc::default(), setup.rules));
        let lifecycler = self.lifecycler(options, config);
        ingester.join_ring(RingMembership {
            ring: Arc::new(move || Arc::clone(&empty)),
            lifecycler: Arc::clone(&lifecycler),
        });
        let router = Some(ingester::http::routes(Arc::clone(&ingester)));
        let services: Vec<Arc<dyn Service>> =
            vec![Arc::new(IngesterService::new(ingester)), lifecycler];
        let ring = Some((self.client(config), key));
        Ok(Built { services, router, ring, ..Built::default() })
    }

    fn gateway(&self) -> Result<Built, BoxError> {
        let ring = &self.config.store_gateway.sharding_ring;
        let reader = self.reader(&ring::options::store_gateway(ring), &ring.kvstore);
        let gateway = StoreGateway::new(store_gateway::Dependencies {
            config: self.config.blocks_storage.bucket_store.clone(),
            options: StoreOptions::default(),
            index_cache: None,
            allowed: AllowedTenants::default(),
            sharding: Arc::new(RingBlocks {
                ring: view(&reader),
                id: self.node.name.clone(),
                overrides: Arc::clone(&self.shared.overrides),
                clock: Arc::clone(&self.clock),
                replication: BlockReplication::default(),
            }),
            indexes: self.indexes(),
            fs: self.fs(),
            clock: Arc::clone(&self.clock),
            blocking: self.blocking.clone(),
            pool: self.pool("background"),
            metrics: self.metrics.clone(),
        });
        let mut services: Vec<Arc<dyn Service>> = vec![reader];
        services.extend(gateway.services());
        let served = ServedGateway { gateway, blocking: self.blocking.clone() };
        self.shared.links.gateways.lock().insert(self.node.name.clone(), served);
        let options = ring::options::store_gateway_instance(ring, PORT)?;
        services.push(self.lifecycler(options, &ring.kvstore));
        Ok(Built { services, ..Built::default() })
    }

    fn compactor(&self) -> Result<Built, BoxError> {
        let config = &self.config.compactor.sharding_ring;
        let reader = self.reader(&ring::options::compactor(config), &config.kvstore);
        let jobs: Arc<dyn JobSharding> = Arc::new(RingJobs {
            ring: view(&reader),
            id: self.node.name.clone(),
            overrides: Arc::clone(&self.shared.overrides),
            clock: Arc::clone(&self.clock),
        });
        let compactor = Compactor::new(compactor::Dependencies {
            config: self.config.compactor.clone(),
            overrides: Arc::clone(&self.shared.overrides),
            bucket: self.bucket("compactor"),
            clock: Arc::clone(&self.clock),
            random: self.random(),
            pool: self.pool("background"),
            fs: self.fs(),
            metrics: self.metrics.clone(),
            sharding: Arc::clone(&jobs),
        });
        let own_ring = Some(view(&reader));
        let mut services: Vec<Arc<dyn Service>> = vec![reader];
        services.extend(compactor.services());
        let options = ring::options::compactor_instance(config, PORT)?;
        services.push(self.lifecycler(options, &config.kvstore));
        Ok(Built { services, own_ring, jobs: Some(jobs), ..Built::default() })
    }

    fn querier(&self) -> Result<Built, BoxError> {
        let ring = &self.config.ingester.ring;
        let ingesters = self.reader(&ring::options::ingester(ring), &ring.kvstore);
        let ring = &self.config.store_gateway.sharding_ring;
        let gateways = self.reader(&ring::options::store_gateway(ring), &ring.kvstore);
        let reads = self.recent(&ingesters);
        let (indexes, blocks) = self.blocks(&gateways);
        let service = Arc::new(QueryService::new(query::Dependencies {
            querier: self.config.querier.clone(),
            frontend: self.config.frontend.clone(),
            overrides: Arc::clone(&self.shared.overrides),
            ingester: Arc::new(reads),
            blocks: Arc::new(blocks),
            clock: Arc::clone(&self.clock),
            pool: self.pool("query"),
            executor: Arc::new(Inline),
            metrics: self.metrics.clone(),
            activity: ActivityTracker::disabled(),
        }));
        let view_of_ingesters = Some(view(&ingesters));
        let services: Vec<Arc<dyn Service>> = vec![ingesters, gateways, indexes];
        let router = Some(query::http::routes(service));
        Ok(Built { services, router, ingesters: view_of_ingesters, ..Built::default() })
    }

    fn recent(&self, ring: &Arc<RingReader>) -> RingIngesters {
        let querier = &self.config.querier;
        let delay = querier.minimize_ingester_requests_hedging_delay;
        RingIngesters::new(RingIngestersParts {
            ring: view(ring),
            ingesters: Arc::new(ReadLinks {
                links: Arc::clone(&self.shared.links),
                from: self.node.name.clone(),
                blocking: self.blocking.clone(),
            }),
            overrides: Arc::clone(&self.shared.overrides),
            clock: Arc::clone(&self.clock),
            random: self.random(),
            blocking: self.blocking.clone(),
            uses_shards: querier.shuffle_sharding_ingesters_enabled,
            hedging_delay: querier.minimize_ingester_requests.then(|| delay.std()),
        })
    }

    fn blocks(&self, ring: &Arc<RingReader>) -> (Arc<dyn Service>, Blocks) {
        let indexes = self.indexes();
        let gateways = RingGateways {
            ring: view(ring),
            clients: Arc::new(GatewayLinks {
                links: Arc::clone(&self.shared.links),
                from: self.node.name.clone(),
                blocking: self.blocking.clone(),
            }),
            overrides: Arc::clone(&self.shared.overrides),
            clock: Arc::clone(&self.clock),
            random: self.random(),
            replication: BlockReplication::default(),
            preferred_zones: Vec::new(),
        };
        let blocks = Blocks::new(BlocksDependencies {
            config: self.config.blocks_storage.bucket_store.clone(),
            indexes: Arc::clone(&indexes),
            gateways: Arc::new(gateways),
            clock: Arc::clone(&self.clock),
            executor: Arc::new(Inline),
            blocking: self.blocking.clone(),
            metrics: self.metrics.clone(),
        });
        (indexes.service(), blocks)
    }
}
