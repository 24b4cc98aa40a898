//! `model::Executor` over threads of its own: parts of CPU work on several cores.
//!
//! Used by `tsdb` and `promql` from compute threads; never from async code, because it blocks
//! until the work is done. The caller works too, and helpers go from one caller's work to the
//! next after each part: whoever has little to do is done soon, however much the others have.

mod shared_work;

use std::sync::Arc;
use std::thread::JoinHandle;

use model::Executor;

use shared_work::WorkList;

/// Runs pieces of CPU work on the caller's thread and on a fixed number of helpers.
pub struct FairExecutor {
    list: Arc<WorkList>,
    helpers: Vec<JoinHandle<()>>,
}

impl FairExecutor {
    /// An executor for `threads` threads (at least one), of which the caller's is one.
    pub fn new(threads: usize) -> Result<Self, std::io::Error> {
        let mut executor = Self { list: Arc::new(WorkList::default()), helpers: Vec::new() };
        for index in 1..threads.max(1) {
            let list = Arc::clone(&executor.list);
            let helper = std::thread::Builder::new()
                .name(format!("parallel-{index}"))
                .spawn(move || list.help())?;
            executor.helpers.push(helper);
        }
        Ok(executor)
    }
}

impl Drop for FairExecutor {
    fn drop(&mut self) {
        self.list.close();
        for helper in self.helpers.drain(..) {
            let _ = helper.join(); // Panics of parts are caught and go to their caller.
        }
    }
}

impl Executor for FairExecutor {
    fn parallelism(&self) -> usize {
        self.helpers.len() + 1
    }

    fn for_each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        if count <= 1 || self.helpers.is_empty() {
            return (0..count).for_each(job);
        }
        self.list.run(count, job);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn every_number_once_also_from_within_a_job() {
        for threads in [1, 3] {
            let executor = FairExecutor::new(threads).unwrap();
            let seen: Vec<AtomicUsize> = (0..20 * 5).map(|_| AtomicUsize::new(0)).collect();
            executor.for_each(20, &|outer| {
                executor.for_each(5, &|inner| {
                    seen[outer * 5 + inner].fetch_add(1, Ordering::Relaxed);
                });
            });
            assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn work_does_not_wait_for_that_of_others() {
        let executor = FairExecutor::new(2).unwrap();
        let (started, has_started) = mpsc::channel();
        let (release, wait) = mpsc::channel::<()>();
        let (started, wait) = (Mutex::new(started), Mutex::new(wait));
        std::thread::scope(|scope| {
            // Takes the helper and does not let go of it.
            let hostile = scope.spawn(|| {
                executor.for_each(2, &|_| {
                    let _ = started.lock().send(());
                    let _ = wait.lock().recv();
                });
            });
            has_started.recv().unwrap();
            let sum = AtomicUsize::new(0);
            executor.for_each(100, &|i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
            drop(release);
            hostile.join().unwrap();
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_after_all_parts_have_ended() {
        let executor = FairExecutor::new(3).unwrap();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            executor.for_each(50, &|i| assert_ne!(i, 7, "part {i}"));
        }));
        assert!(outcome.is_err());
        let count = AtomicUsize::new(0);
        executor.for_each(50, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 50);
    }
}
