//! Services made from a closure: a loop that runs until the stop, and work on a timer.

use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{BoxError, Service};

type RunFn =
    Box<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;
type TickFn = Box<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// A service whose whole life is one async function.
pub struct RunService {
    name: &'static str,
    run: RunFn,
}

impl RunService {
    /// `run` is called once, with the token that tells it to stop.
    pub fn new<F, R>(name: &'static str, run: F) -> Self
    where
        F: Fn(CancellationToken) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self { name, run: Box::new(move |stop| run(stop).boxed()) }
    }
}

impl Service for RunService {
    fn name(&self) -> &'static str {
        self.name
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        (self.run)(stop)
    }
}

/// A service that does something again and again. A failed run is logged and the next one
/// comes after another period; a run that has begun is finished before the service stops.
pub struct TimerService {
    name: &'static str,
    period: Duration,
    tick: TickFn,
}

impl TimerService {
    /// Calls `tick` every `period`, the first time after one period.
    pub fn new<F, R>(name: &'static str, period: Duration, tick: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self { name, period, tick: Box::new(move || tick().boxed()) }
    }
}

impl Service for TimerService {
    fn name(&self) -> &'static str {
        self.name
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            let mut ticks = crate::time::interval(self.period);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                if let Err(error) = (self.tick)().await {
                    tracing::warn!(service = self.name, %error, "timed work failed");
                }
            }
            Ok(())
        }
        .boxed()
    }
}
