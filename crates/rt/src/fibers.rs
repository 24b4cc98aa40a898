//! What a simulation puts in the place of threads: jobs that may block take turns on one thread.
//!
//! [`crate::ComputePool`] and [`crate::BlockingHandle`] are threads of the system, or this. An
//! implementation must run one job at a time, and only the others while a job waits.

use std::future::Future;
use std::pin::Pin;

/// Runs jobs that may block without a thread for each.
pub trait Fibers: Send + Sync {
    /// Queues `job`; it runs after the caller has returned or waits.
    fn start(&self, job: Box<dyn FnOnce() + Send>);

    /// Keeps the calling job from going on until `future` is ready; others run meanwhile. Panics
    /// outside of a job.
    fn wait(&self, future: Pin<&mut dyn Future<Output = ()>>);
}
