//! Starts services in the order of their dependencies, watches them, stops them in reverse.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{BoxError, Service, State};
use crate::compute::panic_message;
use crate::tasks::TaskGroup;

/// A service that ended with an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service {service} failed: {message}")]
pub struct ServiceFailure {
    /// Its name.
    pub service: &'static str,
    /// What it said.
    pub message: String,
}

/// Why not all services run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// One of them failed to start, or failed while others were starting.
    #[error(transparent)]
    Failed(#[from] ServiceFailure),
    /// The stop was asked for.
    #[error("stopped while starting")]
    Stopped,
}

/// A service was added before one that it depends on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service {service} depends on {dependency}, which has not been added before it")]
pub struct UnknownDependency {
    /// The service.
    pub service: &'static str,
    /// What it asked for.
    pub dependency: &'static str,
}

/// The services of a process, in an order in which each comes after all it depends on.
pub struct ServiceManager {
    entries: Vec<Entry>,
    status: ServiceStatus,
    failure: watch::Sender<Option<ServiceFailure>>,
    tasks: TaskGroup,
}

struct Entry {
    service: Arc<dyn Service>,
    stop: CancellationToken,
    progress: watch::Sender<Progress>,
}

/// How far a service came. Its state cannot tell: a failed one may have failed anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// `starting` has not returned `Ok`.
    NotStarted,
    /// `running` runs.
    Running,
    /// `running` has returned.
    Ended,
}

/// The states of the services; cheap to clone, to be shown by `/services` and `/ready`.
#[derive(Clone, Default)]
pub struct ServiceStatus {
    services: Arc<RwLock<Vec<StatusEntry>>>,
}

type StatusEntry = (Arc<dyn Service>, State);

impl ServiceStatus {
    /// Every service's name and state, in the order of start.
    pub fn states(&self) -> Vec<(&'static str, State)> {
        self.services.read().iter().map(|(service, state)| (service.name(), *state)).collect()
    }

    /// How far each service is with what it is doing, in the order of [`ServiceStatus::states`].
    pub fn progress(&self) -> Vec<Option<String>> {
        self.services.read().iter().map(|(service, _)| service.progress()).collect()
    }

    /// Why the process is not ready, one reason a service; empty when it is.
    pub fn not_ready(&self) -> Vec<String> {
        let unusable = self.unusable().into_iter().map(|(name, why)| format!("{name}: {why}"));
        self.not_running().into_iter().chain(unusable).collect()
    }

    /// The services that do not run, each with its state; empty when all do.
    pub fn not_running(&self) -> Vec<String> {
        let services = self.services.read();
        if services.is_empty() {
            return vec!["no services yet".to_owned()];
        }
        let lines = services.iter().filter_map(|(service, state)| match state {
            // Work that ended by itself keeps nobody from asking.
            State::Running | State::Terminated => None,
            State::New | State::Starting | State::Stopping | State::Failed => {
                Some(format!("{}: {state}", service.name()))
            }
        });
        lines.collect()
    }

    /// The services that run and cannot be used: their names and why.
    pub fn unusable(&self) -> Vec<(&'static str, String)> {
        let services = self.services.read();
        let running = services.iter().filter(|(_, state)| *state == State::Running);
        running.filter_map(|(s, _)| s.not_ready().map(|why| (s.name(), why))).collect()
    }

    fn add(&self, service: Arc<dyn Service>) {
        self.services.write().push((service, State::New));
    }

    fn set(&self, index: usize, state: State) {
        let name = self.services.read()[index].0.name();
        tracing::debug!(service = name, state = state.as_str(), "service state changed");
        self.services.write()[index].1 = state;
    }

    fn get(&self, index: usize) -> State {
        self.services.read()[index].1
    }
}

impl Default for ServiceManager {
    fn default() -> Self {
        Self::new()
    }
}

