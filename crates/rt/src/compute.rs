//! Bounded pools of threads for CPU work that async code asks for: one pool for writes and one
//! for queries, so that no load of queries can take the threads or the queue of the pushes.
//! Jobs may block (write-ahead log, [`crate::BlockingHandle`]); async code never does. Jobs that
//! belong to somebody (a tenant) take turns with those of others. A pool may have more threads
//! than jobs that it wants at work at once: the others are there for jobs that wait.

mod fair;
mod waiting;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use fair::FairQueue;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{Fibers, Metrics};

pub(crate) use waiting::while_waiting;

/// How a pool is built.
#[derive(Debug, Clone, Copy)]
pub struct ComputeOptions {
    /// Names threads, metrics and errors; `[a-z_]`.
    pub name: &'static str,
    /// The number of threads; at least one is started.
    pub threads: usize,
    /// How many jobs may wait for a thread.
    pub queue_capacity: usize,
}

/// Why a job has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// Too many jobs are waiting.
    #[error("too many {pool} requests are waiting (limit: {limit})")]
    QueueFull {
        /// The pool's name.
        pool: &'static str,
        /// Its [`ComputeOptions::queue_capacity`].
        limit: usize,
    },
    /// The pool has been stopped.
    #[error("the {0} threads have stopped")]
    Stopped(&'static str),
    /// The job panicked; the pool lives on.
    #[error("internal error: {0}")]
    Panicked(String),
}

/// A fixed number of threads behind a bounded queue. Clones share it; when the last one is
/// dropped the threads end after the jobs that are queued.
#[derive(Clone)]
pub struct ComputePool {
    owner: Arc<Owner>,
    /// What jobs run on in the place of threads.
    fibers: Option<Arc<dyn Fibers>>,
}

impl ComputePool {
    /// Starts the threads.
    pub fn new(options: ComputeOptions) -> Result<Self, std::io::Error> {
        Self::of_waiting(options, options.threads)
    }

    /// The same for jobs that wait for other processes on their threads
    /// ([`crate::BlockingHandle::block_on`]): none is started while `at_work` others do not wait.
    pub fn of_waiting(options: ComputeOptions, at_work: usize) -> Result<Self, std::io::Error> {
        let threads = (options.threads.max(1), at_work.max(1));
        let queue = FairQueue::new(threads, options.queue_capacity);
        let state = Mutex::new(State { queue, is_closed: false });
        let shared = Arc::new(Shared { options, state, wake: Condvar::new() });
        let owner = Arc::new(Owner { shared: Arc::clone(&shared), threads: Mutex::default() });
        for index in 0..options.threads.max(1) {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new()
                .name(format!("{}-{index}", options.name))
                .spawn(move || work(&shared))?;
            owner.threads.lock().push(thread);
        }
        Ok(Self { owner, fibers: None })
    }

    /// A pool without threads and without a bound: a simulation's.
    pub fn of_fibers(options: ComputeOptions, fibers: Arc<dyn Fibers>) -> Self {
        let state = State { queue: FairQueue::new((1, 1), 0), is_closed: true };
        let shared = Shared { options, state: Mutex::new(state), wake: Condvar::new() };
        let owner = Owner { shared: Arc::new(shared), threads: Mutex::default() };
        Self { owner: Arc::new(owner), fibers: Some(fibers) }
    }

    /// Queues `job` at once and returns a future of its result. A job whose future is dropped
    /// before a thread takes it is never run; one that runs is not interrupted.
    pub fn run<T, F>(
        &self,
        job: F,
    ) -> impl Future<Output = Result<T, ComputeError>> + Send + use<T, F>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.run_for("", job)
    }

    /// The same for a job that belongs to `owner`: owners take turns, none has all threads, and
    /// while others are active none has more than half of them.
    pub fn run_for<T, F>(
        &self,
        owner: &str,
        job: F,
    ) -> impl Future<Output = Result<T, ComputeError>> + Send + use<T, F>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let span = tracing::Span::current();
        let work = Box::new(move || {
            if !sender.is_closed() {
                let result = catch_unwind(AssertUnwindSafe(|| span.in_scope(job)));
                let _ = sender.send(result); // The one who asked may have gone meanwhile.
            }
        });
        let queued = match &self.fibers {
            None => self.owner.shared.queue(owner, work),
            Some(fibers) => {
                fibers.start(work);
                Ok(())
            }
        };
        let pool = self.owner.shared.options.name;
        async move {
            queued?;
            match receiver.await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(panic)) => Err(ComputeError::Panicked(panic_message(panic.as_ref()))),
                Err(_) => Err(ComputeError::Stopped(pool)),
            }
        }
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.owner.shared.options.threads.max(1)
    }

    /// How many jobs wait for a thread.
    pub fn queued(&self) -> usize {
        self.owner.shared.state.lock().queue.len()
    }

    /// Refuses new jobs, runs those that are queued, and blocks until the threads have ended.
    /// Must not be called from a thread of the pool.
    pub fn stop(&self) {
        self.owner.shared.close();
        let threads = std::mem::take(&mut *self.owner.threads.lock());
        for thread in threads {
            let _ = thread.join(); // A worker catches the panics of its jobs.
        }
    }

    /// Registers `urd_compute_<name>_queue_length` and `urd_compute_<name>_running_jobs`.
    pub fn register(&self, metrics: &Metrics) {
        let name = self.owner.shared.options.name;
        let (queue, running) = (Arc::clone(&self.owner.shared), Arc::clone(&self.owner.shared));
        metrics.gauge_fn(
            &format!("urd_compute_{name}_queue_length"),
            "Jobs that wait for a compute thread",
            move || queue.state.lock().queue.len() as f64,
        );
        metrics.gauge_fn(
            &format!("urd_compute_{name}_running_jobs"),
            "Jobs that run on a compute thread",
            move || running.state.lock().queue.running() as f64,
        );
    }
}

