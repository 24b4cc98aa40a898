//! Tests of the tracker: the rules one by one, and two distributors over one store.

use std::time::Duration;

use config::PromDuration;
use model::Label;
use model::batch::BatchSample;
use model::env::{ManualClock, SeededRandom};
use ring::kv::{MemoryStore, Store};

use super::*;

const START_MS: i64 = 1_700_000_000_000;

/// Without jitter: update after 15 s, failover after 30 s.
const TIMEOUTS: Timeouts =
    Timeouts { update_ms: 15_000, failover_ms: 30_000, failover_sample_ms: 0 };

fn proposal(replica: &str, received_at: i64) -> Proposal {
    Proposal { replica: replica.to_owned(), received_at, sample_ms: received_at }
}

fn stored(replica: &str, received_at: i64, elected: (i64, i64)) -> ReplicaDesc {
    let (elected_at, elected_changes) = elected;
    ReplicaDesc {
        replica: replica.to_owned(),
        received_at,
        deleted_at: 0,
        elected_at,
        elected_changes,
    }
}

#[test]
fn what_a_proposal_makes_of_the_store() {
    let a = stored("a", 100_000, (50_000, 3));
    let deleted = ReplicaDesc { deleted_at: 1, ..a.clone() };
    let no_election = stored("a", 100_000, (0, 0));
    let by_samples = Timeouts { failover_sample_ms: 40_000, ..TIMEOUTS };
    for (what, current, (replica, now_ms), timeouts, want) in [
        ("nothing is there", None, ("a", 7), TIMEOUTS, Some(stored("a", 7, (7, 0)))),
        ("fresh enough", Some(&a), ("a", 114_999), TIMEOUTS, None),
        (
            "the time is old",
            Some(&a),
            ("a", 115_000),
            TIMEOUTS,
            Some(stored("a", 115_000, (50_000, 3))),
        ),
        ("too early for another", Some(&a), ("b", 129_999), TIMEOUTS, None),
        ("failover", Some(&a), ("b", 130_000), TIMEOUTS, Some(stored("b", 130_000, (130_000, 4)))),
        ("samples too early", Some(&a), ("b", 139_999), by_samples, None),
        (
            "samples late enough",
            Some(&a),
            ("b", 140_000),
            by_samples,
            Some(stored("b", 140_000, (140_000, 4))),
        ),
        (
            "marked for deletion",
            Some(&deleted),
            ("b", 101_000),
            TIMEOUTS,
            Some(stored("b", 101_000, (101_000, 0))),
        ),
        (
            "an old entry",
            Some(&no_election),
            ("a", 115_000),
            TIMEOUTS,
            Some(stored("a", 115_000, (115_000, 0))),
        ),
    ] {
        let got = elect(current, &proposal(replica, now_ms), (timeouts, now_ms));
        assert_eq!(got, want, "{what}");
    }
}

#[test]
fn what_was_seen_is_proposed_when_the_store_is_old() {
    let mut clusters = Clusters::default();
    let seen = |replica, now_ms| Sighting { cluster: "c", replica, now_ms, sample_ms: now_ms - 9 };
    assert_eq!(clusters.see("t", seen("a", 1)), Verdict::Unknown { clusters: 0 });
    clusters.learn("t", "c", stored("a", 100_000, (100_000, 0)));
    assert_eq!(clusters.see("t", seen("a", 110_000)), Verdict::Elected);
    let other = Verdict::Other { elected: "a".to_owned() };
    assert_eq!(clusters.see("t", seen("b", 111_000)), other);
    let due = |clusters: &Clusters, now_ms| clusters.due(now_ms, |_| TIMEOUTS);
    let one = |proposal| vec![("t".to_owned(), "c".to_owned(), proposal)];
    assert_eq!(due(&clusters, 114_999), []);
    let again = Proposal { sample_ms: 115_000, ..proposal("a", 110_000) };
    assert_eq!(due(&clusters, 115_000), one(again));
    // The elected one is silent: the other one, as long as that is not.
    let failover = Proposal { sample_ms: 125_500, ..proposal("b", 111_000) };
    assert_eq!(due(&clusters, 125_500), one(failover));
    assert_eq!(due(&clusters, 126_000), []);
    // Another distributor elected "b": when it was here is known, for it was seen here.
    let learned = clusters.learn("t", "c", stored("b", 131_000, (131_000, 1)));
    assert_eq!(learned, clusters::Learned::Elected { former: "a".to_owned() });
    assert_eq!(clusters.see("t", seen("b", 131_500)), Verdict::Elected);
    assert_eq!(clusters.forget("t", "c"), Some("b".to_owned()));
    assert_eq!(clusters.see("t", seen("b", 131_500)), Verdict::Unknown { clusters: 0 });
}

/// Distributors over one store.
struct Fixture {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    trackers: Vec<Arc<HaTracker>>,
    limits: Limits,
}

