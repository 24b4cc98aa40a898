//! Jobs that block, on one thread: each has a stack of its own and gives the thread away while it
//! waits. What `rt` has threads for.
//!
//! A job is a task of the runtime; when the task is dropped (its node was killed) the job's stack
//! is unwound. Used by nodes alone; nothing here knows what the jobs do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use rt::{Fibers, TaskGroup};

/// Stacks are mapped, and take memory as far as they are used.
const STACK_BYTES: usize = 1 << 20;
/// Stacks of finished jobs are kept for the next ones, at most this many.
const MAX_SPARE_STACKS: usize = 64;

type Fiber = Coroutine<Waker, (), (), DefaultStack>;

thread_local! {
    static FIBERS: RefCell<BTreeMap<u64, Fiber>> = const { RefCell::new(BTreeMap::new()) };
    static SPARE: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// The job that has the thread.
#[derive(Clone)]
struct Current {
    yielder: *const Yielder<Waker, ()>,
    waker: Waker,
}

/// The jobs of one node: they end with its tasks.
pub(crate) struct NodeFibers {
    tasks: Arc<TaskGroup>,
}

impl NodeFibers {
    /// Jobs that are tasks of `tasks`.
    pub(crate) fn new(tasks: Arc<TaskGroup>) -> Self {
        Self { tasks }
    }
}

impl Fibers for NodeFibers {
    fn start(&self, job: Box<dyn FnOnce() + Send>) {
        self.tasks.spawn("fiber", FiberTask::new(job));
    }

    fn wait(&self, mut future: Pin<&mut dyn Future<Output = ()>>) {
        loop {
            let current = CURRENT.with_borrow(Clone::clone).expect("jobs that wait are fibers");
            let mut context = Context::from_waker(&current.waker);
            if future.as_mut().poll(&mut context).is_ready() {
                return;
            }
            let waker = suspend(current.yielder);
            CURRENT.set(Some(Current { yielder: current.yielder, waker }));
        }
    }
}

/// Gives the thread away until the job is resumed.
#[expect(unsafe_code, reason = "the job that waits is not handed its yielder")]
fn suspend(yielder: *const Yielder<Waker, ()>) -> Waker {
    // SAFETY: the yielder lives as long as its fiber's body, which is what runs here: `CURRENT` is
    // set by that body, and whoever resumes another fiber puts it back afterwards.
    unsafe { &*yielder }.suspend(())
}

/// A job as a task. Its stack stays on this thread.
struct FiberTask(u64);

impl FiberTask {
    fn new(job: Box<dyn FnOnce() + Send>) -> Self {
        let id = NEXT.replace(NEXT.get() + 1);
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let stack = spare.unwrap_or_else(|| {
            DefaultStack::new(STACK_BYTES).expect("there is room for one more stack")
        });
        let body = move |yielder: &Yielder<Waker, ()>, waker: Waker| {
            CURRENT.set(Some(Current { yielder, waker }));
            job();
        };
        FIBERS.with_borrow_mut(|fibers| fibers.insert(id, Coroutine::with_stack(stack, body)));
        Self(id)
    }
}

impl Future for FiberTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // Not in the table while it runs: it may start others.
        let Some(mut fiber) = FIBERS.with_borrow_mut(|fibers| fibers.remove(&self.0)) else {
            return Poll::Ready(());
        };
        let outer = CURRENT.take();
        let result = fiber.resume(context.waker().clone());
        CURRENT.set(outer);
        match result {
            CoroutineResult::Yield(()) => {
                FIBERS.with_borrow_mut(|fibers| fibers.insert(self.0, fiber));
                Poll::Pending
            }
            CoroutineResult::Return(()) => {
                SPARE.with_borrow_mut(|spare| {
                    if spare.len() < MAX_SPARE_STACKS {
                        spare.push(fiber.into_stack());
                    }
                });
                Poll::Ready(())
            }
        }
    }
}

impl Drop for FiberTask {
    fn drop(&mut self) {
        let left = FIBERS.with_borrow_mut(|fibers| fibers.remove(&self.0));
        let outer = CURRENT.take();
        drop(left); // Unwinds its stack.
        CURRENT.set(outer);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rt::{BlockingHandle, CancellationToken, ComputeOptions, ComputePool};

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    }

    #[test]
    fn jobs_wait_for_each_other_on_one_thread() {
        runtime().block_on(async {
            let tasks = Arc::new(TaskGroup::new(&CancellationToken::new()));
            let fibers: Arc<dyn Fibers> = Arc::new(NodeFibers::new(tasks));
            let options = ComputeOptions { name: "t", threads: 1, queue_capacity: 1 };
            let pool = ComputePool::of_fibers(options, Arc::clone(&fibers));
            let blocking = BlockingHandle::of_fibers(fibers);
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let outer = blocking.clone();
            let first = pool.run(move || outer.block_on(receiver).unwrap() + 1);
            let second = pool.run(move || {
                blocking.block_on(rt::time::sleep(Duration::from_secs(3600)));
                sender.send(6).unwrap();
                blocking.block_on(blocking.spawn(|| 3)).unwrap()
            });
            assert_eq!(futures::join!(first, second), (Ok(7), Ok(3)));
        });
    }

    #[test]
    fn a_job_whose_node_is_killed_drops_what_it_has() {
        runtime().block_on(async {
            let tasks = Arc::new(TaskGroup::new(&CancellationToken::new()));
            let fibers: Arc<dyn Fibers> = Arc::new(NodeFibers::new(Arc::clone(&tasks)));
            let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
            let blocking = BlockingHandle::of_fibers(Arc::clone(&fibers));
            fibers.start(Box::new(move || {
                let _held = sender;
                blocking.block_on(futures::future::pending::<()>());
            }));
            rt::time::sleep(Duration::from_secs(1)).await;
            tasks.join(Duration::from_secs(1)).await.unwrap_err();
            assert!(receiver.await.is_err());
        });
    }
}
