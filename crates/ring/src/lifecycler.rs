//! An instance's life in its ring: it registers, takes tokens, becomes active, shows now and then
//! that it is there, and leaves.
//!
//! [`Instance`] decides what an instance makes of the ring, purely; [`Lifecycler`] is the service
//! that carries it out on a store. Every component that is in a ring has one.

mod instance;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use model::{Clock, Random};
use parking_lot::Mutex;
use rt::metrics::{Counter, Gauge};
use rt::time::{interval, sleep};
use rt::{BoxError, BoxFuture, CancellationToken, Metrics, Service};

pub use instance::{Instance, InstanceOptions, JoinStyle, TokenStrategy};

use crate::desc::{Desc, InstanceState};
use crate::kv::{Client, KvError};
use crate::tokens::{load_tokens, store_tokens};

/// How long an instance waits for the one before it to join.
const CAN_JOIN_TIMEOUT: Duration = Duration::from_mins(5);
const CAN_JOIN_POLL: Duration = Duration::from_secs(1);
/// How long each change on the way out may take when the store does not answer.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What an instance does while it is leaving: it is still in the ring, and still shows that it is
/// there.
pub type BeforeLeaving = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// How an instance lives.
#[derive(Debug, Clone)]
pub struct LifecyclerOptions {
    /// The name of the service.
    pub service: &'static str,
    /// The ring's name in metrics.
    pub ring_name: &'static str,
    /// The ring's key in the store.
    pub key: &'static str,
    /// What stands in the ring.
    pub instance: InstanceOptions,
    /// The file of tokens.
    pub tokens_file: Option<PathBuf>,
    /// How often it shows that it is there; 0 for never.
    pub heartbeat_period: Duration,
    /// How long new tokens are watched before they are used.
    pub observe_period: Duration,
    /// Whether it is taken out of the ring at the end.
    pub unregister_on_shutdown: bool,
    /// How long it waits as `LEAVING` at the end.
    pub final_sleep: Duration,
    /// How long it must have been active before it is ready.
    pub min_ready_duration: Duration,
}

/// What the service is built with.
pub struct LifecyclerParts {
    /// Where the ring is.
    pub client: Client<Desc>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The registry.
    pub metrics: Metrics,
}

/// The service. It is in the ring when it has started, and out of it when it has stopped.
pub struct Lifecycler {
    options: LifecyclerOptions,
    client: Client<Desc>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// One change of the ring at a time.
    changing: tokio::sync::Mutex<()>,
    instance: Mutex<Instance>,
    /// When it became active, in monotonic time.
    active_since: Mutex<Option<Duration>>,
    unregister: std::sync::atomic::AtomicBool,
    before_leaving: Mutex<Option<BeforeLeaving>>,
    /// Cancelled when it begins to leave for good.
    leaving: CancellationToken,
    /// Whether it has left; held while it leaves.
    has_left: tokio::sync::Mutex<bool>,
    metrics: LifecyclerMetrics,
}

struct LifecyclerMetrics {
    heartbeats: Counter,
    tokens_owned: Gauge,
    read_only: Gauge,
}

impl Lifecycler {
    /// An instance that is not in the ring yet.
    pub fn new(options: LifecyclerOptions, parts: LifecyclerParts) -> Self {
        let (metrics, name) = (&parts.metrics, &[options.ring_name]);
        let gauge =
            |metric: &str, help: &str| metrics.gauge_vec(metric, help, &["name"]).with(name);
        let to_own =
            gauge("cortex_ring_member_tokens_to_own", "The number of tokens to own in the ring.");
        to_own.set(i64::try_from(options.instance.num_tokens).unwrap_or(i64::MAX));
        let heartbeats = match options.instance.join {
            JoinStyle::Steps => "cortex_member_consul_heartbeats_total",
            JoinStyle::As(_) => "cortex_ring_member_heartbeats_total",
        };
        let counters =
            metrics.counter_vec(heartbeats, "The total number of heartbeats sent.", &["name"]);
        let lifecycler_metrics = LifecyclerMetrics {
            heartbeats: counters.with(name),
            tokens_owned: gauge(
                "cortex_ring_member_tokens_owned",
                "The number of tokens owned in the ring.",
            ),
            read_only: gauge(
                "cortex_lifecycler_read_only",
                "Set to 1 if this lifecycler's instance entry is in read-only state.",
            ),
        };
        Self {
            instance: Mutex::new(Instance::new(options.instance.clone())),
            unregister: options.unregister_on_shutdown.into(),
            options,
            client: parts.client,
            clock: parts.clock,
            random: parts.random,
            changing: tokio::sync::Mutex::new(()),
            active_since: Mutex::default(),
            before_leaving: Mutex::default(),
            leaving: CancellationToken::new(),
            has_left: tokio::sync::Mutex::default(),
            metrics: lifecycler_metrics,
        }
    }

    /// Its name in the ring.
    pub fn id(&self) -> &str {
        &self.options.instance.id
    }

