//! What a thread of a pool has as long as a job waits on it for something that does not need this
//! CPU: its pool may start another job meanwhile.
//!
//! Set by the threads of [`super::ComputePool`], used by [`crate::BlockingHandle`]. On any other
//! thread it does nothing.

use std::cell::RefCell;
use std::sync::Arc;

use super::Shared;
use super::fair::Owner;

thread_local! {
    static JOB: RefCell<Option<Job>> = const { RefCell::new(None) };
}

/// The job that has the thread.
struct Job {
    shared: Arc<Shared>,
    owner: Owner,
}

/// A job of `owner` begins on this thread.
pub(super) fn enter(shared: &Arc<Shared>, owner: &Owner) {
    JOB.set(Some(Job { shared: Arc::clone(shared), owner: Arc::clone(owner) }));
}

/// It has ended.
pub(super) fn leave() {
    JOB.set(None);
}

/// Calls `wait`, during which the job of this thread is not at work.
pub(crate) fn while_waiting<T>(wait: impl FnOnce() -> T) -> T {
    let _pause = Pause::begin();
    wait()
}

/// Puts the job back when it is dropped. Within it there is no job to be paused.
struct Pause(Option<Job>);

impl Pause {
    fn begin() -> Self {
        let job = JOB.take();
        if let Some(Job { shared, owner }) = &job {
            shared.paused(owner);
        }
        Self(job)
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if let Some(Job { shared, owner }) = &self.0 {
            shared.resumed(owner);
        }
        JOB.set(self.0.take());
    }
}