fn fixture(change: impl FnOnce(&mut Limits)) -> Fixture {
    let mut limits = config::Config::default().limits;
    limits.accept_ha_samples = true;
    limits.ha_tracker_update_timeout_jitter_max = PromDuration::ZERO;
    change(&mut limits);
    let (clock, store) = (Arc::new(ManualClock::new(START_MS)), Arc::<MemoryStore>::default());
    let tracker = |seed| {
        let shared = Arc::clone(&store) as Arc<dyn Store>;
        Arc::new(HaTracker::new(HaTrackerParts {
            client: Client::new(shared, Arc::new(ReplicaCodec), "ha-tracker/"),
            overrides: Arc::new(Overrides::fixed(limits.clone())),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SeededRandom::new(seed)),
            metrics: Metrics::new(),
            shows_elected: true,
        }))
    };
    let trackers = (0..2).map(tracker).collect();
    Fixture { clock, store, trackers, limits }
}

impl Fixture {
    /// A request of a replica at one of the distributors; the labels that are left.
    async fn push(&self, at: usize, cluster: &str, replica: &str) -> Result<String, PushError> {
        let (tracker, limits) = (&self.trackers[at], &self.limits);
        let now_ms = self.clock.now_ms();
        let judge = || {
            let label = |name, value| Label { name, value };
            let labels =
                [label("__name__", "up"), label("__replica__", replica), label("cluster", cluster)];
            let mut batch = WriteBatch::default();
            let sample = BatchSample { timestamp_ms: now_ms, value: 1.0 };
            batch.push_float(&labels, sample);
            let tenant = TenantId::new("team").unwrap();
            let origin = Origin::of(&batch, limits);
            let at = (&tenant, limits, now_ms);
            if let Dedup::Unknown(election) =
                dedup(Some(tracker.as_ref()), at, &mut batch, origin.as_ref())?
            {
                return Ok(Err(election));
            }
            let left = batch.labels_of(&batch.series[0]);
            let left = left.iter().map(|l| format!("{}={}", l.name, l.value));
            Ok(Ok(left.collect::<Vec<_>>().join(",")))
        };
        match judge()? {
            Ok(left) => Ok(left),
            Err(election) => {
                tracker.elect(&election).await?;
                Ok(judge()?.expect("there was an election"))
            }
        }
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance(seconds * 1000);
    }

    /// What the loops of all distributors do every 15 s.
    async fn update(&self) {
        for tracker in &self.trackers {
            tracker.update_store().await;
        }
        for tracker in &self.trackers {
            tracker.read_store().await.unwrap();
        }
    }

    async fn has_key(&self, key: &str) -> bool {
        self.store.get(key, &ReplicaCodec).await.unwrap().is_some()
    }
}

fn refused(result: &Result<String, PushError>) -> &str {
    match result {
        Ok(_) => "taken",
        Err(error) if error.cause == PushErrorCause::ReplicasDidNotMatch => "refused",
        Err(error) => &error.message,
    }
}

#[tokio::test]
async fn two_distributors_agree_on_one_replica_and_fail_over() {
    let f = fixture(|_| {});
    assert_eq!(f.push(0, "c", "a").await.unwrap(), "__name__=up,cluster=c");
    assert!(f.has_key("ha-tracker/team/c").await);
    // The other distributor knows nothing yet: it asks the store.
    let error = f.push(1, "c", "b").await.unwrap_err();
    assert_eq!(error.message, "replicas did not match, rejecting sample: replica=b, elected=a");
    assert_eq!(refused(&f.push(1, "c", "a").await), "taken");
    // "a" goes on at one distributor, "b" at the other one: nothing changes for minutes.
    for _ in 0..12 {
        f.pass(15);
        assert_eq!(refused(&f.push(0, "c", "a").await), "taken");
        assert_eq!(refused(&f.push(1, "c", "b").await), "refused");
        f.update().await;
    }
    // "a" falls silent: after 30 s "b" is elected, not before.
    f.pass(15);
    assert_eq!(refused(&f.push(1, "c", "b").await), "refused");
    f.update().await;
    assert_eq!(refused(&f.push(1, "c", "b").await), "refused");
    f.pass(15);
    assert_eq!(refused(&f.push(1, "c", "b").await), "refused");
    f.update().await;
    assert_eq!(refused(&f.push(1, "c", "b").await), "taken");
    assert_eq!(refused(&f.push(0, "c", "a").await), "refused", "both have failed over");
    let all = f.trackers[0].all();
    assert_eq!((all[0].2.replica.as_str(), all[0].2.elected_changes), ("b", 1));
}