impl ServiceManager {
    /// A manager without services.
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            status: ServiceStatus::default(),
            failure: watch::Sender::new(None),
            tasks: TaskGroup::new(&CancellationToken::new()),
        }
    }

    /// Adds a service that starts after all that are named in `after` and stops before them.
    pub fn add(
        &mut self,
        service: Arc<dyn Service>,
        after: &[&'static str],
    ) -> Result<(), UnknownDependency> {
        let known = |name: &str| self.entries.iter().any(|entry| entry.service.name() == name);
        if let Some(&dependency) = after.iter().find(|name| !known(name)) {
            return Err(UnknownDependency { service: service.name(), dependency });
        }
        self.status.add(Arc::clone(&service));
        let progress = watch::Sender::new(Progress::NotStarted);
        self.entries.push(Entry { service, stop: CancellationToken::new(), progress });
        Ok(())
    }

    /// The states of the services, also of those that are added later.
    pub fn status(&self) -> ServiceStatus {
        self.status.clone()
    }

    /// Starts all services. On an error those that were started are still to be stopped.
    pub async fn start(&self, stop: &CancellationToken) -> Result<(), StartError> {
        for index in 0..self.entries.len() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(StartError::Stopped),
                failure = self.failed() => return Err(failure.into()),
                started = self.start_one(index) => started?,
            }
        }
        Ok(())
    }

    /// Waits until a service fails; for ever when none does.
    pub async fn failed(&self) -> ServiceFailure {
        let mut failure = self.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(failure)) => failure,
            _ => std::future::pending().await,
        }
    }

    /// Stops all services in reverse order, each at most for `deadline`. Returns the first
    /// failure of any of them since the start.
    pub async fn stop(&self, deadline: Duration) -> Result<(), ServiceFailure> {
        for index in (0..self.entries.len()).rev() {
            self.stop_one(index, deadline).await;
        }
        if let Err(unfinished) = self.tasks.join(Duration::ZERO).await {
            tracing::warn!(error = %unfinished, "services were cut off");
        }
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }

    async fn start_one(&self, index: usize) -> Result<(), ServiceFailure> {
        let entry = &self.entries[index];
        self.status.set(index, State::Starting);
        if let Err(error) = guarded(entry.service.starting()).await {
            return Err(self.fail(index, &error));
        }
        self.status.set(index, State::Running);
        self.spawn_running(index);
        Ok(())
    }

    fn spawn_running(&self, index: usize) {
        let entry = &self.entries[index];
        let (service, stop) = (Arc::clone(&entry.service), entry.stop.clone());
        let (status, failure) = (self.status.clone(), self.failure.clone());
        let progress = entry.progress.clone();
        progress.send_replace(Progress::Running);
        self.tasks.spawn(service.name(), async move {
            let result = guarded(service.running(stop.clone())).await;
            match result {
                Err(error) => {
                    status.set(index, State::Failed);
                    report(&failure, service.name(), &error);
                }
                Ok(()) if !stop.is_cancelled() => status.set(index, State::Terminated),
                Ok(()) => {}
            }
            progress.send_replace(Progress::Ended);
        });
    }

    async fn stop_one(&self, index: usize, deadline: Duration) {
        let entry = &self.entries[index];
        if self.status.get(index) != State::Failed {
            self.status.set(index, State::Stopping);
        }
        entry.stop.cancel();
        match crate::time::timeout(deadline, end(entry)).await {
            Ok(Ok(())) if self.status.get(index) == State::Failed => {}
            Ok(Ok(())) => self.status.set(index, State::Terminated),
            Ok(Err(error)) => drop(self.fail(index, &error)),
            Err(_) => drop(self.fail(index, &"did not stop in time".into())),
        }
    }

    fn fail(&self, index: usize, error: &BoxError) -> ServiceFailure {
        self.status.set(index, State::Failed);
        report(&self.failure, self.entries[index].service.name(), error)
    }
}

/// Waits for `running` to return, then stops the service; nothing for one that never ran.
async fn end(entry: &Entry) -> Result<(), BoxError> {
    if *entry.progress.borrow() == Progress::NotStarted {
        return Ok(());
    }
    let mut progress = entry.progress.subscribe();
    let _ = progress.wait_for(|progress| *progress == Progress::Ended).await; // Sender lives.
    guarded(entry.service.stopping()).await
}

/// Keeps the first failure.
fn report(
    failure: &watch::Sender<Option<ServiceFailure>>,
    service: &'static str,
    error: &BoxError,
) -> ServiceFailure {
    let new = ServiceFailure { service, message: error.to_string() };
    failure.send_if_modified(|first| {
        let is_first = first.is_none();
        if is_first {
            *first = Some(new.clone());
        }
        is_first
    });
    new
}

/// A panic in a service is an error of that service.
async fn guarded(phase: BoxFuture<'_, Result<(), BoxError>>) -> Result<(), BoxError> {
    match AssertUnwindSafe(phase).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(format!("panicked: {}", panic_message(panic.as_ref())).into()),
    }
}

#[cfg(test)]
mod tests;
