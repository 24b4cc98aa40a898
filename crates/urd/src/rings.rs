//! The rings of a node: the stores that they are kept in, and for each ring the reader and this
//! process' instance. Built before the components, which take from here what they need.

use std::sync::Arc;

use anyhow::Context as _;
use config::{HaTrackerConfig, KvBackend, KvStoreConfig};
use distributor::ha_tracker::{ReplicaCodec, ReplicaDesc};
use ring::kv::{
    Client, EtcdStore, MemoryStore, MultiOptions, MultiStore, Store, StoreRole, StoreTimes,
};
use ring::lifecycler::{Lifecycler, LifecyclerOptions, LifecyclerParts};
use ring::memberlist::{MemberlistKv, ServiceParts};
use ring::options::{OptionsError, RingSetup};
use ring::reader::{ReaderParts, RingReader};
use ring::{Desc, RingCodec};

use crate::env::Env;

/// A ring, and this process in it.
#[derive(Clone)]
pub struct JoinedRing {
    /// The component whose instances it holds.
    pub component: &'static str,
    /// The ring as this process sees it.
    pub reader: Arc<RingReader>,
    /// This process' instance, where it runs the component. It is in the ring while its service
    /// runs.
    pub lifecycler: Option<Arc<Lifecycler>>,
    /// Where the ring is kept.
    pub client: Client<Desc>,
    /// The ring's key in the store.
    pub key: &'static str,
    /// The age of a heartbeat that makes an instance unhealthy, seconds.
    pub heartbeat_timeout_s: i64,
}

impl JoinedRing {
    /// This process' instance.
    pub fn instance(&self) -> anyhow::Result<Arc<Lifecycler>> {
        self.lifecycler.clone().with_context(|| format!("this process is no {}", self.component))
    }
}

/// The rings that the components of a node use.
#[derive(Clone)]
pub struct Rings {
    joined: Vec<JoinedRing>,
    /// Where the elected replicas of the distributors' HA tracker are kept, where there is one.
    pub ha_tracker: Option<Client<ReplicaDesc>>,
    /// The gossip, where a ring is kept in it.
    pub memberlist: Option<Arc<MemberlistKv>>,
    /// Pairs of stores, whose use can be switched.
    pub multi: Vec<Arc<MultiStore>>,
}

impl Rings {
    /// Opens the stores of the rings that are used: a configuration is shared by processes that
    /// cannot all reach the same stores. Nothing is in a ring before the services run.
    pub(crate) fn build(env: &Env) -> anyhow::Result<Self> {
        let (config, port) = (&env.config, env.grpc_address.port());
        let times = StoreTimes::new(&env.metrics, Arc::clone(&env.clock));
        let mut stores =
            Stores { env, times, memory: Arc::default(), memberlist: None, multi: Vec::new() };
        let mut joined = Vec::new();
        if config.uses_ring("ingester") {
            let ring = &config.ingester.ring;
            let read = ring::options::ingester(ring);
            let own = || ring::options::ingester_instance(ring, port);
            joined.push(stores.join("ingester", read, own, &ring.kvstore)?);
        }
        if config.uses_ring("distributor") {
            let ring = &config.distributor.ring;
            let read = ring::options::distributor(ring);
            let own = || ring::options::distributor_instance(ring, port);
            joined.push(stores.join("distributor", read, own, &ring.kvstore)?);
        }
        if config.uses_ring("store-gateway") {
            let ring = &config.store_gateway.sharding_ring;
            let read = ring::options::store_gateway(ring);
            let own = || ring::options::store_gateway_instance(ring, port);
            joined.push(stores.join("store-gateway", read, own, &ring.kvstore)?);
        }
        if config.uses_ring("compactor") {
            let ring = &config.compactor.sharding_ring;
            let read = ring::options::compactor(ring);
            let own = || ring::options::compactor_instance(ring, port);
            joined.push(stores.join("compactor", read, own, &ring.kvstore)?);
        }
        let ha_tracker = stores.ha_tracker(&config.distributor.ha_tracker)?;
        Ok(Self { joined, ha_tracker, memberlist: stores.memberlist, multi: stores.multi })
    }

    /// All rings that are used.
    pub fn all(&self) -> &[JoinedRing] {
        &self.joined
    }

    /// The ring of a component's instances. An error where no component of this process uses it.
    pub fn of(&self, component: &str) -> anyhow::Result<JoinedRing> {
        let found = self.joined.iter().find(|ring| ring.component == component);
        found
            .cloned()
            .with_context(|| format!("this process does not use the ring of {component}s"))
    }
}

