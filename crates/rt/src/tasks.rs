//! Tasks with an owner: whoever starts a background task holds it in a [`TaskGroup`], can cancel
//! it and waits for it. Nothing else in Urd spawns.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::compute::panic_message;

/// Tasks of one owner. When it is dropped they are cancelled and aborted.
pub struct TaskGroup {
    token: CancellationToken,
    tracker: TaskTracker,
    tasks: Arc<Mutex<Tasks>>,
}

#[derive(Default)]
struct Tasks {
    next_id: u64,
    running: BTreeMap<u64, (&'static str, Option<AbortHandle>)>,
}

/// Tasks that did not end before the deadline of [`TaskGroup::join`]; they have been aborted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tasks did not end in time: {}", .0.join(", "))]
pub struct UnfinishedTasks(pub Vec<&'static str>);

impl TaskGroup {
    /// An empty group that is cancelled together with `parent`.
    pub fn new(parent: &CancellationToken) -> Self {
        let (tracker, tasks) = (TaskTracker::new(), Arc::default());
        Self { token: parent.child_token(), tracker, tasks }
    }

    /// Cancelled when the group shall end. Tasks watch it.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Starts a task on the current runtime. It should end soon after [`Self::token`] is
    /// cancelled; a panic in it is logged and ends that task alone.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = {
            let mut tasks = self.tasks.lock();
            tasks.next_id += 1;
            let id = tasks.next_id;
            tasks.running.insert(id, (name, None));
            id
        };
        let tasks = Arc::clone(&self.tasks);
        let handle = self.tracker.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                tracing::error!(
                    task = name,
                    panic = panic_message(panic.as_ref()),
                    "task panicked"
                );
            }
            tasks.lock().running.remove(&id);
        });
        if let Some((_, abort)) = self.tasks.lock().running.get_mut(&id) {
            *abort = Some(handle.abort_handle());
        }
    }

    /// Like [`Self::spawn`], for tasks that need no orderly end: dropped at the next await when
    /// the group is cancelled.
    pub fn spawn_until_cancelled(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let token = self.token.clone();
        self.spawn(name, async move {
            let _ = token.run_until_cancelled(task).await;
        });
    }

    /// How many tasks run.
    pub fn len(&self) -> usize {
        self.tasks.lock().running.len()
    }

    /// Whether no task runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks all tasks to end.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Cancels, waits for the tasks until `deadline` has passed, and aborts the rest.
    pub async fn join(&self, deadline: Duration) -> Result<(), UnfinishedTasks> {
        self.cancel();
        self.tracker.close();
        if crate::time::timeout(deadline, self.tracker.wait()).await.is_ok() {
            return Ok(());
        }
        let names = self.abort();
        if names.is_empty() { Ok(()) } else { Err(UnfinishedTasks(names)) }
    }

    /// Ends all tasks at their next await, whatever they do: as the death of a process would.
    pub fn abort_all(&self) {
        self.cancel();
        self.abort();
    }

    fn abort(&self) -> Vec<&'static str> {
        let running = std::mem::take(&mut self.tasks.lock().running);
        let abort = |(name, handle): (_, Option<AbortHandle>)| {
            if let Some(handle) = handle {
                handle.abort();
            }
            name
        };
        running.into_values().map(abort).collect()
    }
}

impl Drop for TaskGroup {
    fn drop(&mut self) {
        self.cancel();
        self.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn join_waits_for_an_orderly_end() {
        let group = TaskGroup::new(&CancellationToken::new());
        let token = group.token().clone();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        group.spawn("orderly", async move {
            token.cancelled().await;
            sender.send("done").unwrap();
        });
        assert_eq!(group.join(Duration::from_secs(60)).await, Ok(()));
        assert_eq!(receiver.await, Ok("done"));
        assert!(group.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn join_aborts_and_names_those_that_do_not_end() {
        let group = TaskGroup::new(&CancellationToken::new());
        group.spawn("deaf", futures::future::pending());
        group.spawn_until_cancelled("hearing", futures::future::pending());
        let unfinished = group.join(Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(unfinished.to_string(), "tasks did not end in time: deaf");
    }

    #[tokio::test]
    async fn dropping_the_group_ends_its_tasks() {
        let group = TaskGroup::new(&CancellationToken::new());
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        group.spawn("held", async move {
            futures::future::pending::<()>().await;
            drop(sender);
        });
        drop(group);
        assert!(receiver.await.is_err());
    }

    #[tokio::test]
    async fn a_panic_ends_one_task() {
        let group = TaskGroup::new(&CancellationToken::new());
        group.spawn("bad", async { panic!("boom") });
        assert_eq!(group.join(Duration::from_secs(60)).await, Ok(()));
    }
}
