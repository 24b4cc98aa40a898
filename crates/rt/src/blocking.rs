//! The bridge from compute threads back to async code, for storage clients that are async.
//! Called from compute and helper threads alone.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use futures::future::Either;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::Fibers;
use crate::compute::{panic_message, while_waiting};

/// Waits on a compute thread for async work that the runtime carries out.
#[derive(Clone)]
pub struct BlockingHandle(Way);

#[derive(Clone)]
enum Way {
    Runtime(Handle),
    Fibers(Arc<dyn Fibers>),
}

impl fmt::Debug for BlockingHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockingHandle")
    }
}

impl BlockingHandle {
    /// The handle of the runtime that the caller runs in. Panics outside of one.
    pub fn current() -> Self {
        Self(Way::Runtime(Handle::current()))
    }

    /// A handle for jobs that are fibers: a simulation's.
    pub fn of_fibers(fibers: Arc<dyn Fibers>) -> Self {
        Self(Way::Fibers(fibers))
    }

    /// Blocks this thread until `future` is ready. A job of a compute pool is not at work
    /// meanwhile: see [`crate::ComputePool::of_waiting`]. Must not be called from a thread of the
    /// runtime: that would stop the tasks it waits for, and tokio panics.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &self.0 {
            Way::Runtime(handle) => while_waiting(|| handle.block_on(future)),
            Way::Fibers(fibers) => {
                let mut output = None;
                fibers.wait(pin!(async { output = Some(future.await) }));
                output.expect("a fiber goes on when its future is ready")
            }
        }
    }

    /// Calls `job` as if it ran inside of the runtime: what it makes may start tasks there.
    pub fn enter<T>(&self, job: impl FnOnce() -> T) -> T {
        match &self.0 {
            Way::Runtime(handle) => {
                let _inside = handle.enter();
                job()
            }
            Way::Fibers(_) => job(),
        }
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
        let running = match &self.0 {
            Way::Runtime(handle) => Either::Left(handle.spawn_blocking(job)),
            Way::Fibers(fibers) => {
                let (sender, receiver) = oneshot::channel();
                fibers.start(Box::new(move || {
                    // The one who asked may have gone meanwhile.
                    let _ = sender.send(catch_unwind(AssertUnwindSafe(job)));
                }));
                Either::Right(receiver)
            }
        };
        async move {
            match running {
                Either::Left(job) => job.await.map_err(|error| JobPanicked(error.to_string())),
                Either::Right(job) => match job.await {
                    Ok(done) => done.map_err(|panic| JobPanicked(panic_message(panic.as_ref()))),
                    Err(_) => Err(JobPanicked("the job was dropped".to_owned())),
                },
            }
        }
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
        let (sender, receiver) = oneshot::channel();
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
