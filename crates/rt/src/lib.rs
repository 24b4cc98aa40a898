//! The door to the system: the real clock, randomness and threads, tasks and services with their
//! shutdown, timers, TLS, logging and the metrics registry.
//!
//! Called by every component and by the binary. The only crate that takes time, randomness or
//! threads from the system; it must never know a component or the configuration.

mod blocking;
mod clock;
mod compute;
pub mod disk;
mod executor;
mod fibers;
pub mod files;
pub mod log;
pub mod metrics;
mod process;
mod random;
pub mod service;
pub mod signal;
mod tasks;
pub mod time;
pub mod tls;

pub use blocking::{BlockingHandle, JobPanicked};
pub use clock::SystemClock;
pub use compute::{ComputeError, ComputeOptions, ComputePool};
pub use executor::FairExecutor;
pub use fibers::Fibers;
pub use futures::future::BoxFuture;
pub use metrics::Metrics;
pub use process::register_process_metrics;
pub use random::SystemRandom;
pub use service::{BoxError, Service, ServiceManager};
pub use tasks::{TaskGroup, UnfinishedTasks};
pub use tokio_util::sync::CancellationToken;
