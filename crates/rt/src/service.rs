//! Services in the manner of dskit: each has a state, they start in the order of their
//! dependencies and stop in reverse. Components implement [`Service`]; the binary puts them into
//! a [`ServiceManager`]; `web` shows their states.

mod manager;
mod simple;

use std::fmt;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

pub use manager::{ServiceFailure, ServiceManager, ServiceStatus, StartError, UnknownDependency};
pub use simple::{RunService, TimerService};

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where a service stands. It moves downwards only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not started yet.
    New,
    /// [`Service::starting`] runs.
    Starting,
    /// [`Service::running`] runs.
    Running,
    /// [`Service::stopping`] runs.
    Stopping,
    /// Ended in order.
    Terminated,
    /// Ended with an error.
    Failed,
}

impl State {
    /// The word that `/services` and `/ready` show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Terminated => "Terminated",
            Self::Failed => "Failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of the process with a life of its own.
///
/// The manager calls `starting`, then `running`, then `stopping`, each once. `stopping` is called
/// for every service whose `starting` returned `Ok`, also when `running` failed.
pub trait Service: Send + Sync + 'static {
    /// The name in logs, `/services` and `/ready`: short, lower-case.
    fn name(&self) -> &'static str;

    /// Everything that must be done before those that depend on it start. Dropped at an await
    /// when the process is asked to stop meanwhile.
    fn starting(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        std::future::ready(Ok(())).boxed()
    }

    /// The service's work; returns soon after `stop` is cancelled. Returning `Ok` earlier means
    /// that there is nothing left to do; returning an error stops the process.
    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            stop.cancelled().await;
            Ok(())
        }
        .boxed()
    }

    /// Orderly end, after everything that depends on it has ended.
    fn stopping(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        std::future::ready(Ok(())).boxed()
    }

    /// How far it is, in words, while it starts or stops; for `/services`.
    fn progress(&self) -> Option<String> {
        None
    }

    /// Why the service cannot be used although it runs; `None` when it can.
    fn not_ready(&self) -> Option<String> {
        None
    }
}