/// The stores that are open so far; rings share them.
struct Stores<'a> {
    env: &'a Env,
    times: StoreTimes,
    memory: Arc<MemoryStore>,
    memberlist: Option<Arc<MemberlistKv>>,
    multi: Vec<Arc<MultiStore>>,
}

impl Stores<'_> {
    fn join(
        &mut self,
        component: &'static str,
        setup: RingSetup,
        own: impl FnOnce() -> Result<LifecyclerOptions, OptionsError>,
        kvstore: &KvStoreConfig,
    ) -> anyhow::Result<JoinedRing> {
        let RingSetup { name, rules } = setup;
        let (read_name, own_name) = kv_names(name.ring, self.env);
        let store = self.store(kvstore.store, (kvstore, &read_name));
        let store = store.with_context(|| format!("the ring {}", name.ring))?;
        let client_of = |kv_name: &str| {
            let store = self.times.of(Arc::clone(&store), kv_name, StoreRole::Primary);
            Client::new(store, Arc::new(RingCodec), &kvstore.prefix)
        };
        let client = client_of(&read_name);
        let heartbeat_timeout_s = rules.heartbeat_timeout_s;
        let (clock, metrics) = (&self.env.clock, &self.env.metrics);
        let parts = ReaderParts {
            client: client.clone(),
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
        };
        let reader = Arc::new(RingReader::new(name, rules, parts));
        let parts = LifecyclerParts {
            client: client_of(&own_name),
            clock: Arc::clone(clock),
            random: Arc::clone(&self.env.random),
            metrics: metrics.clone(),
        };
        let options = self.env.runs(component).then(own).transpose();
        let options = options.with_context(|| format!("the ring {}", name.ring))?;
        let lifecycler = options.map(|options| Arc::new(Lifecycler::new(options, parts)));
        let key = name.key;
        Ok(JoinedRing { component, reader, lifecycler, client, key, heartbeat_timeout_s })
    }

    fn ha_tracker(
        &mut self,
        config: &HaTrackerConfig,
    ) -> anyhow::Result<Option<Client<ReplicaDesc>>> {
        if !config.enable_ha_tracker || !self.env.runs("distributor") {
            return Ok(None);
        }
        let kvstore = config.kvstore.kvstore();
        let kv_name = "distributor-hatracker";
        let store = self.store(kvstore.store, (&kvstore, kv_name)).context("the HA tracker")?;
        let store = self.times.of(store, kv_name, StoreRole::Primary);
        Ok(Some(Client::new(store, Arc::new(ReplicaCodec), &kvstore.prefix)))
    }

    fn store(
        &mut self,
        backend: KvBackend,
        (config, kv_name): (&KvStoreConfig, &str),
    ) -> anyhow::Result<Arc<dyn Store>> {
        Ok(match backend {
            KvBackend::Inmemory => Arc::clone(&self.memory) as Arc<dyn Store>,
            KvBackend::Memberlist => self.memberlist()?,
            KvBackend::Etcd => {
                let options = ring::options::etcd(&config.etcd)?;
                Arc::new(EtcdStore::new(&options).map_err(anyhow::Error::msg)?)
            }
            KvBackend::Multi => self.multi(config, kv_name)?,
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

    fn multi(&mut self, config: &KvStoreConfig, kv_name: &str) -> anyhow::Result<Arc<dyn Store>> {
        let multi = &config.multi;
        let primary = self.store(backend(&multi.primary)?, (config, kv_name))?;
        let primary = self.times.of(primary, kv_name, StoreRole::Primary);
        let secondary = self.store(backend(&multi.secondary)?, (config, kv_name))?;
        let secondary = self.times.of(secondary, kv_name, StoreRole::Secondary);
        let options = MultiOptions {
            is_mirroring: multi.mirror_enabled,
            mirror_timeout: multi.mirror_timeout.std(),
        };
        let store = MultiStore::new(primary, secondary, options, (&self.env.metrics, kv_name));
        let store = Arc::new(store);
        self.multi.push(Arc::clone(&store));
        Ok(store)
    }
}

/// What the uses of a ring's store are called in metrics: that of its reader, and that of the own
/// instance.
fn kv_names(ring: &str, env: &Env) -> (String, String) {
    if ring == "store-gateway" {
        let runs = env.runs("store-gateway");
        let name = if runs { "store-gateway" } else { "querier-store-gateway" };
        return (name.to_owned(), name.to_owned());
    }
    (format!("{ring}-ring"), format!("{ring}-lifecycler"))
}

/// A store of `multi`.
fn backend(name: &str) -> anyhow::Result<KvBackend> {
    let known = [KvBackend::Memberlist, KvBackend::Etcd, KvBackend::Inmemory];
    let found = known.into_iter().find(|backend| backend.word() == name);
    found.with_context(|| format!("{name} cannot be a store of multi"))
}
