//! The rings of a node: the stores that they are kept in, and for each ring the reader and this
//! process' instance. Built before the components, which take from here what they need.

use std::sync::Arc;

use anyhow::Context as _;
use config::{HaTrackerConfig, KvBackend, KvStoreConfig};
use distributor::ha_tracker::{ReplicaCodec, ReplicaDesc};
use ring::kv::{Client, EtcdStore, MemoryStore, MultiOptions, MultiStore, Store};
use ring::lifecycler::{Lifecycler, LifecyclerParts};
use ring::memberlist::{MemberlistKv, ServiceParts};
use ring::options::RingSetup;
use ring::reader::{ReaderParts, RingReader};
use ring::{Desc, RingCodec};

use crate::env::Env;

/// A ring, and this process in it.
#[derive(Clone)]
pub struct JoinedRing {
    /// The ring as this process sees it.
    pub reader: Arc<RingReader>,
    /// This process' instance. It is in the ring while its service runs.
    pub lifecycler: Arc<Lifecycler>,
    /// Where the ring is kept.
    pub client: Client<Desc>,
    /// The ring's key in the store.
    pub key: &'static str,
    /// The age of a heartbeat that makes an instance unhealthy, seconds.
    pub heartbeat_timeout_s: i64,
}

/// All rings of a node.
#[derive(Clone)]
pub struct Rings {
    /// The ingesters.
    pub ingester: JoinedRing,
    /// The distributors.
    pub distributor: JoinedRing,
    /// The store-gateways.
    pub store_gateway: JoinedRing,
    /// The compactors.
    pub compactor: JoinedRing,
    /// Where the elected replicas of the distributors' HA tracker are kept, where there is one.
    pub ha_tracker: Option<Client<ReplicaDesc>>,
    /// The gossip, where a ring is kept in it.
    pub memberlist: Option<Arc<MemberlistKv>>,
    /// Pairs of stores, whose use can be switched.
    pub multi: Vec<Arc<MultiStore>>,
}

impl Rings {
    /// Opens the stores. Nothing is in a ring before the services run.
    pub(crate) fn build(env: &Env) -> anyhow::Result<Self> {
        let (config, port) = (&env.config, env.grpc_address.port());
        let mut stores =
            Stores { env, memory: Arc::default(), memberlist: None, multi: Vec::new() };
        let ingester = ring::options::ingester(&config.ingester.ring, port)?;
        let distributor = ring::options::distributor(&config.distributor.ring, port);
        let gateway = ring::options::store_gateway(&config.store_gateway.sharding_ring, port);
        let compactor = ring::options::compactor(&config.compactor.sharding_ring, port);
        Ok(Self {
            ingester: stores.join(ingester, &config.ingester.ring.kvstore)?,
            distributor: stores.join(distributor, &config.distributor.ring.kvstore)?,
            store_gateway: stores.join(gateway, &config.store_gateway.sharding_ring.kvstore)?,
            compactor: stores.join(compactor, &config.compactor.sharding_ring.kvstore)?,
            ha_tracker: stores.ha_tracker(&config.distributor.ha_tracker)?,
            memberlist: stores.memberlist,
            multi: stores.multi,
        })
    }
}

/// The stores that are open so far; rings share them.
struct Stores<'a> {
    env: &'a Env,
    memory: Arc<MemoryStore>,
    memberlist: Option<Arc<MemberlistKv>>,
    multi: Vec<Arc<MultiStore>>,
}

impl Stores<'_> {
    fn join(&mut self, setup: RingSetup, kvstore: &KvStoreConfig) -> anyhow::Result<JoinedRing> {
        let store = self.store(kvstore.store, kvstore);
        let store = store.with_context(|| format!("the ring {}", setup.name.ring))?;
        let client = Client::new(store, Arc::new(RingCodec), &kvstore.prefix);
        let heartbeat_timeout_s = setup.rules.heartbeat_timeout_s;
        let (clock, metrics) = (&self.env.clock, &self.env.metrics);
        let parts = ReaderParts {
            client: client.clone(),
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
        };
        let reader = Arc::new(RingReader::new(setup.name, setup.rules, parts));
        let parts = LifecyclerParts {
            client: client.clone(),
            clock: Arc::clone(clock),
            random: Arc::clone(&self.env.random),
            metrics: metrics.clone(),
        };
        let lifecycler = Arc::new(Lifecycler::new(setup.instance, parts));
        Ok(JoinedRing { reader, lifecycler, client, key: setup.name.key, heartbeat_timeout_s })
    }

    fn ha_tracker(
        &mut self,
        config: &HaTrackerConfig,
    ) -> anyhow::Result<Option<Client<ReplicaDesc>>> {
        if !config.enable_ha_tracker || !self.env.runs("distributor") {
            return Ok(None);
        }
        let kvstore = config.kvstore.kvstore();
        let store = self.store(kvstore.store, &kvstore).context("the HA tracker")?;
        Ok(Some(Client::new(store, Arc::new(ReplicaCodec), &kvstore.prefix)))
    }

    fn store(
        &mut self,
        backend: KvBackend,
        config: &KvStoreConfig,
    ) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match backend {
            KvBackend::Inmemory => Arc::clone(&self.memory) as Arc<dyn Store>,
            KvBackend::Memberlist => self.memberlist()?,
            KvBackend::Etcd => {
                let options = ring::options::etcd(&config.etcd)?;
                Arc::new(EtcdStore::new(&options).map_err(anyhow::Error::msg)?)
            }
            KvBackend::Multi => self.multi(config)?,
            KvBackend::Consul => anyhow::bail!("the store consul is not built yet"),
        })
    }

    fn memberlist(&mut self) -> anyhow::Result<Arc<MemberlistKv>> {
        if let Some(memberlist) = &self.memberlist {
            return Ok(Arc::clone(memberlist));
        }
        let random = self.env.random.as_ref();
        let options = ring::options::memberlist(&self.env.config.memberlist, random)?;
        let parts = ServiceParts {
            clock: Arc::clone(&self.env.clock),
            random: Arc::clone(&self.env.random),
            metrics: self.env.metrics.clone(),
            codecs: vec![Arc::new(RingCodec), Arc::new(ReplicaCodec)],
        };
        let memberlist = MemberlistKv::new(options, parts).map_err(anyhow::Error::msg)?;
        Ok(Arc::clone(self.memberlist.insert(Arc::new(memberlist))))
    }

    fn multi(&mut self, config: &KvStoreConfig) -> anyhow::Result<Arc<dyn Store>> {
        let multi = &config.multi;
        let primary = self.store(backend(&multi.primary)?, config)?;
        let secondary = self.store(backend(&multi.secondary)?, config)?;
        let options = MultiOptions {
            is_mirroring: multi.mirror_enabled,
            mirror_timeout: multi.mirror_timeout.std(),
        };
        let store = MultiStore::new(primary, secondary, options, &self.env.metrics);
        let store = Arc::new(store);
        self.multi.push(Arc::clone(&store));
        Ok(store)
    }
}

/// A store of `multi`.
fn backend(name: &str) -> anyhow::Result<KvBackend> {
    let known = [KvBackend::Memberlist, KvBackend::Etcd, KvBackend::Inmemory];
    let found = known.into_iter().find(|backend| backend.word() == name);
    found.with_context(|| format!("{name} cannot be a store of multi"))
}
