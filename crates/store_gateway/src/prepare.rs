//! GET, POST, DELETE `/store-gateway/prepare-shutdown`: whether the next end takes the process out
//! of its ring, whatever the options say (`set`, `unset`). Who scales down asks for it before the
//! process is stopped. A file in the directory of the index-headers lets it survive a restart; it
//! is gone when the process has ended in order.

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::Clock;
use ring::InstanceState;
use ring::lifecycler::Lifecycler;
use rt::metrics::Gauge;
use rt::service::RunService;
use rt::{ComputePool, Metrics, Service};
use tsdb::fs::{MarkFile, PREPARED_SHUTDOWN_FILE, SharedFs};

/// What a [`PreparedShutdown`] is made of.
pub struct PrepareParts {
    /// The process' instance in the ring of store-gateways.
    pub lifecycler: Arc<Lifecycler>,
    /// The local disk.
    pub fs: SharedFs,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Threads for the disk.
    pub pool: ComputePool,
    /// The registry.
    pub metrics: Metrics,
}

/// A shutdown that may have been prepared. Clones share everything.
#[derive(Clone)]
pub struct PreparedShutdown {
    lifecycler: Arc<Lifecycler>,
    /// What the options say.
    unregisters: bool,
    mark: MarkFile,
    clock: Arc<dyn Clock>,
    pool: ComputePool,
    requested: Gauge,
}

impl PreparedShutdown {
    /// What was prepared before a restart, by the mark in `dir`, holds again.
    pub fn new(dir: &Path, parts: PrepareParts) -> io::Result<Self> {
        let help = "Whether a shutdown was prepared, by the route or by the mark of a former one.";
        let prepared = Self {
            unregisters: parts.lifecycler.unregisters_on_shutdown(),
            lifecycler: parts.lifecycler,
            mark: MarkFile::new(parts.fs, dir.join(PREPARED_SHUTDOWN_FILE)),
            clock: parts.clock,
            pool: parts.pool,
            requested: parts.metrics.gauge("cortex_storegateway_prepare_shutdown_requested", help),
        };
        if prepared.mark.is_set()? {
            tracing::info!("a shutdown was prepared before this start");
            prepared.apply(true);
        }
        Ok(prepared)
    }

    /// The route.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/store-gateway/prepare-shutdown", get(show).post(prepare).delete(cancel))
            .with_state(self.clone())
    }

    /// Takes the mark away at the end: the request is fulfilled.
    pub fn service(&self) -> Arc<dyn Service> {
        let prepared = self.clone();
        Arc::new(RunService::new("store-gateway-prepared-shutdown", move |stop| {
            let prepared = prepared.clone();
            async move {
                stop.cancelled().await;
                if let Err(error) = prepared.on_disk(MarkFile::unset).await {
                    tracing::warn!(%error, "could not remove the mark of a prepared shutdown");
                }
                Ok(())
            }
        }))
    }

    fn apply(&self, is_prepared: bool) {
        self.lifecycler.set_unregister_on_shutdown(is_prepared || self.unregisters);
        self.requested.set(i64::from(is_prepared));
    }

    /// Nobody may change the end while the process starts or ends.
    fn is_running(&self) -> bool {
        self.lifecycler.state() == InstanceState::Active
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce(&MarkFile) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mark = self.mark.clone();
        self.pool.run(move || job(&mark)).await.map_err(io::Error::other)?
    }
}

async fn show(State(prepared): State<PreparedShutdown>) -> Response {
    if !prepared.is_running() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match prepared.on_disk(MarkFile::is_set).await {
        Ok(is_set) => if is_set { "set\n" } else { "unset\n" }.into_response(),
        Err(error) => failed(&error),
    }
}

async fn prepare(State(prepared): State<PreparedShutdown>) -> Response {
    let now = crate::http::rfc3339(prepared.clock.now_ms());
    change(&prepared, true, move |mark| mark.set(&now)).await
}

async fn cancel(State(prepared): State<PreparedShutdown>) -> Response {
    change(&prepared, false, MarkFile::unset).await
}

async fn change(
    prepared: &PreparedShutdown,
    is_prepared: bool,
    write: impl FnOnce(&MarkFile) -> io::Result<()> + Send + 'static,
) -> Response {
    if !prepared.is_running() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Err(error) = prepared.on_disk(write).await {
        return failed(&error);
    }
    prepared.apply(is_prepared);
    tracing::info!(is_prepared, "a shutdown is prepared or not any more");
    StatusCode::NO_CONTENT.into_response()
}

fn failed(error: &io::Error) -> Response {
    tracing::error!(%error, "the mark of a prepared shutdown");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[cfg(test)]
mod tests {
    use model::env::{ManualClock, SeededRandom};
    use ring::RingCodec;
    use ring::kv::{Client, MemoryStore};
    use ring::lifecycler::LifecyclerParts;
    use rt::ComputeOptions;
    use tsdb::fs::FaultFs;

    use super::*;

    /// A gateway that stays in its ring unless asked to leave.
    fn prepared(fs: &SharedFs) -> PreparedShutdown {
        let mut config = config::Config::default().store_gateway.sharding_ring;
        config.unregister_on_shutdown = false;
        "127.0.0.1".clone_into(&mut config.instance_addr);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(0));
        let metrics = Metrics::new();
        let lifecycler = Lifecycler::new(
            ring::options::store_gateway_instance(&config, 1).unwrap(),
            LifecyclerParts {
                client: Client::new(Arc::<MemoryStore>::default(), Arc::new(RingCodec), ""),
                clock: Arc::clone(&clock),
                random: Arc::new(SeededRandom::new(1)),
                metrics: metrics.clone(),
            },
        );
        let options = ComputeOptions { name: "t", threads: 1, queue_capacity: 4 };
        let parts = PrepareParts {
            lifecycler: Arc::new(lifecycler),
            fs: Arc::clone(fs),
            clock,
            pool: ComputePool::new(options).unwrap(),
            metrics,
        };
        PreparedShutdown::new(Path::new("/sync"), parts).unwrap()
    }

    async fn text(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_prepared_shutdown_leaves_the_ring_also_after_a_restart() {
        let fs: SharedFs = Arc::new(FaultFs::new());
        let first = prepared(&fs);
        let early = prepare(State(first.clone())).await;
        assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE, "not in the ring yet");
        first.lifecycler.starting().await.unwrap();
        assert_eq!(text(show(State(first.clone())).await).await, "unset\n");
        let answer = prepare(State(first.clone())).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(text(show(State(first.clone())).await).await, "set\n");
        assert!(first.lifecycler.unregisters_on_shutdown());

        let second = prepared(&fs);
        assert!(second.lifecycler.unregisters_on_shutdown(), "the mark survives");
        second.lifecycler.starting().await.unwrap();
        assert_eq!(cancel(State(second.clone())).await.status(), StatusCode::NO_CONTENT);
        assert!(!second.lifecycler.unregisters_on_shutdown());
        assert_eq!(text(show(State(second.clone())).await).await, "unset\n");
        assert_eq!(prepare(State(second.clone())).await.status(), StatusCode::NO_CONTENT);

        let stop = rt::CancellationToken::new();
        stop.cancel();
        second.service().running(stop).await.unwrap();
        assert!(!prepared(&fs).lifecycler.unregisters_on_shutdown(), "fulfilled by the end");
    }
}
