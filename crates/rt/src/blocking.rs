//! The bridge from compute threads back to async code, for storage clients that are async.
//! Called from compute and helper threads alone.

use std::future::Future;

use tokio::runtime::Handle;

/// Waits on a compute thread for async work that the runtime carries out.
#[derive(Debug, Clone)]
pub struct BlockingHandle {
    handle: Handle,
}

impl BlockingHandle {
    /// The handle of the runtime that the caller runs in. Panics outside of one.
    pub fn current() -> Self {
        Self { handle: Handle::current() }
    }

    /// Blocks this thread until `future` is ready. Must not be called from a thread of the
    /// runtime: that would stop the tasks it waits for, and tokio panics.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// Calls `job` as if it ran inside of the runtime: what it makes may start tasks there.
    pub fn enter<T>(&self, job: impl FnOnce() -> T) -> T {
        let _inside = self.handle.enter();
        job()
    }

    /// Runs `job`, which may wait for other processes, on a thread of its own. Not for CPU work:
    /// the number of these threads follows that of the jobs. A job whose future is dropped goes on.
    pub fn spawn<T, F>(
        &self,
        job: F,
    ) -> impl Future<Output = Result<T, JobPanicked>> + Send + use<T, F>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let running = self.handle.spawn_blocking(job);
        async move { running.await.map_err(|error| JobPanicked(error.to_string())) }
    }
}

/// A job of [`BlockingHandle::spawn`] ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("internal error: {0}")]
pub struct JobPanicked(String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ComputeOptions, ComputePool};

    #[tokio::test]
    async fn a_compute_thread_waits_for_async_work() {
        let pool =
            ComputePool::new(ComputeOptions { name: "t", threads: 1, queue_capacity: 1 }).unwrap();
        let bridge = BlockingHandle::current();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let answer = pool.run(move || bridge.block_on(receiver));
        sender.send(7).unwrap();
        assert_eq!(answer.await.unwrap(), Ok(7));
    }

    #[tokio::test]
    async fn a_job_that_panics_is_an_error() {
        let bridge = BlockingHandle::current();
        assert_eq!(bridge.spawn(|| 7).await, Ok(7));
        assert!(bridge.spawn(|| assert!(std::hint::black_box(false))).await.is_err());
    }
}
