//! The ring as a process sees it: watched in the store, swapped as a whole, read without a lock.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::FutureExt;
use model::Clock;
use rt::metrics::{Gauge, GaugeVec};
use rt::{BoxError, BoxFuture, CancellationToken, Metrics, Service};

use crate::desc::{Desc, InstanceState};
use crate::kv::Client;
use crate::ring::{Ring, RingRules};

/// What a ring's reader is built with.
pub struct ReaderParts {
    /// Where the ring is.
    pub client: Client<Desc>,
    /// Time, for the metrics.
    pub clock: Arc<dyn Clock>,
    /// The registry.
    pub metrics: Metrics,
}

/// The name and place of a ring.
#[derive(Debug, Clone, Copy)]
pub struct RingName {
    /// The name of the service.
    pub service: &'static str,
    /// The ring's name in metrics.
    pub ring: &'static str,
    /// Its key in the store.
    pub key: &'static str,
}

/// The service that keeps a ring up to date.
pub struct RingReader {
    name: RingName,
    current: Arc<ArcSwap<Ring>>,
    client: Client<Desc>,
    clock: Arc<dyn Clock>,
    metrics: RingMetrics,
}

struct RingMetrics {
    /// By state, in the order of [`SHOWN`]; the last one is of those without a heartbeat.
    members: Vec<Gauge>,
    oldest: Vec<Gauge>,
    tokens: Gauge,
}

/// The states that metrics tell apart.
const SHOWN: [InstanceState; 4] =
    [InstanceState::Active, InstanceState::Leaving, InstanceState::Pending, InstanceState::Joining];

impl RingReader {
    /// A reader that knows an empty ring until it starts.
    pub fn new(name: RingName, rules: RingRules, parts: ReaderParts) -> Self {
        let by_state = |vec: GaugeVec| -> Vec<Gauge> {
            let states = SHOWN.iter().map(|state| state.word()).chain(["Unhealthy"]);
            states.map(|state| vec.with(&[name.ring, state])).collect()
        };
        let metrics = RingMetrics {
            members: by_state(parts.metrics.gauge_vec(
                "cortex_ring_members",
                "Number of members in the ring",
                &["name", "state"],
            )),
            oldest: by_state(parts.metrics.gauge_vec(
                "cortex_ring_oldest_member_timestamp",
                "Timestamp of the oldest member in the ring.",
                &["name", "state"],
            )),
            tokens: parts
                .metrics
                .gauge_vec("cortex_ring_tokens_total", "Number of tokens in the ring", &["name"])
                .with(&[name.ring]),
        };
        let ring = Ring::new(Desc::default(), rules);
        let current = Arc::new(ArcSwap::from_pointee(ring));
        Self { name, current, client: parts.client, clock: parts.clock, metrics }
    }

    /// The ring now.
    pub fn ring(&self) -> Arc<Ring> {
        self.current.load_full()
    }

    fn update(&self, desc: Desc) {
        let ring = Arc::new(self.current.load().updated(desc));
        self.show(&ring);
        self.current.store(ring);
    }

    fn show(&self, ring: &Ring) {
        let now_s = self.clock.now_ms().div_euclid(1000);
        let timeout_s = ring.rules().heartbeat_timeout_s;
        let mut states = [(0, 0); SHOWN.len() + 1];
        for instance in ring.instances() {
            let is_healthy = instance.is_heartbeat_healthy(timeout_s, now_s);
            let at = SHOWN.iter().position(|state| is_healthy && instance.is_in(*state));
            let (count, oldest) = &mut states[at.unwrap_or(SHOWN.len())];
            *count += 1;
            if *oldest == 0 || instance.timestamp < *oldest {
                *oldest = instance.timestamp;
            }
        }
        for (at, (count, oldest)) in states.into_iter().enumerate() {
            self.metrics.members[at].set(count);
            self.metrics.oldest[at].set(oldest);
        }
        self.metrics.tokens.set(i64::try_from(ring.token_count()).unwrap_or(i64::MAX));
    }
}

impl Service for RingReader {
    fn name(&self) -> &'static str {
        self.name.service
    }

    fn starting(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            let desc = self.client.get(self.name.key).await?;
            self.update(desc.unwrap_or_default());
            Ok(())
        }
        .boxed()
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            let watch = self.client.watch_key(self.name.key, |desc| {
                self.update(desc.unwrap_or_default());
                true
            });
            stop.run_until_cancelled(watch).await;
            // The store may have ended before: there is nothing more to see.
            stop.cancelled().await;
            Ok(())
        }
        .boxed()
    }
}
