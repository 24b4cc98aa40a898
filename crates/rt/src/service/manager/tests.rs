//! The life of services: order, failures, stops in the middle of a start, deadlines.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::service::RunService;

const LONG: Duration = Duration::from_secs(60);

type Diary = Arc<Mutex<Vec<String>>>;

/// Writes what is done to it into a diary and fails where it is told to.
struct Recorder {
    name: &'static str,
    diary: Diary,
    fails_in: &'static str,
}

impl Recorder {
    fn note(&self, phase: &'static str) -> Result<(), BoxError> {
        self.diary.lock().push(format!("{} {phase}", self.name));
        if self.fails_in == phase { Err(format!("broken {phase}").into()) } else { Ok(()) }
    }
}

impl Service for Recorder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn starting(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        async { self.note("starting") }.boxed()
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        async move {
            if self.fails_in == "running" {
                return self.note("running");
            }
            stop.cancelled().await;
            self.note("ending")
        }
        .boxed()
    }

    fn stopping(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        async { self.note("stopping") }.boxed()
    }
}

fn manager(services: &[(&'static str, &'static str)]) -> (ServiceManager, Diary) {
    let diary = Diary::default();
    let mut manager = ServiceManager::new();
    let mut before = Vec::new();
    for &(name, fails_in) in services {
        let recorder = Recorder { name, diary: Arc::clone(&diary), fails_in };
        manager.add(Arc::new(recorder), &before).unwrap();
        before.push(name);
    }
    (manager, diary)
}

#[tokio::test]
async fn services_start_in_order_and_stop_in_reverse() {
    let (manager, diary) = manager(&[("a", ""), ("b", "")]);
    let status = manager.status();
    assert_eq!(status.not_ready(), ["a: New", "b: New"]);
    manager.start(&CancellationToken::new()).await.unwrap();
    assert_eq!(status.states(), [("a", State::Running), ("b", State::Running)]);
    assert_eq!(status.not_ready(), [""; 0]);
    manager.stop(LONG).await.unwrap();
    assert_eq!(status.states(), [("a", State::Terminated), ("b", State::Terminated)]);
    let want = ["a starting", "b starting", "b ending", "b stopping", "a ending", "a stopping"];
    assert_eq!(*diary.lock(), want);
}

#[tokio::test]
async fn a_failure_while_starting_stops_what_had_started() {
    let (manager, diary) = manager(&[("a", ""), ("b", "starting"), ("c", "")]);
    let error = manager.start(&CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "service b failed: broken starting");
    assert_eq!(manager.status().not_ready(), ["b: Failed", "c: New"]);
    assert_eq!(StartError::Failed(manager.stop(LONG).await.unwrap_err()), error);
    assert_eq!(*diary.lock(), ["a starting", "b starting", "a ending", "a stopping"]);
    let want = [("a", State::Terminated), ("b", State::Failed), ("c", State::Terminated)];
    assert_eq!(manager.status().states(), want);
}

#[tokio::test]
async fn a_failure_while_running_is_seen_and_the_service_is_still_stopped() {
    let (manager, diary) = manager(&[("a", "running")]);
    let _ = manager.start(&CancellationToken::new()).await;
    assert_eq!(manager.failed().await.to_string(), "service a failed: broken running");
    assert_eq!(manager.status().states(), [("a", State::Failed)]);
    manager.stop(LONG).await.unwrap_err();
    assert_eq!(*diary.lock(), ["a starting", "a running", "a stopping"]);
    assert_eq!(manager.status().states(), [("a", State::Failed)]);
}

#[tokio::test]
async fn a_stop_interrupts_the_start() {
    struct Slow;
    impl Service for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }
        fn starting(&self) -> BoxFuture<'_, Result<(), BoxError>> {
            std::future::pending().boxed()
        }
    }
    let (mut manager, diary) = manager(&[("a", "")]);
    manager.add(Arc::new(Slow), &["a"]).unwrap();
    let stop = CancellationToken::new();
    let (started, ()) = tokio::join!(manager.start(&stop), async { stop.cancel() });
    assert_eq!(started, Err(StartError::Stopped));
    manager.stop(LONG).await.unwrap();
    assert_eq!(*diary.lock(), ["a starting", "a ending", "a stopping"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_stop_is_cut_off() {
    let mut manager = ServiceManager::new();
    let deaf = RunService::new("deaf", |_| std::future::pending());
    manager.add(Arc::new(deaf), &[]).unwrap();
    manager.start(&CancellationToken::new()).await.unwrap();
    let failure = manager.stop(LONG).await.unwrap_err();
    assert_eq!(failure.to_string(), "service deaf failed: did not stop in time");
}

#[tokio::test]
async fn a_panic_is_a_failure() {
    let mut manager = ServiceManager::new();
    let bad = RunService::new("bad", |_| async { panic!("boom") });
    manager.add(Arc::new(bad), &[]).unwrap();
    let _ = manager.start(&CancellationToken::new()).await;
    assert_eq!(manager.failed().await.message, "panicked: boom");
}

#[tokio::test]
async fn work_that_is_done_does_not_hinder_readiness() {
    let mut manager = ServiceManager::new();
    manager.add(Arc::new(RunService::new("once", |_| async { Ok(()) })), &[]).unwrap();
    manager.start(&CancellationToken::new()).await.unwrap();
    let mut progress = manager.entries[0].progress.subscribe();
    progress.wait_for(|progress| *progress == Progress::Ended).await.unwrap();
    assert_eq!(manager.status().states(), [("once", State::Terminated)]);
    assert!(manager.status().not_ready().is_empty());
}

#[test]
fn a_dependency_must_come_first() {
    let mut manager = ServiceManager::new();
    let error = manager.add(Arc::new(RunService::new("x", |_| async { Ok(()) })), &["y"]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "service x depends on y, which has not been added before it"
    );
}