/// Closes the queue when the last pool handle goes.
struct Owner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

type Job = Box<dyn FnOnce() + Send>;

struct Shared {
    options: ComputeOptions,
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    queue: FairQueue<Job>,
    is_closed: bool,
}

impl Shared {
    fn queue(&self, owner: &str, job: Job) -> Result<(), ComputeError> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(ComputeError::Stopped(self.options.name));
        }
        if state.queue.push(owner, job).is_err() {
            let (pool, limit) = (self.options.name, self.options.queue_capacity);
            return Err(ComputeError::QueueFull { pool, limit });
        }
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// A job of `owner` begins to wait on its thread.
    fn paused(&self, owner: &str) {
        let mut state = self.state.lock();
        state.queue.paused(owner);
        if state.queue.len() > 0 {
            drop(state);
            self.wake.notify_one();
        }
    }

    fn resumed(&self, owner: &str) {
        self.state.lock().queue.resumed(owner);
    }

    fn close(&self) {
        self.state.lock().is_closed = true;
        self.wake.notify_all();
    }

    /// The next job; `None` when the pool is closed and empty.
    fn take(&self) -> Option<(fair::Owner, Job)> {
        let mut state = self.state.lock();
        loop {
            let next = if state.is_closed { state.queue.pop_any() } else { state.queue.pop() };
            if next.is_some() || state.is_closed {
                return next;
            }
            self.wake.wait(&mut state);
        }
    }
}

fn work(shared: &Arc<Shared>) {
    while let Some((owner, job)) = shared.take() {
        waiting::enter(shared, &owner);
        // The job catches its own panics; this catches those of dropping its captures.
        let _ = catch_unwind(AssertUnwindSafe(job));
        waiting::leave();
        shared.state.lock().queue.finished(&owner);
        // The owner may have another thread now: for a job that an idle thread passed over.
        shared.wake.notify_one();
    }
}

/// The text of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "panic without a message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn pool(threads: usize, queue_capacity: usize) -> ComputePool {
        ComputePool::new(ComputeOptions { name: "test", threads, queue_capacity }).unwrap()
    }

    /// Occupies a thread of the pool until the returned sender is used or dropped.
    fn occupy(
        pool: &ComputePool,
    ) -> (mpsc::Sender<()>, impl Future<Output = Result<(), ComputeError>>) {
        let (release, wait) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let result = pool.run(move || {
            started.send(()).unwrap();
            let _ = wait.recv();
        });
        has_started.recv().unwrap();
        (release, result)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_frees_up_again() {
        let pool = pool(1, 1);
        let (release, busy) = occupy(&pool);
        let waiting = pool.run(|| 1);
        let refused = pool.run(|| 2).await;
        assert_eq!(refused, Err(ComputeError::QueueFull { pool: "test", limit: 1 }));
        drop(release);
        assert_eq!(busy.await, Ok(()));
        assert_eq!(waiting.await, Ok(1));
        assert_eq!(pool.run(|| 3).await, Ok(3));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_lives() {
        let pool = pool(1, 4);
        let panicked: Result<(), _> = pool.run(|| panic!("boom {}", 1)).await;
        assert_eq!(panicked, Err(ComputeError::Panicked("boom 1".to_owned())));
        assert_eq!(pool.run(|| 5).await, Ok(5));
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_is_not_run() {
        let pool = pool(1, 4);
        let (release, _busy) = occupy(&pool);
        let ran = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ran);
        drop(pool.run(move || flag.store(true, Ordering::SeqCst)));
        drop(release);
        pool.stop();
        assert!(!ran.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_job_that_waits_for_another_process_makes_room_for_the_next() {
        let options = ComputeOptions { name: "test", threads: 3, queue_capacity: 8 };
        let pool = ComputePool::of_waiting(options, 1).unwrap();
        let blocking = crate::BlockingHandle::current();
        let (sender, receiver) = oneshot::channel::<u32>();
        let waits = {
            let blocking = blocking.clone();
            pool.run(move || blocking.block_on(receiver).unwrap())
        };
        assert_eq!(pool.run(|| 1).await, Ok(1));
        let (release, busy) = occupy(&pool);
        let next = pool.run(|| 2);
        assert_eq!(pool.queued(), 1, "one is at work");
        sender.send(7).unwrap();
        assert_eq!(waits.await, Ok(7));
        drop(release);
        assert_eq!((busy.await, next.await), (Ok(()), Ok(2)));
    }

    #[tokio::test]
    async fn a_stopped_pool_finishes_what_is_queued_and_refuses_the_rest() {
        let pool = pool(2, 8);
        let results: Vec<_> = (0..8).map(|i| pool.run(move || i)).collect();
        pool.stop();
        assert_eq!(futures::future::try_join_all(results).await, Ok((0..8).collect()));
        assert_eq!(pool.run(|| 0).await, Err(ComputeError::Stopped("test")));
    }
}