    /// Its state in the ring.
    pub fn state(&self) -> InstanceState {
        self.instance.lock().state()
    }

    /// Its tokens, sorted.
    pub fn tokens(&self) -> Vec<u32> {
        self.instance.lock().tokens().to_vec()
    }

    /// Whether it takes no new data, and since when (seconds; 0 when it never changed).
    pub fn read_only(&self) -> (bool, i64) {
        self.instance.lock().read_only()
    }

    /// Whether it will be taken out of the ring at the end.
    pub fn unregisters_on_shutdown(&self) -> bool {
        self.unregister.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Changes [`Self::unregisters_on_shutdown`].
    pub fn set_unregister_on_shutdown(&self, unregister: bool) {
        self.unregister.store(unregister, std::sync::atomic::Ordering::Relaxed);
    }

    /// What is to be done while it leaves; what was set before is forgotten.
    pub fn set_before_leaving(&self, work: BeforeLeaving) {
        *self.before_leaving.lock() = Some(work);
    }

    /// Takes new data, or no more.
    pub async fn set_read_only(&self, read_only: bool) -> Result<(), KvError> {
        self.change(|instance, desc, now_s| {
            let is_change = instance.set_read_only(read_only, now_s);
            is_change.then(|| instance.heartbeat(desc.unwrap_or_default(), now_s))
        })
        .await
    }

    /// Goes to another state, if that follows the present one.
    pub async fn set_state(&self, state: InstanceState) -> Result<(), KvError> {
        let from = self.state();
        if !Instance::may_follow(from, state) {
            let message = format!("changing instance state from {from} -> {state} is disallowed");
            return Err(KvError::Refused(message.into()));
        }
        self.change(|instance, desc, now_s| {
            instance.set_state(state);
            Some(instance.heartbeat(desc.unwrap_or_default(), now_s))
        })
        .await
    }

    fn now_s(&self) -> i64 {
        self.clock.now_ms().div_euclid(1000)
    }

    /// Changes the ring, and the instance with it when that succeeds. Each try is given the time at
    /// which it is made: a change with an old time would never be newer than what is there.
    async fn change(
        &self,
        mut change: impl FnMut(&mut Instance, Option<Desc>, i64) -> Option<Desc> + Send,
    ) -> Result<(), KvError> {
        let _one = self.changing.lock().await;
        let before = self.instance.lock().clone();
        let mut after = before.clone();
        self.client
            .cas(self.options.key, |desc| {
                // It may be called again, with another ring.
                after = before.clone();
                Ok(change(&mut after, desc, self.now_s()))
            })
            .await?;
        let tokens_changed = before.tokens() != after.tokens();
        self.metrics.tokens_owned.set(i64::try_from(after.tokens().len()).unwrap_or(i64::MAX));
        self.metrics.read_only.set(i64::from(after.read_only().0));
        if before.state() != after.state() {
            let (from, to) = (before.state(), after.state());
            tracing::info!(ring = self.options.ring_name, %from, %to, "instance changed its state");
        }
        if tokens_changed
            && let Some(path) = &self.options.tokens_file
            && let Err(error) = store_tokens(path, after.tokens())
        {
            tracing::error!(path = %path.display(), %error, "could not store the tokens");
        }
        if after.state() == InstanceState::Active {
            self.active_since.lock().get_or_insert_with(|| self.clock.monotonic());
        }
        *self.instance.lock() = after;
        Ok(())
    }

    async fn register(&self) -> Result<(), BoxError> {
        let from_file = match &self.options.tokens_file {
            None => None,
            Some(path) => load_tokens(path).unwrap_or_else(|error| {
                tracing::error!(path = %path.display(), %error, "could not read the tokens");
                None
            }),
        };
        let from_file = from_file.unwrap_or_default();
        let waits = self.options.instance.tokens.waits_for_others();
        let (random, target) = (self.random.as_ref(), self.joins_as());
        self.change(|instance, desc, now_s| {
            let (desc, at) = (desc.unwrap_or_default(), (now_s, random));
            let registered = instance.register(desc.clone(), &from_file, at);
            if instance.state() == InstanceState::Pending && !waits {
                // In one step: within a second there is no second change for the gossip.
                return Some(instance.join(registered.unwrap_or(desc), target, at));
            }
            registered
        })
        .await?;
        if self.state() == InstanceState::Pending {
            self.join_after_others().await?;
        }
        Ok(())
    }

    /// The state in which it has tokens first.
    fn joins_as(&self) -> InstanceState {
        match self.options.observe_period.is_zero() {
            true => InstanceState::Active,
            false => InstanceState::Joining,
        }
    }

    /// Takes tokens; active at once, or after they have been watched.
    async fn join_after_others(&self) -> Result<(), BoxError> {
        if rt::time::timeout(CAN_JOIN_TIMEOUT, self.wait_for_others()).await.is_err() {
            tracing::warn!(ring = self.options.ring_name, "joining without waiting any more");
        }
        let (random, target) = (self.random.as_ref(), self.joins_as());
        self.change(|instance, desc, now_s| {
            Some(instance.join(desc.unwrap_or_default(), target, (now_s, random)))
        })
        .await?;
        Ok(())
    }

    async fn wait_for_others(&self) {
        loop {
            let ring = self.client.get(self.options.key).await;
            let can_join = match &ring {
                Ok(ring) => {
                    let ring = ring.clone().unwrap_or_default();
                    self.options.instance.tokens.can_join(&ring).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            match can_join {
                Ok(()) => return,
                Err(reason) => tracing::info!(reason, "waiting before joining the ring"),
            }
            sleep(CAN_JOIN_POLL).await;
        }
    }

    /// Watches the tokens until nobody else has one of them.
    async fn observe(&self) {
        while self.state() == InstanceState::Joining {
            sleep(self.options.observe_period).await;
            let random = self.random.as_ref();
            let verified = self
                .change(|instance, desc, now_s| {
                    Some(instance.verify(desc.unwrap_or_default(), (now_s, random)))
                })
                .await;
            if let Err(error) = verified {
                tracing::error!(%error, "could not verify the tokens");
            }
        }
    }

    async fn beat(&self) {
        if self.options.heartbeat_period.is_zero() {
            return std::future::pending().await;
        }
        let mut beats = interval(self.options.heartbeat_period);
        loop {
            beats.tick().await;
            let beaten = self
                .change(|instance, desc, now_s| {
                    Some(instance.heartbeat(desc.unwrap_or_default(), now_s))
                })
                .await;
            match beaten {
                Ok(()) => drop(self.metrics.heartbeats.inc()),
                Err(error) => {
                    tracing::error!(ring = self.options.ring_name, %error, "could not heartbeat");
                }
            }
        }
    }

    /// Leaves the ring, before the service ends or as a part of that; only once. Reads still come
    /// while it is `LEAVING`.
    pub async fn leave_for_good(&self) {
        let mut has_left = self.has_left.lock().await;
        if !*has_left {
            // No heartbeat may bring it back.
            self.leaving.cancel();
            self.leave().await;
            *has_left = true;
        }
    }

    async fn leave(&self) {
        let work = self.before_leaving.lock().clone();
        let sleeps = !self.options.final_sleep.is_zero();
        // Where it is gone at once nobody would see that it leaves.
        if work.is_some() || sleeps || !self.unregisters_on_shutdown() {
            self.in_time("leave in order", self.become_leaving()).await;
        }
        let farewell = async {
            if let Some(work) = work {
                work().await;
            }
            sleep(self.options.final_sleep).await;
        };
        tokio::select! {
            () = farewell => {}
            () = self.beat() => {}
        }
        if self.unregisters_on_shutdown() {
            self.in_time("unregister", self.unregister()).await;
            self.metrics.tokens_owned.set(0);
        }
    }

    async fn become_leaving(&self) -> Result<(), KvError> {
        if self.state() == InstanceState::Leaving {
            return Ok(());
        }
        self.set_state(InstanceState::Leaving).await
    }

    async fn unregister(&self) -> Result<(), KvError> {
        let id = &self.options.instance.id;
        self.change(|_, desc, _| {
            let mut desc = desc?;
            desc.ingesters.remove(id)?;
            Some(desc)
        })
        .await
    }

    /// Waits for a change on the way out; without it the instance is gone all the same.
    async fn in_time(&self, what: &str, change: impl Future<Output = Result<(), KvError>>) {
        let ring = self.options.ring_name;
        match rt::time::timeout(LEAVE_TIMEOUT, change).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(ring, %error, what, "could not tell the ring"),
            Err(error) => tracing::error!(ring, %error, what, "could not tell the ring"),
        }
    }

    /// Why it is not active for long enough.
    fn not_active(&self) -> Option<String> {
        let instance = self.instance.lock();
        if instance.tokens().is_empty() {
            return Some("this instance owns no tokens".to_owned());
        }
        if instance.state() != InstanceState::Active {
            return Some(format!("instance {} in state {}", self.id(), instance.state()));
        }
        let since = self.active_since.lock().unwrap_or_default();
        let least = self.options.min_ready_duration;
        let is_short = self.clock.monotonic().saturating_sub(since) < least;
        let least_nanos = i64::try_from(least.as_nanos()).unwrap_or(i64::MAX);
        let least = config::GoDuration::from_nanos(least_nanos);
        is_short.then(|| format!("waiting for {least} after being ready"))
    }
}

impl Service for Lifecycler {
    fn name(&self) -> &'static str {
        self.options.service
    }

    fn starting(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        self.register().boxed()
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            let life = async { futures::join!(self.observe(), self.beat()) };
            tokio::select! {
                _ = life => {}
                () = stop.cancelled() => {}
                () = self.leaving.cancelled() => {}
            }
            stop.cancelled().await;
            Ok(())
        }
        .boxed()
    }

    fn stopping(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            self.leave_for_good().await;
            Ok(())
        }
        .boxed()
    }

    fn not_ready(&self) -> Option<String> {
        self.not_active()
    }
}