#[tokio::test]
async fn never_two_replicas_at_once_whatever_is_sent() {
    let f = fixture(|_| {});
    let random = SeededRandom::new(11);
    let mut last: Option<ReplicaDesc> = None;
    for _ in 0..2000 {
        f.pass(random.below(9) as i64);
        f.update().await;
        let now_ms = f.clock.now_ms();
        // What stands in the store changes by the rules alone.
        let stands = f.store.get("ha-tracker/team/c", &ReplicaCodec).await.unwrap();
        let stands = stands.and_then(|v| v.as_any().downcast_ref::<ReplicaDesc>().cloned());
        if let (Some(last), Some(stands)) = (&last, &stands) {
            let is_reelected = stands.elected_changes == last.elected_changes + 1;
            assert_eq!(last.replica != stands.replica, is_reelected);
            assert!(!is_reelected || 30_000 <= now_ms - last.received_at);
            assert!(last.received_at <= stands.received_at && stands.received_at <= now_ms);
        }
        last = stands;
        let replica = ["a", "b", "c"][random.below(3) as usize];
        // "a" and then "b" are away for long times.
        let minute = (now_ms - START_MS) / 60_000;
        if (replica == "a" && minute % 7 < 3) || (replica == "b" && minute % 5 < 2) {
            continue;
        }
        let taken = f.push(random.below(2) as usize, "c", replica).await.is_ok();
        assert!(last.as_ref().is_none_or(|elected| taken == (elected.replica == replica)));
    }
    assert!(last.unwrap().elected_changes > 5);
}

#[tokio::test]
async fn a_tenant_may_have_so_many_clusters() {
    let f = fixture(|l| l.ha_max_clusters = 2);
    assert_eq!(refused(&f.push(0, "c1", "a").await), "taken");
    assert_eq!(refused(&f.push(0, "c2", "a").await), "taken");
    let error = f.push(0, "c3", "a").await.unwrap_err();
    assert_eq!(error.cause, PushErrorCause::TooManyClusters);
    assert_eq!(
        error.message,
        "the write request has been rejected because the maximum number of high-availability (HA) \
         clusters has been reached for this tenant (limit: 2) \
         (err-mimir-tenant-too-many-ha-clusters). To adjust the related per-tenant limit, \
         configure -distributor.ha-tracker.max-clusters, or contact your service administrator."
    );
    assert_eq!(refused(&f.push(0, "c1", "a").await), "taken", "those that are known go on");
}

#[tokio::test]
async fn old_entries_are_marked_and_then_deleted() {
    let f = fixture(|_| {});
    f.push(0, "c", "a").await.unwrap();
    f.pass(30 * 60);
    f.trackers[0].clean_up().await;
    f.update().await;
    assert_eq!(f.trackers[1].all().len(), 1, "exactly as old is not older");
    f.pass(1);
    f.trackers[0].clean_up().await;
    f.update().await;
    assert!(f.trackers.iter().all(|tracker| tracker.all().is_empty()));
    assert!(f.has_key("ha-tracker/team/c").await, "the mark stays for those who have not seen it");
    f.pass(30 * 60);
    f.trackers[1].clean_up().await;
    assert!(!f.has_key("ha-tracker/team/c").await);
    // Whoever comes next is elected anew.
    assert_eq!(refused(&f.push(1, "c", "b").await), "taken");
}

#[tokio::test]
async fn requests_that_do_not_say_who_they_are_pass_as_they_are() {
    let f = fixture(|_| {});
    assert_eq!(f.push(0, "", "a").await.unwrap(), "__name__=up,__replica__=a,cluster=");
    assert_eq!(f.push(0, "c", "").await.unwrap(), "__name__=up,__replica__=,cluster=c");
    let long = "r".repeat(2049);
    assert!(f.push(0, "c", &long).await.unwrap().contains(&long));
    assert!(f.trackers[0].all().is_empty());
}

#[tokio::test]
async fn the_service_follows_the_store() {
    let f = fixture(|_| {});
    f.push(0, "c", "a").await.unwrap();
    let follower = Arc::clone(&f.trackers[1]);
    follower.starting().await.unwrap();
    assert_eq!(follower.all().len(), 1);
    let stop = CancellationToken::new();
    let running = follower.running(stop.clone());
    let others = async {
        f.push(0, "d", "a").await.unwrap();
        while follower.all().len() < 2 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (ended, ()) =
        rt::time::timeout(Duration::from_secs(10), async { futures::join!(running, others) })
            .await
            .unwrap();
    ended.unwrap();
}

#[tokio::test]
async fn the_page_shows_who_is_elected() {
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    let f = fixture(|_| {});
    f.push(0, "c<", "a").await.unwrap();
    f.pass(5);
    let get = |accept: &'static str| {
        let request = Request::get("/distributor/ha_tracker").header("accept", accept);
        f.trackers[0].routes().oneshot(request.body(axum::body::Body::empty()).unwrap())
    };
    let body = |response: axum::response::Response| async {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let json = body(get("application/json").await.unwrap()).await;
    assert_eq!(
        json,
        "{\"elected\":[{\"userID\":\"team\",\"cluster\":\"c<\",\"replica\":\"a\",\
         \"lastElectionTime\":\"2023-11-14T22:13:20Z\",\
         \"electedLastSeenTime\":\"2023-11-14T22:13:20Z\",\"updateDuration\":10000000000,\
         \"failoverDuration\":25000000000}],\"now\":\"2023-11-14T22:13:25Z\"}"
    );
    assert!(body(get("text/html").await.unwrap()).await.contains("<td>c&lt;</td>"));
}
